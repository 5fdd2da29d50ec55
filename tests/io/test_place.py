"""Where things lie in the world, on every way that a format allows, and as trimesh has it."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import dense_grids, shapes

from mvd_toolkit import io
from mvd_toolkit.grid import VoxelGrid

MESHES = [known for known in io.known_formats() if known.kind == "mesh" and known.writes]
Vector = tuple[float, float, float]

places = st.tuples(*[st.floats(-100, 100)] * 3)
spacings = st.tuples(*[st.floats(0.01, 10)] * 3)


def corners(grid: VoxelGrid) -> np.ndarray:
    """(2, 3), the box around the occupied voxels."""
    inside = np.argwhere(grid.dense())
    ends = np.array([inside.min(axis=0), inside.max(axis=0) + 1])
    return np.array(grid.origin) + ends * grid.spacing


@given(dense_grids(shapes(1500)), places, spacings)
def test_surfaces_lie_where_the_voxels_do(
    tmp_path_factory: pytest.TempPathFactory, dense: np.ndarray, origin: Vector, spacing: Vector
) -> None:
    assume(dense.any())
    grid = VoxelGrid.from_dense(dense, origin, spacing)
    mesh = io.surface_mesh(grid, smooth=False, apart=0)
    folder = tmp_path_factory.mktemp("place")
    for form in MESHES:
        path = folder / f"a{form.suffixes[0]}"
        io.save_mesh(mesh, path)
        found = io.load_mesh(path).vertices
        ends = np.array([found.min(axis=0), found.max(axis=0)])
        assert np.allclose(ends, corners(grid), rtol=1e-6, atol=1e-4 * min(spacing)), form.name


@given(dense_grids(shapes(1500)), places, spacings)
def test_trimesh_has_voxels_in_the_same_place(
    dense: np.ndarray, origin: Vector, spacing: Vector
) -> None:
    """Its transform leads from a voxel's index to the voxel's centre."""
    assume(dense.any())
    grid = VoxelGrid.from_dense(dense, origin, spacing)
    transform = np.diag([*spacing, 1.0])
    transform[:3, 3] = np.array(origin) + np.array(spacing) / 2
    theirs = trimesh.voxel.VoxelGrid(dense, transform)
    ours = np.array(origin) + (np.argwhere(grid.dense()) + 0.5) * spacing
    assert np.allclose(theirs.points, ours)
    boxes = np.array([theirs.points.min(axis=0), theirs.points.max(axis=0)])
    boxes += np.array([[-0.5], [0.5]]) * spacing
    assert np.allclose(boxes, corners(grid))


@given(st.floats(0.05, 20), places, st.sampled_from(MESHES))
def test_a_scaled_print_keeps_its_shape(length: float, origin: Vector, form: io.Format) -> None:
    dense = np.zeros((4, 6, 5), bool)
    dense[1:3, 0:6, 2:4] = True
    mesh = io.surface_mesh(VoxelGrid.from_dense(dense, origin, 0.5))
    scaled, factor = io.scaled_to(mesh, length, form)
    unit = {"": 1, "mm": 1, "m": 1000}[form.unit]
    assert np.ptp(scaled.vertices, axis=0).max() * unit == pytest.approx(length)
    assert np.allclose(scaled.vertices, mesh.vertices * factor)
