"""OFF files, which ModelNet comes in.

Text: ``OFF``, the counts of vertices, faces and edges, a line for each vertex and for each face;
further columns (colours) are skipped, and so are comments. In many files of ModelNet the line break
after ``OFF`` is missing: ``OFF490 518 0``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mvd_toolkit.errors import InputError
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, by_corners, polygon_mesh

_MAGIC = re.compile(rb"\s*(ST)?C?N?OFF(?=[\s\d#])")
_PIECE_LINES = 1 << 16


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a text OFF file."""
    return _MAGIC.match(head) is not None and b"BINARY" not in head[:80]


def read(path: Path, limits: Limits) -> Mesh:
    """Read an OFF file.

    Raises:
        InputError: malformed, truncated, without faces, a face points at no vertex, or over a
            limit.
    """
    data = path.read_bytes()
    magic = _MAGIC.match(data)
    if magic is None:
        raise InputError(f"{path}: expected 'OFF', found {data[:16]!r}")
    rows = [line.split(b"#")[0].split() for line in data[magic.end() :].splitlines()]
    rows = [row for row in rows if row]
    counts = rows[0] if rows else []
    if len(counts) < 2 or not all(re.fullmatch(rb"[0-9]{1,18}", word) for word in counts[:2]):
        raise InputError(
            f"{path}: expected the counts of vertices and faces, found {b' '.join(counts)[:40]!r}"
        )
    vertices, faces = int(counts[0]), int(counts[1])
    limits.check_mesh(path, vertices, faces)
    if len(rows) < 1 + vertices + faces:
        raise InputError(
            f"{path}: expected {vertices} lines of vertices and {faces} of faces, found "
            f"{len(rows) - 1} lines"
        )
    return polygon_mesh(
        path,
        _vertices(path, rows[1 : 1 + vertices]),
        _faces(path, rows[1 + vertices : 1 + vertices + faces]),
        limits,
    )


def write(mesh: Mesh, file: BinaryIO) -> None:
    """Write an OFF file; positions to the last bit."""
    file.write(f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0\n".encode("ascii"))
    for begin in range(0, len(mesh.vertices), _PIECE_LINES):
        rows = mesh.vertices[begin : begin + _PIECE_LINES].tolist()
        file.write("".join(f"{x!r} {y!r} {z!r}\n" for x, y, z in rows).encode("ascii"))
    for begin in range(0, len(mesh.faces), _PIECE_LINES):
        rows = mesh.faces[begin : begin + _PIECE_LINES].tolist()
        file.write("".join(f"3 {a} {b} {c}\n" for a, b, c in rows).encode("ascii"))


def _vertices(path: Path, rows: list[list[bytes]]) -> np.ndarray:
    try:
        return np.array([[float(x), float(y), float(z)] for x, y, z, *_ in rows]).reshape(-1, 3)
    except ValueError as error:
        raise InputError(f"{path}: expected vertices of three numbers, found: {error}") from error


def _faces(path: Path, rows: list[list[bytes]]) -> list[np.ndarray]:
    """The polygons, those of as many corners together."""
    polygons: dict[int, list[list[int]]] = defaultdict(list)
    for row in rows:
        try:
            count, *corners = map(int, row[: 1 + int(row[0])])
        except ValueError as error:
            raise InputError(f"{path}: expected a face, found: {error}") from error
        if count < 0 or len(corners) != count:
            raise InputError(f"{path}: expected a face of {count} corners, found {len(corners)}")
        polygons[count].append(corners)
    return by_corners(path, polygons)


FORMAT = Format(
    name="off",
    suffixes=(".off",),
    kind="mesh",
    keeps="vertices, triangles",
    matches=matches,
    read=read,
    write=write,
)
