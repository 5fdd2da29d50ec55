"""glTF 2.0 (https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html): ``.glb`` and ``.gltf``.

All triangles, strips and fans of the scene are read, each mesh where its nodes put it; corners at
exactly the same place become one vertex, as files repeat them for each normal and colour. Numbers
and axes are taken as they are: the format says that 1 is a metre and y is up. Materials, skins,
animations, lines and points are left out. What Draco or meshopt compress is not read.

Written is one mesh: ``.glb``, or ``.gltf`` with its numbers inside.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mvd_toolkit.errors import UsageError
from mvd_toolkit.io.broken import reading
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.gltf_scene import (
    BINARY,
    BROKEN,
    FLOAT,
    JSON,
    MAGIC,
    MAX_JSON_BYTES,
    UINT,
    Scene,
    read_document,
)
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, assemble, merge_corners

_KEYS = re.compile(rb'"(asset|accessors|bufferViews|buffers|meshes|scenes|nodes)"\s*:')


def matches_binary(head: bytes, size: int) -> bool:
    """Whether a file begins like a binary glTF file."""
    return head.startswith(MAGIC)


def matches_text(head: bytes, size: int) -> bool:
    """Whether a file is a JSON object with a key of glTF near its beginning."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and _KEYS.search(head) is not None


def read(path: Path, limits: Limits) -> Mesh:
    """Read all triangles of a scene, in ``.glb`` or ``.gltf``.

    Raises:
        InputError: malformed, truncated, compressed, without a triangle, a face points at no
            vertex, or over a limit.
    """
    with reading(path, "a glTF scene", BROKEN):
        scene = Scene(path, *read_document(path), limits)
        mesh = assemble(path, list(scene.instances()), limits)
    return merge_corners(mesh.vertices[mesh.faces])


def write_binary(mesh: Mesh, file: BinaryIO) -> None:
    """Write a ``.glb`` file; positions are rounded to float32.

    Raises:
        UsageError: the file would be longer than its 32-bit lengths can say.
    """
    pieces = _arrays(mesh)
    length = sum(map(len, pieces))
    text = json.dumps(_description(mesh, {"byteLength": length})).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + length
    if total >= 2**32:
        raise UsageError(f"glb: expected fewer than {2**32} bytes, found {total}")
    file.write(MAGIC + (2).to_bytes(4, "little") + total.to_bytes(4, "little"))
    file.write(len(text).to_bytes(4, "little") + JSON + text)
    file.write(length.to_bytes(4, "little") + BINARY)
    for piece in pieces:
        file.write(piece)


def write_text(mesh: Mesh, file: BinaryIO) -> None:
    """Write a ``.gltf`` file with its numbers inside; positions are rounded to float32.

    Raises:
        UsageError: it would be longer than `MAX_JSON_BYTES`, which nobody could read.
    """
    data = b"".join(_arrays(mesh))
    if len(data) * 4 // 3 > MAX_JSON_BYTES - 4096:
        raise UsageError("gltf: expected fewer triangles; glb takes more")
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    buffer = {"byteLength": len(data), "uri": uri}
    file.write(json.dumps(_description(mesh, buffer), indent=1).encode())


def _arrays(mesh: Mesh) -> list[bytes]:
    """Positions and indices; both are whole numbers of 4 bytes."""
    return [
        mesh.vertices.astype("<f4").tobytes(),
        mesh.faces.astype("<u4").tobytes(),
    ]


def _description(mesh: Mesh, buffer: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "mvd_toolkit"},
        "scene": 0,
        "scenes": [{"nodes": [0]} if len(mesh.faces) else {}],
    }
    if not len(mesh.faces):
        return document
    points = mesh.vertices.astype(np.float32)
    split = 12 * len(points)
    return document | {
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": FLOAT,
                "count": len(points),
                "type": "VEC3",
                "min": points.min(axis=0).tolist(),
                "max": points.max(axis=0).tolist(),
            },
            {
                "bufferView": 1,
                "componentType": UINT,
                "count": 3 * len(mesh.faces),
                "type": "SCALAR",
            },
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": split, "target": 34962},
            {
                "buffer": 0,
                "byteOffset": split,
                "byteLength": buffer["byteLength"] - split,
                "target": 34963,
            },
        ],
        "buffers": [buffer],
    }


FORMATS = (
    Format(
        name="glb",
        suffixes=(".glb",),
        kind="mesh",
        keeps="triangles, positions as float32",
        matches=matches_binary,
        read=read,
        write=write_binary,
        unit="m",
        up="y",
    ),
    Format(
        name="gltf",
        suffixes=(".gltf",),
        kind="mesh",
        keeps="triangles, positions as float32",
        matches=matches_text,
        read=read,
        write=write_text,
        unit="m",
        up="y",
    ),
)
