"""Arrays of numbers that say which voxels are occupied: into packed words, and out of them.

``bool`` and whole numbers 0 and 1 (or 0 and 255, a mask) say it outright; floats lie in [0, 1] and
mean occupied from 0.5 up. Arrays are read and written in pieces of bounded size: memory is that of
the packed grid, whatever the type of the numbers or the compression around them.

A coarse array may hold fractions: floats, or bytes of which 255 is full. It is read whole, and the
grid keeps them as its coverage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import WORD_BITS, Vector, VoxelGrid, words_per_line
from mvd_toolkit.io.limits import Limits

THRESHOLD = 0.5
"""A voxel given as a float is occupied from here up."""

MAX_DEFLATE_RATIO = 1040
"""No deflated data unpacks to more than 1032 times its size, a few bytes apart."""

MAX_COVERAGE_VOXELS = 1 << 24
"""Fractions of a grid of more voxels (256³) are not kept: it is no coarse one."""

_PIECE_BYTES = 1 << 24


class Stream(Protocol):
    """Where an array comes from: a file, or what unpacks one."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""


@dataclass(frozen=True)
class Layout:
    """How an array lies in a stream of bytes.

    Attributes:
        shape: length of each axis.
        dtype: of its numbers.
        fortran_order: whether the first axis runs fastest, else the last.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def data_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def check_layout(path: Path, where: str, layout: Layout, limits: Limits) -> tuple[int, int, int]:
    """The shape of an array that can be read as occupancy.

    Raises:
        InputError: not three axes, no numbers, or over a limit.
    """
    if len(layout.shape) != 3:
        several = "; several grids are several files" if len(layout.shape) > 3 else ""
        raise InputError(f"{where}: expected 3 axes (x, y, z), found shape {layout.shape}{several}")
    if layout.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected bool, integers or floats, found {layout.dtype}")
    x, y, z = layout.shape
    limits.check_grid(path, (x, y, z))
    return x, y, z


def check_deflated(where: str, packed_bytes: int, unpacked_bytes: int) -> None:
    """Raise InputError unless so many deflated bytes can unpack to so many."""
    if unpacked_bytes > packed_bytes * MAX_DEFLATE_RATIO:
        raise InputError(
            f"{where}: expected a size that {packed_bytes} packed bytes can hold, "
            f"found {unpacked_bytes}"
        )


def read_occupancy(
    path: Path, where: str, stream: Stream, layout: Layout, limits: Limits
) -> VoxelGrid:
    """Read and pack the (X, Y, Z) array that a stream is at; voxels of edge 1 at the origin.

    Fractions in a coarse array become the grid's coverage.

    Args:
        path: the file, for messages about limits.
        where: what the array is called in other messages.
        stream: is left behind the array.
        layout: of the array; the caller has checked that the stream can be that long.
        limits: what to accept.

    Raises:
        InputError: truncated, over a limit, not three axes, or no occupancy.
    """
    x, y, z = check_layout(path, where, layout, limits)
    if x * y * z <= MAX_COVERAGE_VOXELS and _may_hold_fractions(layout.dtype):
        values = _read_values(where, stream, layout.dtype, x * y * z)
        occupied, coverage = _fractions(where, values)
        order: Literal["C", "F"] = "F" if layout.fortran_order else "C"
        grid = VoxelGrid.from_dense(occupied.reshape((x, y, z), order=order))
        if coverage is None:
            return grid
        return replace(
            grid, coverage=np.ascontiguousarray(coverage.reshape((x, y, z), order=order))
        )
    packed = np.zeros((x, y, words_per_line(z)), np.uint64)
    fill = _fill_from_fortran if layout.fortran_order else _fill_from_c
    fill(where, stream, layout, packed)
    return VoxelGrid(packed, (x, y, z))


def slabs(grid: VoxelGrid, *, fortran_order: bool) -> Iterator[npt.NDArray[np.bool_]]:
    """The dense array of a grid, in pieces that follow one another in a file: z or x fastest.

    Pieces are contiguous: (n, Y, Z) bool for C order, (n, Y, X) for Fortran order.
    """
    x, y, z = grid.shape
    if not fortran_order:
        step = max(1, _PIECE_BYTES // max(1, y * z))
        for begin in range(0, x, step):
            slab = np.ascontiguousarray(grid.packed[begin : begin + step])
            yield _core.unpack(slab[None], z)[0]
        return
    step = max(1, _PIECE_BYTES // max(1, x * y) // WORD_BITS)  # words
    for word in range(0, grid.packed.shape[2], step):
        slab = np.ascontiguousarray(grid.packed[:, :, word : word + step])
        depth = min(z - word * WORD_BITS, step * WORD_BITS)
        yield np.ascontiguousarray(_core.unpack(slab[None], depth)[0].T)


def placed(grid: VoxelGrid, path: Path, origin: Vector, spacing: Vector) -> VoxelGrid:
    """The grid elsewhere.

    Raises:
        InputError: the numbers are not finite, or a spacing is not positive.
    """
    try:
        return replace(grid, origin=origin, spacing=spacing)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _fill_from_c(
    where: str, stream: Stream, layout: Layout, packed: npt.NDArray[np.uint64]
) -> None:
    """Pack data in C order: z fastest."""
    x, y, z = layout.shape
    words = packed.reshape(x * y, -1)
    for line, lines, begin, depth in _pieces(x * y, z, layout.dtype.itemsize):
        piece = _read_piece(where, stream, layout.dtype, lines * depth).reshape(1, 1, lines, depth)
        word = begin // WORD_BITS
        words[line : line + lines, word : word + words_per_line(depth)] = _core.pack(piece)[0, 0]


def _pieces(lines: int, z: int, itemsize: int) -> Iterator[tuple[int, int, int, int]]:
    """(first line, lines, first voxel, voxels) of pieces of bounded size: whole lines, or words."""
    line_bytes = z * itemsize
    if line_bytes <= _PIECE_BYTES:
        step = _PIECE_BYTES // line_bytes
        for line in range(0, lines, step):
            yield line, min(step, lines - line), 0, z
        return
    depth = max(1, _PIECE_BYTES // itemsize // WORD_BITS) * WORD_BITS
    for line in range(lines):
        for begin in range(0, z, depth):
            yield line, 1, begin, min(depth, z - begin)


def _fill_from_fortran(
    where: str, stream: Stream, layout: Layout, packed: npt.NDArray[np.uint64]
) -> None:
    """Pack data in Fortran order, x fastest: layers of z, 64 of them (or more) at a time."""
    x, y, z = layout.shape
    step = max(1, _PIECE_BYTES // (x * y) // WORD_BITS) * WORD_BITS
    for begin in range(0, z, step):
        depth = min(step, z - begin)
        layers = np.empty(depth * y * x, np.bool_)
        piece = max(1, _PIECE_BYTES // layout.dtype.itemsize)
        for at in range(0, layers.size, piece):
            part = layers[at : at + piece]
            part[:] = _read_piece(where, stream, layout.dtype, part.size)
        dense = np.ascontiguousarray(layers.reshape(depth, y, x).T)
        word = begin // WORD_BITS
        packed[:, :, word : word + words_per_line(depth)] = _core.pack(dense[None])[0]


def _read_piece(
    where: str, stream: Stream, dtype: np.dtype[Any], count: int
) -> npt.NDArray[np.bool_]:
    return _occupied(where, _read_values(where, stream, dtype, count))


def _read_values(where: str, stream: Stream, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise InputError(
            f"{where}: expected {count * dtype.itemsize} more bytes of data, found {len(data)}"
        )
    return np.frombuffer(data, dtype)


def _may_hold_fractions(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == np.uint8


def _fractions(
    where: str, values: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32] | None]:
    """Where values mean occupied, and the fractions they are where some are no whole ones.

    Bytes are fractions of 255 where one is above the half; else they are labels, or 0 and 1 with an
    odd one out, and an error as before.
    """
    if values.dtype == np.uint8:
        whole = (values <= 1) | (values == 255)
        if whole.all() or values.max() <= 127:
            return _occupied(where, values), None
        values = values / np.float32(255)
    occupied = _occupied(where, values)
    partial = (values > 0) & (values < 1)
    return occupied, values.astype(np.float32) if partial.any() else None


def _occupied(where: str, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype.kind == "f":
        bad = ~((values >= 0) & (values <= 1))  # NaN too
        expected = "floats between 0 and 1"
        occupied = values >= THRESHOLD
    else:
        bytewise = values.view(np.uint8) if values.dtype.kind == "b" else values
        bad = (bytewise != 0) & (bytewise != 1) & (bytewise != 255)
        expected = "0 for empty and 1 (or 255) for occupied"
        occupied = bytewise != 0
    if bad.any():
        first = values[bad.argmax()]
        is_logit = values.dtype.kind == "f" and np.isfinite(first)
        logits = "; logits need a sigmoid first" if is_logit else ""
        raise InputError(f"{where}: expected {expected}, found {first}{logits}")
    return occupied
