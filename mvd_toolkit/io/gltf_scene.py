"""Reading a glTF scene: its description, its buffers and the triangles in them.

A description is JSON that may say anything: what the code trips over (`BROKEN`) is a broken input.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Instance

MAX_JSON_BYTES: Final = 2**28
"""Longest description of a scene; with numbers inside (``.gltf``) these count."""

MAGIC, JSON, BINARY = b"glTF", b"JSON", b"BIN\0"
FLOAT, UINT = 5126, 5125
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", UINT: "<u4", FLOAT: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MAX_DEPTH = 256
BROKEN: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading JSON that is no glTF trips over."""

_COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


def read_document(path: Path) -> tuple[dict[str, Any], bytes | None]:
    """The description, and the binary chunk of a ``.glb`` file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if not head.startswith(MAGIC):
            if size > MAX_JSON_BYTES:
                raise _too_long(path, size)
            return _parse(path, head + file.read()), None
        version, length = (int.from_bytes(head[i : i + 4], "little") for i in (4, 8))
        if version != 2 or length != size:
            raise InputError(
                f"{path}: expected glTF 2 of {size} bytes, found version {version} of {length}"
            )
        text = _chunk(path, file, JSON, size)
        binary = _chunk(path, file, BINARY, size) if file.tell() < size else None
    return _parse(path, text), binary


def _chunk(path: Path, file: BinaryIO, kind: bytes, size: int) -> bytes:
    head = file.read(8)
    length, left = int.from_bytes(head[:4], "little"), size - file.tell()
    if head[4:] != kind or length > left:
        raise InputError(
            f"{path}: expected a chunk {kind!r} of at most {left} bytes, found {head[4:]!r} of "
            f"{length}"
        )
    if kind == JSON and length > MAX_JSON_BYTES:
        raise _too_long(path, length)
    return file.read(length)


def _too_long(path: Path, size: int) -> InputError:
    return InputError(f"{path}: expected at most {MAX_JSON_BYTES} bytes of JSON, found {size}")


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    document = json.loads(text.decode("utf-8-sig"))
    if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
        raise InputError(f"{path}: expected a JSON object with an asset, found another")
    version = str(document["asset"].get("version"))
    if not version.startswith("2."):
        raise InputError(f"{path}: expected glTF 2, found version {version[:20]!r}")
    return document


def _at(items: Any, index: Any) -> Any:
    """An element by a number that may be anything."""
    if not isinstance(items, list) or type(index) is not int or not 0 <= index < len(items):
        raise InputError(f"expected the number of an element, found {index!r}"[:100])
    return items[index]


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise InputError(f"expected a whole number from 0 to {most}, found {value!r}"[:100])
    return value


@dataclass
class Scene:
    """A description with its buffers."""

    path: Path
    document: dict[str, Any]
    binary: bytes | None
    limits: Limits

    def __post_init__(self) -> None:
        self._buffers: dict[int, bytes] = {}

    def instances(self) -> Iterator[Instance]:
        """Every primitive of triangles, where each node puts it."""
        try:
            for mesh, transform in self._placed():
                for primitive in _at(self.document.get("meshes"), mesh)["primitives"]:
                    found = self._primitive(primitive)
                    if found is not None:
                        yield Instance(*found, transform)
        except InputError as error:
            text = str(error)
            raise InputError(text if str(self.path) in text else f"{self.path}: {text}") from error

    def _placed(self) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """The number and the (4, 4) transform of each mesh of the scene."""
        nodes = self.document.get("nodes", [])
        scenes = self.document.get("scenes", [])
        if scenes:
            roots = _at(scenes, self.document.get("scene", 0)).get("nodes", [])
        else:
            roots = list(range(len(nodes)))
            for node in nodes:
                roots = [root for root in roots if root not in node.get("children", [])]
        todo = [(root, np.eye(4), 0) for root in reversed(roots)]
        seen: set[int] = set()
        while todo:
            number, above, depth = todo.pop()
            node = _at(nodes, number)
            if number in seen or depth > _MAX_DEPTH:
                raise InputError(f"node {number}: expected a tree of nodes, found it twice")
            seen.add(number)
            transform = above @ _transform(node)
            if "mesh" in node:
                yield node["mesh"], transform
            children = reversed(node.get("children", []))
            todo += [(child, transform, depth + 1) for child in children]

    def _primitive(
        self, primitive: dict[str, Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
        """(V, 3) positions and (F, 3) corners; None for points and lines."""
        packed = [name for name in _COMPRESSED if name in primitive.get("extensions", {})]
        if packed:
            raise InputError(f"expected plain triangles, found {packed[0]}")
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            return None
        points = self._accessor(primitive["attributes"]["POSITION"], "VEC3")
        if "indices" in primitive:
            corners = self._accessor(primitive["indices"], "SCALAR")[:, 0].astype(np.int64)
        else:
            corners = np.arange(len(points))
        with np.errstate(invalid="ignore"):  # signalling NaNs
            positions = points.astype(np.float64)
        return positions, _triangles(corners, mode)

    def _accessor(self, number: Any, kind: str) -> npt.NDArray[Any]:
        """(n, width) numbers."""
        accessor = _at(self.document.get("accessors"), number)
        if accessor["type"] != kind:
            raise InputError(f"accessor {number}: expected {kind}, found {accessor['type']!r}")
        count = _whole(accessor["count"], 3 * self.limits.faces)
        dtype = np.dtype(_COMPONENTS[accessor["componentType"]])
        width = _WIDTHS[kind]
        if "bufferView" in accessor:
            at = accessor.get("byteOffset", 0)
            values = self._view(accessor["bufferView"], at, count, dtype, width)
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            values = self._sparse(accessor["sparse"], values)
        if accessor.get("normalized") and dtype.kind in "iu":
            return np.maximum(values / np.float64(np.iinfo(dtype).max), -1.0)
        return values

    def _sparse(self, sparse: dict[str, Any], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values with some of them replaced."""
        count = _whole(sparse["count"], len(values))
        indices, others = sparse["indices"], sparse["values"]
        kind = np.dtype(_COMPONENTS[indices["componentType"]])
        where = self._view(indices["bufferView"], indices.get("byteOffset", 0), count, kind, 1)
        changed = values.copy()
        changed[where[:, 0].astype(np.int64)] = self._view(
            others["bufferView"], others.get("byteOffset", 0), count, values.dtype, values.shape[1]
        )
        return changed

    def _view(
        self, number: Any, at: Any, count: int, dtype: np.dtype[Any], width: int
    ) -> npt.NDArray[Any]:
        """(count, width) numbers from byte ``at`` of a view of a buffer."""
        view = _at(self.document.get("bufferViews"), number)
        if any(name in view.get("extensions", {}) for name in _COMPRESSED):
            raise InputError(f"bufferView {number}: expected plain bytes, found compressed ones")
        buffer = self._buffer(view["buffer"])
        begin = _whole(view.get("byteOffset", 0), len(buffer))
        length = _whole(view["byteLength"], len(buffer) - begin)
        at = _whole(at, length)
        row = dtype.itemsize * width
        stride = _whole(view.get("byteStride", row), 2**16)
        if count and at + (count - 1) * stride + row > length:
            raise InputError(
                f"bufferView {number}: expected {count} values of {row} bytes, found {length - at} "
                "bytes"
            )
        return np.ndarray((count, width), dtype, buffer, begin + at, (stride, dtype.itemsize))

    def _buffer(self, number: Any) -> bytes:
        if number not in self._buffers:
            buffer = _at(self.document.get("buffers"), number)
            length = _whole(buffer["byteLength"], 2**40)
            data = self._uri(buffer["uri"], length) if "uri" in buffer else self.binary or b""
            if len(data) < length:
                raise InputError(f"buffer {number}: expected {length} bytes, found {len(data)}")
            self._buffers[number] = data
        return self._buffers[number]

    def _uri(self, uri: str, length: int) -> bytes:
        """The bytes of a data URI, or of a file beside or below this one."""
        if uri.startswith("data:"):
            head, _, text = uri.partition(",")
            if not head.endswith(";base64"):
                raise InputError(f"expected base64 in a data URI, found {head[:60]!r}")
            return base64.b64decode(text, validate=True)
        folder = self.path.resolve().parent
        place = (folder / unquote(uri)).resolve()
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or folder not in place.parents:
            raise InputError(f"expected a buffer beside the file or below, found {uri[:60]!r}")
        if not place.is_file():
            raise InputError(f"expected the buffer {uri[:60]!r} beside the file, found none")
        with place.open("rb") as file:
            return file.read(min(length, place.stat().st_size))


def _transform(node: dict[str, Any]) -> npt.NDArray[np.float64]:
    """(4, 4), for columns: a matrix, or translation, rotation and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    transform = np.eye(4)
    x, y, z, w = (float(n) for n in node.get("rotation", (0, 0, 0, 1)))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), np.float64).reshape(3)
    transform[:3, 3] = np.array(node.get("translation", (0, 0, 0)), np.float64).reshape(3)
    return transform


def _triangles(corners: npt.NDArray[np.int64], mode: int) -> npt.NDArray[np.int64]:
    """(F, 3), of a list of corners, a strip or a fan."""
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise InputError(f"expected three corners a triangle, found {len(corners)} corners")
        return corners.reshape(-1, 3)
    if mode == _FAN:
        first = np.broadcast_to(corners[:1], max(len(corners) - 2, 0))
        return np.stack([first, corners[1:-1], corners[2:]], axis=1)
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    strip[1::2, :2] = strip[1::2, 1::-1]  # every other one runs the other way
    return strip
