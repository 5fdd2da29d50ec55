"""`mvd upscale`: names, places, resuming, failures."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, load, save
from mvd_toolkit.io import load_mesh
from mvd_toolkit.model import Model
from mvd_toolkit.ops import count_parts

Mvd = Callable[..., Any]


@pytest.fixture
def upscale(mvd: Mvd, tiny_model: Path) -> Mvd:
    """`mvd upscale` with a small model."""
    return lambda *args: mvd("upscale", *args, "-m", tiny_model, "--threads", 1)


def test_needs_no_option(
    mvd: Mvd, ball_file: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvd_toolkit import model_directory

    monkeypatch.setattr(model_directory, "PACKAGED", tiny_model.parent)
    monkeypatch.setattr(model_directory, "DEFAULT_NAME", "tiny")
    result = mvd("upscale", ball_file)
    assert (result.code, result.out) == (0, f"{ball_file.with_name('ball_128.binvox')}\n")


def test_result_is_in_the_same_place(upscale: Mvd, ball_file: Path, ball: VoxelGrid) -> None:
    assert upscale(ball_file).code == 0
    fine = load(ball_file.with_name("ball_128.binvox"))
    assert fine.shape == (128, 128, 128)
    assert fine.origin == ball.origin
    assert fine.spacing == (0.125 / 8,) * 3


def test_sidecar(upscale: Mvd, ball_file: Path) -> None:
    upscale(ball_file)
    document = json.loads(ball_file.with_name("ball_128.binvox.mvd.json").read_text())
    assert document["schema"] == "mvd.sidecar/1"
    assert document["command"] == "upscale"
    assert set(document["options"]) == {
        "model",
        "size",
        "format",
        "low_rule",
        "fill",
        "keep_parts",
    }
    assert document["options"]["size"] == 128
    assert document["device"] == "cpu"
    assert document["spacing"] == [0.125 / 8] * 3
    assert {"networks", "carve", "total"} <= set(document["seconds"])


def test_crumbs_are_kept_when_asked(mvd: Mvd, tmp_path: Path) -> None:
    """The six faces of the default model alone leave some beside this chair, which is one part."""
    default = Model.load()
    faces = replace(default.config, boundary=None, subvoxel=None)
    model = Model(faces, default.silhouette, default.depth).save(tmp_path / "model")
    chair = Path(__file__).parents[2] / "examples" / "chair_32.binvox"
    swept, kept = tmp_path / "swept.binvox", tmp_path / "kept.binvox"
    assert mvd("upscale", chair, "-m", model, "-o", swept).code == 0
    assert mvd("upscale", chair, "-m", model, "-o", kept, "--keep-parts").code == 0
    assert count_parts(load(swept)) == count_parts(load(chair)) == 1
    assert count_parts(load(kept)) > 1


def test_document(upscale: Mvd, ball_file: Path) -> None:
    document = upscale(ball_file, "--json").document
    assert document["schema"] == "mvd.upscale/1"
    (item,) = document["items"]
    assert item["input"] == str(ball_file)
    assert item["output"] == str(ball_file.with_name("ball_128.binvox"))
    assert item["status"] == "made"
    assert item["shape"] == [128, 128, 128]
    assert item["low_rule"] == "any"
    summary = document["summary"]
    assert {k: summary[k] for k in ("made", "skipped", "failed", "total")} == {
        "made": 1,
        "skipped": 0,
        "failed": 0,
        "total": 1,
    }


def test_finished_result_is_skipped(upscale: Mvd, ball_file: Path) -> None:
    upscale(ball_file)
    output = ball_file.with_name("ball_128.binvox")
    before = output.stat().st_mtime_ns
    result = upscale(ball_file)
    assert result.code == 0
    assert result.out == f"{output}\n"
    assert "skipped" in result.err
    assert output.stat().st_mtime_ns == before


def test_other_options_do_not_replace_a_result(upscale: Mvd, ball_file: Path) -> None:
    upscale(ball_file)
    output = ball_file.with_name("ball_128.binvox")
    before = output.read_bytes()
    result = upscale(ball_file, "--low-rule", "half")
    assert result.code == 6
    assert "was made from another input or with other options" in result.err
    assert output.read_bytes() == before
    assert upscale(ball_file, "--low-rule", "half", "--on-exists", "skip").code == 0
    assert output.read_bytes() == before
    assert upscale(ball_file, "--low-rule", "half", "--on-exists", "overwrite").code == 0
    assert output.read_bytes() != before


def test_unrelated_file_stays(upscale: Mvd, ball_file: Path) -> None:
    output = ball_file.with_name("ball_128.binvox")
    output.write_text("precious")
    result = upscale(ball_file, "--json")
    assert result.code == 6
    assert result.document["items"][0]["error"]["type"] == "OutputExistsError"
    assert output.read_text() == "precious"
    assert not output.with_name("ball_128.binvox.mvd.json").exists()


def test_unrelated_file_is_kept(upscale: Mvd, ball_file: Path) -> None:
    output = ball_file.with_name("ball_128.binvox")
    output.write_text("precious")
    result = upscale(ball_file, "--on-exists", "skip")
    assert (result.code, result.out) == (0, "")
    assert f"kept     {output}: exists and is not what this command would make" in result.err
    (item,) = upscale(ball_file, "--on-exists", "skip", "--json").document["items"]
    assert item == {"input": str(ball_file), "output": str(output), "status": "kept"}
    assert sorted(ball_file.parent.iterdir()) == [ball_file, output]
    assert output.read_text() == "precious"


def test_no_network_is_loaded_unless_one_is_needed(
    upscale: Mvd, ball_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvd_toolkit.upscale import Upscaler

    assert upscale(ball_file).code == 0
    monkeypatch.setattr(Upscaler, "load", lambda *args: pytest.fail("loaded"))
    assert "skipped" in upscale(ball_file).err
    assert upscale(ball_file, "--low-rule", "half").code == 6
    assert upscale(ball_file, "--to", 100).code == 2
    assert upscale(ball_file.with_name("missing.npz")).code == 3
    assert upscale(ball_file, "--device", "warp").code == 5


def test_model_that_cannot_be_loaded_ends_the_run(
    mvd: Mvd, tree: Path, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    config = json.loads((model / "config.json").read_text())
    config["depth"]["backbone"] = "nosuch"
    (model / "config.json").write_text(json.dumps(config))
    result = mvd("upscale", tree, "-o", tmp_path / "out", "-m", model)
    assert result.code == 5
    assert "needs backbone 'nosuch'" in result.err
    assert not (tmp_path / "out").exists()


def test_smaller_size_and_other_format(upscale: Mvd, ball_file: Path) -> None:
    assert upscale(ball_file, "--to", 64, "--format", "npz").code == 0
    assert load(ball_file.with_name("ball_64.npz")).shape == (64, 64, 64)


def test_output_option(upscale: Mvd, ball_file: Path, tmp_path: Path) -> None:
    assert upscale(ball_file, "-o", tmp_path / "deep" / "big.npz").code == 0
    assert load(tmp_path / "deep" / "big.npz").shape == (128, 128, 128)
    assert upscale(ball_file, "-o", tmp_path / "folder").code == 0
    assert (tmp_path / "folder" / "ball_128.binvox").is_file()


def test_suffix_that_no_format_has_is_a_folder(
    upscale: Mvd, ball_file: Path, tmp_path: Path
) -> None:
    result = upscale(ball_file, "-o", tmp_path / "big.voxels")
    assert (tmp_path / "big.voxels" / "ball_128.binvox").is_file()
    assert "no format has the suffix .voxels, so it is taken as a folder" in result.err


def test_mesh_output(upscale: Mvd, ball_file: Path, tmp_path: Path) -> None:
    assert upscale(ball_file, "-o", tmp_path / "ball.stl").code == 0
    assert (tmp_path / "ball.stl").is_file()
    assert load_mesh(tmp_path / "ball.stl").faces.shape[1] == 3


def test_size_that_cannot_be_made(upscale: Mvd, ball_file: Path) -> None:
    result = upscale(ball_file, "--to", 100)
    assert result.code == 2
    assert "these work: 1, 2, 4, 8, 16, 32, 64, 128" in result.err
    assert list(ball_file.parent.iterdir()) == [ball_file]


def test_unknown_format(upscale: Mvd, ball_file: Path) -> None:
    result = upscale(ball_file, "--format", "gif")
    assert result.code == 2
    assert "--format: expected one of" in result.err
    assert "found 'gif'" in result.err


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("missing.binvox", None, "no such file"),
        ("broken.binvox", b"#binvox 1\ndim 4 4 4\ndata\n\x01", "broken.binvox"),
        ("empty.npy", b"", "empty"),
    ],
)
def test_unreadable_input(
    upscale: Mvd, tmp_path: Path, name: str, content: bytes | None, text: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = upscale(tmp_path / name, "--json")
    assert result.code == 3
    assert text in result.document["error"]["message"]
    assert [p.name for p in tmp_path.iterdir()] == ([name] if content is not None else [])


def test_mesh_input_says_what_to_do(upscale: Mvd, tmp_path: Path) -> None:
    mesh = tmp_path / "tri.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    result = upscale(mesh)
    assert result.code == 3
    assert f"`mvd convert {mesh} -o tri.binvox --resolution 32` makes a grid of it" in result.err


def test_too_large_a_grid(upscale: Mvd, tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    save(VoxelGrid.from_dense(np.ones((257, 2, 2), bool)), path)
    result = upscale(path)
    assert result.code == 3
    assert "at most 256" in result.err


def test_missing_model_and_device(mvd: Mvd, ball_file: Path, tiny_model: Path) -> None:
    assert mvd("upscale", ball_file, "-m", "nosuchmodel").code == 5
    result = mvd("upscale", ball_file, "-m", tiny_model, "--device", "warp")
    assert result.code == 5
    assert "device 'warp' cannot be used" in result.err


def test_empty_grid_is_said(upscale: Mvd, tmp_path: Path) -> None:
    path = tmp_path / "void.npy"
    save(VoxelGrid.from_dense(np.zeros((16, 16, 16), bool)), path)
    result = upscale(path, "--json")
    assert result.code == 0
    assert result.document["warnings"] == [f"{path}: the grid is empty, and so is the result"]
    assert result.document["items"][0]["low_rule"] is None
    assert "low rule" not in upscale(path, "--on-exists", "overwrite", "--to", 64).err
    assert load(tmp_path / "void_128.npy").count() == 0


def test_unsure_guess_of_the_low_rule_names_the_option(upscale: Mvd, ball_file: Path) -> None:
    talk = upscale(ball_file).err
    assert re.search(r"low rule any \(guessed, \d\d% sure; --low-rule says it if you know", talk)
    assert "guessed" not in upscale(ball_file, "--to", 64, "--low-rule", "any").err


@pytest.fixture
def tree(tmp_path: Path, ball_file: Path) -> Path:
    """A folder with two good grids, one broken, and a text."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    shutil.copy(ball_file, root / "a.binvox")
    shutil.copy(ball_file, root / "sub" / "c.binvox")
    (root / "b.binvox").write_bytes(b"#binvox 1\nnonsense")
    (root / "notes.txt").write_text("hello")
    return root


def test_folder_is_mirrored_and_failures_are_listed(
    upscale: Mvd, tree: Path, tmp_path: Path
) -> None:
    result = upscale(tree, "-o", tmp_path / "out", "--json")
    assert result.code == 4
    outputs = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/**/*.*")
    )
    assert outputs == [
        "a_128.binvox",
        "a_128.binvox.mvd.json",
        "batch.jsonl",
        "sub/c_128.binvox",
        "sub/c_128.binvox.mvd.json",
    ]
    document = result.document
    assert [item["status"] for item in document["items"]] == ["made", "failed", "made"]
    assert document["items"][1]["error"]["exit_code"] == 3
    assert document["summary"]["failed"] == 1
    assert document["error"]["message"].startswith("1 of 3 failed:\n")
    again = upscale(tree, "-o", tmp_path / "out", "--json").document
    assert [item["status"] for item in again["items"]] == ["skipped", "failed", "skipped"]


def test_bug_in_one_item_stops_no_other(
    upscale: Mvd, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvd_toolkit.upscale import Upscaler

    detailed = Upscaler.detailed
    calls: list[int] = []

    def buggy(self: Upscaler, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("nobody thought of this")
        return detailed(self, *args, **kwargs)

    monkeypatch.setattr(Upscaler, "detailed", buggy)
    result = upscale(tree, "-o", tmp_path / "out", "--json", "--debug")
    assert result.code == 4
    first, second, third = result.document["items"]
    assert (first["error"]["type"], first["error"]["exit_code"]) == ("BugError", 1)
    assert "ZeroDivisionError: nobody thought of this" in first["error"]["message"]
    assert (second["error"]["exit_code"], third["status"]) == (3, "made")
    assert "in buggy" in result.err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"sub", "batch.jsonl"}
    calls.clear()
    assert upscale(tree / "a.binvox", "-o", tmp_path / "alone").code == 1


@pytest.mark.parametrize("place", [None, "in", "in/out"])
def test_own_results_are_no_inputs(
    upscale: Mvd, tree: Path, tmp_path: Path, place: str | None
) -> None:
    option = ("-o", tmp_path / place) if place else ()
    (tree / "b.binvox").unlink()
    first = upscale(tree, *option, "--json").document
    again = upscale(tree, *option, "--json").document
    assert [item["input"] for item in first["items"]] == [item["input"] for item in again["items"]]
    assert {item["status"] for item in again["items"]} == {"skipped"}


def test_results_elsewhere_are_inputs(upscale: Mvd, ball_file: Path, tmp_path: Path) -> None:
    assert upscale(ball_file, "-o", tmp_path / "once", "--to", 32).code == 0
    document = upscale(tmp_path / "once", "-o", tmp_path / "twice", "--to", 64, "--json").document
    assert [item["status"] for item in document["items"]] == ["made"]


def test_two_inputs_with_one_output(upscale: Mvd, ball_file: Path, ball: VoxelGrid) -> None:
    twin = ball_file.with_suffix(".npz")
    save(ball, twin)
    result = upscale(ball_file, twin, "--format", "npy", "--json")
    assert result.code == 4
    assert [item["status"] for item in result.document["items"]] == ["made", "failed"]
    assert "is already the output of" in result.document["items"][1]["error"]["message"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_finishes_the_item(
    upscale: Mvd,
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    from mvd_toolkit.upscale import Upscaler

    detailed = Upscaler.detailed

    def interrupted(self: Upscaler, *args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), number)
        return detailed(self, *args, **kwargs)

    monkeypatch.setattr(Upscaler, "detailed", interrupted)
    result = upscale(tree, "-o", tmp_path / "out", "--json")
    assert result.code == code
    assert [item["status"] for item in result.document["items"]] == ["made"]
    assert "1 of 3 done; the same command goes on from there" in result.err
    assert (tmp_path / "out" / "a_128.binvox").is_file()
    monkeypatch.undo()
    again = upscale(tree, "-o", tmp_path / "out", "--json").document
    assert [item["status"] for item in again["items"]] == ["skipped", "failed", "made"]


def test_quiet_says_nothing(upscale: Mvd, ball_file: Path) -> None:
    assert upscale(ball_file, "-q").err == ""
