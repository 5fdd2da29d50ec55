"""Places that cannot be written to: each command says which, before any work, and exits with 2."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvd_toolkit import VoxelGrid, save
from mvd_toolkit.cli import run
from mvd_toolkit.errors import UsageError
from mvd_toolkit.io.atomic import make_folder, writing
from mvd_toolkit.model_files import new_directory
from mvd_toolkit.testing import make_tiny_dataset


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something for each command to read."""
    folder = tmp_path_factory.mktemp("sources")
    save(VoxelGrid.from_dense(np.ones((4, 4, 4), bool)), folder / "a.npy")
    trimesh.creation.box((1, 2, 3)).export(folder / "box.stl")
    make_tiny_dataset(folder / "dataset", low=4, scale=2, count=4)
    return folder


COMMANDS = {
    "upscale": "upscale {s}/a.npy --threads 1 -o {o}",
    "convert": "convert {s}/a.npy --format stl -o {o}",
    "convert two": "convert {s}/a.npy {s}/box.stl --resolution 4 --format npz -o {o}",
    "pairs": "convert {s}/box.stl --pairs 4:8 --workers 1 -o {o}",
    "train": "train {s}/dataset --steps 1 -o {o}",
    "rows": "evaluate {s}/a.npy {s}/a.npy -o {o}/rows.jsonl",
    "csv": "evaluate {s}/a.npy {s}/a.npy --csv {o}/rows.csv",
    "report": "evaluate {s}/a.npy {s}/a.npy --report {o}/rows.html",
    "render": "render {s}/a.npy --size 16 -o {o}/a.png",
    "view": "view {s}/a.npy -o {o}/a.html",
}


@pytest.mark.parametrize("below", ["", "/folder"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_where_a_folder_is_expected(
    sources: Path, tmp_path: Path, command: str, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    words = [w.format(s=sources, o=f"{theirs}{below}") for w in COMMANDS[command].split()]
    assert run(words) == 2
    said = capsys.readouterr().err
    assert f"{theirs}: expected a folder" in said
    assert "found a file" in said
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert theirs.read_text() == "theirs"


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "away")
    with pytest.raises(UsageError, match=r"link: expected a folder .* found a link to nothing"):
        make_folder(tmp_path / "link" / "below")

    def full(path: Path, mode: int = 0o777) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(UsageError, match="new: the folder cannot be made: No space left"):
        make_folder(tmp_path / "new")
    with pytest.raises(UsageError, match="No space left"), new_directory(tmp_path / "m", "x"):
        pytest.fail("the block must not run")


def test_an_error_about_another_file_is_not_the_writer_s(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(UsageError, match="mine: cannot be written: Is a directory"), writing(mine):
        mine.open("a")
    with pytest.raises(FileNotFoundError), writing(mine):
        (tmp_path / "other").open()


@pytest.mark.parametrize("place", ["/dev/full", "/dev/zero", "."])
def test_rows_go_to_an_ordinary_file(
    sources: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", f"{sources}/a.npy", f"{sources}/a.npy", "-o", place]) == 2
    assert f"{place}: expected an ordinary file to write" in capsys.readouterr().err


def test_rows_never_replace_another_file(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs\n")
    words = ["evaluate", f"{sources}/a.npy", f"{sources}/a.npy", "--metric", "iou"]
    assert run([*words, "-o", str(theirs)]) == 6
    said = capsys.readouterr().err
    assert f"{theirs}: is no log of an evaluation" in said
    assert "--on-exists overwrite replaces it" in said
    assert theirs.read_text() == "theirs\n"
    assert run([*words, "-o", str(theirs), "--on-exists", "overwrite"]) == 0
    assert run([*words, "-o", str(theirs)]) == 0
    assert "are in" in capsys.readouterr().err


def test_two_outputs_of_an_evaluation_are_two_files(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", f"{sources}/a.npy", f"{sources}/a.npy"]
    one = str(tmp_path / "one")
    assert run([*words, "--csv", one, "--report", one]) == 2
    assert f"--report {one}: expected a file of its own, found that of --csv" in (
        capsys.readouterr().err
    )
    before = (sources / "a.npy").read_bytes()
    assert run([*words, "--csv", f"{sources}/a.npy"]) == 2
    assert "found that of an input" in capsys.readouterr().err
    assert (sources / "a.npy").read_bytes() == before
