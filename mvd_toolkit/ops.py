"""Operations on grids and their depth maps.

Each takes a `VoxelGrid`, a boolean NumPy array or a boolean CPU tensor, (X, Y, Z) or with a
leading batch axis, and returns the kind it was given; a batch is the single grid mapped.
``threads`` is how many threads to use, 0 for one a core: the result is the same for any number.
`reference` holds each of them in plain NumPy.

All raise `InputError` on arrays of the wrong shape or dtype, `UsageError` on an option that makes
no sense and `UnavailableError` on tensors that are not on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mvd_toolkit import _core
from mvd_toolkit._arrays import (
    BoolArray,
    WordArray,
    as_kind,
    as_numpy,
    check_at_least,
    dense_grids,
)
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import words_per_line

if TYPE_CHECKING:
    import torch


# Packed words -------------------------------------------------------------------------------------


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
    packed = _core.pack(dense, threads)
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
    array, kind = as_numpy(packed, "packed")
    if array.dtype not in (np.uint64, np.int64):
        raise InputError(f"packed: expected uint64 or int64 words, found {array.dtype}")
    words = words_per_line(depth)
    if array.ndim not in (3, 4) or array.shape[-1] != words:
        raise InputError(
            f"packed: expected shape (X, Y, {words}) or (B, X, Y, {words}) for a depth of {depth}, "
            f"found {tuple(array.shape)}"
        )
    batched = array.ndim == 4
    words_in = np.ascontiguousarray(array if batched else array[None]).view(np.uint64)
    dense = _core.unpack(words_in, depth, threads)
    return as_kind(dense if batched else dense[0], kind)
