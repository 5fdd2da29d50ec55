"""What goes into an operation and comes out of it: `Grids` and `Odms`.

An operation of `ops` takes a `VoxelGrid`, a boolean NumPy array or a boolean CPU tensor, with or
without a batch axis, and gives back the kind it was given. The core takes one thing only: NumPy,
packed, with a batch axis. Both classes here hold that and the way back. Tensors are recognised
through ``sys.modules``, so that nothing here imports torch.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid

if TYPE_CHECKING:
    import torch

BoolArray: TypeAlias = npt.NDArray[np.bool_]
OdmArray: TypeAlias = npt.NDArray[np.uint16]
WordArray: TypeAlias = npt.NDArray[np.uint64]
Shape: TypeAlias = tuple[int, int, int]
Kind: TypeAlias = Literal["grid", "numpy", "torch"]

GridT = TypeVar("GridT", VoxelGrid, npt.NDArray[np.bool_], "torch.Tensor")
"""A grid of any kind; operations return the kind they were given."""

MAX_ODM_EDGE = 65535
"""The longest edge whose depths, background included, fit ``uint16``."""


@dataclass(frozen=True)
class Grids(Generic[GridT]):
    """One or several grids as the core takes them, and what they were before.

    Attributes:
        packed: (B, X, Y, ceil(Z / 64)) uint64, C order; B is 1 for a single grid.
        shape: (X, Y, Z), voxels.
        kind: what the caller gave.
        batched: whether the caller gave a batch axis.
        source: the caller's `VoxelGrid`, when it was one.
    """

    packed: WordArray
    shape: Shape
    kind: Kind
    batched: bool
    source: VoxelGrid | None = None

    @classmethod
    def of(cls, grid: GridT, *, name: str = "grid", threads: int = 0) -> Grids[GridT]:
        """Pack ``grid``, a `VoxelGrid` or a boolean (X, Y, Z) or (B, X, Y, Z) array or CPU tensor.

        Raises:
            InputError: it is none of these, or has no voxel.
            UnavailableError: it is a tensor on another device than the CPU.
        """
        if isinstance(grid, VoxelGrid):
            check_edges(grid.shape, name)
            return cls(np.ascontiguousarray(grid.packed)[None], grid.shape, "grid", False, grid)
        dense, kind, batched = dense_grids(grid, name)
        return cls(_core.pack(dense, threads), grid_shape(dense), kind, batched)

    @property
    def depth(self) -> int:
        """Z, the number of voxels along a packed line."""
        return self.shape[2]

    def give_back(
        self,
        packed: WordArray,
        shape: Shape | None = None,
        *,
        coarser: int = 1,
        finer: int = 1,
        threads: int = 0,
    ) -> GridT:
        """``packed`` (B, X', Y', W') of ``shape``, as the kind and with the axes of the caller.

        A `VoxelGrid` stays where it is in the world, with voxels ``coarser`` times larger or
        ``finer`` times smaller; its coverage, which described other occupancy, is dropped.
        """
        shape = self.shape if shape is None else shape
        if self.source is not None:
            x, y, z = (edge * coarser / finer for edge in self.source.spacing)
            moved: Any = replace(
                self.source, packed=packed[0], shape=shape, spacing=(x, y, z), coverage=None
            )
            return cast(GridT, moved)
        dense = _core.unpack(packed, shape[2], threads)
        return cast(GridT, as_kind(dense if self.batched else dense[0], self.kind))


@dataclass(frozen=True)
class Odms:
    """One or several sets of six depth maps as the core takes them, and what they were before.

    Attributes:
        maps: (B, 6, N, N) uint16, C order; B is 1 for a single set.
        kind: what the caller gave.
        batched: whether the caller gave a batch axis.
    """

    maps: OdmArray
    kind: Kind
    batched: bool

    @classmethod
    def of(cls, odms: Any, *, name: str = "odms") -> Odms:
        """Take ``odms``, an integer (6, N, N) or (B, 6, N, N) array or CPU tensor.

        Raises:
            InputError: it is none of these, or a depth does not fit ``uint16``.
            UnavailableError: it is a tensor on another device than the CPU.
        """
        array, kind = as_numpy(odms, name)
        if array.dtype.kind not in "iu":
            raise InputError(f"{name}: expected integer depths (uint16), found {array.dtype}")
        square = array.ndim >= 2 and array.shape[-1] == array.shape[-2] >= 1
        if array.ndim not in (3, 4) or array.shape[-3] != FACE_COUNT or not square:
            raise InputError(
                f"{name}: expected shape (6, N, N) or (B, 6, N, N), found {tuple(array.shape)}"
            )
        if array.dtype != np.uint16 and array.size:
            low, high = int(array.min()), int(array.max())
            if low < 0 or high > MAX_ODM_EDGE:
                raise InputError(
                    f"{name}: expected depths from 0 to {MAX_ODM_EDGE}, found {low} to {high}"
                )
        batched = array.ndim == 4
        maps = np.ascontiguousarray(array if batched else array[None], dtype=np.uint16)
        return cls(maps, kind, batched)

    @property
    def edge(self) -> int:
        """N, pixels along an edge of a map."""
        return int(self.maps.shape[-1])

    def give_back(self, maps: OdmArray) -> Any:
        """``maps`` (B, 6, N', N'), as the kind and with the axes of the caller."""
        return as_kind(maps if self.batched else maps[0], self.kind)


def dense_grids(grid: Any, name: str) -> tuple[BoolArray, Kind, bool]:
    """A boolean array or CPU tensor as (B, X, Y, Z), its kind, and whether it had a batch axis."""
    array, kind = as_numpy(grid, name)
    if array.dtype != np.bool_:
        raise InputError(
            f"{name}: expected bool voxels, found {array.dtype}; compare first, as in `{name} > 0`"
        )
    if array.ndim not in (3, 4):
        raise InputError(
            f"{name}: expected shape (X, Y, Z) or (B, X, Y, Z), found {tuple(array.shape)}"
        )
    batched = array.ndim == 4
    dense = np.ascontiguousarray(array if batched else array[None])
    check_edges(grid_shape(dense), name)
    return dense, kind, batched


def as_numpy(value: Any, name: str) -> tuple[npt.NDArray[Any], Kind]:
    """The array, or the memory of the CPU tensor, that ``value`` is."""
    if isinstance(value, np.ndarray):
        return value, "numpy"
    if is_tensor(value):
        if value.device.type != "cpu":
            raise UnavailableError(
                f"{name}: a tensor on {value.device} needs a build with CUDA kernels, and this "
                f"one has CUDA {_core.cuda_build()}; pass {name}.cpu()"
            )
        return value.detach().numpy(), "torch"
    raise InputError(
        f"{name}: expected a VoxelGrid, a NumPy array or a torch tensor, "
        f"found {type(value).__name__}"
    )


def as_kind(array: npt.NDArray[Any], kind: Kind) -> Any:
    """``array`` as the caller's kind: itself, or a tensor of the same memory."""
    if kind != "torch":
        return array
    import torch

    return torch.from_numpy(array)


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a torch tensor; never imports torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def grid_shape(dense: npt.NDArray[Any]) -> Shape:
    """(X, Y, Z) of a (..., X, Y, Z) array."""
    x, y, z = dense.shape[-3:]
    return int(x), int(y), int(z)


def check_edges(shape: Shape, name: str) -> None:
    """Raise `InputError` unless the grid has a voxel."""
    if min(shape) < 1:
        raise InputError(f"{name}: expected at least one voxel along each axis, found {shape}")


def check_at_least(value: Any, least: int, name: str) -> int:
    """``value`` as an int, or `UsageError` unless it is a whole number of at least ``least``."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise UsageError(f"{name}: expected a whole number of at least {least}, found {value!r}")
    return int(value)
