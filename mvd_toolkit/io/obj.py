"""Wavefront OBJ files: vertices and faces."""

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

_LINE = re.compile(rb"^(v|vn|vt|f|g|o|s|mtllib|usemtl)[ \t]", re.MULTILINE)
_PIECE_LINES = 1 << 16


def matches(head: bytes, size: int) -> bool:
    """Whether a file is text that has lines of an OBJ file."""
    return b"\0" not in head and _LINE.search(head) is not None


def read(path: Path, limits: Limits) -> Mesh:
    """Read the vertices and faces of an OBJ file, and nothing else.

    Raises:
        InputError: malformed, without faces, a face points at no vertex, or over a limit.
    """
    # Names of materials come in any encoding; bytes need none.
    data = path.read_bytes().replace(b"\\\n", b" ").replace(b"\\\r\n", b" ")
    vertices: list[list[float]] = []
    polygons: dict[int, list[list[int]]] = defaultdict(list)
    for number, line in enumerate(data.splitlines(), 1):
        words = line.split(b"#")[0].split()
        try:
            if words[:1] == [b"v"]:
                x, y, z = words[1:4]  # weights or colours may follow
                vertices.append([float(x), float(y), float(z)])
            elif words[:1] == [b"f"]:
                polygons[len(words) - 1].append(_corners(words[1:], len(vertices)))
        except ValueError as error:
            what = "a vertex of three numbers" if words[0] == b"v" else "a face of vertex numbers"
            raise InputError(
                f"{path}: line {number}: expected {what}, found {line[:60]!r} ({error})"
            ) from error
    return polygon_mesh(path, np.array(vertices).reshape(-1, 3), by_corners(path, polygons), limits)


def write(mesh: Mesh, file: BinaryIO) -> None:
    """Write an OBJ file; positions to the last bit."""
    file.write(b"# mvd_toolkit\n")
    for begin in range(0, len(mesh.vertices), _PIECE_LINES):
        rows = mesh.vertices[begin : begin + _PIECE_LINES].tolist()
        file.write("".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in rows).encode("ascii"))
    for begin in range(0, len(mesh.faces), _PIECE_LINES):
        rows = (mesh.faces[begin : begin + _PIECE_LINES] + 1).tolist()
        file.write("".join(f"f {a} {b} {c}\n" for a, b, c in rows).encode("ascii"))


def _corners(words: list[bytes], vertices: int) -> list[int]:
    """Vertex numbers from 0; in the file they count from 1, or back from the last one so far."""
    numbers = [int(word.split(b"/")[0]) for word in words]
    if 0 in numbers:
        raise ValueError("numbers begin at 1")
    return [number - 1 if number > 0 else vertices + number for number in numbers]


FORMAT = Format(
    name="obj",
    suffixes=(".obj",),
    kind="mesh",
    keeps="vertices, triangles",
    matches=matches,
    read=read,
    write=write,
    sure=False,
)
