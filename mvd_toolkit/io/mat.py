"""MATLAB files, level 5 (``-v6``, ``-v7``, and what SciPy's ``savemat`` writes): one 3-D array.

Of several arrays the one called ``model`` is read, as in the files of the paper's authors, whose
``low_model`` beside it is left out; a `FormatWarning` says so. Files of ``-v7.3`` are HDF5 and are
not read.

https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf. A file is a list of elements:
type, length, bytes; arrays are elements of elements, most often deflated. SciPy's reader unpacks
what a length says, whatever the size of the file; here lengths, shapes and limits are compared
before anything is unpacked, and an array is packed into bits piece by piece.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mvd_toolkit.errors import FormatWarning, InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.occupancy import Layout, Stream, check_deflated, read_occupancy, slabs

PREFERRED = "model"
"""Which of several 3-D arrays is read."""

WRITTEN = "model"
"""What our own array is called."""

_HEADER_BYTES = 128
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_INT8, _UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 2, 5, 6, 14, 15
_NUMERIC = range(6, 16)  # classes of full arrays: double, single and the whole numbers
_CLASS_UINT8 = 9
_LOGICAL, _COMPLEX = 0x02, 0x08  # bits of the second byte of an array's flags
_MAX_AXES = 32
_MAX_NAME = 4096
_MAX_ARRAYS = 1024
_INFLATE_PIECE = 1 << 16


@dataclass(frozen=True)
class _Array:
    """An array of a file: where its element begins, what it is called, how it is laid out."""

    element: int
    name: str
    layout: Layout


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins with the header of a level 5 MAT-file."""
    return head[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read the 3-D array of a file, or ``model`` of several.

    Raises:
        InputError: malformed, truncated, without such an array, or over a limit.
    """
    with path.open("rb") as file:
        order = _order(path, file)
        size = path.stat().st_size
        arrays = []
        for element in _elements(path, file, order, size):
            with _content(path, file, order, element) as (where, stream, length):
                arrays += _describe(where, stream, order, length, element)
        chosen = _choose(path, arrays)
        limits.check_grid(path, chosen.layout.shape)  # type: ignore[arg-type]
        with _content(path, file, order, chosen.element) as (where, stream, length):
            _describe(where, stream, order, length, chosen.element)  # up to the numbers
            return read_occupancy(path, f"{path}: {chosen.name}", stream, chosen.layout, limits)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write a logical array called ``model``, deflated."""
    voxels = math.prod(grid.shape)
    padding = -voxels % 8
    head = (
        struct.pack("<IIBBHI", _UINT32, 8, _CLASS_UINT8, _LOGICAL, 0, 0)
        + struct.pack("<IIiiii", _INT32, 12, *grid.shape, 0)
        + struct.pack("<II8s", _INT8, len(WRITTEN), WRITTEN.encode())
        + struct.pack("<II", _UINT8, voxels & 0xFFFFFFFF)
    )
    length = len(head) + voxels + padding
    _check_length(length)
    text = b"MATLAB 5.0 MAT-file, mvd_toolkit".ljust(116) + bytes(8)
    file.write(text + struct.pack("<H2s", 0x0100, b"IM"))
    at = file.tell()
    file.write(struct.pack("<II", _COMPRESSED, 0))
    deflate = zlib.compressobj(1)
    file.write(deflate.compress(struct.pack("<II", _MATRIX, length) + head))
    for slab in slabs(grid, fortran_order=True):
        file.write(deflate.compress(slab.data))
    file.write(deflate.compress(bytes(padding)) + deflate.flush())
    end = file.tell()
    file.seek(at + 4)
    file.write(struct.pack("<I", end - at - 8))
    file.seek(end)


def _check_length(length: int) -> None:
    if length >= 2**32:
        raise UsageError(f"mat: expected fewer than {2**32} voxels, found {length} bytes of them")


def _order(path: Path, file: BinaryIO) -> str:
    head = file.read(_HEADER_BYTES)
    if head.startswith(b"MATLAB 7.3") or head.startswith(b"\x89HDF"):
        raise InputError(
            f"{path}: expected a MAT-file of level 5, found HDF5; in MATLAB, save(…, '-v7')"
        )
    if len(head) != _HEADER_BYTES or not matches(head, 0):
        raise InputError(f"{path}: expected the header of a MAT-file, found {head[:20]!r}")
    return "<" if head[126:128] == b"IM" else ">"


def _elements(path: Path, file: BinaryIO, order: str, size: int) -> Iterator[int]:
    """Where each element of the file begins."""
    at = _HEADER_BYTES
    for _ in range(_MAX_ARRAYS):
        if at == size:
            return
        file.seek(at)
        tag = file.read(8)
        if len(tag) < 8:
            raise InputError(f"{path}: byte {at}: expected an element, found {len(tag)} bytes")
        _, length = struct.unpack(f"{order}II", tag)
        if at + 8 + length > size:
            raise InputError(
                f"{path}: byte {at}: expected an element of {length} bytes, found {size - at - 8}"
            )
        yield at
        at += 8 + length
    raise InputError(f"{path}: expected at most {_MAX_ARRAYS} arrays, found more")


@contextmanager
def _content(
    path: Path, file: BinaryIO, order: str, element: int
) -> Iterator[tuple[str, Stream, int]]:
    """The bytes of an array's element, unpacked, and how many it says there are; 0: no array."""
    where = f"{path}: element at byte {element}"
    file.seek(element)
    kind, length = struct.unpack(f"{order}II", file.read(8))
    if kind == _MATRIX:
        yield where, _Part(file, length), length
        return
    if kind != _COMPRESSED:
        yield where, _Part(file, 0), 0
        return
    stream = _Inflated(_Part(file, length))
    try:
        kind, unpacked = struct.unpack(f"{order}II", _take(where, stream, 8))
        if kind != _MATRIX:
            yield where, _Part(file, 0), 0
            return
        check_deflated(where, length, unpacked)
        yield where, stream, unpacked
    except zlib.error as error:
        raise InputError(f"{where}: expected deflated data, found: {error}") from error


def _describe(where: str, stream: Stream, order: str, length: int, element: int) -> list[_Array]:
    """The full array of numbers that an element is, or none; the stream is left at the numbers."""
    if length == 0:
        return []
    flags = _small(where, stream, order, _UINT32, 8).ljust(8, b"\0")
    word = struct.unpack(f"{order}I", flags[:4])[0]
    kind, complex_ = word & 0xFF, bool(word >> 8 & _COMPLEX)
    edges = _small(where, stream, order, _INT32, 4 * _MAX_AXES)
    shape = tuple(int(n) for n in np.frombuffer(edges[: len(edges) // 4 * 4], f"{order}i4"))
    name = _small(where, stream, order, _INT8, _MAX_NAME).decode("latin-1")
    if kind not in _NUMERIC or complex_ or len(shape) != 3:
        return []
    number, size, _ = _tag(where, stream, order)
    if number not in _TYPES:
        raise InputError(f"{where}: {name}: expected numbers, found type {number}")
    layout = Layout(shape, np.dtype(order + _TYPES[number]), True)
    if min(shape) < 0 or layout.data_bytes != size or size > length:
        raise InputError(
            f"{where}: {name}: expected {layout.data_bytes} bytes for {layout.dtype} of shape "
            f"{shape}, found {size} in {length}"
        )
    return [_Array(element, name, layout)]


def _choose(path: Path, arrays: list[_Array]) -> _Array:
    named = [array for array in arrays if array.name == PREFERRED]
    if len(arrays) != 1 and len(named) != 1:
        listed = ", ".join(f"{array.name} {array.layout.shape}" for array in arrays)
        raise InputError(
            f"{path}: expected one 3-D array of numbers, or one called {PREFERRED!r}, found "
            f"{listed or 'none'}"
        )
    chosen = arrays[0] if len(arrays) == 1 else named[0]
    others = [array.name for array in arrays if array is not chosen]
    if others:
        said = f"{path}: read {chosen.name}, left out {', '.join(others)}"
        warnings.warn(said, FormatWarning, stacklevel=3)
    return chosen


def _tag(where: str, stream: Stream, order: str) -> tuple[int, int, bool]:
    """Type and length of an element, and whether its content stands in the tag itself."""
    first = struct.unpack(f"{order}I", _take(where, stream, 4))[0]
    if first >> 16:
        return first & 0xFFFF, first >> 16, True
    return first, struct.unpack(f"{order}I", _take(where, stream, 4))[0], False


def _small(where: str, stream: Stream, order: str, wanted: int, most: int) -> bytes:
    """The content of an element of at most so many bytes; the stream is left at the next."""
    kind, size, small = _tag(where, stream, order)
    if kind != wanted or size > most or (small and size > 4):
        raise InputError(
            f"{where}: expected an element of type {wanted} and at most {most} bytes, found "
            f"type {kind} and {size} bytes"
        )
    content = _take(where, stream, 4 if small else size + -size % 8)
    return content[:size]


def _take(where: str, stream: Stream, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise InputError(f"{where}: expected {size} more bytes, found {len(content)}")
    return content


class _Part:
    """The next ``length`` bytes of a file."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        return content


class _Inflated:
    """What deflated bytes unpack to, never more at a time than is asked for."""

    def __init__(self, packed: _Part) -> None:
        self._packed = packed
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""
        pieces = []
        while size > 0 and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._packed.read(_INFLATE_PIECE)
            piece = self._inflate.decompress(packed, size)
            if not packed and not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


FORMAT = Format(
    name="mat",
    suffixes=(".mat",),
    kind="grid",
    keeps="occupancy; no origin, no spacing",
    matches=matches,
    read=read,
    write=write,
    place=False,
)
