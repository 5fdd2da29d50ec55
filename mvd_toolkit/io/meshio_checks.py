"""What is looked at before meshio may see a file: each check raises ValueError, or says how many
cells there have to be.

Readers of meshio allocate what a header says, or what the highest number of a node says, and
unpack whatever is packed. So counts and numbers are compared with the size of the file, each thing
taking a byte at least, and packed arrays are unpacked once into nothing, to see how long they are.
"""

from __future__ import annotations

import base64
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

ALWAYS: Final = 2**22
"""A number up to this is no danger, however small the file."""

_VTK_COUNTS = re.compile(
    rb"^(?:POINTS|CELLS|CELL_TYPES|POINT_DATA|CELL_DATA|LOOKUP_TABLE|FIELD|METADATA"
    rb"|[XYZ]_COORDINATES|\w{1,64}(?=[ \t]+[0-9]+[ \t]+[0-9]+[ \t]+[a-z_]+[ \t]*\r?$))"
    rb"[ \t]+([^\r\n]{1,200})",
    re.MULTILINE | re.IGNORECASE,
)
_NUMBER = re.compile(rb"(?<![\w.+-])[0-9]{1,40}(?![\w.])")
_LONG_NUMBER = re.compile(rb"(?<![\w.+-])0*([0-9]{8,})(?![\w.])")
_PACKED_ARRAY = re.compile(rb"<DataArray\b([^>]*)>([^<]*)</DataArray>")
_ATTRIBUTE = re.compile(rb"""\b(\w+)\s*=\s*["']([^"']*)["']""")
_PIECE: Final = 1 << 20

_GMSH_NODES: Final = (
    *(0, 2, 3, 4, 4, 8, 6, 5, 3, 6, 9, 10, 27, 18, 14, 1),
    *(8, 20, 15, 13, 9, 10, 12, 15, 15, 21, 4, 5, 6, 20, 35, 56),
)
"""Nodes of an element, by its kind in Gmsh's manual; there is no kind 0."""


def anything(data: bytes) -> None:
    """Nothing is to be refused beforehand."""


def numbers(data: bytes) -> None:
    """Refuse whole numbers that are larger than the file is long."""
    most = max(ALWAYS, len(data))
    for found in _LONG_NUMBER.finditer(data):
        if len(found[1]) > 18 or int(found[1]) > most:
            raise ValueError(
                f"expected whole numbers up to {most}, found {found[1][:30].decode()} at byte "
                f"{found.start(1)}"
            )


def vtk(data: bytes) -> int:
    """An unstructured grid, whose counts the file can hold; how many cells it announces."""
    dataset = re.search(rb"^DATASET[ \t]+(\S+)", data, re.MULTILINE | re.IGNORECASE)
    found = dataset[1].upper() if dataset else b"none"
    if found != b"UNSTRUCTURED_GRID":
        raise ValueError(
            "expected DATASET UNSTRUCTURED_GRID or POLYDATA, found "
            f"{found.decode('latin-1', 'replace')[:40]}"
        )
    for line in _VTK_COUNTS.finditer(data):
        _fit(data, line[0])
    types = re.search(rb"^CELL_TYPES[ \t]+([0-9]{1,18})\s", data, re.MULTILINE | re.IGNORECASE)
    if types is None:
        raise ValueError("expected CELL_TYPES and their number, found none")
    return int(types[1])


def vtu(data: bytes) -> None:
    """No document type, and no array that unpacks to more than the file can hold."""
    if re.search(rb"<!(DOCTYPE|ENTITY)", data):
        raise ValueError("expected XML without a document type, found <!DOCTYPE or <!ENTITY")
    kind = re.search(rb"<VTKFile\b[^>]*\btype\s*=\s*[\"']([^\"']*)", data)
    if kind is None or kind[1] != b"UnstructuredGrid":
        found = kind[1][:40].decode("latin-1") if kind else "none"
        raise ValueError(
            f"expected the type UnstructuredGrid, found {found}; VTK writes surfaces as PLY, STL "
            "or legacy .vtk, too"
        )
    root = dict(_ATTRIBUTE.findall(data[: data.find(b">", data.find(b"<VTKFile")) + 1]))
    packer = root.get(b"compressor", b"")
    if packer not in (b"vtkZLibDataCompressor", b"vtkLZMADataCompressor"):
        return
    if b"<AppendedData" in data:
        raise ValueError("expected packed arrays in their elements, found AppendedData")
    item = {b"UInt64": 8}.get(root.get(b"header_type", b""), 4)
    order = ">" if root.get(b"byte_order") == b"BigEndian" else "<"
    left = 64 * max(ALWAYS, len(data))
    for array in _PACKED_ARRAY.finditer(data):
        if dict(_ATTRIBUTE.findall(array[1])).get(b"format") == b"binary":
            for block in _blocks(array[2].strip(), f"{order}u{item}"):
                left -= _unpacked_bytes(block, packer, left)


def gmsh(data: bytes) -> None:
    """Counts and numbers of nodes that the file can hold."""
    head = re.search(rb"\$MeshFormat\s+([0-9.]+)\s+([01])\s+([0-9]+)", data)
    if head is None:
        raise ValueError("expected a version, a file type and a size after $MeshFormat, found none")
    if head[2] == b"0":
        numbers(data)
        return
    for match in re.finditer(rb"\$(?:Node|Element)Data[ \t]*\r?\n", data):
        _gmsh_values(data, match.end())
    if head[1].startswith(b"4.1") and head[3] == b"8":
        for name, check in _GMSH_4.items():
            begin = _section(data, name, needed=name in (b"$Nodes", b"$Elements"))
            if begin is not None:
                check(_Walk(data, begin))
        return
    if not head[1].startswith(b"2"):
        raise ValueError(
            "expected binary Gmsh 2, or 4.1 with sizes of 8 bytes, found "
            f"{head[1][:10].decode()} with {head[3][:10].decode()}"
        )
    for name in (b"$Nodes", b"$Elements"):
        begin = _section(data, name)
        assert begin is not None
        _fit(data, data[begin : begin + 40].split(b"\n")[0])
        if name == b"$Nodes":
            _gmsh_2_nodes(data, begin)


def abaqus(data: bytes) -> None:
    """One part, all of it in the file."""
    keyword = re.compile(rb"(?:\A|[\r\n])\s*\*?\s*([A-Za-z]+)\s*(?=,|[\r\n]|\Z)")
    keywords = [word.upper() for word in keyword.findall(data)]
    if b"INCLUDE" in keywords:
        raise ValueError("expected the whole mesh in one file, found *INCLUDE")
    if keywords.count(b"NODE") > 1:
        raise ValueError(
            f"expected one part, with one *NODE, found {keywords.count(b'NODE')} of them"
        )


def nastran(data: bytes) -> None:
    """An end, without which meshio reads for ever."""
    begin = re.search(rb"^[ \t]*BEGIN BULK", data, re.MULTILINE)
    if begin is None or re.search(rb"^ENDDATA", data[begin.end() :], re.MULTILINE) is None:
        raise ValueError("expected BEGIN BULK and ENDDATA after it, found the end of the file")


def su2(data: bytes) -> int:
    """Counts that the file can hold; how many cells they announce."""
    numbers(data)
    counts = re.findall(rb"^\s*(?:NELEM|MARKER_ELEMS)\s*=\s*([0-9]{1,18})\b", data, re.MULTILINE)
    return sum(map(int, counts))


def _fit(data: bytes, line: bytes) -> None:
    """Refuse a line with a count that is larger than the file is long.

    Of an array (a name, components, rows, a type) that is the product.
    """
    counts = [int(number[:19]) for number in _NUMBER.findall(line)]
    is_array = len(counts) == 2 and line.split()[-1].isalpha()
    most = counts[0] * counts[1] if is_array else max(counts, default=0)
    if most > max(ALWAYS, len(data)):
        shown = line[:60].decode("latin-1").strip()
        raise ValueError(f"expected counts that {len(data)} bytes can hold, found {shown!r}")


def _section(data: bytes, name: bytes, needed: bool = True) -> int | None:
    """Where the content of a section of a Gmsh file begins; None: there is no such section.

    Raises:
        ValueError: there is none though it is needed, or more than one, of which one would be
            looked at and another one read.
    """
    found = [match.end() for match in re.finditer(re.escape(name) + rb"[ \t]*\r?\n", data)]
    if len(found) > 1 or (needed and not found):
        raise ValueError(f"expected one {name.decode()}, found {len(found)}")
    return found[0] if found else None


def _gmsh_2_nodes(data: bytes, at: int) -> None:
    """(number, x, y, z) of each node, after a line with their count."""
    line_end = data.find(b"\n", at)
    count = int(data[at:line_end])
    row = np.dtype([("number", "<i4"), ("place", "<f8", 3)])
    nodes = _array(data, line_end + 1, row, count)
    _check_node_numbers(data, nodes["number"])


def _gmsh_values(data: bytes, at: int) -> None:
    """Values at nodes or elements: three lists of words, a line each, then the rows."""
    lines = iter(data[at : at + 4096].split(b"\n"))
    words: list[bytes] = []
    for _ in range(3):
        words = [next(lines, b"") for _ in range(min(64, int(next(lines, b"0"))))]
    if len(words) < 3:
        raise ValueError(f"expected a step, components and rows of data, found {words}")
    components, rows = int(words[1]), int(words[2])
    if not 0 <= rows * (4 + 8 * components) <= len(data):
        raise ValueError(
            f"expected counts that {len(data)} bytes can hold, found {rows} rows of {components}"
        )


class _Walk:
    """Goes through binary data that says how long it is itself."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def take(self, layout: str) -> tuple[int, ...]:
        """The next numbers, of a layout of `struct`."""
        size = struct.calcsize(layout)
        found: tuple[int, ...] = struct.unpack(layout, _bytes(self.data, self.at, size))
        self.at += size
        return found

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        """The next ``count`` numbers, all of them in the file."""
        found = _array(self.data, self.at, np.dtype(dtype), count)
        self.at += found.nbytes
        return found


def _gmsh_4_nodes(walk: _Walk) -> None:
    """Blocks of node numbers and places, after four counts."""
    blocks, total, _, _ = walk.take("<4Q")
    if total > len(walk.data):
        raise ValueError(f"expected counts that {len(walk.data)} bytes can hold, found {total}")
    for _ in range(blocks):
        _, _, parametric, count = walk.take("<3iQ")
        if parametric:
            raise ValueError("expected nodes without parameters, found some with")
        _check_node_numbers(walk.data, walk.array("<u8", count))
        walk.array("<f8", 3 * count)


def _gmsh_4_elements(walk: _Walk) -> None:
    """Blocks of elements of one kind, a number and its nodes each, after four counts."""
    blocks, _, _, _ = walk.take("<4Q")
    for _ in range(blocks):
        _, _, kind, count = walk.take("<3iQ")
        if not 0 < kind < len(_GMSH_NODES):
            raise ValueError(f"expected a kind of element that Gmsh has, found {kind}")
        walk.array("<u8", count * (1 + _GMSH_NODES[kind]))


def _gmsh_4_entities(walk: _Walk) -> None:
    """Points, curves, surfaces and volumes: a box, physical tags and what bounds them each."""
    for dimension, count in enumerate(walk.take("<4Q")):
        for _ in range(count):
            walk.take("<i3d" if dimension == 0 else "<i6d")
            walk.array("<i4", walk.take("<Q")[0])
            if dimension:
                walk.array("<i4", walk.take("<Q")[0])


def _gmsh_4_periodic(walk: _Walk) -> None:
    """Pairs of entities: an affine map and the nodes that correspond."""
    for _ in range(walk.take("<Q")[0]):
        walk.take("<3i")
        walk.array("<f8", walk.take("<Q")[0])
        walk.array("<u8", 2 * walk.take("<Q")[0])


_GMSH_4: Final = {
    b"$Nodes": _gmsh_4_nodes,
    b"$Elements": _gmsh_4_elements,
    b"$Entities": _gmsh_4_entities,
    b"$Periodic": _gmsh_4_periodic,
}


def _check_node_numbers(data: bytes, found: npt.NDArray[Any]) -> None:
    most = max(ALWAYS, len(data))
    if len(found) and (found.min() < 0 or found.max() > most):
        raise ValueError(
            f"expected numbers of nodes from 0 to {most}, found {found.min()} to {found.max()}"
        )


def _bytes(data: bytes, at: int, size: int) -> bytes:
    found = data[at : at + size]
    if len(found) != size:
        raise ValueError(f"expected {size} bytes at byte {at}, found {len(found)}")
    return found


def _array(data: bytes, at: int, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    if count * dtype.itemsize > len(data) - at:
        raise ValueError(
            f"expected {count} times {dtype.itemsize} bytes at byte {at}, found {len(data) - at}"
        )
    return np.frombuffer(data, dtype, count, at)


def _blocks(text: bytes, item: str) -> Iterator[bytes]:
    """The packed blocks of an array: base64 of the header, then of them all."""
    dtype = np.dtype(item)
    first = base64.b64decode(text[: -(-dtype.itemsize // 3) * 4])
    count = int(np.frombuffer(first, dtype, 1)[0]) if len(first) >= dtype.itemsize else -1
    header = -(-(3 + count) * dtype.itemsize // 3) * 4
    if not 0 <= count <= len(text) or header > len(text):
        raise ValueError(f"expected the number of packed blocks, found {count}")
    sizes = np.frombuffer(base64.b64decode(text[:header]), dtype, 3 + count)[3:]
    packed = base64.b64decode(text[header:])
    at = 0
    for size in sizes.tolist():
        yield packed[at : at + size]
        at += size


def _unpacked_bytes(block: bytes, kind: bytes, most: int) -> int:
    """How long a block is unpacked."""
    unpack: Any = lzma.LZMADecompressor() if b"LZMA" in kind else zlib.decompressobj()
    length, rest = 0, block
    while not unpack.eof:
        try:
            piece = unpack.decompress(rest, _PIECE)
        except (zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"expected a packed block, found: {error}") from error
        rest = b"" if b"LZMA" in kind else unpack.unconsumed_tail
        length += len(piece)
        if length > most:
            raise ValueError("expected packed arrays that fit the file, found a bomb")
        if not piece and not rest:
            break
    return length
