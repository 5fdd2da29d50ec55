"""What goes into an operation and comes out of it: `Grids` and `Odms`.

An operation of `ops` takes a `VoxelGrid`, a boolean NumPy array, a boolean tensor, with or without
a batch axis, or `PackedGrids`, and gives back the kind it was given. A core takes one thing only:
packed, with a batch axis; NumPy arrays where it is `_core`, tensors where it is the `DeviceCore` of
their CUDA device. Both classes here hold that and the way back. Tensors are recognised through
``sys.modules``, so that nothing here imports torch.
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
from mvd_toolkit.packed import PackedGrids

if TYPE_CHECKING:
    import torch

BoolArray: TypeAlias = npt.NDArray[np.bool_]
OdmArray: TypeAlias = npt.NDArray[np.uint16]
WordArray: TypeAlias = npt.NDArray[np.uint64]
Shape: TypeAlias = tuple[int, int, int]
Kind: TypeAlias = Literal["grid", "packed", "numpy", "torch", "device"]

GridT = TypeVar("GridT", VoxelGrid, npt.NDArray[np.bool_], "torch.Tensor", PackedGrids)
"""A grid of any kind; operations return the kind they were given."""

MAX_ODM_EDGE = 65535
"""The longest edge whose depths, background included, fit ``uint16``."""


@dataclass(frozen=True)
class Grids(Generic[GridT]):
    """One or several grids as the core takes them, and what they were before.

    Attributes:
        core: whose functions take it: `_core`, or a `DeviceCore`.
        packed: (B, X, Y, ceil(Z / 64)) uint64, C order, on a device an int64 tensor; B is 1 for a
            single grid.
        shape: (X, Y, Z), voxels.
        kind: what the caller gave; "device" is a tensor on one.
        batched: whether the caller gave a batch axis.
        source: the caller's `VoxelGrid`, when it was one.
    """

    core: Any
    packed: Any
    shape: Shape
    kind: Kind
    batched: bool
    source: VoxelGrid | None = None

    @classmethod
    def of(cls, grid: GridT, *, name: str = "grid", threads: int = 0) -> Grids[GridT]:
        """Pack ``grid``, of one of the kinds above; boolean ones are (X, Y, Z) or (B, X, Y, Z).

        Raises:
            InputError: it is none of these, or has no voxel.
            UnavailableError: it is a tensor on a device that there are no kernels for.
        """
        if isinstance(grid, VoxelGrid):
            check_edges(grid.shape, name)
            words = np.ascontiguousarray(grid.packed)[None]
            return cls(_core, words, grid.shape, "grid", False, grid)
        if isinstance(grid, PackedGrids):
            check_edges(grid.shape, name)
            words, _ = as_array(grid.words, name)
            if isinstance(words, np.ndarray):
                words = words.view(np.uint64)
            return cls(core_of(words, name), contiguous(words), grid.shape, "packed", True)
        dense, kind, batched = dense_grids(grid, name)
        core = core_of(dense, name)
        return cls(core, core.pack(dense, threads), grid_shape(dense), kind, batched)

    @property
    def depth(self) -> int:
        """Z, the number of voxels along a packed line."""
        return self.shape[2]

    def give_back(
        self,
        packed: Any,
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
        if self.kind == "packed":
            words = as_kind(packed.view(np.int64), "torch") if self.core is _core else packed
            repacked: Any = PackedGrids(words, shape[2])
            return cast(GridT, repacked)
        dense = self.core.unpack(packed, shape[2], threads)
        return cast(GridT, as_kind(dense if self.batched else dense[0], self.kind))


@dataclass(frozen=True)
class Odms:
    """One or several sets of six depth maps as the core takes them, and what they were before.

    Attributes:
        core: whose functions take them: `_core`, or a `DeviceCore`.
        maps: (B, 6, N, N) uint16, C order, an array or on a device a tensor; B is 1 for a single
            set.
        kind: what the caller gave.
        batched: whether the caller gave a batch axis.
    """

    core: Any
    maps: Any
    kind: Kind
    batched: bool

    @classmethod
    def of(cls, odms: Any, *, name: str = "odms") -> Odms:
        """Take ``odms``, an integer (6, N, N) or (B, 6, N, N) array or tensor.

        Raises:
            InputError: it is none of these, or a depth does not fit ``uint16``.
            UnavailableError: it is a tensor on a device that there are no kernels for.
        """
        array, kind = as_array(odms, name)
        found = dtype_name(array)
        if not found.startswith(("int", "uint")):
            raise InputError(f"{name}: expected integer depths (uint16), found {found}")
        square = array.ndim >= 2 and array.shape[-1] == array.shape[-2] >= 1
        if array.ndim not in (3, 4) or array.shape[-3] != FACE_COUNT or not square:
            raise InputError(
                f"{name}: expected shape (6, N, N) or (B, 6, N, N), found {tuple(array.shape)}"
            )
        batched = array.ndim == 4
        maps = array if batched else array[None]
        core = core_of(array, name)
        if found != "uint16":
            maps = as_depths(maps, name)
        return cls(core, contiguous(maps), kind, batched)

    @property
    def edge(self) -> int:
        """N, pixels along an edge of a map."""
        return int(self.maps.shape[-1])

    def give_back(self, maps: Any) -> Any:
        """``maps`` (B, 6, N', N'), as the kind and with the axes of the caller."""
        return as_kind(maps if self.batched else maps[0], self.kind)


def dense_grids(grid: Any, name: str) -> tuple[Any, Kind, bool]:
    """A boolean array or tensor as (B, X, Y, Z), its kind, and whether it had a batch axis."""
    array, kind = as_array(grid, name)
    if dtype_name(array) != "bool":
        raise InputError(
            f"{name}: expected bool voxels, found {dtype_name(array)}; "
            f"compare first, as in `{name} > 0`"
        )
    if array.ndim not in (3, 4):
        raise InputError(
            f"{name}: expected shape (X, Y, Z) or (B, X, Y, Z), found {tuple(array.shape)}"
        )
    batched = array.ndim == 4
    dense = contiguous(array if batched else array[None])
    check_edges(grid_shape(dense), name)
    return dense, kind, batched


def as_array(value: Any, name: str) -> tuple[Any, Kind]:
    """The array, the memory of the CPU tensor, or the tensor on a device, that ``value`` is."""
    if isinstance(value, np.ndarray):
        return value, "numpy"
    if not is_tensor(value):
        raise InputError(
            f"{name}: expected a VoxelGrid, a NumPy array or a torch tensor, "
            f"found {type(value).__name__}"
        )
    if value.device.type == "cpu":
        return value.detach().numpy(), "torch"
    return value.detach(), "device"


def core_of(array: Any, name: str) -> Any:
    """`_core` for an array, the `DeviceCore` of its device for a tensor.

    Raises:
        UnavailableError: there are no kernels for that device.
    """
    if isinstance(array, np.ndarray):
        return _core
    if array.device.type != "cuda":
        raise UnavailableError(
            f"{name}: there are no kernels for a tensor on {array.device}; pass {name}.cpu()"
        )
    from mvd_toolkit.device_core import DeviceCore

    try:
        return DeviceCore(array.device)
    except UnavailableError as error:
        raise UnavailableError(f"{name}: {error}; pass {name}.cpu()") from error


def same_core(one: Grids[Any] | Odms, other: Grids[Any] | Odms, names: str) -> Any:
    """The core of two arguments.

    Raises:
        InputError: they are on different devices.
    """
    places = [getattr(thing.core, "device", "the CPU") for thing in (one, other)]
    if places[0] != places[1]:
        raise InputError(f"{names}: expected one device, found {places[0]} and {places[1]}")
    return one.core


def dtype_name(array: Any) -> str:
    """The dtype of an array or tensor as NumPy calls it."""
    return str(array.dtype).removeprefix("torch.")


def contiguous(array: Any) -> Any:
    """The same array or tensor in C order."""
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array.contiguous()


def as_depths(maps: Any, name: str) -> Any:
    """Integer depths as uint16; of a tensor on a device, this waits for it.

    Raises:
        InputError: a depth does not fit.
    """
    size = maps.size if isinstance(maps, np.ndarray) else maps.numel()
    if size:
        low, high = int(maps.min()), int(maps.max())
        if low < 0 or high > MAX_ODM_EDGE:
            raise InputError(
                f"{name}: expected depths from 0 to {MAX_ODM_EDGE}, found {low} to {high}"
            )
    if isinstance(maps, np.ndarray):
        return maps.astype(np.uint16)
    import torch

    return maps.to(torch.int32).to(torch.int16).view(torch.uint16)


def as_kind(array: Any, kind: Kind) -> Any:
    """``array`` as the caller's kind: itself, or for a CPU tensor one of the same memory."""
    if kind != "torch":
        return array
    import torch

    return torch.from_numpy(array)


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a torch tensor; never imports torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def grid_shape(dense: Any) -> Shape:
    """(X, Y, Z) of a (..., X, Y, Z) array."""
    x, y, z = dense.shape[-3:]
    return int(x), int(y), int(z)


def check_odm_edge(shape: Shape) -> None:
    """Refuse a grid whose depths ``uint16`` cannot hold.

    Raises:
        InputError: it is longer than `MAX_ODM_EDGE`.
    """
    if max(shape) > MAX_ODM_EDGE:
        raise InputError(
            f"grid: depth maps hold edges of up to {MAX_ODM_EDGE} voxels, found shape {shape}"
        )


def check_edges(shape: Shape, name: str) -> None:
    """Raise `InputError` unless the grid has a voxel."""
    if min(shape) < 1:
        raise InputError(f"{name}: expected at least one voxel along each axis, found {shape}")


def check_at_least(value: Any, least: int, name: str) -> int:
    """``value`` as an int, or `UsageError` unless it is a whole number of at least ``least``."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        found = repr(value) if isinstance(value, (str, float, int)) else type(value).__name__
        raise UsageError(f"{name}: expected a whole number of at least {least}, found {found}")
    return int(value)
