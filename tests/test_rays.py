"""Rays and normals: against depth maps, a plain march, and a formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import noise

from mvd_toolkit import InputError, VoxelGrid, extract_odms
from mvd_toolkit.conventions import FACE_VIEWS
from mvd_toolkit.rays import raycast, surface_normals


@pytest.mark.parametrize("edge", [5, 24, 70])
@pytest.mark.parametrize("density", [0.001, 0.02, 0.3])
def test_along_the_axes_distances_are_depth_maps(edge: int, density: float) -> None:
    grid = VoxelGrid.from_dense(noise((edge,) * 3, density))
    for face, odm in zip(FACE_VIEWS, extract_odms(grid), strict=True):
        middles = np.indices((edge, edge)).reshape(2, -1).T + 0.5
        starts = np.empty((edge**2, 3))
        starts[:, face.image_axes] = middles
        starts[:, face.axis] = edge if face.negative else 0
        towards = np.zeros(3)
        towards[face.axis] = -1 if face.negative else 1
        found = raycast(grid, starts, towards).reshape(edge, edge)
        assert np.array_equal(np.where(np.isinf(found), edge, found), odm)


@pytest.mark.parametrize("density", [0.0, 0.003, 0.1])
def test_oblique_rays_are_those_of_a_plain_march(density: float) -> None:
    rng = np.random.default_rng(3)
    dense = noise((30, 17, 70), density, 5)
    starts = rng.uniform(-20, 90, (300, 3))
    ways = rng.normal(size=(300, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    found = raycast(VoxelGrid.from_dense(dense), starts, ways)
    steps = np.arange(0, 200, 0.01)
    for start, way, distance in zip(starts, ways, found, strict=True):
        at = np.floor(start + steps[:, None] * way).astype(int)
        inside = ((at >= 0) & (at < dense.shape)).all(1)
        hit = np.zeros(len(steps), bool)
        hit[inside] = dense[tuple(at[inside].T)]
        if hit.any():
            first = steps[hit.argmax()]
            assert distance <= first + 1e-3
            before = start + (distance + 1e-3) * way  # a corner may fall between two steps
            assert distance > first - 0.011 or dense[tuple(np.floor(before).astype(int))]
        elif np.isfinite(distance):
            assert dense[tuple(np.floor(start + (distance + 1e-3) * way).astype(int))]


def test_a_ray_that_starts_inside_has_gone_nowhere() -> None:
    grid = VoxelGrid.from_dense(np.ones((3, 3, 3), bool))
    assert raycast(grid, [[1.2, 1.3, 1.4]], [0, 1, 0]).tolist() == [0.0]


def test_normals_are_those_of_the_formula() -> None:
    dense = noise((9, 12, 70), 0.4, 8)
    points = np.random.default_rng(0).uniform(-1, 12, (50, 3)).astype(np.float32)
    centres = np.argwhere(dense) + 0.5
    offset = centres[None] - points[:, None].astype(np.float64)
    weight = np.maximum(1 - (offset**2).sum(2) / 2.5**2, 0) ** 2
    expected = -(weight[..., None] * offset).sum(1)
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.divide(expected, length, out=np.zeros_like(expected), where=length > 0)
    found = surface_normals(VoxelGrid.from_dense(dense), points, 2.5)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_threads_change_nothing() -> None:
    grid = VoxelGrid.from_dense(noise((40, 40, 40), 0.05))
    points = np.random.default_rng(1).uniform(0, 40, (5000, 3))
    one, three = (raycast(grid, points, [1, 0.5, 0.2], threads=t) for t in (1, 3))
    assert np.array_equal(one, three)
    one, three = (surface_normals(grid, points, threads=t) for t in (1, 3))
    assert np.array_equal(one, three)


def test_errors_say_what_is_wrong() -> None:
    grid = VoxelGrid.from_dense([[[1]]])
    with pytest.raises(InputError, match="directions: expected 1 or 3, found 2"):
        raycast(grid, np.zeros((3, 3)), np.ones((2, 3)))
    with pytest.raises(InputError, match="starts: expected 3 columns, found 2"):
        raycast(grid, np.zeros((3, 2)), [0, 0, 1])
    with pytest.raises(InputError, match="starts: expected finite numbers"):
        raycast(grid, [[np.nan, 0, 0]], [0, 0, 1])
    with pytest.raises(InputError, match="radius: expected a number above 0, at most 16"):
        surface_normals(grid, [[0, 0, 0]], 17)
