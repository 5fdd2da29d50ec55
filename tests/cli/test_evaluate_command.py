"""`mvd evaluate`: files, folders, thresholds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, save

Mvd = Callable[..., Any]


def write(path: Path, *occupied: int) -> Path:
    """A line of eight voxels."""
    dense = np.zeros((1, 1, 8), bool)
    dense[0, 0, list(occupied)] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    save(VoxelGrid.from_dense(dense), path)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A prediction with IoU 0.5."""
    return write(tmp_path / "p.npy", 0), write(tmp_path / "t.npz", 0, 1)


def test_two_files(mvd: Mvd, pair: tuple[Path, Path]) -> None:
    result = mvd("evaluate", *pair)
    assert result.code == 0
    assert result.out.splitlines()[0].split() == ["iou", "0.5"]
    document = mvd("evaluate", *pair, "--json").document
    assert document["schema"] == "mvd.evaluate/1"
    (item,) = document["items"]
    assert (item["name"], item["method"], item["scores"]["iou"]) == ("p.npy", "prediction", 0.5)
    summary = document["summary"]
    assert (summary["count"], summary["failed"]) == (1, 0)
    assert summary["methods"]["prediction"]["iou"]["mean"] == 0.5


@pytest.mark.parametrize(("limit", "code"), [("iou=0.5", 0), ("iou=0.51", 7)])
def test_fail_under(mvd: Mvd, pair: tuple[Path, Path], limit: str, code: int) -> None:
    assert mvd("evaluate", *pair, "--fail-under", limit).code == code


def test_fail_under_says_what_was_found(mvd: Mvd, pair: tuple[Path, Path]) -> None:
    document = mvd("evaluate", *pair, "--fail-under", "iou=0.8", "--json").document
    assert document["error"] == {
        "type": "ThresholdError",
        "message": "iou: expected at least 0.8, found 0.5",
        "exit_code": 7,
    }
    assert document["summary"]["methods"]["prediction"]["iou"]["mean"] == 0.5


def test_fail_under_of_what_should_be_low(mvd: Mvd, pair: tuple[Path, Path]) -> None:
    assert mvd("evaluate", *pair, "--fail-under", "chamfer=2").code == 0
    assert mvd("evaluate", *pair, "--fail-under", "chamfer=0.0001").code == 7


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("iou", "expected METRIC=VALUE, found 'iou'"),
        ("iou=high", "expected METRIC=VALUE, found 'iou=high'"),
        ("nearness=1", "expected a metric of iou, precision, recall"),
        ("iou=nan", "expected a number, found 'iou=nan'"),
    ],
)
def test_limits_that_make_no_sense(
    mvd: Mvd, pair: tuple[Path, Path], limit: str, text: str
) -> None:
    result = mvd("evaluate", *pair, "--fail-under", limit)
    assert result.code == 2
    assert text in result.err


def test_folders_are_matched_by_name(mvd: Mvd, tmp_path: Path) -> None:
    write(tmp_path / "pred" / "a_256.npy", 0)
    write(tmp_path / "pred" / "sub" / "b.npy", 0, 1)
    write(tmp_path / "truth" / "a.npz", 0, 1)
    write(tmp_path / "truth" / "sub" / "b.npz", 0, 1)
    document = mvd("evaluate", tmp_path / "pred", tmp_path / "truth", "--json").document
    found = [(i["name"], i["category"], i["scores"]["iou"]) for i in document["items"]]
    assert found == [("a", "", 0.5), ("sub/b", "sub", 1.0)]
    assert document["summary"]["methods"]["prediction"]["iou"]["mean"] == 0.75
    result = mvd("evaluate", tmp_path / "pred", tmp_path / "truth", "--metric", "iou")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[:3] == [["name", "iou"], ["a", "0.5"], ["sub/b", "1"]]
    assert lines[3:] == [["mean", "iou"], ["prediction", "0.75"]]


def test_missing_partner_is_a_failure(mvd: Mvd, tmp_path: Path) -> None:
    write(tmp_path / "pred" / "a.npy", 0)
    write(tmp_path / "pred" / "b.npy", 0)
    write(tmp_path / "truth" / "a.npy", 0)
    write(tmp_path / "truth" / "c.npy", 0)
    result = mvd("evaluate", tmp_path / "pred", tmp_path / "truth", "--json")
    assert result.code == 4
    messages = [item.get("error", "") for item in result.document["items"]]
    assert messages[0] == ""
    assert messages[1].endswith("b.npy: no truth has its name")
    assert messages[2].endswith("c.npy: no prediction has its name")


def test_shapes_that_differ(mvd: Mvd, pair: tuple[Path, Path], ball_file: Path) -> None:
    result = mvd("evaluate", pair[0], ball_file)
    assert result.code == 3
    assert f"{pair[0]} against {ball_file}: prediction and truth differ in shape" in result.err


def test_file_against_folder(mvd: Mvd, pair: tuple[Path, Path]) -> None:
    result = mvd("evaluate", pair[0], pair[0].parent)
    assert result.code == 2
    assert "expected two files or two folders" in result.err


def test_file_that_is_not_there(mvd: Mvd, pair: tuple[Path, Path], tmp_path: Path) -> None:
    result = mvd("evaluate", pair[0], tmp_path / "nothing.npy")
    assert result.code == 3
    assert "nothing.npy: no such file or folder" in result.err


# --- methods on a dataset -------------------------------------------------------------------------


@pytest.fixture
def balls(tmp_path: Path, ball: VoxelGrid) -> Path:
    """Fine grids of two kinds, 16 voxels an edge."""
    for name in ("ball_1", "ball_2", "other_1", "other_2"):
        (tmp_path / "balls").mkdir(exist_ok=True)
        save(ball, tmp_path / "balls" / f"{name}.npz")
    return tmp_path / "balls"


SHARED = ("--pairs", "4:16", "--method", "nearest", "--method", "sdf", "--metric", "iou")


def test_methods_by_category(mvd: Mvd, balls: Path, tmp_path: Path) -> None:
    files = ("--csv", tmp_path / "out/r.csv", "--markdown", tmp_path / "out/r.md")
    result = mvd("evaluate", balls, *SHARED, *files, "--json")
    assert result.code == 0
    summary = result.document["summary"]
    assert summary["count"] == 8
    assert list(summary["categories"]) == ["ball", "other"]
    assert set(summary["categories"]["ball"]) == {"nearest", "sdf"}
    assert summary["low_rules"] == ["any"]
    assert len((tmp_path / "out/r.csv").read_text().splitlines()) == 9
    assert "| sdf | any |" in (tmp_path / "out/r.md").read_text()
    table = mvd("evaluate", balls, *SHARED).out.splitlines()
    assert table[0].split() == ["mean", "low", "rule", "iou"]
    assert table[1].split()[:2] == ["nearest", "any"]


def test_a_run_goes_on_and_shards_are_merged(mvd: Mvd, balls: Path, tmp_path: Path) -> None:
    logs = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    counts = []
    for index, log in enumerate(logs, 1):
        done = mvd("evaluate", balls, *SHARED, "--shard", f"{index}/2", "-o", log, "--json")
        counts.append(done.document["summary"]["count"])
    assert sum(counts) == 8
    assert all(counts)
    again = mvd("evaluate", balls, *SHARED, "-o", logs[0])
    assert f"{counts[0] // 2} of 4 are in" in again.err
    merged = mvd("evaluate", "--merge", *logs, "--json").document["summary"]
    whole = mvd("evaluate", balls, *SHARED, "--json").document["summary"]
    assert merged["methods"] == whole["methods"]
    other = mvd("evaluate", balls, *SHARED, "--seed", "1", "-o", logs[0])
    assert other.code == 6
    assert "--on-exists overwrite" in other.err


def test_two_methods_of_one_name(mvd: Mvd, balls: Path) -> None:
    result = mvd("evaluate", balls, "--method", "sdf", "--method", "sdf")
    assert result.code == 2
    assert "two methods are called sdf" in result.err


def test_a_model_that_is_not_there(mvd: Mvd, balls: Path) -> None:
    assert mvd("evaluate", balls, "-m", "nowhere/model").code == 5


def test_a_report(mvd: Mvd, balls: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    result = mvd("evaluate", balls, *SHARED, "--report", path, "--cards", "2")
    assert result.code == 0
    assert "report.html: 2 items to look at" in result.err
    assert path.read_text(encoding="utf-8").count('<section class="card"') == 2
    log = tmp_path / "rows.jsonl"
    assert mvd("evaluate", balls, *SHARED, "-o", log).code == 0


def test_a_report_of_merged_rows_finds_their_shapes_again(
    mvd: Mvd, balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, logs = tmp_path / "report.html", [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    monkeypatch.chdir(tmp_path)
    for index, log in enumerate(logs, 1):
        assert mvd("evaluate", balls.name, *SHARED, "--shard", f"{index}/2", "-o", log).code == 0
    monkeypatch.chdir("/")
    merge = ("evaluate", "--merge", *logs, "--report", path)
    assert "report.html: 4 items to look at" in mvd(*merge).err
    page = path.read_text(encoding="utf-8")
    assert page.count('<section class="card"') == 4
    assert "nearest" in page
    assert mvd(*merge, "-o", tmp_path / "rows").code == 2
    shutil.rmtree(balls)
    result = mvd(*merge, "--json")
    assert result.code == 0
    (warning,) = result.document["warnings"]
    assert "shows no shapes" in warning
    assert f"{balls}: no such file or folder" in warning
    assert "None is shown" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("subject", [None, 3, {}, {"named": 3}, {"named": ["x"], "split": 4}])
def test_a_log_that_does_not_say_where_its_shapes_are(
    mvd: Mvd, tmp_path: Path, subject: object
) -> None:
    log, path = tmp_path / "rows.jsonl", tmp_path / "report.html"
    rows = [
        {"schema": "mvd.rows/1", "recipe": {"methods": {}}, "subject": subject},
        {"name": "a", "scores": {"iou": 0.5}},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = mvd("evaluate", "--merge", log, "--report", path)
    assert result.code == 0
    assert "shows no shapes" in result.err
    assert "0 items to look at" in result.err


def test_meshes_are_voxelized_where_the_other_one_is(
    mvd: Mvd, ball: VoxelGrid, ball_file: Path, tmp_path: Path
) -> None:
    mesh = tmp_path / "ball.stl"
    save(ball, mesh)
    for pair in ((mesh, ball_file), (ball_file, mesh)):
        scores = mvd("evaluate", *pair, "--json").document["items"][0]["scores"]
        assert scores["iou"] > 0.6, "a conservative voxel more all around"
        assert scores["recall" if pair[0] == mesh else "precision"] == 1
    both = mvd("evaluate", mesh, mesh, "--resolution", "32", "--metric", "iou", "--json")
    assert both.document["items"][0]["scores"] == {"iou": 1.0}
