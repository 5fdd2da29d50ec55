"""The chunks of a MagicaVoxel file: models and the nodes of a scene, which `vox` puts together."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError

MODEL_EDGE = 256
"""Longest edge of a model; the coordinate of a voxel is a byte."""

_FURTHEST = 2**31

Matrix = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """A box of voxels; ``voxels`` (n, 3) uint8 lie in it."""

    size: tuple[int, int, int]
    voxels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Transform:
    """A node that moves and turns another, or hides it.

    ``rotation`` (3, 3) is a signed permutation, ``translation`` (3,).
    """

    child: int
    rotation: Matrix
    translation: Matrix
    hidden: bool
    layer: int
    frames: int


@dataclass(frozen=True)
class Group:
    """A node of several others."""

    children: tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """A node that stands for a model; several are frames of an animation."""

    models: tuple[int, ...]


@dataclass
class Scene:
    """What the chunks of a file say."""

    models: list[Model] = field(default_factory=list)
    nodes: dict[int, Transform | Group | Shape] = field(default_factory=dict)
    hidden_layers: set[int] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


class _Fields:
    """The numbers, strings and dictionaries of a chunk, one after the other."""

    def __init__(self, where: str, content: bytes) -> None:
        self.where = where
        self._content = content
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if count < 0 or len(taken) != count:
            raise InputError(f"{self.where}: expected {count} more bytes, found {len(taken)}")
        self._at += count
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def count(self, least_bytes: int) -> int:
        """How many things of so many bytes follow."""
        count, left = self.number(), len(self._content) - self._at
        if not 0 <= count * least_bytes <= left:
            raise InputError(
                f"{self.where}: expected a count that {left} bytes can hold, found {count}"
            )
        return count

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8", "replace")

    def dictionary(self) -> dict[str, str]:
        return {self.text(): self.text() for _ in range(self.count(8))}


def read_scene(path: Path) -> Scene:
    """Read the chunks that say where voxels are.

    Raises:
        InputError: malformed or truncated.
    """
    scene = Scene()
    size: tuple[int, int, int] | None = None
    for name, fields in _chunks(path):
        match name:
            case b"SIZE":
                size = _read_size(fields)
            case b"XYZI":
                if size is None:
                    raise InputError(f"{fields.where}: expected SIZE before it, found none")
                scene.models.append(_read_model(fields, size))
                size = None
            case b"nTRN":
                node = fields.number()
                scene.nodes[node] = _read_transform(fields)
            case b"nGRP":
                node, _ = fields.number(), fields.dictionary()
                scene.nodes[node] = Group(tuple(fields.number() for _ in range(fields.count(4))))
            case b"nSHP":
                node, _ = fields.number(), fields.dictionary()
                models = [(fields.number(), fields.dictionary()) for _ in range(fields.count(8))]
                scene.nodes[node] = Shape(tuple(model for model, _ in models))
            case b"LAYR":
                layer, attributes = fields.number(), fields.dictionary()
                if attributes.get("_hidden") == "1":
                    scene.hidden_layers.add(layer)
            case b"RGBA":
                scene.ignored.add("the palette")
            case b"MATL" | b"MATT":
                scene.ignored.add("materials")
    return scene


def _chunks(path: Path) -> Iterator[tuple[bytes, _Fields]]:
    """The name and content of each chunk inside MAIN."""
    with path.open("rb") as file:
        head = file.read(20)
        size = path.stat().st_size
        if len(head) < 20 or head[:4] != b"VOX " or head[8:12] != b"MAIN":
            raise InputError(f"{path}: expected 'VOX ' and a MAIN chunk, found {head!r}")
        own, inside = struct.unpack("<II", head[12:])
        if 20 + own + inside > size:
            raise InputError(
                f"{path}: MAIN: expected {own + inside} bytes of chunks, found {size - 20}"
            )
        at, end = 20 + own, 20 + own + inside
        while at < end:
            file.seek(at)
            head = file.read(12)
            if len(head) < 12 or at + 12 > end:
                raise InputError(f"{path}: byte {at}: expected a chunk, found {end - at} bytes")
            name = head[:4]
            own, inside = struct.unpack("<II", head[4:])
            where = f"{path}: {name.decode('latin-1')} at byte {at}"
            if at + 12 + own + inside > end:
                raise InputError(f"{where}: expected {own + inside} bytes, found {end - at - 12}")
            yield name, _Fields(where, file.read(own))
            at += 12 + own + inside


def _read_size(fields: _Fields) -> tuple[int, int, int]:
    size = (fields.number(), fields.number(), fields.number())
    if not all(1 <= edge <= MODEL_EDGE for edge in size):
        raise InputError(f"{fields.where}: expected edges of 1 to {MODEL_EDGE}, found {size}")
    return size


def _read_model(fields: _Fields, size: tuple[int, int, int]) -> Model:
    count = fields.count(4)
    voxels = np.frombuffer(fields.take(4 * count), np.uint8).reshape(-1, 4)[:, :3]
    if count and (voxels.max(axis=0) >= size).any():
        outside = voxels[(voxels >= size).any(axis=1)][0]
        raise InputError(
            f"{fields.where}: expected voxels inside {size}, found {tuple(map(int, outside))}"
        )
    return Model(size, voxels)


def _read_transform(fields: _Fields) -> Transform:
    attributes = fields.dictionary()
    child, _, layer = fields.number(), fields.number(), fields.number()
    frames = [fields.dictionary() for _ in range(fields.count(4))]
    frame = frames[0] if frames else {}
    return Transform(
        child,
        _rotation(fields.where, frame),
        _translation(fields.where, frame),
        attributes.get("_hidden") == "1",
        layer,
        len(frames),
    )


def _rotation(where: str, frame: Mapping[str, str]) -> Matrix:
    """The (3, 3) matrix of a byte: which column of rows 0 and 1 is not 0, then three signs."""
    text = frame.get("_r", "4")
    byte = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
    columns = [byte & 3, byte >> 2 & 3]
    columns.append(3 - sum(columns))
    if not 0 <= byte < 128 or sorted(columns) != [0, 1, 2]:
        raise InputError(f"{where}: _r: expected the byte of a rotation, found {text[:20]!r}")
    rotation = np.zeros((3, 3), np.int64)
    for row, column in enumerate(columns):
        rotation[row, column] = -1 if byte >> (4 + row) & 1 else 1
    return rotation


def _translation(where: str, frame: Mapping[str, str]) -> Matrix:
    text = frame.get("_t", "0 0 0")
    try:
        x, y, z = (int(word) for word in text[:100].split())
    except ValueError:
        x, y, z = (_FURTHEST,) * 3
    if max(abs(x), abs(y), abs(z)) >= _FURTHEST:
        raise InputError(f"{where}: _t: expected three whole numbers, found {text[:40]!r}")
    return np.array([x, y, z])
