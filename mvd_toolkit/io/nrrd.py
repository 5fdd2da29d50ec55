"""NRRD masks with their data in the same file (http://teem.sourceforge.net/nrrd/format.html).

A text header of ``field: value`` lines, an empty line, then the array, x fastest, raw, gzip or
ascii. Detached data (``.nhdr``, ``data file:``) is not read: it would let a file name any other.

``space origin`` is the centre of the first voxel, ``space directions`` the steps along the axes.
Where the space is named by the sides of a body, numbers are taken to right-anterior-superior, as
in NIfTI; in any other space they are taken as they are. Without directions, ``spacings`` and
``axis mins`` give the place.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.occupancy import (
    Layout,
    Stream,
    check_deflated,
    check_layout,
    read_occupancy,
    slabs,
)
from mvd_toolkit.io.orientation import oriented

_MAX_HEADER_LINES = 1024
_MAX_LINE_BYTES = 4096
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_SIDES = {
    **dict.fromkeys(("right-anterior-superior", "RAS"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "LAS"), (-1, 1, 1)),
    **dict.fromkeys(("left-posterior-superior", "LPS"), (-1, -1, 1)),
}
"""What the numbers of a space are multiplied with to be right-anterior-superior."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_VECTOR = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)")


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a NRRD file."""
    return re.match(rb"NRRD000[1-9]", head) is not None


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read a NRRD file.

    Raises:
        InputError: malformed, truncated, detached, not three axes, or over a limit.
    """
    with path.open("rb") as file:
        fields = _read_header(path, file)
        layout = _layout(path, fields)
        check_layout(path, str(path), layout, limits)
        steps, first = _place(path, fields)
        stream = _stream(path, fields, file, layout)
        try:
            grid = read_occupancy(path, str(path), stream, layout, limits)
            rest = stream.read(1)
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: expected gzip data, found: {error}") from error
    if rest:
        raise InputError(f"{path}: expected {layout.data_bytes} bytes of data, found more")
    return oriented(path, grid, steps, first)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write uint8, gzipped, with the centre of the first voxel and the steps along the axes."""
    steps = " ".join(f"({','.join(map(repr, row))})" for row in np.diag(grid.spacing).tolist())
    first = [o + s / 2 for o, s in zip(grid.origin, grid.spacing, strict=True)]
    header = (
        "NRRD0004\n# mvd_toolkit\ntype: uint8\ndimension: 3\n"
        "space: right-anterior-superior\n"
        f"sizes: {' '.join(map(str, grid.shape))}\n"
        f"space directions: {steps}\n"
        "kinds: domain domain domain\nencoding: gzip\n"
        f"space origin: ({','.join(map(repr, first))})\n\n"
    )
    file.write(header.encode("ascii"))
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="", mtime=0) as packed:
        for slab in slabs(grid, fortran_order=True):
            packed.write(slab.data)


def _read_header(path: Path, file: BinaryIO) -> dict[str, str]:
    """The fields by name, lower case; the file is left at the data."""
    magic = file.readline(_MAX_LINE_BYTES)
    if not matches(magic, 0):
        raise InputError(f"{path}: line 1: expected 'NRRD0004' or the like, found {magic[:40]!r}")
    fields: dict[str, str] = {}
    for number in range(2, _MAX_HEADER_LINES):
        line = file.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise InputError(f"{path}: line {number}: expected a header line, found {line[:60]!r}")
        text = line.decode("latin-1").strip()
        if not text:
            return fields
        if text.startswith("#") or re.match(r"[^:]*:=", text):
            continue  # comments, and values under a user's own keys
        name, colon, value = text.partition(":")
        if not colon:
            raise InputError(f"{path}: line {number}: expected 'field: value', found {text[:60]!r}")
        fields[name.strip().lower()] = value.strip()
    raise InputError(f"{path}: expected an empty line within {_MAX_HEADER_LINES} lines, found none")


def _layout(path: Path, fields: Mapping[str, str]) -> Layout:
    for name in ("type", "dimension", "sizes", "encoding"):
        if name not in fields:
            raise InputError(f"{path}: header: expected '{name}', found {sorted(fields)}")
    detached = {"data file", "datafile"} & fields.keys()
    if detached:
        raise InputError(
            f"{path}: expected the data in the same file, found '{min(detached)}: "
            f"{fields[min(detached)][:60]}'"
        )
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(name, "0") != "0":
            raise InputError(f"{path}: {name}: expected 0, found {fields[name][:40]!r}")
    sizes = fields["sizes"].split()
    if fields["dimension"] != "3" or len(sizes) != 3:
        raise InputError(
            f"{path}: expected 3 dimensions and sizes, found {fields['dimension'][:20]!r} "
            f"and {fields['sizes'][:60]!r}"
        )
    if not all(size.isascii() and size.isdigit() and len(size) < 19 for size in sizes):
        raise InputError(f"{path}: sizes: expected whole numbers, found {fields['sizes'][:60]!r}")
    kind = _TYPES.get(fields["type"].lower())
    if kind is None:
        raise InputError(f"{path}: type: expected one of numbers, found {fields['type'][:40]!r}")
    return Layout(tuple(map(int, sizes)), np.dtype(_order(path, fields, kind) + kind), True)


def _order(path: Path, fields: Mapping[str, str], kind: str) -> str:
    endian = fields.get("endian", "little" if kind[1] == "1" or _is_text(fields) else "")
    if endian not in ("little", "big"):
        raise InputError(f"{path}: endian: expected little or big, found {endian[:20]!r}")
    return "<" if endian == "little" else ">"


def _is_text(fields: Mapping[str, str]) -> bool:
    return fields["encoding"].lower() in ("ascii", "text", "txt")


def _stream(path: Path, fields: Mapping[str, str], file: BinaryIO, layout: Layout) -> Stream:
    """What gives the bytes of the array, once the file has been seen to be long enough."""
    begin = file.tell()
    left = file.seek(0, 2) - begin
    file.seek(begin)
    encoding = fields["encoding"].lower()
    if encoding == "raw":
        if left != layout.data_bytes:
            raise InputError(f"{path}: expected {layout.data_bytes} bytes of data, found {left}")
        return file
    if encoding in ("gzip", "gz"):
        check_deflated(f"{path}: data", left, layout.data_bytes)
        return cast(Stream, gzip.GzipFile(fileobj=file, mode="rb"))
    if _is_text(fields):
        if left < 2 * math.prod(layout.shape) - 1:
            raise InputError(
                f"{path}: expected {math.prod(layout.shape)} numbers, found {left} bytes"
            )
        return _Text(path, file, layout.dtype)
    raise InputError(f"{path}: encoding: expected raw, gzip or ascii, found {encoding[:40]!r}")


class _Text:
    """Numbers in words, read as the bytes they would be."""

    def __init__(self, path: Path, file: BinaryIO, dtype: np.dtype[np.generic]) -> None:
        self._path = path
        self._file = file
        self._dtype = dtype
        self._words: list[bytes] = []
        self._cut = b""

    def read(self, size: int) -> bytes:
        """The next numbers, up to ``size`` bytes of them."""
        count = max(1, size // self._dtype.itemsize)
        while len(self._words) < count and (block := self._file.read(1 << 20)):
            *words, last = re.split(rb"[\s,]+", self._cut + block)
            self._words += [word for word in words if word]
            self._cut = last
            if len(last) > 64:
                raise InputError(f"{self._path}: expected numbers, found {last[:40]!r}")
        if len(self._words) < count and self._cut:
            self._words.append(self._cut)
            self._cut = b""
        taken, self._words = self._words[:count], self._words[count:]
        try:
            return np.array(taken, np.bytes_).astype(self._dtype).tobytes() if taken else b""
        except (ValueError, OverflowError) as error:
            raise InputError(f"{self._path}: expected numbers, found: {error}") from error


def _place(
    path: Path, fields: Mapping[str, str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The steps along the axes, as columns, and the centre of the first voxel."""
    if "space directions" not in fields:
        return _place_by_axes(path, fields)
    found = _VECTOR.findall(fields["space directions"])
    if len(found) != 3:
        raise InputError(
            f"{path}: space directions: expected three vectors, found "
            f"{fields['space directions'][:80]!r}"
        )
    steps = np.array(found, np.float64).T
    start = _VECTOR.fullmatch(fields.get("space origin", "(0,0,0)"))
    if start is None:
        raise InputError(
            f"{path}: space origin: expected a vector, found {fields['space origin'][:80]!r}"
        )
    first = np.array(start.groups(), np.float64)
    space = fields.get("space", "")
    side = np.array(_SIDES.get(space, _SIDES.get(space.lower(), (1, 1, 1))))
    return steps * side[:, None], first * side


def _place_by_axes(
    path: Path, fields: Mapping[str, str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    spacings = _three(path, fields, "spacings", 1.0)
    lowest = _three(path, fields, "axis mins", 0.0)
    centred = fields.get("centers", fields.get("centerings", "")).split()
    half = [0.0 if word == "node" else 0.5 for word in [*centred, "", "", ""][:3]]
    return np.diag(spacings), lowest + spacings * half


def _three(
    path: Path, fields: Mapping[str, str], name: str, default: float
) -> npt.NDArray[np.float64]:
    text = fields.get(name, fields.get(name.replace(" ", ""), f"{default} " * 3))
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise InputError(f"{path}: {name}: expected three numbers, found {text[:60]!r}")
    return np.array([default if math.isnan(number) else number for number in numbers])


FORMAT = Format(
    name="nrrd",
    suffixes=(".nrrd",),
    kind="grid",
    keeps="occupancy, origin, spacing",
    matches=matches,
    read=read,
    write=write,
)
