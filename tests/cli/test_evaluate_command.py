"""`mvd evaluate`: files, folders, thresholds."""

from __future__ import annotations

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
    assert result.out.split() == ["name", "iou", "p.npy", "0.5"]
    document = mvd("evaluate", *pair, "--json").document
    assert document["schema"] == "mvd.evaluate/1"
    assert document["items"] == [{"name": "p.npy", "iou": 0.5}]
    assert document["summary"] == {"count": 1, "failed": 0, "mean": {"iou": 0.5}}


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
    assert document["summary"]["mean"] == {"iou": 0.5}


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("iou", "expected METRIC=VALUE, found 'iou'"),
        ("iou=high", "expected METRIC=VALUE, found 'iou=high'"),
        ("nearness=1", "expected a metric of iou, found 'nearness'"),
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
    assert document["items"] == [{"name": "a", "iou": 0.5}, {"name": "sub/b", "iou": 1.0}]
    assert document["summary"]["mean"] == {"iou": 0.75}
    result = mvd("evaluate", tmp_path / "pred", tmp_path / "truth")
    assert result.out.splitlines()[-1].split() == ["mean", "iou", "0.75"]


def test_missing_partner_is_a_failure(mvd: Mvd, tmp_path: Path) -> None:
    write(tmp_path / "pred" / "a.npy", 0)
    write(tmp_path / "pred" / "b.npy", 0)
    write(tmp_path / "truth" / "a.npy", 0)
    write(tmp_path / "truth" / "c.npy", 0)
    result = mvd("evaluate", tmp_path / "pred", tmp_path / "truth", "--json")
    assert result.code == 4
    messages = [item.get("error", {}).get("message", "") for item in result.document["items"]]
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
