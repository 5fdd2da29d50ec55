"""From triangle meshes to grids, and to the pairs of grids that networks learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, ops
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import Vector, VoxelGrid

Fill = Literal["hull", "none"]

INSET = 1 / 128
"""Voxels between the fitted mesh and the margin: a face that only touches the margin would set
voxels in it."""


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
    """A grid made from a mesh, and the report on the mesh."""

    grid: VoxelGrid
    report: SurfaceReport


@dataclass(frozen=True)
class Placement:
    """How a mesh lies in its cube of voxels.

    Attributes:
        share: length of its longest side, as a part of what the margin leaves; 1 fills it.
        at: where it lies in the room that is left along each axis, 0 to 1; 0.5 is the middle.
    """

    share: float = 1.0
    at: Vector = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not all(0 <= place <= 1 for place in self.at):
            raise UsageError(
                "placement: expected a share above 0 and at most 1, and places from 0 to 1, "
                f"found {self.share} and {self.at}"
            )


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
    resolution: int = 256,
    *,
    fill: Fill = "hull",
    margin: int = 1,
    placement: Placement | None = None,
    threads: int = 0,
) -> Voxelized:
    """Fit a triangle mesh into a cube of voxels and voxelize it.

    The mesh keeps its aspect and is centred; its longest side takes ``resolution - 2 * margin``
    voxels, so that ``margin`` layers stay empty on every side. A voxel is of the surface when its
    closed cube meets a closed triangle; this is exact for vertices rounded to 1 / 65536 voxel.
    Triangles without area count as the segments or points they are.

    Args:
        vertices: (V, 3), world units.
        faces: (F, 3), indices of vertices.
        resolution: voxels along each edge of the cube.
        fill: ``hull`` makes a solid by carving away what a face sees past; ``none`` keeps the
            surface alone.
        margin: empty voxels on every side.
        placement: its size and place in what the margin leaves; by default it fills it.
        threads: how many to use, 0 for one a core; the result is the same for any number.

    Returns:
        The grid, with the fit in its origin and spacing, and the report on the triangles.

    Raises:
        InputError: the arrays are no mesh, or no triangle of it is usable.
        UsageError: an option makes no sense.

    >>> made = voxelize([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], resolution=6)
    >>> made.grid.shape, made.grid.count(), made.report.degenerate
    ((6, 6, 6), 26, 0)
    """
    if fill not in ("hull", "none"):
        raise UsageError(f"fill: expected hull or none, found {fill!r}")
    if margin < 0 or resolution - 2 * margin < 1:
        raise UsageError(
            f"resolution {resolution} with a margin of {margin}: expected a margin of at least 0 "
            "that leaves a voxel between its two sides"
        )
    points, triangles = _check_mesh(vertices, faces)
    placed = placement or Placement()
    centre, spacing, shift = _fit(points, triangles, resolution - 2 * margin, placed)
    middle = resolution / 2 + shift
    with np.errstate(invalid="ignore", over="ignore"):
        in_voxels = (points - centre) / spacing + middle
    packed, bad, degenerate = _core.voxelize_surface(
        in_voxels, triangles, resolution, resolution, resolution, threads
    )
    origin = centre - spacing * middle
    place: Vector = (float(origin[0]), float(origin[1]), float(origin[2]))
    grid = VoxelGrid(packed, (resolution,) * 3, place, (spacing,) * 3)
    if fill == "hull":
        grid = ops.hull(grid, threads=threads)
    return Voxelized(grid, SurfaceReport(len(triangles), bad, degenerate))


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


def _fit(
    points: npt.NDArray[np.float64],
    triangles: npt.NDArray[np.int64],
    room: int,
    placement: Placement,
) -> tuple[npt.NDArray[np.float64], float, npt.NDArray[np.float64]]:
    """How the usable triangles are fitted into ``room`` voxels.

    Returns:
        their centre; the voxel that makes their longest side take its share of the room, 1 for a
        mesh that is a single point; how far they lie from the middle, (3,) voxels.
    """
    known = np.all((triangles >= 0) & (triangles < len(points)), axis=1)
    finite = np.all(np.isfinite(points), axis=1)
    usable = known.copy()
    usable[known] = np.all(finite[triangles[known]], axis=1)
    if not usable.any():
        raise InputError(
            f"mesh: expected a usable triangle, found none: of {len(triangles)} triangles "
            f"{(~known).sum()} name a vertex that does not exist and {(known & ~usable).sum()} "
            "have one that is not finite"
        )
    used = np.zeros(len(points), bool)
    used[triangles[usable]] = True
    low, high = points[used].min(axis=0), points[used].max(axis=0)
    with np.errstate(over="ignore"):
        longest = float((high - low).max())
    if not np.isfinite(longest):
        raise InputError(f"mesh: its extent is not finite: it spans {low} to {high}")
    inside = room - 2 * INSET
    spacing = longest / (inside * placement.share) or 1.0
    left = np.maximum(inside - (high - low) / spacing, 0.0)
    return low + (high - low) / 2, spacing, (np.asarray(placement.at) - 0.5) * left
