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
    for name in (b"$Nodes", b"$Elements"):
        begin = re.search(re.escape(name) + rb"[ \t]*\r?\n", data)
        if begin is None:
            raise ValueError(f"expected {name.decode()}, found none")
        if head[1].startswith(b"2"):
            _fit(data, data[begin.end() : begin.end() + 40].split(b"\n")[0])
            if name == b"$Nodes":
                _gmsh_2_nodes(data, begin.end())
        elif not head[1].startswith(b"4.1"):
            raise ValueError(f"expected binary Gmsh 2 or 4.1, found {head[1][:10].decode()}")
        elif name == b"$Nodes":
            _gmsh_4_nodes(data, begin.end())


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


def _gmsh_2_nodes(data: bytes, at: int) -> None:
    """(number, x, y, z) of each node, after a line with their count."""
    line_end = data.find(b"\n", at)
    count = int(data[at:line_end])
    row = np.dtype([("number", "<i4"), ("place", "<f8", 3)])
    nodes = _array(data, line_end + 1, row, count)
    _check_node_numbers(data, nodes["number"])


def _gmsh_4_nodes(data: bytes, at: int) -> None:
    """Blocks of node numbers and places, after four counts."""
    blocks, total, _, _ = struct.unpack("<4Q", _bytes(data, at, 32))
    if total > len(data) or blocks > len(data):
        raise ValueError(
            f"expected counts that {len(data)} bytes can hold, found {blocks} blocks and {total} "
            "nodes"
        )
    at += 32
    for _ in range(blocks):
        _, _, parametric, count = struct.unpack("<3iQ", _bytes(data, at, 20))
        if parametric:
            raise ValueError("expected nodes without parameters, found some with")
        _check_node_numbers(data, _array(data, at + 20, np.dtype("<u8"), count))
        at += 20 + count * 32


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
