"""What is done to a carved grid: crumbs go, and its ends are reached."""

from __future__ import annotations

import numpy as np

from mvd_toolkit import _core
from mvd_toolkit.extent import reach_extent
from mvd_toolkit.grid import VoxelGrid


def finish(
    fine: VoxelGrid, base: VoxelGrid, scale: int, *, keep_parts: bool = False, threads: int = 0
) -> VoxelGrid:
    """A carved grid without crumbs that ends where its extent says.

    A crumb is a part smaller than a coarse voxel whose part of the coarse grid keeps a larger one:
    what hung together in the coarse grid has come apart there, by a wrong pixel or two.

    Args:
        fine: carved out of ``base``; crumbs are taken out of it, as it may fill half the memory.
        base: the coarse grid.
        scale: fine voxels along the edge of a coarse one.
        keep_parts: leave crumbs where they are.
        threads: how many to use, 0 for one a core.
    """
    if not keep_parts:
        coarse = np.ascontiguousarray(base.packed)[None]
        _core.remove_small_parts_within(
            fine.packed[None], fine.shape[2], coarse, base.shape[2], scale**3, threads
        )
    return reach_extent(fine, scale)
