"""From a grid to the mesh of its surface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh

APART = 1 / 64
"""Voxels by which vertices that share a corner of the grid are moved apart."""

REACH = 31 / 64
"""Voxels that smoothing moves a vertex along each axis, at most."""


def surface_mesh(
    grid: VoxelGrid,
    *,
    smooth: bool = True,
    apart: float = APART,
    depths: npt.NDArray[np.float32] | None = None,
    limits: Limits | None = None,
    threads: int = 0,
) -> Mesh:
    """The closed surface of a grid: two triangles for each face between occupied and empty voxels.

    Vertices are in world coordinates; triangles are counterclockwise seen from outside, which
    counts as empty. Every edge is in exactly two triangles, which run along it in opposite
    directions: where voxels touch along an edge or at a corner alone, that corner of the grid is
    several vertices. An empty grid gives an empty mesh.

    With ``smooth=False`` vertices are corners of the grid, and with ``apart=0``, too, the mesh
    encloses exactly the occupied voxels. Smoothing takes the staircase away that a slanted surface
    is made of, and keeps the volume. Edges along the axes stay sharp, flat faces flat, and rods and
    plates of one voxel as thick as they are. Each vertex stays in its own cell, less than half a
    voxel from its corner along each axis, none leaves the box of the voxels, and no triangle turns
    around.

    Memory is that of two layers of the grid, about 160 bytes a vertex when smoothing, and the
    result. The same mesh for any number of threads.

    Args:
        grid: (X, Y, Z).
        smooth: whether to take the staircase away.
        apart: voxels, 0 to 0.25, by which vertices that share a corner are moved apart, each to its
            own side. Formats and readers that know vertices by their place alone would join them
            again at 0, and edges would have four triangles.
        depths: (6, N, N) float32, where the surface is known more finely than its voxels: maps as
            `extract_odms` gives them, of real depths in voxels, NaN at background. Where the depth
            of the pixel that sees a face is within a voxel of it, smoothing starts from there, and
            keeps that volume. Needs ``smooth``.
        limits: how many triangles to make at most; None: what the environment sets
            (``MVD_MAX_FACES``).
        threads: how many threads to use, 0 for one a core.

    Raises:
        InputError: more triangles than the limit, or ``depths`` are not of this grid.
        UsageError: ``apart`` is out of range, or depths without ``smooth``.

    >>> mesh = surface_mesh(VoxelGrid.from_dense(np.ones((1, 1, 2), bool)))
    >>> mesh.vertices.shape, mesh.faces.shape, mesh.faces.dtype
    ((12, 3), (20, 3), dtype('int32'))
    """
    if not 0 <= apart <= 0.25:
        raise UsageError(f"apart: expected 0 to 0.25 voxels, found {apart!r}")
    if depths is not None:
        if not smooth:
            raise UsageError("depths: expected none without smooth, found some")
        depths = _checked_depths(depths, max(grid.shape))
    limits = limits or Limits.from_environment()
    packed = np.ascontiguousarray(grid.packed)[None]
    try:
        vertices, faces = _core.surface_mesh(
            packed,
            grid.shape[2],
            grid.origin,
            grid.spacing,
            smooth,
            apart,
            depths,
            limits.faces,
            threads,
        )
    except _core.CoreError as error:
        raise InputError(f"{error}; MVD_MAX_FACES raises the limit") from error
    return Mesh(vertices, faces)


def _checked_depths(depths: npt.NDArray[np.float32], edge: int) -> npt.NDArray[np.float32]:
    expected = (FACE_COUNT, edge, edge)
    if depths.shape != expected:
        raise InputError(f"depths: expected shape {expected}, found {depths.shape}")
    return np.ascontiguousarray(depths, np.float32)
