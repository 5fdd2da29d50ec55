"""From a grid to the mesh of its surface."""

from __future__ import annotations

import numpy as np

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh


def surface_mesh(grid: VoxelGrid, *, limits: Limits | None = None, threads: int = 0) -> Mesh:
    """The faces of occupied voxels that touch no other one, two triangles each.

    Vertices are in world coordinates and shared; triangles are counterclockwise seen from outside.
    The mesh is closed and encloses exactly the occupied voxels: along every edge as many triangles
    run one way as the other (two, or four where voxels touch along an edge alone). An empty grid
    gives an empty mesh.

    Memory is that of the result and of two layers of the grid. The same mesh for any number of
    threads.

    Raises:
        InputError: more triangles than the limit.
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
