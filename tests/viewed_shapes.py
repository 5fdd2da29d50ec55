"""Tiny datasets with pictures that need no renderer: shadows of the grids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mvd_toolkit.data import pair_files, write_description
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import pair_file_name, read_pair
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.views import SUFFIX, Camera, ViewRecipe, Views, encode, upright_grid, write_views


def shadow(dense, size=48, colour=(200, 80, 40)):
    """(size, size, 4) uint8: a grid (N, N, N), z up, seen along x, brighter where it is nearer."""
    block = size // dense.shape[0]
    seen = dense.any(axis=0)
    near = 1 - np.argmax(dense, axis=0) / dense.shape[0]
    picture = np.zeros((*seen.shape, 4), np.uint8)
    picture[..., :3] = near[..., None] * np.array(colour)
    picture[..., 3] = 255 * seen
    upright = picture.transpose(1, 0, 2)[::-1]
    return np.ascontiguousarray(upright.repeat(block, 0).repeat(block, 1))


def make_tiny_views(directory: Path, count=8, views=2, low=16, scale=2) -> Path:
    """A dataset of boxes and balls with pictures beside the pairs."""
    make_tiny_dataset(directory, low=low, scale=scale, count=count)
    for split in ("train", "val"):
        for path in pair_files(directory, split, low, low * scale):
            name = path.name.removesuffix(pair_file_name("", low, low * scale))
            packed = read_pair(path).lows["any"]
            dense = upright_grid(VoxelGrid(packed, (low,) * 3).dense(), "y")
            pictures = [shadow(dense, 3 * low, (60 * n + 90, 80, 40)) for n in range(views)]
            cameras = tuple(Camera(0.0, 0.0, 3.0, 30.0) for _ in pictures)
            views_file = path.with_name(name + SUFFIX)
            write_views(views_file, Views("object", "y", cameras, encode(pictures)))
    recipe = {"views": ViewRecipe(views, 3 * low).to_dict()}
    before = json.loads((directory / "dataset.json").read_text())
    write_description(
        directory, [(low, low * scale)], recipe={**recipe, "split": before["split"]}, left_out=()
    )
    return directory
