"""Grids whose axes run otherwise in the file than in the world: NRRD's and NIfTI's directions."""

from __future__ import annotations

import warnings
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import FormatWarning, InputError
from mvd_toolkit.grid import WORD_BITS, Vector, VoxelGrid, words_per_line
from mvd_toolkit.io.occupancy import placed

ALIGNED = 1e-4
"""A direction is that of an axis when its other parts are at most so much of its length."""


def oriented(
    path: Path,
    grid: VoxelGrid,
    steps: npt.NDArray[np.float64],
    first: npt.NDArray[np.float64],
) -> VoxelGrid:
    """The grid with its axes along those of the world, in its place.

    A grid that lies askew is turned to the nearest axes about its centre, and a `FormatWarning`
    says so.

    Args:
        path: the file, for messages.
        grid: as the file has it.
        steps: (3, 3), column ``i`` leads from a voxel to the next along axis ``i``, world units.
        first: (3,), the centre of voxel (0, 0, 0), world units.

    Raises:
        InputError: the numbers are not finite, or the directions are none of a box.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(steps, axis=0)
        volume = abs(np.linalg.det(steps / lengths)) if (lengths > 0).all() else 0.0
    if not (np.isfinite(lengths).all() and np.isfinite(first).all() and volume > 1e-3):
        raise InputError(
            f"{path}: expected finite directions that span a box, found {steps.T.tolist()} at "
            f"{first.tolist()}"
        )
    # Axis i of the world is axis axes[i] of the file: those that point along it most.
    along = np.abs(steps) / lengths
    orders = [(i, j, k) for i, j, k in permutations(range(3))]
    axes = max(orders, key=lambda order: sum(along[i, order[i]] for i in range(3)))
    signed = steps[[0, 1, 2], axes]
    aligned = all(along[i, axes[i]] >= 1 - ALIGNED**2 for i in range(3))
    spacing = np.abs(signed) if aligned else lengths[list(axes)]
    counts = np.array([grid.shape[axis] for axis in axes])
    if aligned:
        origin = first - spacing * np.where(signed < 0, counts - 0.5, 0.5)
    else:
        centre = first + steps @ ((np.array(grid.shape) - 1) / 2)
        origin = centre - spacing * counts / 2
        said = f"{path}: lies askew in the world; turned to the nearest axes about its centre"
        warnings.warn(said, FormatWarning, stacklevel=2)
    moved = reoriented(grid, axes, (signed[0] < 0, signed[1] < 0, signed[2] < 0))
    return placed(moved, path, _vector(origin), _vector(spacing))


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def reoriented(
    grid: VoxelGrid, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> VoxelGrid:
    """A grid with its axes in another order and direction; the place stays that of the argument.

    Args:
        grid: the grid.
        axes: axis ``i`` of the result is axis ``axes[i]`` of the grid.
        flips: whether axis ``i`` of the result runs the other way.
    """
    if axes == (0, 1, 2) and not any(flips):
        return grid
    x, y, z = (grid.shape[axis] for axis in axes)
    packed = np.zeros((x, y, words_per_line(z)), np.uint64)
    for begin in range(0, x, WORD_BITS):
        end = min(begin + WORD_BITS, x)
        slab = _slab(grid, axes[0], begin, end).transpose(axes)
        for axis, flip in enumerate(flips):
            slab = np.flip(slab, axis) if flip else slab
        at = slice(x - end, x - begin) if flips[0] else slice(begin, end)
        packed[at] = _core.pack(np.ascontiguousarray(slab)[None])[0]
    coverage = grid.coverage
    if coverage is not None:
        turned = tuple(axis for axis, flip in enumerate(flips) if flip)
        coverage = np.ascontiguousarray(np.flip(coverage.transpose(axes), turned))
    return VoxelGrid(packed, (x, y, z), grid.origin, grid.spacing, coverage)


def _slab(grid: VoxelGrid, axis: int, begin: int, end: int) -> npt.NDArray[np.bool_]:
    """Voxels ``begin`` (a multiple of 64) to ``end`` along an axis, dense."""
    depth = grid.shape[2]
    if axis == 2:
        words = slice(begin // WORD_BITS, words_per_line(end))
        packed, depth = grid.packed[:, :, words], end - begin
    else:
        packed = grid.packed[(slice(None),) * axis + (slice(begin, end),)]
    dense: npt.NDArray[np.bool_] = _core.unpack(np.ascontiguousarray(packed)[None], depth)[0]
    return dense
