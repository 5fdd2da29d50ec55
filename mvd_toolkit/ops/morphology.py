"""The shape in a grid: grown, filled, cut down to its largest parts, mirrored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mvd_toolkit._arrays import Grids, GridT, check_at_least, same_core
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import Vector, VoxelGrid


def dilate(grid: GridT, steps: int = 1, *, threads: int = 0) -> GridT:
    """Occupy every voxel within ``steps`` of an occupied one along each axis (26 neighbours)."""
    steps = check_at_least(steps, 0, "steps")
    grids = Grids.of(grid, threads=threads)
    reach = min(steps, max(grids.shape))  # further than that is outside
    grown = grids.core.dilate(grids.packed, grids.depth, reach, threads)
    return grids.give_back(grown, threads=threads)


def keep_largest(grid: GridT, *, threads: int = 0) -> GridT:
    """Keep the largest part connected through voxel faces (6 neighbours).

    Of parts with equally many voxels the one whose first voxel comes first in C order stays.
    """
    grids = Grids.of(grid, threads=threads)
    largest = grids.core.keep_largest(grids.packed, grids.depth, threads)
    return _without_extent(grids.give_back(largest, threads=threads))


def remove_small_parts(
    grid: GridT, voxels: int, within: GridT | None = None, *, threads: int = 0
) -> GridT:
    """Keep the parts connected through voxel faces that have at least so many voxels.

    Args:
        grid: (..., X, Y, Z).
        voxels: how many.
        within: a coarser grid of the same place, its edges those of ``grid`` divided by one number.
            A small part then stays, too, where it lies in parts of this grid none of which has one
            that is large enough. Small parts outside of it go.
        threads: how many to use, 0 for one a core.

    >>> remove_small_parts(np.array([[[True, False, True, True]]]), 2).tolist()
    [[[False, False, True, True]]]

    Raises:
        UsageError: ``voxels`` is negative.
        InputError: ``within`` does not fit the grid.
    """
    voxels = check_at_least(voxels, 0, "voxels")
    grids = Grids.of(grid, threads=threads)
    if within is None:
        large = grids.core.remove_small_parts(grids.packed, grids.depth, voxels, threads)
    else:
        coarse = Grids.of(within, name="within", threads=threads)
        core = same_core(grids, coarse, "grid and within")
        scale = max(1, grids.depth // coarse.depth)
        if len(coarse.packed) != len(grids.packed) or grids.shape != tuple(
            scale * edge for edge in coarse.shape
        ):
            raise InputError(
                f"within: expected {len(grids.packed)} grid(s) whose edges are those of "
                f"{grids.shape} divided by one number, found {len(coarse.packed)} of {coarse.shape}"
            )
        remove = core.remove_small_parts_within  # on a device this raises, before the copy
        large = grids.packed.copy()
        remove(large, grids.depth, coarse.packed, coarse.depth, voxels, threads)
    return _without_extent(grids.give_back(large, threads=threads))


def fill_holes(grid: GridT, *, threads: int = 0) -> GridT:
    """Occupy what a flood from outside does not reach through voxel faces (6 neighbours).

    >>> shell = np.ones((3, 3, 3), bool)
    >>> shell[1, 1, 1] = False
    >>> bool(fill_holes(shell).all())
    True
    """
    grids = Grids.of(grid, threads=threads)
    return grids.give_back(
        grids.core.fill_holes(grids.packed, grids.depth, threads), threads=threads
    )


def count_parts(grid: VoxelGrid, *, threads: int = 0) -> int:
    """How many parts connected through voxel faces (6 neighbours) a grid has.

    >>> count_parts(VoxelGrid.from_dense([[[1, 0, 1, 1]]]))
    2
    """
    grids = Grids.of(grid, threads=threads)
    return int(grids.core.count_parts(grids.packed, grids.depth, threads)[0])


def mirror(grid: GridT, axis: int, *, threads: int = 0) -> GridT:
    """Reverse a grid along ``axis`` (0 x, 1 y, 2 z), within the box it fills."""
    if check_at_least(axis, 0, "axis") > 2:
        raise UsageError(f"axis: expected 0 (x), 1 (y) or 2 (z), found {axis}")
    grids = Grids.of(grid, threads=threads)
    mirrored = grids.give_back(
        grids.core.mirror(grids.packed, grids.depth, axis, threads), threads=threads
    )
    if isinstance(mirrored, VoxelGrid) and isinstance(grid, VoxelGrid):
        coverage = None if grid.coverage is None else np.flip(grid.coverage, axis).copy()
        return replace(mirrored, coverage=coverage, extent=_mirrored_extent(grid, axis))
    return mirrored


def _mirrored_extent(grid: VoxelGrid, axis: int) -> tuple[Vector, Vector] | None:
    if grid.extent is None:
        return None
    low, high = map(list, grid.extent)
    ends = 2 * grid.origin[axis] + grid.shape[axis] * grid.spacing[axis]
    low[axis], high[axis] = ends - high[axis], ends - low[axis]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _without_extent(grid: GridT) -> GridT:
    """What is left of a shape may end elsewhere than the shape did."""
    return replace(grid, extent=None) if isinstance(grid, VoxelGrid) else grid
