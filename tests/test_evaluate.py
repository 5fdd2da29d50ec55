"""The matching of folders, and the baselines a model has to beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, baselines
from mvd_toolkit.errors import UsageError
from mvd_toolkit.evaluate import Match, match_by_name, means


def random_dense(shape: tuple[int, int, int], seed: int, density: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def paths(root: str, *names: str) -> list[Path]:
    return [Path(root) / name for name in names]


def test_matching_by_name_and_size_mark() -> None:
    matches = match_by_name(
        paths("p", "a.npz", "sub/b_256.binvox", "only_pred.npy", "c_1.npy"),
        paths("t", "a.binvox", "sub/b.npz", "only_truth.npz", "c_1.npz", "c.npz"),
        (Path("p"), Path("t")),
    )
    assert matches == [
        Match("a", Path("p/a.npz"), Path("t/a.binvox")),
        Match("c", None, Path("t/c.npz")),
        Match("c_1", Path("p/c_1.npy"), Path("t/c_1.npz")),
        Match("only_pred", Path("p/only_pred.npy"), None),
        Match("only_truth", None, Path("t/only_truth.npz")),
        Match("sub/b", Path("p/sub/b_256.binvox"), Path("t/sub/b.npz")),
    ]


@pytest.mark.parametrize(
    ("pred", "truth", "text"),
    [
        (("a.npy", "a.npz"), ("a.npy",), "two files called a in p: a.npy and a.npz"),
        (("a.npy", "a_256.npy"), ("a.npy",), "two predictions for a: p/a.npy and p/a_256.npy"),
    ],
)
def test_matching_refuses_to_choose(
    pred: tuple[str, ...], truth: tuple[str, ...], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        match_by_name(paths("p", *pred), paths("t", *truth), (Path("p"), Path("t")))


def test_means() -> None:
    assert means([]) == {}
    assert means([{"iou": 0.25}, {"iou": 0.75}]) == {"iou": 0.5}


def test_nearest_is_a_block_a_voxel() -> None:
    dense = random_dense((3, 4, 5), 0)
    low = VoxelGrid.from_dense(dense, (1, 2, 3), 0.5)
    fine = baselines.nearest(low, 4)
    expected = dense.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    assert np.array_equal(fine.dense(), expected)
    assert (fine.origin, fine.spacing) == ((1, 2, 3), (0.125,) * 3)


@pytest.mark.parametrize(("sigma", "threshold"), [(1.0, 0.5), (3.7, 0.4), (6.0, 0.55)])
@pytest.mark.parametrize("scale", [2, 8])
def test_gaussian_is_that_of_scipy(sigma: float, threshold: float, scale: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    dense = random_dense((5, 9, 6), 4)
    nearest = dense.repeat(scale, 0).repeat(scale, 1).repeat(scale, 2).astype(np.float64)
    blurred = ndimage.gaussian_filter(nearest, sigma, mode="constant", truncate=4.0)
    found = baselines.gaussian(VoxelGrid.from_dense(dense), scale, sigma, threshold).dense()
    clear = np.abs(blurred - threshold) > 1e-5
    assert np.array_equal(found[clear], (blurred > threshold)[clear])
    assert clear.mean() > 0.99


def test_gaussian_refuses_what_makes_no_sense() -> None:
    low = VoxelGrid.from_dense([[[1]]])
    with pytest.raises(UsageError, match="expected a positive scale and sigma, found 8 and 0"):
        baselines.gaussian(low, 8, sigma=0)
