"""The renderings and grids that 3D-R2N2 released, read where they lie (http://3d-r2n2.stanford.edu).

::

    FOLDER/
      ShapeNetRendering/<synset>/<model>/rendering/00.png … 23.png
                                                   rendering_metadata.txt
      ShapeNetVox32/<synset>/<model>/model.binvox

The pictures are RGBA of 137 pixels; a line of the metadata is azimuth, elevation, in-plane
rotation, distance and field of view. The grids are 32³ with y up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.data import split_of
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.image_input import read_picture
from mvd_toolkit.views import upright_grid

RENDERINGS: Final = "ShapeNetRendering"
GRIDS: Final = "ShapeNetVox32"
EDGE: Final = 32


@dataclass(frozen=True)
class R2N2Model:
    """A model of the release.

    Attributes:
        id: ``<synset>-<model>``.
        pictures: its rendered files, in order.
        grid: its binvox file.
    """

    id: str
    pictures: tuple[Path, ...]
    grid: Path

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, number: int) -> npt.NDArray[np.uint8]:
        """(S, S, 4) uint8, RGBA.

        Raises:
            InputError: the file is broken.
        """
        return read_picture(self.pictures[number])[0]

    def low(self) -> npt.NDArray[np.uint64]:
        """(32, 32, W) uint64: the packed hull of its grid, upright.

        Raises:
            InputError: the file is broken, or no 32³ grid.
        """
        from mvd_toolkit import io

        grid = io.load(self.grid)
        if grid.shape != (EDGE,) * 3:
            raise InputError(f"{self.grid}: expected {EDGE}³ voxels, found {grid.shape}")
        dense = np.ascontiguousarray(upright_grid(grid.dense(), "y"))
        return ops.hull(VoxelGrid.from_dense(dense), threads=1).packed


def is_release(folder: Path) -> bool:
    """Whether a folder holds the release's two parts."""
    return (folder / RENDERINGS).is_dir() and (folder / GRIDS).is_dir()


def find_models(folder: Path, split: str) -> list[R2N2Model]:
    """The models of a split that have pictures and a grid, sorted by id.

    The split is a function of the grid, as that of every dataset here; it is not that of the paper.

    Raises:
        InputError: there is none in any split, or a grid is broken.
    """
    models = list(_models(folder))
    if not models:
        raise InputError(f"{folder}: expected {RENDERINGS}/<synset>/<model>/rendering/00.png")
    return [m for m in models if split_of(_grid(m)) == split]


def _models(folder: Path) -> list[R2N2Model]:
    found = []
    for place in sorted((folder / RENDERINGS).glob("*/*/rendering")):
        synset, model = place.parts[-3:-1]
        pictures = tuple(sorted(place.glob("[0-9]*.png")))
        grid = folder / GRIDS / synset / model / "model.binvox"
        if pictures and grid.is_file():
            found.append(R2N2Model(f"{synset}-{model}", pictures, grid))
    return found


def _grid(model: R2N2Model) -> VoxelGrid:
    return VoxelGrid(model.low(), (EDGE,) * 3)
