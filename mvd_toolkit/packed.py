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

    @classmethod
    def of_surface(
        cls, vertices: torch.Tensor, faces: torch.Tensor, shape: tuple[int, int, int]
    ) -> PackedGrids:
        """The voxels whose closed cube meets a triangle, exactly: a batch of one, on their device.

        Faces that name no vertex, or one that is not finite, are left out. See `voxelize` for
        fitting a mesh into a grid; this is its first step.

        Args:
            vertices: (V, 3) float64, in voxels from the grid's corner.
            faces: (F, 3) int64, indices of vertices.
            shape: (X, Y, Z) of the grid; what lies outside is cut off.

        Raises:
            InputError: the tensors are of another shape or dtype, or on two devices.
        """
        from mvd_toolkit._arrays import as_array, as_kind, check_edges, contiguous, core_of

        check_edges(shape, "shape")
        given = {}
        for name, tensor, dtype in (("vertices", vertices, "float64"), ("faces", faces, "int64")):
            if tensor.ndim != 2 or tensor.shape[1] != 3 or str(tensor.dtype) != f"torch.{dtype}":
                raise InputError(
                    f"{name}: expected {dtype} of shape (n, 3), found {tensor.dtype} of "
                    f"{tuple(tensor.shape)}"
                )
            given[name], kind = as_array(tensor, name)
        if vertices.device != faces.device:
            raise InputError(
                f"vertices and faces: expected one device, found {vertices.device} and "
                f"{faces.device}"
            )
        core = core_of(given["vertices"], "vertices")
        words = core.voxelize_surface(*map(contiguous, given.values()), *shape)[0]
        if kind == "torch":
            words = as_kind(words.view(np.int64), kind)
        return cls(words[None], shape[2])

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
