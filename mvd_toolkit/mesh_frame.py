"""Where the grid of a mesh lies in the world, and how fine it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import Vector

DEFAULT_RESOLUTION = 256
"""Longest edge of a grid when neither a resolution nor a voxel's size is asked for."""

INSET = 1 / 128
"""Voxels between the fitted mesh and the margin: a face that only touches the margin would set
voxels in it."""


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
class Frame:
    """A grid in the world: point ``anchor`` (3,) lies ``at`` (3,), voxels from its corner."""

    shape: tuple[int, int, int]
    anchor: npt.NDArray[np.float64]
    at: npt.NDArray[np.float64]
    spacing: float


def cube_frame(
    points: npt.NDArray[np.float64],
    triangles: npt.NDArray[np.int64],
    edge: int,
    margin: int,
    placement: Placement,
) -> Frame:
    """A cube of voxels that the usable triangles are fitted into; they are 1 for a single point."""
    _check_margin(margin)
    if edge - 2 * margin < 1:
        raise UsageError(
            f"resolution: expected at least {2 * margin + 1}, as the margin takes {margin} on each "
            f"side, found {edge}"
        )
    low, high = extent_of(points, triangles)
    inside = edge - 2 * margin - 2 * INSET
    spacing = float((high - low).max()) / (inside * placement.share) or 1.0
    left = np.maximum(inside - (high - low) / spacing, 0.0)
    at = edge / 2 + (np.asarray(placement.at) - 0.5) * left
    return Frame((edge, edge, edge), low + (high - low) / 2, at, spacing)


def sized_frame(
    points: npt.NDArray[np.float64],
    triangles: npt.NDArray[np.int64],
    voxel_size: float,
    margin: int,
) -> Frame:
    """As many voxels of a size as the usable triangles and the margin need; they are centred."""
    _check_voxel_size(voxel_size)
    _check_margin(margin)
    low, high = extent_of(points, triangles)
    with np.errstate(over="ignore"):
        needed = np.ceil((high - low) / voxel_size + 2 * INSET)
    shape = _shape(np.maximum(needed, 1) + 2 * margin)
    return Frame(shape, low + (high - low) / 2, np.asarray(shape) / 2, float(voxel_size))


def box_frame(bounds: Sequence[float], resolution: int | None, voxel_size: float | None) -> Frame:
    """The voxels of a box in the world."""
    corners = np.asarray(bounds, np.float64).reshape(-1)
    if (
        corners.shape != (6,)
        or not np.isfinite(corners).all()
        or (corners[3:] <= corners[:3]).any()
    ):
        raise UsageError(
            "bounds: expected six finite numbers, the lowest corner x y z and a higher one, "
            f"found {bounds!r}"
        )
    sides = corners[3:] - corners[:3]
    if voxel_size is None:
        edge = DEFAULT_RESOLUTION if resolution is None else resolution
        if edge < 1:
            raise UsageError(f"resolution: expected at least 1, found {edge}")
        spacing = float(sides.max() / edge)
    else:
        _check_voxel_size(voxel_size)
        spacing = float(voxel_size)
    # A side that is whole voxels up to rounding errors gets no voxel more.
    shape = _shape(np.maximum(np.ceil(sides / spacing - 1e-6), 1))
    return Frame(shape, corners[:3], np.zeros(3), spacing)


def _check_margin(margin: int) -> None:
    if margin < 0:
        raise UsageError(f"margin: expected at least 0, found {margin}")


def _check_voxel_size(voxel_size: float) -> None:
    if not (np.isfinite(voxel_size) and voxel_size > 0):
        raise UsageError(f"voxel size: expected a positive number, found {voxel_size!r}")


def _shape(voxels: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    """A shape of whole numbers, even when they are out of every reach."""
    x, y, z = (int(min(n, 2.0**31)) for n in voxels.tolist())
    return x, y, z


def extent_of(
    points: npt.NDArray[np.float64], triangles: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The lowest and highest corner, (3,) each, of the usable triangles."""
    used = used_points(points, triangles)
    low, high = points[used].min(axis=0), points[used].max(axis=0)
    with np.errstate(over="ignore"):
        finite = np.isfinite((high - low).max())
    if not finite:
        raise InputError(f"mesh: its extent is not finite: it spans {low} to {high}")
    return low, high


def used_points(
    points: npt.NDArray[np.float64], triangles: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """(V,) which vertices usable triangles have."""
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
    return used
