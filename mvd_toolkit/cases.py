"""What is evaluated: cases, and the files and datasets they come from.

An `Item` is cheap and picklable: it names a case and loads it when it is that one's turn, so a
dataset streams through evaluation one shape at a time, in as many processes as one likes.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, io, ops
from mvd_toolkit.conventions import INPUT_RULES, SOFT_RULE, bits_rule
from mvd_toolkit.data import SPLITS, edges_of, hull_of, pair_files
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.mesh import Mesh
from mvd_toolkit.pair_file import pair_file_name, read_pair
from mvd_toolkit.shape_files import ShapeFile, find_shapes
from mvd_toolkit.voxelize import Pair, make_pair, pair_of, voxelize

CATEGORY: Final = r"^(\d{8})-|^(.+?)_\d+(?:-[0-9a-f]+)?$"
"""What of a name is its category: ShapeNet's synset, or what stands before a number at its end."""


@dataclass(frozen=True)
class Case:
    """One thing to evaluate.

    Attributes:
        name: what it is called.
        truth: (X, Y, Z).
        category: empty when unknown.
        low: the coarse grid that methods upscale; None when there is only a prediction.
        low_rule: how ``low`` was made; empty without one.
        prediction: made by someone else; None when methods make it.
    """

    name: str
    truth: VoxelGrid
    category: str = ""
    low: VoxelGrid | None = None
    low_rule: str = ""
    prediction: VoxelGrid | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def input(self) -> VoxelGrid:
        """The coarse grid.

        Raises:
            UsageError: there is none.
        """
        if self.low is None:
            raise UsageError(f"{self.name}: there is no coarse grid to upscale")
        return self.low

    @property
    def scale(self) -> int:
        """Fine / coarse edge."""
        return max(self.truth.shape) // max(self.input.shape)

    @cached_property
    def odms(self) -> npt.NDArray[np.uint16]:
        """(6, N, N) uint16 of the truth."""
        return ops.extract_odms(self.truth)


class Item(Protocol):
    """Names a case and loads it."""

    @property
    def name(self) -> str:
        """What the case is called."""
        ...

    @property
    def category(self) -> str:
        """Of what kind it is; empty when unknown."""
        ...

    def load(self) -> Case:
        """Read or make the case."""
        ...


@dataclass(frozen=True)
class MatchedFiles:
    """A prediction's file and the truth's; a missing one is None, and loading says so."""

    name: str
    category: str
    pred: Path | None
    truth: Path | None
    resolution: int = 256

    def __str__(self) -> str:
        return self.name

    def load(self) -> Case:
        """Read both; meshes are voxelized where the other one is."""
        if self.pred is None:
            raise InputError(f"{self.truth}: no prediction has its name")
        if self.truth is None:
            raise InputError(f"{self.pred}: no truth has its name")
        pred, truth = _in_one_frame(_read(self.pred), _read(self.truth), self.resolution)
        if pred.shape != truth.shape:
            sizes = ["x".join(map(str, grid.shape)) for grid in (truth, pred)]
            raise InputError(
                f"{self.pred} against {self.truth}: prediction and truth differ in shape: "
                f"expected {sizes[0]} as the truth has, found {sizes[1]}; "
                "`mvd convert --resolution` or `mvd upscale --to` changes a size"
            )
        return Case(self.name, truth, self.category, prediction=pred)


def _read(path: Path) -> VoxelGrid | Mesh:
    return io.load(path) if io.sniff(path).kind == "grid" else io.load_mesh(path)


def _in_one_frame(
    pred: VoxelGrid | Mesh, truth: VoxelGrid | Mesh, resolution: int
) -> tuple[VoxelGrid, VoxelGrid]:
    """Both as grids: a mesh in the frame of the other's grid, two meshes in one around both."""
    if isinstance(pred, VoxelGrid):
        return pred, truth if isinstance(truth, VoxelGrid) else _voxelize_in(truth, pred)
    if isinstance(truth, VoxelGrid):
        return _voxelize_in(pred, truth), truth
    vertices = np.concatenate([pred.vertices, truth.vertices])
    faces = np.concatenate([pred.faces, truth.faces + len(pred.vertices)])
    frame = voxelize(vertices, faces, resolution, fill="none").grid
    return _voxelize_in(pred, frame), _voxelize_in(truth, frame)


def _voxelize_in(mesh: Mesh, frame: VoxelGrid) -> VoxelGrid:
    """The hull of the voxels of a frame that a mesh meets; what lies outside is left out."""
    in_voxels = (mesh.vertices - np.array(frame.origin)) / np.array(frame.spacing)
    faces = np.ascontiguousarray(mesh.faces, np.int64)
    packed, _, _ = _core.voxelize_surface(np.ascontiguousarray(in_voxels), faces, *frame.shape)
    return ops.hull(VoxelGrid(packed, frame.shape, frame.origin, frame.spacing))


@dataclass(frozen=True)
class StoredPairItem:
    """A pair of a dataset."""

    name: str
    category: str
    path: Path
    low_rule: str

    def __str__(self) -> str:
        return self.name

    def load(self) -> Case:
        """Read the pair."""
        pair = read_pair(self.path)
        truth = hull_of(pair.odms, pair.origin, pair.spacing)
        x, y, z = (truth.shape[0] // pair.edge * s for s in pair.spacing)
        low = VoxelGrid(
            pair.lows[bits_rule(self.low_rule)], (pair.edge,) * 3, pair.origin, (x, y, z)
        )
        return _case(self, low, truth)


@dataclass(frozen=True)
class ShapeItem:
    """A mesh or a fine grid, made a pair when it is loaded."""

    name: str
    category: str
    path: Path
    low_rule: str
    edges: tuple[int, int]

    def __str__(self) -> str:
        return self.name

    def load(self) -> Case:
        """Voxelize and pool."""
        low, high = self.edges
        pair = self._pair(low, high // low)
        grids = {"any": pair.low, "half": pair.low_half, "centre": pair.low_centre}
        return _case(self, grids.get(self.low_rule, pair.low), pair.high)

    def _pair(self, low: int, scale: int) -> Pair:
        if io.sniff(self.path).kind == "mesh":
            mesh = io.load_mesh(self.path)
            return make_pair(mesh.vertices, mesh.faces, low, scale, threads=1)
        grid = io.load(self.path)
        edge = low * scale
        if set(grid.shape) != {grid.shape[0]} or grid.shape[0] % edge:
            raise InputError(
                f"{self.path}: expected a cube of {edge} voxels an edge, or a multiple, found "
                f"{'x'.join(map(str, grid.shape))}; pairs of LOW:HIGH say other edges"
            )
        return pair_of(ops.pool(grid, grid.shape[0] // edge), scale, threads=1)


def find_items(
    source: str | Path | Sequence[str | Path | ShapeFile],
    *,
    split: str = "test",
    edges: tuple[int, int] | None = None,
    low_rule: str = "any",
    category: str = CATEGORY,
) -> list[Item]:
    """The cases of a dataset of pairs, or of meshes and fine grids.

    Args:
        source: a dataset that `mvd convert --pairs` made; or files, folders of them, and shapes.
        split: of a dataset.
        edges: of the coarse and the fine grids, (32, 256) say; needed when a dataset has several.
        low_rule: which coarse grids: any, half, centre, or soft for fractions.
        category: pattern of what of a name is its category, its first group that matches; in a
            tree of folders the first folder is.

    Raises:
        InputError: nothing is there.
        UsageError: the edges or the rule make no sense.
    """
    if low_rule not in INPUT_RULES:
        raise UsageError(f"low rule: expected one of {', '.join(INPUT_RULES)}, found {low_rule!r}")
    if isinstance(source, (str, Path)) and (Path(source) / "dataset.json").exists():
        return _stored_pairs(Path(source), split, edges, low_rule, category)
    low, high = edges or (32, 256)
    if low < 1 or high % low:
        raise UsageError(
            f"pairs: expected a fine edge that is a multiple of the coarse one, found {low}:{high}"
        )
    inputs = [source] if isinstance(source, (str, Path)) else list(source)
    folders = [Path(given) for given in inputs if not isinstance(given, ShapeFile)]
    shapes = find_shapes(inputs)
    return [
        ShapeItem(
            name,
            _category_of(shape.path, folders, shape.name, category),
            shape.path,
            low_rule,
            (low, high),
        )
        for shape, name in zip(shapes, _different_names(shapes), strict=True)
    ]


def _different_names(shapes: Sequence[ShapeFile]) -> list[str]:
    """What the shapes are called; those of one name are called by their path."""
    counts = Counter(shape.name for shape in shapes)
    return [s.name if counts[s.name] == 1 else s.path.as_posix() for s in shapes]


def sample_items(items: Sequence[Item], count: int) -> list[Item]:
    """So many of the items, in their order: those whose names' hashes come first.

    The same ones, but for few, when others are added.
    """
    chosen = sorted(items, key=lambda item: hashlib.sha256(item.name.encode()).digest())[:count]
    names = {item.name for item in chosen}
    return [item for item in items if item.name in names]


def category_of(name: str, pattern: str = CATEGORY) -> str:
    """The category that a name tells; empty when it tells none.

    >>> category_of("chair_0012"), category_of("02691156-a1b2"), category_of("rocket")
    ('chair', '02691156', '')
    """
    folder, _, _ = name.rpartition("/")
    if folder:
        return folder.partition("/")[0]
    match = re.search(pattern, name)
    return next((group for group in match.groups() if group), "") if match else ""


def _stored_pairs(
    dataset: Path, split: str, edges: tuple[int, int] | None, low_rule: str, category: str
) -> list[Item]:
    low, high = edges_of(dataset, *(edges or (None, None)))
    ending = pair_file_name("", low, high)
    names = {path: path.name.removesuffix(ending) for path in pair_files(dataset, split, low, high)}
    if not names:
        counts = {part: len(pair_files(dataset, part, low, high)) for part in SPLITS}
        there = ", ".join(f"{count} in {part}" for part, count in counts.items() if count)
        raise InputError(
            f"{dataset}: expected pairs {low}:{high} in {split}, found {there or 'none'}"
        )
    return [
        StoredPairItem(name, category_of(name, category), path, low_rule)
        for path, name in names.items()
    ]


def _category_of(path: Path, folders: Iterable[Path], name: str, pattern: str) -> str:
    for folder in folders:
        if folder in path.parents and path.parent != folder:
            return path.relative_to(folder).parts[0]
    return category_of(name, pattern)


def _case(item: StoredPairItem | ShapeItem, low: VoxelGrid, truth: VoxelGrid) -> Case:
    low = replace(low, extent=None)  # methods are judged on what the voxels say
    if item.low_rule == SOFT_RULE:
        shares = ops.coverage(truth, truth.shape[0] // low.shape[0]).coverage
        low = replace(low, coverage=shares)
    return Case(item.name, truth, item.category, low, item.low_rule)
