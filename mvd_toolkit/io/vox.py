"""MagicaVoxel ``.vox`` files, by their documented chunks
(https://github.com/ephtracy/voxel-model, versions 150 and 200).

A file holds models of up to 256³ voxels and, since version 200, a scene: transforms (nTRN) over
groups (nGRP) and shapes (nSHP) that place models in one world of voxels, turned by quarters. Axes
are taken as they are: x, y, z of the file are x, y, z of the grid; MagicaVoxel draws z up. A grid
read from a scene spans all its models, its origin is where their lowest corner lies in the scene,
its voxels have edge 1. Colours, materials, hidden models and all frames of an animation but the
first are left out, which a `FormatWarning` says.

A model turns about ``floor(size / 2)``, which its translation moves to: the centre ``p + 0.5`` of a
voxel comes to ``rotation @ (p + 0.5 - size // 2) + translation``.

A grid that is longer than 256 is written as a scene of several models.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import FormatWarning, InputError, UsageError
from mvd_toolkit.grid import WORD_BITS, VoxelGrid, words_per_line
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.vox_chunks import (
    MODEL_EDGE,
    Group,
    Matrix,
    Model,
    Scene,
    Shape,
    Transform,
    read_scene,
)

_VERSION = 150
_VERSION_SCENE = 200
_MAX_DEPTH = 64
_COLOUR = 1  # of the palette that MagicaVoxel uses when a file has none: white


@dataclass(frozen=True)
class _Instance:
    """A model somewhere in the scene: voxel p has its centre at ``rotation @ (p + 0.5) + shift``.

    ``shift`` is doubled, so that it is a whole number.
    """

    model: Model
    rotation: Matrix
    doubled_shift: Matrix

    def box(self) -> tuple[Matrix, Matrix]:
        """Lowest and highest corner, in voxels of the scene."""
        one = self.doubled_shift // 2
        other = (2 * self.rotation @ np.array(self.model.size) + self.doubled_shift) // 2
        return np.minimum(one, other), np.maximum(one, other)

    def dense(self) -> npt.NDArray[np.bool_]:
        """The box's voxels, its lowest corner first."""
        dense = np.zeros(self.model.size, bool)
        x, y, z = self.model.voxels.T
        dense[x, y, z] = True
        columns = np.abs(self.rotation).argmax(axis=1)
        turned = dense.transpose(columns)
        flipped = tuple(axis for axis in range(3) if self.rotation[axis].sum() < 0)
        box: npt.NDArray[np.bool_] = np.flip(turned, flipped)
        return box


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a MagicaVoxel file."""
    return head.startswith(b"VOX ")


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read all models, each in its place.

    Raises:
        InputError: malformed, truncated, without a model, or over a limit.
    """
    scene = read_scene(path)
    instances = list(_instances(path, scene))
    if not instances:
        raise InputError(f"{path}: expected a model that is not hidden, found none")
    corners = np.array([instance.box() for instance in instances])
    low, high = corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)
    x, y, z = (int(n) for n in high - low)
    limits.check_grid(path, (x, y, z))
    _check_work(path, instances, limits)
    packed = np.zeros((x, y, words_per_line(z)), np.uint64)
    for instance in instances:
        _place(instance, low, packed)
    if scene.ignored:
        said = f"{path}: left out: {', '.join(sorted(scene.ignored))}"
        warnings.warn(said, FormatWarning, stacklevel=2)
    origin = tuple(float(n) for n in low) if scene.nodes else (0.0, 0.0, 0.0)
    return VoxelGrid(packed, (x, y, z), origin)  # type: ignore[arg-type]


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write one model, or a scene of several for a grid longer than `MODEL_EDGE`.

    Raises:
        UsageError: the file would be longer than its 32-bit lengths can say.
    """
    begins = [range(0, edge, MODEL_EDGE) for edge in grid.shape]
    boxes = list(product(*begins))
    chunks = [chunk for box in boxes for chunk in _model_chunks(grid, box)]
    if len(boxes) > 1:
        chunks += _scene_chunks(grid.shape, boxes)
    content = sum(map(len, chunks))
    if content >= 2**31:
        raise UsageError(f"vox: expected fewer than {2**31} bytes of voxels, found {content}")
    version = _VERSION if len(boxes) == 1 else _VERSION_SCENE
    file.write(struct.pack("<4si4sii", b"VOX ", version, b"MAIN", 0, content))
    for chunk in chunks:
        file.write(chunk)


def _instances(path: Path, scene: Scene) -> Iterator[_Instance]:
    """Every model where the scene has it; without a scene, all at the origin."""
    if not scene.nodes:
        for model in scene.models:
            yield _Instance(model, np.eye(3, dtype=np.int64), np.zeros(3, np.int64))
        return
    todo = [(min(scene.nodes), np.eye(3, dtype=np.int64), np.zeros(3, np.int64), 0)]
    steps = 0
    while todo:
        number, rotation, translation, depth = todo.pop()
        steps += 1
        if depth > _MAX_DEPTH or steps > 2**16:
            raise InputError(f"{path}: expected a tree of nodes, found too many or a circle")
        node = scene.nodes.get(number)
        if isinstance(node, Transform):
            if node.frames > 1:
                scene.ignored.add("frames after the first")
            if node.hidden or node.layer in scene.hidden_layers:
                scene.ignored.add("hidden models")
                continue
            moved = rotation @ node.translation + translation
            todo.append((node.child, rotation @ node.rotation, moved, depth + 1))
        elif isinstance(node, Group):
            todo += [(child, rotation, translation, depth + 1) for child in node.children]
        elif isinstance(node, Shape):
            yield _instance(path, scene, node, rotation, translation)
        else:
            raise InputError(f"{path}: expected a node {number}, found none")


def _instance(
    path: Path, scene: Scene, shape: Shape, rotation: Matrix, translation: Matrix
) -> _Instance:
    if len(shape.models) > 1:
        scene.ignored.add("frames after the first")
    number = shape.models[0] if shape.models else -1
    if not 0 <= number < len(scene.models):
        raise InputError(
            f"{path}: nSHP: expected one of {len(scene.models)} models, found number {number}"
        )
    model = scene.models[number]
    pivot = np.array(model.size) // 2
    return _Instance(model, rotation, 2 * (translation - rotation @ pivot))


def _check_work(path: Path, instances: list[_Instance], limits: Limits) -> None:
    voxels = sum(math.prod(instance.model.size) for instance in instances)
    if voxels > limits.voxels:
        raise InputError(
            f"{path}: {len(instances)} models: expected at most {limits.voxels} voxels in all, "
            f"found {voxels}; MVD_MAX_VOXELS raises the limit"
        )


def _place(instance: _Instance, low: Matrix, packed: npt.NDArray[np.uint64]) -> None:
    """Occupy the voxels of a model in a grid whose lowest corner is ``low``."""
    if not len(instance.model.voxels):
        return
    lowest, highest = instance.box()
    x, y, z = (int(n) for n in lowest - low)
    dx, dy, dz = (int(n) for n in highest - lowest)
    first, last = z // WORD_BITS, words_per_line(z + dz)
    # Wide enough to begin and end with a word; voxels past the grid's end stay empty.
    wide = np.zeros((dx, dy, (last - first) * WORD_BITS), bool)
    begin = z - first * WORD_BITS
    wide[:, :, begin : begin + dz] = instance.dense()
    packed[x : x + dx, y : y + dy, first:last] |= _core.pack(wide[None])[0]


def _model_chunks(grid: VoxelGrid, begin: tuple[int, ...]) -> list[bytes]:
    """SIZE and XYZI of the box of at most 256³ voxels that begins there."""
    x, y, z = begin
    sx, sy, sz = (min(MODEL_EDGE, n - b) for n, b in zip(grid.shape, begin, strict=True))
    words = slice(z // WORD_BITS, words_per_line(z + sz))
    packed = np.ascontiguousarray(grid.packed[x : x + sx, y : y + sy, words])
    layers = [_voxels(layer, x) for x, layer in enumerate(_core.unpack(packed[None], sz)[0])]
    voxels = np.concatenate(layers)
    return [
        _chunk(b"SIZE", struct.pack("<iii", sx, sy, sz)),
        _chunk(b"XYZI", struct.pack("<i", len(voxels)) + voxels.tobytes()),
    ]


def _voxels(layer: npt.NDArray[np.bool_], x: int) -> npt.NDArray[np.uint8]:
    """(n, 4) x, y, z and colour of the occupied voxels of a (Y, Z) layer."""
    y, z = np.nonzero(layer)
    voxels = np.empty((len(y), 4), np.uint8)
    voxels[:, 0], voxels[:, 1], voxels[:, 2], voxels[:, 3] = x, y, z, _COLOUR
    return voxels


def _scene_chunks(shape: tuple[int, int, int], boxes: list[tuple[int, ...]]) -> list[bytes]:
    """Transform 0 over group 1 over a transform and a shape for each box, standing on z = 0."""
    low = (-(shape[0] // 2), -(shape[1] // 2), 0)
    children = [2 + 2 * i for i in range(len(boxes))]
    chunks = [
        _chunk(b"nTRN", struct.pack("<6i", 0, 0, 1, -1, -1, 1) + _dictionary({})),
        _chunk(b"nGRP", struct.pack(f"<3i{len(boxes)}i", 1, 0, len(boxes), *children)),
    ]
    for number, (begin, node) in enumerate(zip(boxes, children, strict=True)):
        size = [min(MODEL_EDGE, n - b) for n, b in zip(shape, begin, strict=True)]
        at = " ".join(str(c + b + s // 2) for c, b, s in zip(low, begin, size, strict=True))
        head = struct.pack("<6i", node, 0, node + 1, -1, 0, 1)
        chunks.append(_chunk(b"nTRN", head + _dictionary({"_t": at})))
        chunks.append(_chunk(b"nSHP", struct.pack("<5i", node + 1, 0, 1, number, 0)))
    return chunks


def _dictionary(items: Mapping[str, str]) -> bytes:
    content = struct.pack("<i", len(items))
    for pair in items.items():
        for text in pair:
            content += struct.pack("<i", len(text)) + text.encode("ascii")
    return content


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sii", name, len(content), 0) + content


FORMAT = Format(
    name="vox",
    suffixes=(".vox",),
    kind="grid",
    keeps="occupancy; no origin, no spacing, no colours",
    matches=matches,
    read=read,
    write=write,
    place=False,
    up="z",
)
