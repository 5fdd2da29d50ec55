"""PLY files: ASCII and binary of either byte order in, binary little-endian out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, polygon_mesh

_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
    "int64": "i8",
    "uint64": "u8",
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_INDEX_NAMES = ("vertex_indices", "vertex_index")
_MAX_HEADER_LINES = 1024
_MAX_LINE_BYTES = 4096

_ROW = np.dtype([("corners", "u1"), ("vertices", "<i4", 3)])


@dataclass(frozen=True)
class Property:
    """A column: of one value a row, or of a list with its own count."""

    name: str
    type: str
    count_type: str | None = None


@dataclass(frozen=True)
class Element:
    """A table of ``count`` rows."""

    name: str
    count: int
    properties: list[Property]


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a PLY file."""
    return re.match(rb"ply\s*\n", head) is not None


def read(path: Path, limits: Limits) -> Mesh:
    """Read the vertices and faces of a PLY file, and nothing else.

    Raises:
        InputError: malformed, truncated, without faces, a face points at no vertex, or over a
            limit.
    """
    with path.open("rb") as file:
        order, elements = read_header(path, file)
        by_name = {element.name: element for element in elements}
        if not {"vertex", "face"} <= by_name.keys():
            raise InputError(
                f"{path}: expected elements 'vertex' and 'face', found {list(by_name)}"
            )
        limits.check_mesh(path, by_name["vertex"].count, by_name["face"].count)
        data = file.read()
    if order == "":
        data, elements = as_binary(path, data, elements)
    table = Table(path, data, order or "=")
    vertices, blocks = None, None
    for element in elements:
        if element.name == "vertex":
            vertices = columns(path, table, element)
        elif element.name == "face":
            blocks = _faces(path, table, element)
        else:
            table.rows(element)
        if vertices is not None and blocks is not None:
            break  # what follows is not read
    assert vertices is not None
    assert blocks is not None
    return polygon_mesh(path, vertices, blocks, limits)


def write(mesh: Mesh, file: BinaryIO) -> None:
    """Write a binary PLY file: float64 vertices, int32 indices.

    Raises:
        UsageError: more vertices than 32-bit indices can number.
    """
    if len(mesh.vertices) > 2**31:
        raise UsageError(f"ply: expected at most {2**31} vertices, found {len(mesh.vertices)}")
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment mvd_toolkit\n"
        f"element vertex {len(mesh.vertices)}\n"
        "property double x\nproperty double y\nproperty double z\n"
        f"element face {len(mesh.faces)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    file.write(header.encode("ascii"))
    file.write(mesh.vertices.astype("<f8", copy=False).data)
    rows = np.empty(len(mesh.faces), _ROW)
    rows["corners"] = 3
    rows["vertices"] = mesh.faces
    file.write(rows.data)


def read_header(path: Path, file: BinaryIO) -> tuple[str, list[Element]]:
    """The byte order ("" for ASCII) and the tables; the file is left at the first row."""
    order = None
    elements: list[Element] = []
    for number in range(1, _MAX_HEADER_LINES + 1):
        line = file.readline(_MAX_LINE_BYTES)
        words = line.decode("latin-1").split()
        if not line.endswith(b"\n") and words != ["end_header"]:
            raise InputError(f"{path}: line {number}: expected 'end_header', found {line[:60]!r}")
        match words:
            case ["ply"] if number == 1:
                continue
            case [] | ["comment", *_] | ["obj_info", *_]:
                continue
            case ["format", name, "1.0"] if name in _ORDERS:
                order = _ORDERS[name]
            case ["element", name, count] if re.fullmatch(r"[0-9]{1,18}", count):
                elements.append(Element(name, int(count), []))
            case ["property", "list", count_type, type_, name] if (
                elements
                and count_type in _TYPES
                and type_ in _TYPES
                and "f" not in _TYPES[count_type]
            ):
                elements[-1].properties.append(Property(name, _TYPES[type_], _TYPES[count_type]))
            case ["property", type_, name] if elements and type_ in _TYPES:
                elements[-1].properties.append(Property(name, _TYPES[type_]))
            case ["end_header"] if order is not None:
                return order, elements
            case _:
                raise InputError(
                    f"{path}: line {number}: expected a line of a PLY header, found {line[:60]!r}"
                )
    raise InputError(f"{path}: expected 'end_header' within {_MAX_HEADER_LINES} lines, found none")


def as_binary(path: Path, data: bytes, elements: list[Element]) -> tuple[bytes, list[Element]]:
    """The numbers of an ASCII file, and its tables, as if all were doubles."""
    words = data.split()
    try:
        numbers = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError as error:
        raise InputError(f"{path}: expected numbers, found: {error}") from error
    doubles = [
        Element(
            element.name,
            element.count,
            [Property(p.name, "f8", p.count_type and "f8") for p in element.properties],
        )
        for element in elements
    ]
    return numbers.tobytes(), doubles


class Table:
    """The rows of a binary file, one element after the other."""

    def __init__(self, path: Path, data: bytes, order: str) -> None:
        self._path = path
        self._data = np.frombuffer(data, np.uint8)
        self._order = order
        self._at = 0

    def rows(self, element: Element, wanted: int = 0) -> tuple[npt.NDArray[Any], ...]:
        """Where property number ``wanted`` lies in each row: (n,) first bytes, (n,) lengths.

        Goes on to the next element. Most tables have rows of one layout, that of the first: then
        nothing is walked.
        """
        size = sum(np.dtype(p.count_type or p.type).itemsize for p in element.properties)
        if element.count * size > len(self._data) - self._at:
            raise self._short(element)
        if element.count == 0 or not element.properties:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return self._same_rows(element, wanted) or self._walk_rows(element, wanted)

    def values(self, starts: npt.NDArray[np.int64], type_: str, width: int) -> npt.NDArray[Any]:
        """(n, width) values that begin at these bytes."""
        dtype = np.dtype(self._order + type_)
        lanes = np.arange(width * dtype.itemsize)
        taken: npt.NDArray[Any] = self._data[starts[:, None] + lanes].view(dtype)
        return taken

    def _same_rows(self, element: Element, wanted: int) -> tuple[npt.NDArray[Any], ...] | None:
        """As `rows`, if all rows are laid out like the first."""
        places, row = self._layout(element, self._at)
        if element.count * row > len(self._data) - self._at:
            return None
        firsts = self._at + row * np.arange(element.count)
        for (start, length), column in zip(places, element.properties, strict=True):
            if column.count_type:
                width = np.dtype(column.count_type).itemsize
                counts = self.values(firsts + (start - self._at - width), column.count_type, 1)
                if not (counts == length).all():
                    return None
        start, length = places[wanted]
        starts = firsts + (start - self._at)
        self._at += row * element.count
        return starts, np.full(element.count, length)

    def _walk_rows(self, element: Element, wanted: int) -> tuple[npt.NDArray[Any], ...]:
        found = np.empty((element.count, 2), np.int64)
        for i in range(element.count):
            places, row = self._layout(element, self._at)
            found[i] = places[wanted]
            self._at += row
        return found[:, 0], found[:, 1]

    def _layout(self, element: Element, row: int) -> tuple[list[tuple[int, int]], int]:
        """(first byte, values) of each property of the row at this byte, and the row's bytes."""
        places = []
        at = row
        for column in element.properties:
            count = 1
            if column.count_type:
                dtype = np.dtype(self._order + column.count_type)
                field = self._data[at : at + dtype.itemsize]
                if len(field) < dtype.itemsize:
                    raise self._short(element)
                value = field.view(dtype)[0]
                if not (0 <= value <= len(self._data)) or value != int(value):
                    raise InputError(
                        f"{self._path}: element {element.name!r}: expected the length of a list, "
                        f"found {value}"
                    )
                count = int(value)
                at += dtype.itemsize
            places.append((at, count))
            at += count * np.dtype(column.type).itemsize
        if at > len(self._data):
            raise self._short(element)
        return places, at - row

    def _short(self, element: Element) -> InputError:
        return InputError(
            f"{self._path}: element {element.name!r}: expected {element.count} rows, found the "
            "end of the file"
        )


def columns(
    path: Path, table: Table, element: Element, wanted: Sequence[str] = "xyz"
) -> npt.NDArray[np.float64]:
    """(count, len(wanted)): these columns of an element; goes on to the next one.

    Raises:
        InputError: it lacks one of them, or the file ends before it.
    """
    names = [column.name for column in element.properties]
    lists = [column.name for column in element.properties if column.count_type]
    if lists or not set(wanted) <= set(names):
        raise InputError(
            f"{path}: element {element.name!r}: expected {', '.join(wanted)}, found {names}"
        )
    starts, _ = table.rows(element)
    sizes = [np.dtype(column.type).itemsize for column in element.properties]
    values = np.empty((element.count, len(wanted)))
    for place, name in enumerate(wanted):
        number = names.index(name)
        column = table.values(starts + sum(sizes[:number]), element.properties[number].type, 1)
        values[:, place] = column[:, 0]
    return values


def _faces(path: Path, table: Table, element: Element) -> list[npt.NDArray[np.int64]]:
    """The polygons, those of as many corners together."""
    names = [column.name for column in element.properties]
    number = next((names.index(name) for name in _INDEX_NAMES if name in names), None)
    if number is None or not element.properties[number].count_type:
        raise InputError(f"{path}: element 'face': expected a list 'vertex_indices', found {names}")
    starts, lengths = table.rows(element, number)
    blocks = []
    for length in np.unique(lengths):
        block = table.values(starts[lengths == length], element.properties[number].type, length)
        with np.errstate(invalid="ignore"):
            whole = block.astype(np.int64)
        if not (whole == block).all():
            raise InputError(f"{path}: element 'face': expected whole vertex numbers, found others")
        blocks.append(whole)
    return blocks


FORMAT = Format(
    name="ply",
    suffixes=(".ply",),
    kind="mesh",
    keeps="vertices, triangles",
    matches=matches,
    read=read,
    write=write,
)
