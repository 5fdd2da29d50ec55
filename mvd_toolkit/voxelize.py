"""From triangle meshes to grids, and to the pairs of grids that networks learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, ops
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.filling import Filling, MeshFill, fill_surface
from mvd_toolkit.grid import Vector, VoxelGrid, words_per_line
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.mesh_frame import (
    DEFAULT_RESOLUTION,
    Placement,
    box_frame,
    cube_frame,
    extent_of,
    sized_frame,
    used_points,
)

Fill = Literal["hull", "none"]
Up = Literal["y", "z"]


@dataclass(frozen=True)
class SurfaceReport:
    """What became of the triangles of a mesh.

    Attributes:
        triangles: how many there are.
        bad: skipped, for a vertex that is not finite or does not exist.
        degenerate: voxelized as the segment or point they are.
    """

    triangles: int
    bad: int
    degenerate: int


@dataclass(frozen=True)
class Voxelized:
    """A grid made from a mesh, and the reports on the mesh and on how it was filled.

    Attributes:
        grid: the grid, in the mesh's place.
        report: what became of the triangles.
        filling: how sure the inside is; None where nothing was filled.
    """

    grid: VoxelGrid
    report: SurfaceReport
    filling: Filling | None = None


@dataclass(frozen=True)
class Pair:
    """A fine grid and the coarse ones made from it, in the same place in the world.

    Attributes:
        high: hull of the mesh's surface voxels, (s*N, s*N, s*N).
        low: hull of its *any*-pool, (N, N, N).
        low_half: hull of its *half*-pool.
        low_centre: hull of its *centre*-pool.
        odms: (6, s*N, s*N) uint16, the depth maps of ``high``.
        report: what became of the mesh's triangles.
    """

    high: VoxelGrid
    low: VoxelGrid
    low_half: VoxelGrid
    low_centre: VoxelGrid
    odms: npt.NDArray[np.uint16]
    report: SurfaceReport


def voxelize(
    vertices: npt.ArrayLike,
    faces: npt.ArrayLike,
    resolution: int | None = None,
    *,
    fill: MeshFill = "hull",
    margin: int = 1,
    placement: Placement | None = None,
    voxel_size: float | None = None,
    bounds: Sequence[float] | None = None,
    up: Up = "z",
    threads: int = 0,
) -> Voxelized:
    """Fit a triangle mesh into a grid and voxelize it.

    By a resolution the grid is a cube: the mesh keeps its aspect and is centred; its longest side
    takes ``resolution - 2 * margin`` voxels, so that ``margin`` layers stay empty on every side. By
    a voxel's size the grid is as large as the mesh and the margin need along each axis. With bounds
    it is that box, whatever lies outside it is cut off.

    A voxel is of the surface when its closed cube meets a closed triangle; this is exact for
    vertices rounded to 1 / 65536 voxel. Triangles without area count as the segments or points they
    are.

    Args:
        vertices: (V, 3), world units.
        faces: (F, 3), indices of vertices.
        resolution: voxels along each edge of the cube, or along the longest side of ``bounds``; by
            default 256.
        fill: ``hull`` makes a solid by carving away what a face sees past, ``flood`` fills what a
            flood from outside does not reach, ``centre`` takes the voxels whose centre is inside a
            closed mesh, ``none`` keeps the surface alone; see `filling`.
        margin: empty voxels on every side; none with ``bounds``.
        placement: its size and place in what the margin leaves of a cube; by default it fills it.
        voxel_size: edge of a voxel, world units, instead of a resolution.
        bounds: lowest and highest corner of the grid, (6,) world units; rounded up to whole voxels.
        up: the mesh's vertical. With "y" the mesh, and so its place, is turned to have z up: (x, y,
            z) becomes (x, -z, y), before ``bounds`` count.
        threads: how many to use, 0 for one a core; the result is the same for any number.

    Returns:
        The grid, with the fit in its origin and spacing, the report on the triangles, and how sure
        the filling is.

    Raises:
        InputError: the arrays are no mesh, no triangle of it is usable, or the grid would have more
            voxels than ``MVD_MAX_VOXELS``.
        UsageError: an option makes no sense.

    >>> made = voxelize([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], resolution=6)
    >>> made.grid.shape, made.grid.count(), made.report.degenerate
    ((6, 6, 6), 26, 0)
    """
    if fill not in get_args(MeshFill):
        raise UsageError(f"fill: expected {', '.join(get_args(MeshFill))}, found {fill!r}")
    if up not in get_args(Up):
        raise UsageError(f"up: expected y or z, found {up!r}")
    if resolution is not None and voxel_size is not None:
        raise UsageError("resolution and voxel size: expected one of them, found both")
    points, triangles = _check_mesh(vertices, faces)
    if up == "y":
        points = np.ascontiguousarray(points[:, [0, 2, 1]] * (1.0, -1.0, 1.0))
    if bounds is not None:
        if placement is not None:
            raise UsageError("placement and bounds: expected one of them, found both")
        frame = box_frame(bounds, resolution, voxel_size)
    elif voxel_size is not None:
        frame = sized_frame(points, triangles, voxel_size, margin)
    else:
        edge = DEFAULT_RESOLUTION if resolution is None else resolution
        frame = cube_frame(points, triangles, edge, margin, placement or Placement())
    _check_size(frame.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        in_voxels = np.ascontiguousarray((points - frame.anchor) / frame.spacing + frame.at)
    packed, bad, degenerate = _core.voxelize_surface(in_voxels, triangles, *frame.shape, threads)
    if bad == len(triangles):
        used_points(points, triangles)  # says why
    x, y, z = (frame.anchor - frame.spacing * frame.at).tolist()
    surface = VoxelGrid(packed, frame.shape, (x, y, z), (frame.spacing,) * 3)
    if bounds is None:
        low, high = extent_of(points, triangles)
        surface = replace(surface, extent=(_vector(low), _vector(high)))
    grid, filling = fill_surface(surface, in_voxels, triangles, fill, threads)
    return Voxelized(grid, SurfaceReport(len(triangles), bad, degenerate), filling)


def make_pair(
    vertices: npt.ArrayLike,
    faces: npt.ArrayLike,
    low: int = 32,
    scale: int = 8,
    *,
    margin: int = 1,
    placement: Placement | None = None,
    threads: int = 0,
) -> Pair:
    """Voxelize a mesh at ``low * scale`` and pool it to ``low`` under each low rule.

    Args:
        vertices: (V, 3), world units.
        faces: (F, 3), indices of vertices.
        low: voxels along each edge of the coarse grids.
        scale: fine voxels along the edge of a coarse one.
        margin: empty fine voxels on every side.
        placement: see `voxelize`.
        threads: how many to use, 0 for one a core.

    Raises:
        InputError: the arrays are no mesh, or no triangle of it is usable.
        UsageError: an option makes no sense.
    """
    if low < 1 or scale < 1:
        raise UsageError(f"pair: expected low and scale of at least 1, found {low} and {scale}")
    made = voxelize(
        vertices,
        faces,
        low * scale,
        fill="none",
        margin=margin,
        placement=placement,
        threads=threads,
    )
    return pair_of(made.grid, scale, report=made.report, threads=threads)


def pair_of(
    high: VoxelGrid,
    scale: int,
    *,
    report: SurfaceReport = SurfaceReport(0, 0, 0),
    threads: int = 0,
) -> Pair:
    """The pair of a fine grid, pooled under each low rule.

    Args:
        high: (s*N, s*N, s*N); its hull is taken.
        scale: s, fine voxels along the edge of a coarse one.
        report: on the mesh that ``high`` was made from, if it was.
        threads: how many to use, 0 for one a core.
    """
    hull = ops.hull(high, threads=threads)
    low, half, centre = (
        ops.hull(ops.pool(hull, scale, rule, threads=threads), threads=threads)
        for rule in LOW_RULES
    )
    odms = ops.extract_odms(hull, threads=threads)
    return Pair(hull, low, half, centre, odms, report)


def _check_mesh(
    vertices: npt.ArrayLike, faces: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The mesh as (V, 3) float64 and (F, 3) int64."""
    points, triangles = np.asarray(vertices), np.asarray(faces)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "iuf":
        raise InputError(
            f"vertices: expected numbers of shape (V, 3), found {points.dtype} of {points.shape}"
        )
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise InputError(
            f"faces: expected integers of shape (F, 3), found {triangles.dtype} of "
            f"{triangles.shape}"
        )
    return (
        np.ascontiguousarray(points, np.float64),
        np.ascontiguousarray(triangles, np.int64),
    )


def _check_size(shape: tuple[int, int, int]) -> None:
    x, y, z = shape
    limit = Limits.from_environment().voxels
    if x * y * words_per_line(z) * 64 > limit:
        raise InputError(
            f"grid of {x}x{y}x{z}: expected at most {limit} voxels; a larger voxel or a lower "
            "resolution makes fewer, MVD_MAX_VOXELS raises the limit"
        )


def _vector(point: npt.NDArray[np.float64]) -> Vector:
    x, y, z = point.tolist()
    return x, y, z
