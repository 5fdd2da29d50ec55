"""Mistakes that are easily made: each message says what, where, what was expected and found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mvd_toolkit import VoxelGrid, save
from mvd_toolkit.cli import run
from mvd_toolkit.testing import make_tiny_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid, a dataset without test pairs, and weights that are no grid."""
    place = tmp_path_factory.mktemp("sources")
    save(VoxelGrid.from_dense(np.ones((4, 4, 4), bool)), place / "a.npy")
    make_tiny_dataset(place / "dataset", low=4, scale=2, count=4)
    for pair in (place / "dataset" / "test").glob("*.npz"):
        pair.unlink()
    save_file({f"w{i}": np.zeros(2, np.float32) for i in range(30)}, place / "w.safetensors")
    return place


MISTAKES = [
    ("convert {s}/a.npy", 2, "expected -o FILE, -o chair.stl say, or --format"),
    ("evaluate {s}/a.npy {s}/a.npy --category [", 2, "--category: expected a regular expression"),
    ("evaluate {s}/a.npy --method sdf --pairs 4:9", 2, "a multiple of the coarse one, found 4:9"),
    ("evaluate {s}/dataset --method sdf", 3, "expected pairs 4:8 in test, found "),
    ("evaluate {s}/dataset --method nearst --split train", 2, "found 'nearst'"),
    ("convert {s}/w.safetensors -o {s}/w.npz", 3, "[2] and 22 more"),
]


@pytest.mark.parametrize(("words", "code", "said"), MISTAKES)
def test_a_mistake(
    folder: Path, words: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.format(s=folder).split()) == code
    assert said in capsys.readouterr().err


def test_a_grid_that_is_too_coarse_for_the_pairs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", f"{folder}/a.npy", "--method", "sdf", "--pairs", "4:8"]) == 3
    said = capsys.readouterr().err
    assert "expected a cube of 8 voxels an edge, or a multiple, found 4x4x4" in said


def test_the_pairs_that_are_there_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(list((folder / "dataset" / "train").glob("*.npz")))
    assert count
    assert run(["evaluate", f"{folder}/dataset", "--method", "sdf"]) == 3
    assert f"{count} in train" in capsys.readouterr().err
