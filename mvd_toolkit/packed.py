"""`PackedGrids`: a batch of packed grids as a torch tensor, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid, words_per_line

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, eq=False)
class PackedGrids:
    """Grids of one shape, 64 voxels of z a word; every operation takes them and gives them back.

    On a GPU they stay there: nothing is copied to the host before `grids` or ``words.cpu()``.

    Attributes:
        words: (B, X, Y, ceil(Z / 64)) int64, the bits of `VoxelGrid.packed`; bits past Z are zero.
        depth: Z, voxels.

    Raises:
        InputError: the words are of another shape or dtype.
    """

    words: torch.Tensor
    depth: int

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.words.shape), str(self.words.dtype)
        if dtype != "torch.int64" or len(shape) != 4 or shape[3] != words_per_line(self.depth):
            raise InputError(
                f"packed grids {self.depth} voxels deep: expected int64 of shape (B, X, Y, "
                f"{words_per_line(self.depth)}), found {dtype} of {shape}"
            )

    @classmethod
    def of(cls, grids: Sequence[VoxelGrid], device: str | torch.device = "cpu") -> PackedGrids:
        """Copy grids of one shape to a device.

        Raises:
            InputError: there is none, or they differ in shape.
        """
        import torch

        shapes = {grid.shape for grid in grids}
        if len(shapes) != 1:
            raise InputError(f"grids: expected one shape, found {sorted(shapes)}")
        words = np.stack([grid.packed for grid in grids]).view(np.int64)
        return cls(torch.from_numpy(words).to(device), shapes.pop()[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z) of each, voxels."""
        _, x, y, _ = self.words.shape
        return x, y, self.depth

    def __len__(self) -> int:
        return len(self.words)

    def grids(self, like: Sequence[VoxelGrid] | None = None) -> list[VoxelGrid]:
        """Each as a `VoxelGrid` in host memory.

        Args:
            like: grids that fill the same places in the world, perhaps of coarser voxels.
        """
        arrays = self.words.cpu().numpy().view(np.uint64)
        if like is None:
            return [VoxelGrid(array, self.shape) for array in arrays]
        pairs: Any = zip(arrays, like, strict=True)
        return [
            grid.with_occupancy(array, self.shape, max(self.shape) / max(grid.shape))
            for array, grid in pairs
        ]
