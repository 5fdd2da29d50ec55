"""Depth maps and their projection: against the reference, and against Kaolin's definitions."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    KINDS,
    THREADS,
    as_kind,
    big_grid,
    dense_batches,
    dense_grids,
    dense_of,
    noise,
)

from mvd_toolkit import _core, ops, reference
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid

Dense = npt.NDArray[np.bool_]
VOTES = range(1, 7)


@st.composite
def arbitrary_odms(draw: st.DrawFn) -> npt.NDArray[np.uint16]:
    """(6, N, N): depths no grid need have, some beyond N."""
    n = draw(st.sampled_from([1, 2, 3, 5, 31, 64, 65]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    odms = rng.integers(0, n + 2, (6, n, n)).astype(np.uint16)
    odms[rng.random(odms.shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = n
    return odms


@given(dense_grids(), st.sampled_from(THREADS))
def test_extraction_equals_reference(dense: Dense, threads: int) -> None:
    expected = reference.extract_odms(dense)
    assert np.array_equal(ops.extract_odms(dense, threads=threads), expected)
    assert np.array_equal(ops.extract_odms(as_kind(dense, "grid"), threads=threads), expected)


@given(arbitrary_odms(), st.sampled_from(VOTES), st.sampled_from(THREADS))
def test_projection_equals_reference(odms: Any, votes: int, threads: int) -> None:
    expected = reference.project_odms(odms, votes)
    assert np.array_equal(ops.project_odms(odms, votes, threads=threads), expected)


@given(dense_grids(), st.sampled_from(VOTES))
def test_projection_crops_to_the_grid_it_is_like(dense: Dense, votes: int) -> None:
    odms = ops.extract_odms(dense)
    expected = reference.project_odms(odms, votes, dense.shape)
    assert np.array_equal(ops.project_odms(odms, votes, like=dense), expected)


@given(dense_batches())
def test_batch_is_the_single_grid_mapped(batch: Dense) -> None:
    odms = ops.extract_odms(batch)
    assert np.array_equal(odms, np.stack([ops.extract_odms(dense) for dense in batch]))
    for votes in (1, 2):
        projected = ops.project_odms(odms, votes, like=batch)
        mapped = [ops.project_odms(o, votes, like=d) for o, d in zip(odms, batch, strict=True)]
        assert np.array_equal(projected, np.stack(mapped))


@given(dense_grids())
def test_hull_is_a_closed_superset_with_the_same_views(dense: Dense) -> None:
    hull = ops.hull(dense)
    assert (hull >= dense).all()
    assert np.array_equal(ops.extract_odms(hull), ops.extract_odms(dense))
    assert np.array_equal(ops.hull(hull), hull)


@pytest.fixture(scope="module")
def big() -> Dense:
    return big_grid()


def test_big_grid_equals_reference_with_any_threads(big: Dense) -> None:
    odms = reference.extract_odms(big)
    projected = {v: reference.pack(reference.project_odms(odms, v, big.shape)) for v in (1, 2, 3)}
    grid = VoxelGrid.from_dense(big)
    for threads in THREADS:
        assert np.array_equal(ops.extract_odms(big, threads=threads), odms)
        assert np.array_equal(ops.extract_odms(grid, threads=threads), odms)
        for votes, expected in projected.items():
            result = ops.project_odms(odms, votes, like=grid, threads=threads)
            assert np.array_equal(result.packed, expected)


@pytest.mark.parametrize("shape", [(2048, 1, 1), (1, 2048, 2), (2, 3, 2048), (1, 1, 1)])
def test_longest_and_smallest_edges(shape: tuple[int, int, int]) -> None:
    n = max(shape)
    for dense in (np.zeros(shape, bool), np.ones(shape, bool), noise(shape, 0.01)):
        odms = ops.extract_odms(dense)
        assert odms.dtype == np.uint16
        assert odms.shape == (6, n, n)
        for face, (axis, along) in enumerate([(2, -1), (2, 1), (1, -1), (1, 1), (0, -1), (0, 1)]):
            lines = np.moveaxis(dense, axis, -1)[..., ::along]
            rows, columns, length = lines.shape
            beyond = n - length if along < 0 else 0  # padding lies at the far end
            expected = np.where(lines.any(-1), lines.argmax(-1) + beyond, n)
            assert np.array_equal(odms[face, :rows, :columns], expected)
            assert (odms[face, rows:] == n).all()
            assert (odms[face, :, columns:] == n).all()
        assert (ops.project_odms(odms, like=dense) >= dense).all()


# Kaolin: "z_neg, z_pos, y_neg, y_pos, x_neg, x_pos, denoting the axis and direction we are looking
# at"; `votes`: "votes needed to substract a voxel to 0". Written out voxel by voxel.


def kaolin_line(face: int, row: int, column: int, n: int) -> list[tuple[int, int, int]]:
    """The voxels a pixel meets, nearest first."""
    order = range(n) if face % 2 else range(n - 1, -1, -1)
    if face < 2:
        return [(row, column, i) for i in order]
    if face < 4:
        return [(row, i, column) for i in order]
    return [(i, row, column) for i in order]


def test_extraction_is_kaolins() -> None:
    dense = noise((5, 5, 5), 0.15, seed=3)
    odms = ops.extract_odms(dense)
    for face, row, column in product(range(6), range(5), range(5)):
        line = [dense[voxel] for voxel in kaolin_line(face, row, column, 5)]
        assert odms[face, row, column] == (line.index(True) if any(line) else 5)


@pytest.mark.parametrize("votes", VOTES)
def test_projection_is_kaolins(votes: int) -> None:
    n = 4
    odms = np.random.default_rng(7).integers(0, n + 1, (6, n, n)).astype(np.uint16)
    seen_past = np.zeros((n, n, n), int)
    for face, row, column in product(range(6), range(n), range(n)):
        for voxel in kaolin_line(face, row, column, n)[: odms[face, row, column]]:
            seen_past[voxel] += 1
    assert np.array_equal(ops.project_odms(odms, votes), seen_past < votes)


def test_kaolins_documented_examples() -> None:
    dense = np.ones((2, 2, 2), bool)
    dense[:, 0, :] = False
    assert ops.extract_odms(dense).tolist() == [
        [[2, 0], [2, 0]],
        [[2, 0], [2, 0]],
        [[0, 0], [0, 0]],
        [[1, 1], [1, 1]],
        [[2, 2], [0, 0]],
        [[2, 2], [0, 0]],
    ]
    odms = np.zeros((6, 2, 2), np.uint16)
    odms[1, 1, 1] = 2
    assert np.argwhere(~ops.project_odms(odms)).tolist() == [[1, 1, 0], [1, 1, 1]]
    assert ops.project_odms(odms, votes=2).all()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str) -> None:
    dense = noise((6, 9, 11), 0.02)
    grid = as_kind(dense, kind)
    odms = ops.extract_odms(grid)
    assert type(odms) is (type(grid) if kind == "torch" else np.ndarray)
    assert np.array_equal(np.asarray(odms), reference.extract_odms(dense))
    solid = ops.project_odms(odms, 2, like=grid)
    assert type(solid) is type(grid)
    assert np.array_equal(dense_of(solid), reference.project_odms(np.asarray(odms), 2, dense.shape))
    if kind == "grid":
        assert (solid.origin, solid.spacing) == (grid.origin, grid.spacing)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_projection_takes_any_integers(dtype: Any) -> None:
    odms = reference.extract_odms(noise((5, 5, 5), 0.1))
    expected = reference.project_odms(odms)
    assert np.array_equal(ops.project_odms(odms.astype(dtype)), expected)
    torch = pytest.importorskip("torch")
    tensor = ops.project_odms(torch.from_numpy(odms.astype(dtype)))
    assert tensor.dtype == torch.bool
    assert np.array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize(
    ("odms", "message"),
    [
        (np.zeros((6, 2, 2)), r"odms: expected integer depths \(uint16\), found float64"),
        (np.zeros((6, 2, 3), int), r"expected shape \(6, N, N\) or .*, found \(6, 2, 3\)"),
        (np.zeros((5, 2, 2), int), r"found \(5, 2, 2\)"),
        (np.zeros((2, 2), int), r"found \(2, 2\)"),
        (np.full((6, 2, 2), -1), "expected depths from 0 to 65535, found -1 to -1"),
        (np.full((6, 2, 2), 65536), "found 65536 to 65536"),
        ("depth.png", "expected a VoxelGrid, a NumPy array or a torch tensor, found str"),
    ],
)
def test_error_says_what_is_wrong_with_odms(odms: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ops.project_odms(odms)


def test_error_says_when_odms_do_not_fit_the_grid() -> None:
    odms = np.zeros((6, 4, 4), np.uint16)
    with pytest.raises(InputError, match=r"expected 1 set\(s\) of 5 pixels .* found 1 of 4"):
        ops.project_odms(odms, like=np.zeros((2, 5, 3), bool))
    with pytest.raises(InputError, match=r"expected 2 set\(s\) of 4 pixels .* found 1 of 4"):
        ops.project_odms(odms, like=np.zeros((2, 4, 4, 4), bool))


@pytest.mark.parametrize("votes", [0, 7, 1.5, True])
def test_error_says_when_votes_make_no_sense(votes: Any) -> None:
    with pytest.raises(UsageError, match="votes: expected"):
        ops.project_odms(np.zeros((6, 2, 2), np.uint16), votes)


def test_edges_beyond_uint16_are_refused() -> None:
    long = np.zeros((65536, 1, 1), bool)
    with pytest.raises(InputError, match="depth maps hold edges of up to 65535 voxels"):
        ops.extract_odms(long)
    with pytest.raises(_core.CoreError, match="depth maps hold edges up to 65535, found 65536"):
        _core.extract_odms_dense(long[None])
