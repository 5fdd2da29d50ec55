"""Surfaces with the staircase taken away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from surfaces import all_patterns, check_closed, check_discs, occupancy, volume

from mvd_toolkit import extract_odms, io
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.surface import APART, REACH

Distance = Callable[[np.ndarray], np.ndarray]
"""Signed distance of (..., 3) points from a shape, negative inside."""

EDGE = 64
CENTRE = np.array([32.3, 31.6, 32.9])


def turned(points: np.ndarray) -> np.ndarray:
    """Points in axes that are parallel to none of the grid's."""
    axes, _ = np.linalg.qr([[1.0, 0.4, -0.3], [-0.2, 1.0, 0.5], [0.5, -0.3, 1.0]])
    return (points - CENTRE) @ axes


def ball(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - CENTRE, axis=-1) - 24


def torus(points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(turned(points), -1, 0)
    return np.hypot(np.hypot(x, y) - 20, z) - 6


def rod(points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(turned(points), -1, 0)
    return np.maximum(np.hypot(x, y) - 1.5, np.abs(z) - 25)


def box(points: np.ndarray) -> np.ndarray:
    return (np.abs(turned(points)) - [20, 15, 10]).max(axis=-1)


def voxels(shape: Distance) -> VoxelGrid:
    """The voxels whose centre is inside."""
    return VoxelGrid.from_dense(shape(np.moveaxis(np.indices((EDGE,) * 3), 0, -1) + 0.5) < 0)


def errors(mesh: io.Mesh, shape: Distance) -> tuple[float, float]:
    """Root mean square distance, voxels, and mean angle of the normals, degrees, by area."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    middle, area = solid.triangles_center, solid.area_faces
    steps = 1e-4 * np.eye(3)
    slope = np.stack([shape(middle + step) - shape(middle - step) for step in steps], -1)
    cosine = (solid.face_normals * slope).sum(1) / np.linalg.norm(slope, axis=1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    distance = np.sqrt(np.average(shape(middle) ** 2, weights=area))
    return float(distance), float(np.average(angle, weights=area))


@pytest.mark.parametrize(
    ("shape", "distance", "angle"),
    [(ball, 0.08, 4), (torus, 0.08, 5), (box, 0.1, 7), (rod, 0.15, 14)],
)
def test_the_staircase_goes_and_the_volume_stays(
    shape: Distance, distance: float, angle: float
) -> None:
    grid = voxels(shape)
    stairs = errors(io.surface_mesh(grid, smooth=False), shape)
    assert stairs[0] > 0.2
    assert stairs[1] > 35
    mesh = io.surface_mesh(grid)
    smoothed = errors(mesh, shape)
    assert smoothed[0] < distance
    assert smoothed[1] < angle
    assert volume(mesh) == pytest.approx(grid.count(), rel=5e-4)


@pytest.mark.parametrize("size", [(12, 9, 20), (1, 1, 20), (20, 1, 20), (1, 1, 1)])
def test_boxes_along_the_axes_stay(size: tuple[int, int, int]) -> None:
    grid = VoxelGrid.from_dense(np.pad(np.ones(size, bool), 3))
    before, after = (io.surface_mesh(grid, smooth=smooth) for smooth in (False, True))
    assert np.abs(after.vertices - before.vertices).max() < 1e-3


def check_smoothed(dense: np.ndarray) -> None:
    """Closed, every vertex in its cell, every triangle facing as its voxel's face does."""
    grid = VoxelGrid.from_dense(dense)
    corners = io.surface_mesh(grid, smooth=False, apart=0)
    mesh = io.surface_mesh(grid)
    check_closed(mesh.faces)
    check_discs(mesh.faces)
    assert np.abs(mesh.vertices - corners.vertices).max(initial=0) <= REACH + 1e-6
    before, after = (np.cross(*edges(at.vertices[mesh.faces])) for at in (corners, mesh))
    assert ((before * after).sum(axis=1) > 0).all()
    # Nothing leaves the box of the voxels.
    if dense.any():
        assert (mesh.vertices.min(0) >= corners.vertices.min(0)).all()
        assert (mesh.vertices.max(0) <= corners.vertices.max(0)).all()
    # Also for those who know vertices by their place alone, in single precision.
    places = mesh.vertices.astype(np.float32)
    assert len(np.unique(places, axis=0)) == len(places)


def edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]


def test_every_corner_case() -> None:
    check_smoothed(all_patterns((2, 2, 2)))


def test_every_pair_of_corner_cases() -> None:
    check_smoothed(all_patterns((2, 2, 3)))


@given(occupancy)
def test_noise(dense: np.ndarray) -> None:
    check_smoothed(dense)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_more_noise(density: float) -> None:
    check_smoothed(np.random.default_rng(2).random((14, 15, 66)) < density)


@given(occupancy)
def test_vertices_of_one_corner_come_apart(dense: np.ndarray) -> None:
    grid = VoxelGrid.from_dense(dense)
    corners, apart = (io.surface_mesh(grid, smooth=False, apart=step) for step in (0, APART))
    assert np.array_equal(corners.faces, apart.faces)
    assert len(np.unique(apart.vertices, axis=0)) == len(apart.vertices)
    moved = np.linalg.norm(apart.vertices - corners.vertices, axis=1)
    _, number, count = np.unique(corners.vertices, axis=0, return_inverse=True, return_counts=True)
    assert np.allclose(moved[count[number] == 1], 0)
    assert moved.max(initial=0) <= APART + 1e-9


def test_apart_is_checked() -> None:
    grid = VoxelGrid.from_dense(np.ones((1, 1, 1), bool))
    with pytest.raises(UsageError, match=r"apart: expected 0 to 0.25 voxels, found 0.5"):
        io.surface_mesh(grid, apart=0.5)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("suffix", [".stl", ".ply"])
def test_files_are_watertight(tmp_path: Path, suffix: str, smooth: bool) -> None:
    dense = np.random.default_rng(3).random((12, 13, 14)) < 0.5
    path = tmp_path / f"noise{suffix}"
    io.save_mesh(io.surface_mesh(VoxelGrid.from_dense(dense), smooth=smooth), path)
    mesh = trimesh.load(path)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent


def seen_plane(
    edge: int = 16, height: float = 6.3, slope: float = 0.2
) -> tuple[VoxelGrid, np.ndarray]:
    """What lies below a slanted plane, and its real depths from above; half a voxel is no voxel."""
    x, y, z = np.indices((edge,) * 3)
    top = height + slope * np.arange(edge) + slope / 2
    dense = (z < np.rint(top)[:, None, None]) & (x > 0) & (x < edge - 1) & (y > 0) & (y < edge - 1)
    depths = np.full((6, edge, edge), np.nan, np.float32)
    depths[0] = np.where(dense.any(axis=2), edge - top[:, None], np.nan)
    return VoxelGrid.from_dense(dense), depths


def test_real_depths_move_the_surface() -> None:
    grid, depths = seen_plane()
    mesh = io.surface_mesh(grid, depths=depths)
    check_closed(mesh.faces)
    x, y, z = mesh.vertices.T
    inside = (x > 3) & (x < 13) & (y > 3) & (y < 13) & (z > 3)
    off, stairs = (
        np.abs(z - (6.3 + 0.2 * x))[inside]
        for x, y, z in (mesh.vertices.T, io.surface_mesh(grid, smooth=False).vertices.T)
    )
    assert inside.sum() > 80
    assert stairs.max() > 0.4
    assert off.max() < 0.15
    # No other face is seen, so the bottom stays.
    assert z.min() == pytest.approx(0, abs=0.02)


def test_depths_of_another_surface_do_not_count() -> None:
    grid, depths = seen_plane()
    unseen = io.surface_mesh(grid, depths=np.full_like(depths, np.nan))
    far = io.surface_mesh(grid, depths=depths + 3)
    assert np.array_equal(far.vertices, unseen.vertices)


@pytest.mark.parametrize("threads", [2, 5])
def test_depths_and_threads(threads: int) -> None:
    dense = np.random.default_rng(4).random((40, 20, 66)) < 0.4
    grid = VoxelGrid.from_dense(dense)
    odms = extract_odms(grid)
    noise = np.random.default_rng(5).normal(0, 0.3, odms.shape)
    depths = np.where(odms < 66, odms + noise, np.nan).astype(np.float32)
    one, several = (io.surface_mesh(grid, depths=depths, threads=n) for n in (1, threads))
    assert np.array_equal(one.vertices, several.vertices)
    assert np.array_equal(one.faces, several.faces)
    check_closed(one.faces)
    corners = io.surface_mesh(grid, smooth=False, apart=0)
    assert np.abs(one.vertices - corners.vertices).max() <= REACH + 1e-6


def test_depths_are_checked() -> None:
    grid, depths = seen_plane()
    with pytest.raises(
        InputError, match=r"depths: expected shape \(6, 16, 16\), found \(6, 8, 8\)"
    ):
        io.surface_mesh(grid, depths=depths[:, ::2, ::2])
    with pytest.raises(UsageError, match="without smooth"):
        io.surface_mesh(grid, smooth=False, depths=depths)
