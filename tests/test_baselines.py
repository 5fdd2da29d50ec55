"""What a model has to beat: each against scipy or plain NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from mvd_toolkit import VoxelGrid, baselines, coverage, extract_odms, iou
from mvd_toolkit.cases import Case
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.methods import find_method
from mvd_toolkit.voxelize import pair_of


def random_dense(shape: tuple[int, int, int], seed: int, density: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def ball(edge: int) -> VoxelGrid:
    distance = np.linalg.norm(np.indices((edge,) * 3).T - (edge - 1) / 2, axis=-1)
    return VoxelGrid.from_dense(distance < 0.4 * edge)


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


def interpolated(values: np.ndarray, scale: int, mode: str) -> np.ndarray:
    """Linear interpolation at the centres of fine voxels, by scipy."""
    axes = [(np.arange(scale * n) + 0.5) / scale - 0.5 for n in values.shape]
    return ndimage.map_coordinates(values, np.meshgrid(*axes, indexing="ij"), order=1, mode=mode)


@pytest.mark.parametrize("scale", [2, 3, 8])
@pytest.mark.parametrize("threshold", [0.3, 0.52])
def test_trilinear_is_that_of_scipy(scale: int, threshold: float) -> None:
    dense = random_dense((5, 9, 6), 4)
    values = interpolated(np.pad(dense, 1).astype(float), scale, "constant")
    values = values[scale:-scale, scale:-scale, scale:-scale]
    found = baselines.trilinear(VoxelGrid.from_dense(dense), scale, threshold).dense()
    clear = np.abs(values - threshold) > 1e-5
    assert np.array_equal(found[clear], (values > threshold)[clear])


@pytest.mark.parametrize("scale", [2, 8])
def test_sdf_is_that_of_scipy(scale: int) -> None:
    dense = random_dense((6, 9, 7), 2, 0.6)
    padded = np.pad(dense, 1)
    edt = ndimage.distance_transform_edt
    depth = np.where(padded, edt(padded) - 0.5, 0.5 - edt(~padded))
    values = interpolated(depth, scale, "nearest")[scale:-scale, scale:-scale, scale:-scale]
    found = baselines.sdf(VoxelGrid.from_dense(dense), scale).dense()
    clear = np.abs(values) > 1e-5
    assert np.array_equal(found[clear], (values > 0)[clear])


def test_sdf_of_nothing_is_nothing() -> None:
    assert baselines.sdf(VoxelGrid.from_dense(np.zeros((3, 3, 3), bool)), 4).count() == 0


def soft(fine: VoxelGrid, scale: int) -> VoxelGrid:
    return coverage(fine, scale)


def test_soft_rank_keeps_the_volume_of_each_voxel() -> None:
    fine = VoxelGrid.from_dense(random_dense((12, 20, 72), 6, 0.3))
    found = baselines.soft_rank(soft(fine, 4), 4)
    assert np.array_equal(coverage(found, 4).coverage, coverage(fine, 4).coverage)


def test_soft_rank_is_its_definition() -> None:
    low = soft(VoxelGrid.from_dense(random_dense((9, 6, 12), 6, 0.3)), 3)
    assert low.coverage is not None
    values = interpolated(low.coverage.astype(float), 3, "constant")
    found = baselines.soft_rank(low, 3).dense()
    for index in np.ndindex(low.shape):
        block = tuple(slice(3 * i, 3 * i + 3) for i in index)
        kept, left = values[block][found[block]], values[block][~found[block]]
        assert not len(kept) or not len(left) or kept.min() >= left.max() - 1 / 64


def test_soft_rank_finds_a_ball() -> None:
    fine = ball(64)
    assert iou(baselines.soft_rank(soft(fine, 8), 8), fine) > 0.97


def test_swapping_finds_a_ball_better_and_keeps_the_volume_of_each_voxel() -> None:
    fine = ball(64)
    low = soft(fine, 8)
    found = baselines.soft_swap(low, 8)
    assert np.array_equal(coverage(found, 8).coverage, low.coverage)
    assert 1 - iou(found, fine) < 0.6 * (1 - iou(baselines.soft_rank(low, 8), fine))


def test_soft_rank_needs_fractions() -> None:
    with pytest.raises(InputError, match="expected a grid of fractions, found one of bits"):
        baselines.soft_rank(VoxelGrid.from_dense([[[1]]]), 2)


@pytest.mark.parametrize("rule", ["any", "half"])
def test_oracle_is_the_ceiling(rule: str) -> None:
    pair = pair_of(ball(64), 8)
    low = pair.low if rule == "any" else pair.low_half
    made = baselines.oracle(low, 8, extract_odms(pair.high), rule)
    assert iou(made, pair.high) > 0.99


# --- by name --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["nearest", "gaussian", "trilinear", "sdf", "oracle", "soft-rank", "soft-swap"]
)
def test_baselines_by_name(text: str) -> None:
    pair = pair_of(ball(32), 4)
    low = replace(pair.low, coverage=coverage(pair.high, 4).coverage)
    method = find_method(text)
    assert method.is_baseline
    made = method.make(Case("ball", pair.high, low=low, low_rule="any"))
    assert made.shape == (32, 32, 32)
    assert iou(made, pair.high) > 0.6


@pytest.mark.parametrize("text", ["silhouette-only", "depth-only", "default"])
def test_the_model_and_its_ablations(text: str) -> None:
    pair = pair_of(ball(64), 8)
    made = find_method(text, threads=1).make(Case("ball", pair.high, low=pair.low, low_rule="any"))
    assert made.shape == (64, 64, 64)
    assert iou(made, pair.high) > 0.6


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("best", "method: expected one of nearest, gaussian, .*, found 'best'"),
        ("gaussian:width=3", "gaussian: expected an option of sigma, threshold, found 'width'"),
        ("gaussian:sigma=wide", "gaussian: expected NAME=NUMBER, found 'sigma=wide'"),
        ("nearest:sigma=1", "nearest: expected an option of none, found 'sigma'"),
    ],
)
def test_methods_that_are_none(text: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        find_method(text)


def test_the_papers_networks_have_to_be_trained() -> None:
    with pytest.raises(
        UnavailableError, match=r"mvd train DATASET -o RUN --preset paper.*paper:RUN"
    ):
        find_method("paper")
    assert find_method("paper:run/model").name == "paper"


def test_labels() -> None:
    assert find_method("ours=model:run/model").name == "ours"
    assert find_method("model:run/model").name == "model"
    assert find_method("a=sdf").name == "a"
