"""Dense arrays to packed words and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mvd_toolkit._arrays import (
    BoolArray,
    WordArray,
    as_array,
    as_kind,
    check_at_least,
    contiguous,
    core_of,
    dense_grids,
    dtype_name,
)
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import words_per_line

if TYPE_CHECKING:
    import torch


@overload
def pack(grid: BoolArray, *, threads: int = 0) -> WordArray: ...
@overload
def pack(grid: torch.Tensor, *, threads: int = 0) -> torch.Tensor: ...
def pack(grid: Any, *, threads: int = 0) -> Any:
    """Pack a boolean array or tensor, 64 voxels of z a word: (..., X, Y, ceil(Z / 64)).

    The words are uint64 for an array and int64, the same bits, for a tensor.

    >>> pack(np.ones((1, 1, 3), bool))
    array([[[7]]], dtype=uint64)
    """
    dense, kind, batched = dense_grids(grid, "grid")
    packed = core_of(dense, "grid").pack(dense, threads)
    words = packed.view(np.int64) if kind == "torch" else packed
    return as_kind(words if batched else words[0], kind)


@overload
def unpack(packed: WordArray, depth: int, *, threads: int = 0) -> BoolArray: ...
@overload
def unpack(packed: torch.Tensor, depth: int, *, threads: int = 0) -> torch.Tensor: ...
def unpack(packed: Any, depth: int, *, threads: int = 0) -> Any:
    """Unpack words (..., X, Y, ceil(Z / 64)) of grids ``depth`` (Z) voxels deep: (..., X, Y, Z).

    >>> unpack(np.array([[[5]]], np.uint64), 3)
    array([[[ True, False,  True]]])
    """
    depth = check_at_least(depth, 1, "depth")
    array, kind = as_array(packed, "packed")
    if dtype_name(array) not in ("uint64", "int64"):
        raise InputError(f"packed: expected uint64 or int64 words, found {dtype_name(array)}")
    words = words_per_line(depth)
    if array.ndim not in (3, 4) or array.shape[-1] != words:
        raise InputError(
            f"packed: expected shape (X, Y, {words}) or (B, X, Y, {words}) for a depth of {depth}, "
            f"found {tuple(array.shape)}"
        )
    batched = array.ndim == 4
    words_in = contiguous(array if batched else array[None])
    if kind != "device":
        words_in = words_in.view(np.uint64)
    dense = core_of(array, "packed").unpack(words_in, depth, threads)
    return as_kind(dense if batched else dense[0], kind)
