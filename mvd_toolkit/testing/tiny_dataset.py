"""A dataset of boxes and balls, made in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mvd_toolkit.grid import VoxelGrid


def make_tiny_dataset(
    directory: str | Path, low: int = 8, scale: int = 4, count: int = 8, seed: int = 0
) -> Path:
    """Write a dataset of boxes and balls in the layout of `mvd_toolkit.data`; seconds, no meshes.

    Args:
        directory: where to; made when missing.
        low: edge of the low grids, voxels.
        scale: fine edge / low edge.
        count: shapes; at least one goes to each of train and val.
        seed: of the shapes.

    Returns:
        The directory.
    """
    from mvd_toolkit.data import write_description
    from mvd_toolkit.pair_file import write_pair
    from mvd_toolkit.voxelize import pair_of

    if count < 2:
        raise ValueError(f"count: expected at least 2, found {count}")
    generator = np.random.default_rng(seed)
    pairs = [pair_of(_random_solid(generator, low * scale), scale) for _ in range(count)]
    splits = ["val", *["train"] * (count - 1)]
    for index, (pair, split) in enumerate(zip(pairs, splits, strict=True)):
        write_pair(Path(directory) / split, f"solid-{index:03d}", pair)
    write_description(directory, [(low, low * scale)], left_out=())
    return Path(directory)


def _random_solid(generator: np.random.Generator, edge: int) -> VoxelGrid:
    """A box and a ball, anywhere within the margin."""
    from mvd_toolkit.grid import VoxelGrid

    at = np.indices((edge, edge, edge)) + 0.5
    margin = max(1, edge // 16)
    corner = generator.integers(margin, edge // 2, 3)
    size = generator.integers(edge // 6, edge // 2 - margin, 3)
    low, high = corner[:, None, None, None], (corner + size)[:, None, None, None]
    box = ((at >= low) & (at < high)).all(axis=0)
    radius = generator.uniform(edge / 10, edge / 5)
    centre = generator.uniform(radius + margin, edge - radius - margin, 3)
    ball = ((at - centre[:, None, None, None]) ** 2).sum(axis=0) < radius**2
    return VoxelGrid.from_dense(box | ball, spacing=1 / edge)
