"""One shape becomes pairs: what `batch.run` maps over many.

A finished pair is a file under its final name, and what it holds is a function of the shape's file
and the recipe: that it is there says that it is done. A shape's id is its name and the hash of its
content: the same mesh keeps its id wherever it is moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np

from mvd_toolkit import io, ops
from mvd_toolkit.augmented_copies import CopyRecipe
from mvd_toolkit.data import SPLITS, split_of
from mvd_toolkit.dataset_recipe import Edges, PairRecipe
from mvd_toolkit.errors import InputError, MVDError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.mesh import Mesh
from mvd_toolkit.pair_file import pair_file_name, write_pair
from mvd_toolkit.shape_files import ShapeFile
from mvd_toolkit.sidecar import file_hash
from mvd_toolkit.views import SUFFIX as VIEWS_SUFFIX
from mvd_toolkit.views import write_views
from mvd_toolkit.voxelize import Pair, make_pair, pair_of

_ID_LENGTH: Final = 80


@dataclass(frozen=True)
class ShapePairs:
    """What became of one shape.

    Attributes:
        id: of its pairs.
        status: "made"; "skipped", they were there already; "coarse", it is a voxel file that is no
            fine grid; "failed".
        why: why there is no pair of it; empty when there is.
    """

    id: str
    status: Literal["made", "skipped", "coarse", "failed"]
    why: str = ""


@dataclass(frozen=True)
class ConvertShape:
    """Makes those pairs and pictures of a shape that are not there.

    Attributes:
        dataset: its directory.
        recipe: how they are made.
        threads: 0: one a core.
    """

    dataset: Path
    recipe: PairRecipe
    threads: int = 0

    def __call__(self, shape: ShapeFile) -> ShapePairs:
        """Convert one shape; an id goes with what cannot be converted too.

        Raises:
            OSError: the file cannot be read.
        """
        sha256 = file_hash(shape.path)
        name = shape_id(shape.name, sha256)
        try:
            return self._convert(shape, name, sha256)
        except MVDError as error:
            return ShapePairs(name, "failed", str(error))

    def _convert(self, shape: ShapeFile, name: str, sha256: str) -> ShapePairs:
        is_mesh = io.sniff(shape.path).kind == "mesh"
        copies = self.recipe.copies.count if is_mesh else 0
        if any(self._is_whole(name, split, copies) for split in SPLITS):
            return ShapePairs(name, "skipped")
        make: _PairMaker
        if is_mesh:
            mesh = io.load_mesh(shape.path)
            make = _MeshPairs(mesh, shape, sha256, self.recipe.copies, self.threads)
        else:
            grid = io.load(shape.path)
            if max(grid.shape) < min(high for _, high in self.recipe.pairs):
                return ShapePairs(name, "coarse", "a coarse grid: pairs are made of fine ones")
            make = _GridPairs(grid, shape, self.threads)
        split = self._make_pairs(name, sha256, make, copies)
        if self.recipe.views:
            self._make_views(shape, sha256, self._views_file(name, split))
        return ShapePairs(name, "made")

    def _files(self, name: str, split: str, copies: int) -> Iterator[tuple[Path, Edges, int]]:
        """The pairs of a shape in a split: file, edges and number of the copy."""
        for number in range(copies + 1 if split == "train" else 1):
            for edges in self.recipe.pairs:
                file = pair_file_name(copy_name(name, number), *edges)
                yield self.dataset / split / file, edges, number

    def _views_file(self, name: str, split: str) -> Path:
        return self.dataset / split / (name + VIEWS_SUFFIX)

    def _is_whole(self, name: str, split: str, copies: int) -> bool:
        """Whether all that there shall be of a shape is in a split."""
        has_views = self.recipe.views is None or self._views_file(name, split).exists()
        return has_views and all(file.exists() for file, _, _ in self._files(name, split, copies))

    def _make_pairs(self, name: str, sha256: str, make: _PairMaker, copies: int) -> str:
        """Write the pairs that are not there; the split they are in."""
        deciding = self.recipe.deciding
        first = make(deciding, 0)
        split = split_of(first.low, self.recipe.split)
        for file, edges, number in self._files(name, split, copies):
            if not file.exists():
                pair = first if (edges, number) == (deciding, 0) else make(edges, number)
                write_pair(file.parent, copy_name(name, number), pair, source_sha256=sha256)
        return split

    def _make_views(self, shape: ShapeFile, sha256: str, file: Path) -> None:
        """Write the pictures of a shape, if they are not there.

        Raises:
            InputError: it is no mesh.
        """
        from mvd_toolkit.mesh_renderer import make_views

        assert self.recipe.views is not None
        if file.exists():
            return
        if io.sniff(shape.path).kind == "grid":
            raise InputError(f"{shape}: expected a mesh to make pictures of, found a grid")
        mesh = io.load_mesh(shape.path)
        views = make_views(mesh, shape.up, self.recipe.views, sha256, self.recipe.deciding)
        write_views(file, views)


def shape_id(name: str, sha256: str) -> str:
    """The id of a shape: its name, made safe for any file system, and eight digits of its hash."""
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "shape"
    return f"{safe[:_ID_LENGTH]}-{sha256[:8]}"


def copy_name(name: str, number: int) -> str:
    """The id of a shape's copy; number 0 is the shape itself."""
    return f"{name}+{number}" if number else name


class _PairMaker(Protocol):
    """Makes the pair of some edges of a shape as it is (0) or of its copy of that number."""

    def __call__(self, edges: Edges, number: int) -> Pair: ...


@dataclass(frozen=True)
class _MeshPairs:
    """Pairs of a mesh and of its copies."""

    mesh: Mesh
    shape: ShapeFile
    sha256: str
    copies: CopyRecipe
    threads: int

    def __call__(self, edges: Edges, number: int) -> Pair:
        low, high = edges
        faces, vertices, placement = self.mesh.faces, self.mesh.vertices, None
        if number:
            rotation, placement = self.copies.draw(self.sha256, number, self.shape.up)
            with np.errstate(invalid="ignore", over="ignore"):
                vertices = vertices @ rotation.T
        scale = high // low
        return make_pair(vertices, faces, low, scale, placement=placement, threads=self.threads)


@dataclass(frozen=True)
class _GridPairs:
    """Pairs of a voxel file, of which there are no copies."""

    grid: VoxelGrid
    shape: ShapeFile
    threads: int

    def __call__(self, edges: Edges, number: int) -> Pair:
        low, high = edges
        return pair_of(self._fine(high), high // low, threads=self.threads)

    def _fine(self, edge: int) -> VoxelGrid:
        """The grid as a cube of ``edge`` voxels: padded at the far ends, then any-pooled."""
        grid = self.grid
        longest = max(grid.shape)
        if longest % edge:
            raise InputError(f"{self.shape}: expected an edge that {edge} divides, found {longest}")
        if len(set(grid.shape)) > 1:
            dense = np.pad(grid.dense(), [(0, longest - n) for n in grid.shape])
            grid = VoxelGrid.from_dense(dense, grid.origin, grid.spacing)
        if longest == edge:
            return grid
        return ops.pool(grid, longest // edge, "any", threads=self.threads)
