"""From a grid to the mesh of its surface."""

from __future__ import annotations

import numpy as np

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh


def surface_mesh(grid: VoxelGrid, *, limits: Limits | None = None, threads: int = 0) -> Mesh:
    """The closed surface of a grid: two triangles for each face between occupied and empty voxels.

    Vertices are in world coordinates; triangles are counterclockwise seen from outside, which
    counts as empty. Every edge is in exactly two triangles, which run along it in opposite
    directions: where voxels touch along an edge or at a corner alone, that corner of the grid is
    several vertices at one place. The mesh encloses exactly the occupied voxels. An empty grid
    gives an empty mesh.

    Memory is that of the result and of two layers of the grid. The same mesh for any number of
    threads.

    Raises:
        InputError: more triangles than the limit.

    >>> mesh = surface_mesh(VoxelGrid.from_dense(np.ones((1, 1, 2), bool)))
    >>> mesh.vertices.shape, mesh.faces.shape, mesh.faces.dtype
    ((12, 3), (20, 3), dtype('int32'))
    """
    limits = limits or Limits.from_environment()
    packed = np.ascontiguousarray(grid.packed)[None]
    try:
        vertices, faces = _core.surface_mesh(
            packed, grid.shape[2], grid.origin, grid.spacing, limits.faces, threads
        )
    except _core.CoreError as error:
        raise InputError(f"{error}; MVD_MAX_FACES raises the limit") from error
    return Mesh(vertices, faces)
