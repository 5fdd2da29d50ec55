"""What is done to a carved grid: crumbs go, and its ends are reached."""

from __future__ import annotations

import numpy as np

from mvd_toolkit import _core
from mvd_toolkit.extent import reach_extent
from mvd_toolkit.grid import VoxelGrid


def finish(fine: VoxelGrid, low: VoxelGrid, scale: int, *, keep_parts: bool = False) -> VoxelGrid:
    """A carved grid without crumbs that ends where its extent says.

    A crumb is a part smaller than a coarse voxel that the coarse grid does not tell from a larger
    one: it lies in the same part of that, or outside of it. Most are what a wrong pixel left over.

    Args:
        fine: the carved grid; crumbs are taken out of it in place, as it may fill half the memory.
        low: the coarse grid, not dilated.
        scale: fine voxels along the edge of a coarse one.
        keep_parts: leave crumbs where they are.
    """
    if not keep_parts:
        coarse = np.ascontiguousarray(low.packed)[None]
        _core.remove_small_parts_within(
            fine.packed[None], fine.shape[2], coarse, low.shape[2], scale**3
        )
    return reach_extent(fine, scale)
