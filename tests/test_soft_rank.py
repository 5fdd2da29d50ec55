"""Filling from coverage: against the reference, and by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import THREADS, noise

from mvd_toolkit import _core, ops, reference
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid


@st.composite
def cases(draw: st.DrawFn) -> tuple[npt.NDArray[np.uint16], int, npt.NDArray[np.uint16]]:
    """Coverage, a scale, and depth maps at some levels."""
    scale = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 16]))
    most = draw(st.sampled_from([3, 20]))
    shape = tuple(draw(st.integers(1, min(most, fine // scale))) for fine in (40, 40, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coverage = rng.integers(0, 65536, shape)
    coverage[rng.random(shape) < 0.3] = 0
    coverage[rng.random(shape) < 0.3] = 65535
    n = scale * max(shape)
    steps = rng.integers(0, n // 2 + 1, (draw(st.integers(0, 3)), 6, n, n))
    return coverage.astype(np.uint16), scale, np.cumsum(steps, axis=0).clip(0, n).astype(np.uint16)


@given(
    cases(),
    st.integers(0, 2**32 - 1),
    st.integers(0, 4),
    st.sampled_from([0, 10_000, 1 << 26]),
    st.sampled_from(THREADS),
)
def test_equals_reference(case: Any, seed: int, rounds: int, keep: int, threads: int) -> None:
    coverage, scale, levels = case
    rng = np.random.default_rng(seed)
    scores = [
        rng.integers(-40, 40, count).astype(np.int32) for count in (1025, len(levels) + 1, 1025)
    ]
    fine = _core.soft_rank(coverage[None], levels[None], *scores, scale, rounds, threads, keep)
    expected = None
    for _ in range(1 + rounds):
        expected = reference.soft_rank(coverage, scale, levels, *scores, expected)
    assert np.array_equal(_core.unpack(fine, coverage.shape[2] * scale)[0], expected)


@pytest.mark.parametrize(
    ("scale", "shape"), [(2, (18, 7, 9)), (4, (12, 8, 10)), (8, (6, 4, 9)), (16, (3, 2, 4))]
)
def test_equals_reference_while_voxels_settle(scale: int, shape: tuple[int, int, int]) -> None:
    edges = [scale * n for n in shape]
    x, y, z = (np.linspace(-1.1, 1, n) for n in edges)
    ball = np.hypot(np.hypot(x[:, None, None], y[:, None]), z) < 0.8
    coverage = ops.coverage(VoxelGrid.from_dense(ball), scale).coverage
    assert coverage is not None
    shares = np.rint(65535 * coverage.astype(float)).astype(np.uint16)
    levels = np.empty((0, 6, max(edges), max(edges)), np.uint16)
    scores = ops.soft_scores(0)
    expected = [reference.soft_rank(shares, scale, levels, *scores)]
    for _ in range(ops.SWAP_ROUNDS):
        expected.append(reference.soft_rank(shares, scale, levels, *scores, expected[-1]))
    moved = [np.count_nonzero(a != b) for a, b in itertools.pairwise(expected)]
    assert moved[-1] < 0.3 * moved[0]
    for threads in THREADS:
        fine = ops.soft_rank(coverage, scale, threads=threads)
        assert np.array_equal(ops.unpack(fine, edges[2]), expected[-1])


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_each_coarse_voxel_holds_exactly_what_covers_it(scale: int) -> None:
    fine = noise((3 * scale, 2 * scale, 5 * scale), 0.4) & noise((1, 2 * scale, 1), 0.8)
    blocks = fine.reshape(3, scale, 2, scale, 5, scale)
    coverage = blocks.mean(axis=(1, 3, 5))
    packed = ops.soft_rank(coverage, scale)
    filled = ops.unpack(packed, 5 * scale).reshape(blocks.shape)
    assert np.array_equal(filled.sum(axis=(1, 3, 5)), blocks.sum(axis=(1, 3, 5)))


def test_fills_towards_the_neighbour_that_is_fuller() -> None:
    coverage = np.broadcast_to([0.0, 0.25, 1.0], (3, 3, 3))
    fine = ops.unpack(ops.soft_rank(coverage, 8), 24)[8:16, 8:16]
    assert np.array_equal(fine, np.broadcast_to(np.arange(24) >= 14, (8, 8, 24)))


def test_depth_maps_say_which_voxels_where_the_interpolation_does_not() -> None:
    odms = np.zeros((4, 6, 8, 8), np.uint16)
    odms[:, 1] = 6  # z_pos: nothing in front of layer 6
    fine = ops.unpack(ops.soft_rank(np.array([[[0.25]]]), 8, odms, trilinear_weight=0.01), 8)
    assert np.array_equal(fine, np.broadcast_to(np.arange(8) >= 6, (8, 8, 8)))


def test_a_batch_is_the_single_grid_mapped() -> None:
    rng = np.random.default_rng(0)
    coverage = rng.integers(0, 65536, (3, 4, 3, 5)).astype(np.uint16)
    levels = rng.integers(0, 11, (3, 2, 6, 10, 10)).astype(np.uint16)
    steps = np.arange(1025, dtype=np.int32)
    scores = steps, steps[:3], steps
    singles = [
        _core.soft_rank(coverage[[i]], levels[[i]], *scores, 2, rounds=2)[0] for i in range(3)
    ]
    for threads in THREADS:
        for keep in (0, 500, 1 << 26):
            batch = _core.soft_rank(coverage, levels, *scores, 2, 2, threads, keep)
            assert np.array_equal(batch, np.stack(singles))


def test_surfaces_meet_at_the_borders_of_coarse_voxels() -> None:
    z = np.arange(64)
    rod = np.add.outer((z - 31.5) ** 2, (z - 30.0) ** 2)[:, :, None] < [36.0] * 64
    ball = np.add.outer(np.add.outer((z - 31.5) ** 2, (z - 29.0) ** 2), (z - 30.0) ** 2) < 12**2
    for fine in (rod, ball):
        coverage = fine.reshape(8, 8, 8, 8, 8, 8).mean(axis=(1, 3, 5))
        alone, settled = (
            np.count_nonzero(ops.unpack(ops.soft_rank(coverage, 8, rounds=rounds), 64) != fine)
            for rounds in (0, 5)
        )
        assert settled < 0.7 * alone


@pytest.mark.parametrize(
    ("coverage", "odms", "message"),
    [
        (np.full((2, 2, 2), 1.5), None, "coverage: expected .* floats between 0 and 1"),
        (np.full((2, 2, 2), np.nan), None, "coverage: expected .* floats between 0 and 1"),
        (np.ones((2, 2, 2), np.uint8), None, "coverage: expected .* found uint8"),
        (np.ones((2, 2)), None, "coverage: .*found float64 of shape"),
        (np.ones((2, 2, 2)), np.zeros((1, 6, 4, 5), np.uint16), r"odms: expected uint16 of shape"),
        (np.ones((2, 2, 2)), np.zeros((1, 6, 4, 4), np.int64), r"odms: .*found int64"),
    ],
)
def test_arrays_that_do_not_fit(coverage: Any, odms: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ops.soft_rank(coverage, 2, odms)


def test_options_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="scale: expected 1 to 16, found 17"):
        ops.soft_rank(np.ones((1, 1, 1)), 17)
    with pytest.raises(UsageError, match="trilinear_weight: expected above 0"):
        ops.soft_rank(np.ones((1, 1, 1)), 2, trilinear_weight=0)
    with pytest.raises(UsageError, match="neighbour_weight: expected 0 to 16, found 17"):
        ops.soft_rank(np.ones((1, 1, 1)), 2, neighbour_weight=17)
    with pytest.raises(UsageError, match="rounds: expected a whole number of at least 0"):
        ops.soft_rank(np.ones((1, 1, 1)), 2, rounds=-1)
    ones = np.ones((1, 1, 1, 1), np.uint16)
    no_maps = np.empty((1, 0, 6, 2, 2), np.uint16)
    steps, one = np.zeros(1025, np.int32), np.zeros(1, np.int32)
    with pytest.raises(_core.CoreError, match="level_scores: expected 1 scores, found 1025"):
        _core.soft_rank(ones, no_maps, steps, steps, steps, 2, 1)
    with pytest.raises(_core.CoreError, match="neighbour_scores: expected 1025 scores, found 1"):
        _core.soft_rank(ones, no_maps, steps, one, one, 2, 1)
    with pytest.raises(_core.CoreError, match="within 16 bits"):
        _core.soft_rank(ones, no_maps, steps + (1 << 15), one, steps, 2, 1)
    with pytest.raises(_core.CoreError, match="rounds: expected at least 0, found -1"):
        _core.soft_rank(ones, no_maps, steps, one, steps, 2, -1)
    with pytest.raises(_core.CoreError, match="keep: expected at least 0, found -1"):
        _core.soft_rank(ones, no_maps, steps, one, steps, 2, 1, keep=-1)


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_coverage_counts_the_voxels_of_each_block(factor: int) -> None:
    dense = noise((17, 9, 70), 0.4)
    coarse = ops.coverage(VoxelGrid.from_dense(dense, (1.0, 2.0, 3.0), 0.5), factor)
    padded = np.pad(dense, [(0, -n % factor) for n in dense.shape])
    x, y, z = (n // factor for n in padded.shape)
    shares = padded.reshape(x, factor, y, factor, z, factor).mean(axis=(1, 3, 5))
    assert coarse.coverage is not None
    np.testing.assert_array_equal(coarse.coverage, shares.astype(np.float32))
    assert np.array_equal(coarse.dense(), shares > 0)
    assert coarse.spacing == (0.5 * factor,) * 3
