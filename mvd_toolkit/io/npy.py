"""NumPy arrays of occupancy, (X, Y, Z).

``bool`` and whole numbers 0 and 1 (or 0 and 255, a mask) say it outright; floats lie in [0, 1] and
mean occupied from 0.5 up. An array is read in pieces and packed piece by piece: memory is that of
the packed grid, whatever its type or the compression around it.

The header is parsed by NumPy and checked against the size of the file and the limits before
anything is allocated: ``np.load`` trusts it, and reserves 931 GiB for a forged file of 128 bytes.
Pickled arrays are never read.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import WORD_BITS, VoxelGrid, words_per_line
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits

THRESHOLD = 0.5
"""A voxel given as a float is occupied from here up."""

_MAGIC = b"\x93NUMPY"
_PIECE_BYTES = 1 << 24


@dataclass(frozen=True)
class Header:
    """What the header of a .npy stream says."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    bytes: int

    @property
    def data_bytes(self) -> int:
        """Bytes that must follow the header."""
        return math.prod(self.shape) * self.dtype.itemsize


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a .npy file."""
    return head.startswith(_MAGIC)


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read a .npy file; the grid's voxel (0, 0, 0) lies at the origin, its voxels have edge 1.

    Raises:
        InputError: malformed, truncated, over a limit, not (X, Y, Z), or no occupancy.
    """
    with path.open("rb") as file:
        header = read_header(str(path), file)
        check_size(str(path), header, path.stat().st_size)
        return read_occupancy(path, str(path), file, header, limits)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write (X, Y, Z) bool, a slab at a time. Origin and spacing are not kept."""
    header = {"descr": "|b1", "fortran_order": False, "shape": grid.shape}
    np.lib.format.write_array_header_1_0(file, header)
    x, y, z = grid.shape
    step = max(1, _PIECE_BYTES // max(1, y * z))
    for begin in range(0, x, step):
        slab = np.ascontiguousarray(grid.packed[begin : begin + step])
        file.write(_core.unpack(slab[None], z).data)


def read_header(where: str, file: BinaryIO) -> Header:
    """Parse the header of a .npy stream; the stream is left at its data.

    Raises:
        InputError: there is none that NumPy accepts, or it announces Python objects.
    """
    begin = file.tell()
    try:
        # The parser warns of headers that Python 2 wrote; they are fine.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(file)
            parse = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran_order, dtype = parse(file)
    except KeyError as error:
        raise InputError(f"{where}: expected .npy version 1.0 or 2.0, found {error}") from error
    except Exception as error:  # whatever the parser trips over, the header is malformed
        raise InputError(f"{where}: expected a .npy header, found: {error}") from error
    if dtype.hasobject:
        raise InputError(f"{where}: expected numbers, found Python objects, which are never read")
    if min(shape, default=1) < 0:
        raise InputError(f"{where}: shape: expected no negative number, found {shape}")
    return Header(shape, fortran_order, dtype, file.tell() - begin)


def check_size(where: str, header: Header, size: int) -> None:
    """Raise InputError unless a .npy stream of ``size`` bytes holds what its header announces."""
    expected = header.bytes + header.data_bytes
    if size != expected:
        raise InputError(
            f"{where}: expected {expected} bytes for {header.dtype} of shape {header.shape}, "
            f"found {size}"
        )


def read_occupancy(
    path: Path, where: str, file: BinaryIO, header: Header, limits: Limits
) -> VoxelGrid:
    """Read and pack the (X, Y, Z) array whose header has just been read and checked."""
    if len(header.shape) != 3:
        raise InputError(f"{where}: expected 3 axes (x, y, z), found shape {header.shape}")
    if header.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected bool, integers or floats, found {header.dtype}")
    x, y, z = header.shape
    limits.check_grid(path, (x, y, z))
    packed = np.zeros((x, y, words_per_line(z)), np.uint64)
    fill = _fill_from_fortran if header.fortran_order else _fill_from_c
    fill(where, file, header, packed)
    return VoxelGrid(packed, (x, y, z))


def _fill_from_c(
    where: str, file: BinaryIO, header: Header, packed: npt.NDArray[np.uint64]
) -> None:
    """Pack data in C order: z fastest."""
    x, y, z = header.shape
    words = packed.reshape(x * y, -1)
    for line, lines, begin, depth in _pieces(x * y, z, header.dtype.itemsize):
        piece = _read_piece(where, file, header.dtype, lines * depth).reshape(1, 1, lines, depth)
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
    depth = _PIECE_BYTES // itemsize // WORD_BITS * WORD_BITS
    for line in range(lines):
        for begin in range(0, z, depth):
            yield line, 1, begin, min(depth, z - begin)


def _fill_from_fortran(
    where: str, file: BinaryIO, header: Header, packed: npt.NDArray[np.uint64]
) -> None:
    """Pack data in Fortran order, x fastest: layers of z, 64 of them (or more) at a time."""
    x, y, z = header.shape
    step = max(1, _PIECE_BYTES // (x * y) // WORD_BITS) * WORD_BITS
    for begin in range(0, z, step):
        depth = min(step, z - begin)
        layers = np.empty(depth * y * x, np.bool_)
        piece = max(1, _PIECE_BYTES // header.dtype.itemsize)
        for at in range(0, layers.size, piece):
            part = layers[at : at + piece]
            part[:] = _read_piece(where, file, header.dtype, part.size)
        dense = np.ascontiguousarray(layers.reshape(depth, y, x).T)
        word = begin // WORD_BITS
        packed[:, :, word : word + words_per_line(depth)] = _core.pack(dense[None])[0]


def _read_piece(
    where: str, file: BinaryIO, dtype: np.dtype[Any], count: int
) -> npt.NDArray[np.bool_]:
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise InputError(
            f"{where}: expected {count * dtype.itemsize} more bytes of data, found {len(data)}"
        )
    return _occupied(where, np.frombuffer(data, dtype))


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
        raise InputError(f"{where}: expected {expected}, found {values[bad.argmax()]}")
    return occupied


FORMAT = Format(
    name="npy",
    suffixes=(".npy",),
    kind="grid",
    keeps="occupancy; no origin, no spacing",
    matches=matches,
    read=read,
    write=write,
)
