"""Ends that a shape's extent tells: where they come from, how they travel, what they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mvd_toolkit as mvd
from mvd_toolkit import ops, sidecar
from mvd_toolkit.errors import InputError
from mvd_toolkit.extent import REACH, reach_extent
from mvd_toolkit.grid import Vector, VoxelGrid
from mvd_toolkit.voxelize import voxelize

SCALE = 4
EDGE = 72  # two words


def spans(grid: VoxelGrid) -> list[tuple[int, int]]:
    dense = grid.dense()
    found = [np.flatnonzero(dense.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return [(int(f[0]), int(f[-1])) for f in found]


def with_spans(grid: VoxelGrid, wanted: list[tuple[int, int]]) -> VoxelGrid:
    """The grid with an extent that just reaches into these layers."""
    spacing = np.array(grid.spacing)
    low = np.array(grid.origin) + (np.array([a for a, _ in wanted]) + 0.5) * spacing
    high = np.array(grid.origin) + (np.array([b for _, b in wanted]) + 0.5) * spacing
    return replace(grid, extent=(tuple(low), tuple(high)))


def box(x: tuple[int, int], y: tuple[int, int], z: tuple[int, int]) -> VoxelGrid:
    dense = np.zeros((EDGE,) * 3, bool)
    dense[x[0] : x[1] + 1, y[0] : y[1] + 1, z[0] : z[1] + 1] = True
    return VoxelGrid.from_dense(dense, origin=(1.0, -2.0, 0.5), spacing=(0.5, 0.25, 2.0))


@pytest.mark.parametrize("by", [-5, -3, -1, 0, 1, 3, 5])
def test_a_box_becomes_the_box_of_its_extent(by: int) -> None:
    now = [(17, 40), (21, 22), (30, 66)]
    wanted = [(17 + by, 40), (21, 22 + max(by, 0)), (30 - by, 66 + by)]
    made = reach_extent(with_spans(box(*now), wanted), SCALE)
    assert made.count() == np.prod([b - a + 1 for a, b in wanted])
    assert spans(made) == wanted


spot = st.tuples(*(st.integers(12, EDGE - 13),) * 3)
shift = st.integers(-REACH * SCALE, REACH * SCALE)


@given(st.lists(spot, min_size=1, max_size=12), st.lists(shift, min_size=6, max_size=6))
def test_any_voxels_end_where_the_extent_does(
    voxels: list[tuple[int, int, int]], shifts: list[int]
) -> None:
    dense = np.zeros((EDGE,) * 3, bool)
    dense[tuple(np.array(voxels).T)] = True
    grid = VoxelGrid.from_dense(dense)
    wanted = [
        (a + shifts[2 * i], b + shifts[2 * i + 1])
        if a + shifts[2 * i] <= b + shifts[2 * i + 1]
        else (a, b)
        for i, (a, b) in enumerate(spans(grid))
    ]
    assert spans(reach_extent(with_spans(grid, wanted), SCALE)) == wanted


def test_the_inside_stays() -> None:
    noise = np.random.default_rng(0).random((EDGE,) * 3) < 0.3
    noise[:20] = noise[50:] = noise[:, :20] = noise[:, 50:] = noise[..., :20] = noise[..., 50:] = 0
    noise[20:50, 30, 30] = noise[30, 20:50, 30] = noise[30, 30, 20:50] = True
    grid = VoxelGrid.from_dense(noise)
    made = reach_extent(with_spans(grid, [(17, 51)] * 3), SCALE).dense()
    inside = (slice(24, 48),) * 3
    assert np.array_equal(made[inside], noise[inside])
    assert made.sum() > noise.sum()


def test_no_piece_is_lost_in_a_squeeze() -> None:
    """Two specks in neighbouring layers that fall together, each an end of another axis."""
    dense = np.zeros((EDGE,) * 3, bool)
    dense[20, 30, 31] = dense[21, 28, 30] = dense[22, 30, 28] = True
    grid = VoxelGrid.from_dense(dense)
    wanted = [(22, 22), *spans(grid)[1:]]
    assert spans(reach_extent(with_spans(grid, wanted), SCALE)) == wanted


def test_an_extent_of_something_else_is_let_be() -> None:
    grid = box((20, 40), (20, 40), (20, 40))
    far = REACH * SCALE + 1
    for wanted in ([(20 - far, 40 + far)] * 3, [(-1, 40)] * 3, [(20, EDGE)] * 3):
        assert reach_extent(with_spans(grid, wanted), SCALE) == grid
    empty = VoxelGrid.from_dense(np.zeros((EDGE,) * 3))
    assert reach_extent(with_spans(empty, [(3, 9)] * 3), SCALE) == empty


TETRAHEDRON = np.array([[0.1, 0.2, 0.3], [7.3, 0.4, 0.9], [3.1, 5.2, 0.6], [2.0, 1.7, 4.3]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
EXTENT: tuple[Vector, Vector] = ((0.1, 0.2, 0.3), (7.3, 5.2, 4.3))


def test_voxelizing_remembers_the_extent_of_the_mesh() -> None:
    grid = voxelize(TETRAHEDRON, FACES, 16).grid
    assert grid.extent == EXTENT
    assert ops.pool(grid, 2).extent == EXTENT
    turned = voxelize(TETRAHEDRON, FACES, 16, up="y").grid
    assert turned.extent == ((0.1, -4.3, 0.2), (7.3, -0.3, 5.2))
    assert voxelize(TETRAHEDRON, FACES, 16, bounds=(0, 0, 0, 4, 4, 4)).grid.extent is None


def test_vertices_of_no_face_are_not_of_the_extent() -> None:
    stray = np.concatenate([TETRAHEDRON, [[99.0, 99.0, 99.0]]])
    assert voxelize(stray, FACES, 16).grid.extent == EXTENT


def test_a_mirrored_grid_has_the_mirrored_extent() -> None:
    grid = box((10, 20), (30, 40), (50, 60))
    wanted = spans(grid)
    mirrored = ops.mirror(with_spans(grid, wanted), 2)
    expected = with_spans(mirrored, spans(mirrored)).extent
    np.testing.assert_allclose(mirrored.extent, expected)  # type: ignore[arg-type]
    assert ops.keep_largest(with_spans(grid, wanted)).extent is None


@pytest.mark.parametrize("suffix", ["npz", "npy", "binvox"])
def test_files_and_their_sidecars_keep_it(tmp_path: Path, suffix: str) -> None:
    grid = voxelize(TETRAHEDRON, FACES, 16).grid
    path = tmp_path / f"low.{suffix}"
    with sidecar.making(path, sidecar.Recipe("convert"), "") as facts:
        mvd.save(grid, path)
        facts.update(sidecar.grid_facts(grid))
    assert sidecar.load_grid(path).extent == EXTENT
    assert mvd.load(path).extent == (EXTENT if suffix == "npz" else None)


def test_an_extent_that_is_none() -> None:
    grid = box((1, 2), (1, 2), (1, 2))
    with pytest.raises(InputError, match="extent: expected three finite numbers"):
        replace(grid, extent=((0.0, 0.0, np.nan), (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="extent: expected a lowest and a highest corner"):
        replace(grid, extent=((0.0, 0.0, 2.0), (1.0, 1.0, 1.0)))
