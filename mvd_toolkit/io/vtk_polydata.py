"""POLYDATA of legacy VTK files, which meshio does not read: polygons and strips of triangles.

https://docs.vtk.org/en/latest/vtk_file_formats/vtk_legacy_file_format.html; versions up to 4.2 hold
cells as counts and numbers in one list, 5.1 as offsets and numbers. Text or big-endian bytes.
Vertices, lines and all data of points and cells are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, polygon_mesh

_TYPES: Final = {
    **{"char": "i1", "unsigned_char": "u1", "short": "i2", "unsigned_short": "u2"},
    **{"int": "i4", "unsigned_int": "u4", "long": "i8", "unsigned_long": "u8"},
    **{"vtktypeint64": "i8", "vtktypeuint64": "u8", "vtkidtype": "i4"},
    **{"float": "f4", "double": "f8"},
}
_CELLS: Final = ("VERTICES", "LINES", "POLYGONS", "TRIANGLE_STRIPS")
_SECTION: Final = re.compile(
    rb"^(VERTICES|LINES|POLYGONS|TRIANGLE_STRIPS|POINT_DATA|CELL_DATA|POINTS)\b",
    re.MULTILINE | re.IGNORECASE,
)

_Numbers = npt.NDArray[Any]


def is_polydata(head: bytes) -> bool:
    """Whether a VTK file that begins so has a POLYDATA dataset."""
    return re.search(rb"^DATASET[ \t]+POLYDATA\b", head, re.MULTILINE | re.IGNORECASE) is not None


def read(path: Path, limits: Limits) -> Mesh:
    """Read the polygons and strips.

    Raises:
        InputError: malformed, truncated, without a face, a face points at no vertex, or over a
            limit.
    """
    data = path.read_bytes()
    begin = re.search(rb"^DATASET[ \t]+POLYDATA[ \t]*\r?\n", data, re.MULTILINE | re.IGNORECASE)
    kind = data.split(b"\n", 3)[2].strip().upper() if data.count(b"\n") > 2 else b""
    if begin is None or kind not in (b"ASCII", b"BINARY"):
        raise InputError(f"{path}: expected ASCII or BINARY and DATASET POLYDATA, found {kind!r}")
    cursor = _Cursor(path, data, begin.end(), kind == b"ASCII")
    vertices: _Numbers | None = None
    polygons: list[_Numbers] = []
    while (section := cursor.section()) is not None:
        name, words = section
        if name == "POINTS":
            count, dtype = cursor.count(words, 0), cursor.dtype(words, 1)
            limits.check_mesh(path, count, 0)
            vertices = cursor.values(3 * count, dtype).reshape(-1, 3).astype(np.float64)
        elif name in _CELLS:
            offsets, numbers = _cells(cursor, words)
            if name == "POLYGONS":
                polygons += _by_length(offsets, numbers)
            elif name == "TRIANGLE_STRIPS":
                polygons += [_strip(block) for block in _by_length(offsets, numbers)]
        else:
            break  # data of points and cells
    if vertices is None:
        raise InputError(f"{path}: expected POINTS, found none")
    return polygon_mesh(path, vertices, polygons, limits)


class _Cursor:
    """A place in a file."""

    def __init__(self, path: Path, data: bytes, at: int, text: bool) -> None:
        self._path = path
        self._data = data
        self._at = at
        self._text = text

    def section(self) -> tuple[str, list[str]] | None:
        """Name and words of the next section; None at the end."""
        found = _SECTION.search(self._data, self._at)
        if found is None:
            return None
        self._at = found.start()
        name, *words = self.line()
        return name.upper(), words

    def line(self) -> list[str]:
        """The words of this line; the place is then the next one."""
        end = self._data.find(b"\n", self._at)
        end = len(self._data) if end < 0 else end
        line = self._data[self._at : min(end, self._at + 1000)]
        self._at = end + 1
        return line.decode("latin-1").split()

    def peek(self) -> list[str]:
        """The words of this line; the place stays."""
        at = self._at
        words = self.line()
        self._at = at
        return words

    def count(self, words: list[str], which: int) -> int:
        """A word that is a count the file can hold."""
        word = words[which] if which < len(words) else ""
        if not re.fullmatch(r"[0-9]{1,18}", word) or int(word) > len(self._data):
            raise InputError(
                f"{self._path}: expected a count that {len(self._data)} bytes can hold, found "
                f"{word[:40]!r}"
            )
        return int(word)

    def dtype(self, words: list[str], which: int) -> np.dtype[Any]:
        """A word that is the name of a type."""
        word = words[which] if which < len(words) else ""
        if word.lower() not in _TYPES:
            raise InputError(f"{self._path}: expected a type of numbers, found {word[:40]!r}")
        return np.dtype(">" + _TYPES[word.lower()])

    def values(self, count: int, dtype: np.dtype[Any]) -> _Numbers:
        """The next numbers."""
        if self._text:
            stop = re.compile(rb"^[A-Za-z]", re.MULTILINE).search(self._data, self._at)
            end = stop.start() if stop else len(self._data)
            words = self._data[self._at : end].split()
            self._at = end
            found = len(words)
        else:
            found = max(len(self._data) - self._at, 0) // dtype.itemsize
        if found < count or (self._text and found != count):
            raise InputError(f"{self._path}: expected {count} numbers, found {found}")
        if not self._text:
            values = np.frombuffer(self._data, dtype, count, self._at)
            self._at += count * dtype.itemsize
            return values
        try:
            return np.array(words, np.bytes_).astype(dtype) if words else np.zeros(0, dtype)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{self._path}: expected numbers, found: {error}") from error

    def refuse(self, expected: str, found: object) -> InputError:
        """An error about cells."""
        return InputError(f"{self._path}: cells: expected {expected}, found {found}")

    def skip_blank(self) -> None:
        """Go past line ends."""
        while self._data[self._at : self._at + 1] in (b"\n", b"\r"):
            self._at += 1


def _cells(cursor: _Cursor, words: list[str]) -> tuple[_Numbers, _Numbers]:
    """(n + 1) offsets and the numbers of points that they divide."""
    count, size = cursor.count(words, 0), cursor.count(words, 1)
    head = cursor.peek()
    if head[:1] != ["OFFSETS"]:
        return _flat_cells(cursor, cursor.values(size, np.dtype(">i4")).astype(np.int64), count)
    cursor.line()
    offsets = cursor.values(count, cursor.dtype(head, 1)).astype(np.int64)
    cursor.skip_blank()
    head = cursor.line()
    if head[:1] != ["CONNECTIVITY"]:
        raise cursor.refuse("CONNECTIVITY", head[:1])
    numbers = cursor.values(size, cursor.dtype(head, 1)).astype(np.int64)
    if count and (offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any()):
        raise cursor.refuse(f"offsets from 0 up to {size}", offsets[[0, -1]].tolist())
    return offsets, numbers


def _flat_cells(cursor: _Cursor, flat: _Numbers, count: int) -> tuple[_Numbers, _Numbers]:
    """The same of a list of counts, each before its numbers."""
    lengths = np.empty(count, np.int64)
    heads = np.zeros(len(flat), bool)
    at = 0
    for cell in range(count):
        length = int(flat[at]) if at < len(flat) else -1
        if length < 0:
            raise cursor.refuse(f"{count} counts of points", f"{cell} and then {length}")
        lengths[cell] = length
        heads[at] = True
        at += 1 + length
    if at != len(flat):
        raise cursor.refuse(f"{len(flat)} numbers", at)
    return np.concatenate([[0], np.cumsum(lengths)]), flat[~heads]


def _by_length(offsets: _Numbers, numbers: _Numbers) -> list[_Numbers]:
    """Blocks of cells of as many points each, (n, corners)."""
    lengths = np.diff(offsets)
    return [
        numbers[offsets[:-1][lengths == length][:, None] + np.arange(length)]
        for length in np.unique(lengths)
    ]


def _strip(block: _Numbers) -> _Numbers:
    """(n, corners) strips as (n * (corners - 2), 3) triangles; every other one is turned around."""
    if block.shape[1] < 3:
        return block
    triangles = np.stack([block[:, :-2], block[:, 1:-1], block[:, 2:]], axis=2)
    triangles[:, 1::2, :2] = triangles[:, 1::2, 1::-1]
    return triangles.reshape(-1, 3)
