"""Coarser and finer grids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mvd_toolkit import _core
from mvd_toolkit._arrays import Grids, GridT, check_at_least
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import UsageError
from mvd_toolkit.grid import VoxelGrid, check_is_grid

MAX_FACTOR = 1 << 20
"""The largest factor of `pool` and `upsample_nearest`."""


def pool(grid: GridT, factor: int, rule: str = "any", *, threads: int = 0) -> GridT:
    """Make a grid ``factor`` times coarser: edges become ceil(edge / factor).

    Args:
        grid: any edges; the last blocks may be partial, and what they lack counts as empty.
        factor: fine voxels along the edge of a coarse one, at least 1.
        rule: ``"any"``, ``"half"`` (at least half of the fine voxels are occupied) or ``"centre"``
            (fine voxel number ``factor // 2`` along each axis is).
        threads: how many threads to use, 0 for one a core.
    """
    factor = _check_factor(factor)
    if rule not in LOW_RULES:
        raise UsageError(f"rule: expected one of {', '.join(LOW_RULES)}, found {rule!r}")
    grids = Grids.of(grid, threads=threads)
    x, y, z = (-(-edge // factor) for edge in grids.shape)
    pooled = grids.core.pool(grids.packed, grids.depth, factor, rule, threads)
    return grids.give_back(pooled, (x, y, z), coarser=factor, threads=threads)


def coverage(grid: VoxelGrid, factor: int) -> VoxelGrid:
    """A grid ``factor`` times coarser that knows how much of each voxel is occupied.

    Its coverage is the occupied fraction of each coarse voxel, its occupancy where that is above 0
    (the any-pool). Edges become ceil(edge / factor); what the last blocks lack counts as empty.

    >>> coarse = coverage(VoxelGrid.from_dense(np.eye(2, dtype=bool)[None]), 2)
    >>> coarse.coverage.tolist(), coarse.count()
    ([[[0.25]]], 1)
    """
    check_is_grid(grid)
    coarse = pool(grid, factor, "any")
    x, y, z = coarse.shape
    shares = np.empty((x, y, z), np.float32)
    for i in range(x):
        slab = np.ascontiguousarray(grid.packed[i * factor : (i + 1) * factor])
        lines = _core.unpack(slab[None], grid.shape[2])[0].sum(axis=0, dtype=np.uint32)
        rows = np.add.reduceat(lines, np.arange(y) * factor, axis=0)
        shares[i] = np.add.reduceat(rows, np.arange(z) * factor, axis=1) / factor**3
    return replace(coarse, coverage=shares)


def upsample_nearest(grid: GridT, factor: int, *, threads: int = 0) -> GridT:
    """Make a grid ``factor`` times finer: each voxel becomes a block of ``factor``³."""
    factor = _check_factor(factor)
    grids = Grids.of(grid, threads=threads)
    x, y, z = (edge * factor for edge in grids.shape)
    fine = grids.core.upsample_nearest(grids.packed, grids.depth, factor, threads)
    return grids.give_back(fine, (x, y, z), finer=factor, threads=threads)


def _check_factor(factor: Any) -> int:
    if check_at_least(factor, 1, "factor") > MAX_FACTOR:
        raise UsageError(f"factor: expected at most {MAX_FACTOR}, found {factor}")
    return int(factor)
