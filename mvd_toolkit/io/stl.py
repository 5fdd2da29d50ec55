"""STL files: binary and ASCII in, binary out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, merge_corners

_HEADER_BYTES = 84
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])

_SOLID = re.compile(rb"\s*solid\b", re.IGNORECASE)
_ASCII_HEAD = re.compile(rb"\s*solid\b[^\n]*\n\s*(facet|endsolid)\b", re.IGNORECASE)
_VERTEX = re.compile(rb"^\s*vertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE | re.MULTILINE)
_KEYWORD = re.compile(rb"^\s*(facet|endfacet|endsolid)\b", re.IGNORECASE | re.MULTILINE)

_PIECE_FACES = 1 << 14


def matches(head: bytes, size: int) -> bool:
    """Whether a file is a binary STL, by its size, or an ASCII one, by its first words."""
    return _is_binary(head, size) or _ASCII_HEAD.match(head) is not None


def read(path: Path, limits: Limits) -> Mesh:
    """Read a binary or ASCII STL file; corners at exactly the same place become one vertex.

    Raises:
        InputError: truncated, malformed, without a triangle, or over a limit.
    """
    data = path.read_bytes()
    ascii_ = _SOLID.match(data) and not _is_binary(data, len(data))
    corners = _ascii_corners(path, data) if ascii_ else _binary_corners(path, data)
    if len(corners) == 0:
        raise InputError(f"{path}: expected triangles, found none")
    limits.check_mesh(path, 0, len(corners))
    return merge_corners(corners)


def write(mesh: Mesh, file: BinaryIO) -> None:
    """Write a binary STL file; positions are rounded to float32, shared corners repeated.

    Raises:
        UsageError: more triangles than the file's 32-bit count can say.
    """
    count = len(mesh.faces)
    if count >= 2**32:
        raise UsageError(f"stl: expected fewer than {2**32} triangles, found {count}")
    # Not "solid": readers take that for ASCII.
    file.write(b"binary STL of mvd_toolkit".ljust(80) + count.to_bytes(4, "little"))
    facets = np.zeros(_PIECE_FACES, _FACET)
    for begin in range(0, count, _PIECE_FACES):
        corners = mesh.vertices[mesh.faces[begin : begin + _PIECE_FACES]]  # (n, 3, 3)
        piece = facets[: len(corners)]
        piece["normal"] = _normals(corners)
        piece["corners"] = corners
        file.write(piece.data)


def _normals(corners: np.ndarray) -> np.ndarray:
    """(n, 3) unit normals of (n, 3, 3) triangles, 0 without area; NumPy's cross takes its time."""
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normals: np.ndarray = np.empty_like(u)
    for i in range(3):
        normals[:, i] = u[:, i - 2] * v[:, i - 1] - u[:, i - 1] * v[:, i - 2]
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    lengths[lengths == 0] = 1
    normals /= lengths[:, None]
    return normals


def _is_binary(head: bytes, size: int) -> bool:
    # Binary files may well begin with "solid"; their size gives them away.
    return len(head) >= _HEADER_BYTES and size == _binary_size(head) > _HEADER_BYTES


def _binary_size(head: bytes) -> int:
    return _HEADER_BYTES + _FACET.itemsize * int.from_bytes(head[80:84], "little")


def _binary_corners(path: Path, data: bytes) -> np.ndarray:
    """(F, 3, 3) float32."""
    if len(data) < _HEADER_BYTES or len(data) != _binary_size(data):
        raise InputError(
            f"{path}: expected 'solid' or a binary STL file of {_binary_size(data)} bytes, "
            f"as its count of triangles says, found {len(data)}"
        )
    return np.frombuffer(data, _FACET, offset=_HEADER_BYTES)["corners"]


def _ascii_corners(path: Path, data: bytes) -> np.ndarray:
    """(F, 3, 3) float64."""
    keywords = [word.lower() for word in _KEYWORD.findall(data)]
    facets, ends = keywords.count(b"facet"), keywords.count(b"endfacet")
    vertices = _VERTEX.findall(data)
    if len(vertices) != 3 * facets or ends != facets or b"endsolid" not in keywords:
        raise InputError(
            f"{path}: expected three vertices and an endfacet for each facet, and an endsolid; "
            f"found {facets} facet, {len(vertices)} vertex, {ends} endfacet, "
            f"{keywords.count(b'endsolid')} endsolid"
        )
    try:
        numbers = [float(word) for vertex in vertices for word in vertex]
    except ValueError as error:
        raise InputError(f"{path}: expected a vertex of three numbers, found: {error}") from error
    return np.array(numbers).reshape(-1, 3, 3)


FORMAT = Format(
    name="stl",
    suffixes=(".stl",),
    kind="mesh",
    keeps="triangles, positions as float32",
    matches=matches,
    read=read,
    write=write,
    unit="mm",
)
