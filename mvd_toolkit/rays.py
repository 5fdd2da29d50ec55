"""Rays through a packed grid and the normals where they meet it; no mesh, no dense array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

Floats = npt.NDArray[np.float32]

NORMAL_RADIUS = 3.0
"""How far `surface_normals` looks, voxels: far enough to see past the staircase."""


def raycast(
    grid: VoxelGrid, starts: npt.ArrayLike, directions: npt.ArrayLike, *, threads: int = 0
) -> Floats:
    """How far rays go before they enter an occupied voxel.

    Args:
        grid: (X, Y, Z); outside of it all is empty.
        starts: (R, 3), voxels: voxel (i, j, k) fills [i, i + 1) x [j, j + 1) x [k, k + 1).
        directions: (R, 3), or (3,) for all rays; their length is the unit of the result.
        threads: how many to use, 0 for one a core.

    Returns:
        (R,) float32; infinity for a ray that meets nothing, 0 for one that starts inside.

    Raises:
        InputError: the arrays are of other shapes or not finite.

    >>> ball = VoxelGrid.from_dense(np.ones((1, 1, 2), bool))
    >>> raycast(ball, [[0.5, 0.5, -3], [1.5, 0.5, -3]], [0, 0, 1])
    array([ 3., inf], dtype=float32)
    """
    origins = np.ascontiguousarray(starts, np.float32)
    ways = np.ascontiguousarray(np.atleast_2d(np.asarray(directions, np.float32)))
    try:
        return _core.raycast(_single(grid), grid.shape[2], origins, ways, threads)
    except _core.CoreError as error:
        raise InputError(str(error)) from error


def surface_normals(
    grid: VoxelGrid, points: npt.ArrayLike, radius: float = NORMAL_RADIUS, *, threads: int = 0
) -> Floats:
    """Which way the surface faces near some points: away from the voxels around each.

    The occupied voxels whose centres lie within ``radius`` push, the nearer the harder, by
    (1 - d²/radius²)².

    Args:
        grid: (X, Y, Z).
        points: (P, 3), voxels.
        radius: above 0, at most 16 voxels.
        threads: how many to use, 0 for one a core.

    Returns:
        (P, 3) float32, of length 1 in voxels; zero where the pushes balance or nothing is near.

    Raises:
        InputError: the points or the radius make no sense.

    >>> slab = VoxelGrid.from_dense(np.ones((8, 8, 2), bool))
    >>> surface_normals(slab, [[4, 4, 2]]).tolist()
    [[0.0, 0.0, 1.0]]
    """
    places = np.ascontiguousarray(points, np.float32)
    try:
        return _core.surface_normals(_single(grid), grid.shape[2], places, radius, threads)
    except _core.CoreError as error:
        raise InputError(str(error)) from error


def _single(grid: VoxelGrid) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(grid.packed)[None]
