"""Points on the surface of a packed grid, drawn uniformly by area without making a mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mvd_toolkit import rays
from mvd_toolkit.grid import WORD_BITS, VoxelGrid

Points = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]


class SurfaceSamples(NamedTuple):
    """Points on a surface and which way it faces there.

    Attributes:
        points: (n, 3) float64, world positions.
        normals: (n, 3) float64, of length 1, outward.
    """

    points: Points
    normals: Points


def sample_surface(
    grid: VoxelGrid, count: int, seed: int = 0, *, threads: int = 0
) -> SurfaceSamples:
    """Points drawn uniformly from the faces between occupied and empty voxels.

    They are independent of each other, as those of ``trimesh.sample.sample_surface`` on
    `mvd_toolkit.io.surface_mesh` would be. Outside the grid all is empty. Normals are those of
    `rays.surface_normals`, which see past the staircase.

    Args:
        grid: (X, Y, Z).
        count: how many points.
        seed: the same seed, the same points.
        threads: how many to use for the normals, 0 for one a core.

    Returns:
        ``count`` samples; none of a grid without surface.

    >>> sample_surface(VoxelGrid.from_dense([[[1]]]), 4).points.shape
    (4, 3)
    """
    rng = np.random.default_rng(seed)
    spacing = np.array(grid.spacing)
    faces = [(axis, side) for axis in range(3) for side in (0, 1)]
    exposed = np.array([_count(_exposed(grid, *face)) for face in faces], np.float64)
    areas = exposed * np.array([spacing.prod() / spacing[axis] for axis, _ in faces])
    if not areas.sum():
        return SurfaceSamples(np.empty((0, 3)), np.empty((0, 3)))
    shares = rng.multinomial(count, areas / areas.sum())
    points, flat = [], []
    for (axis, side), share in zip(faces, shares, strict=True):
        places = _draw(_exposed(grid, axis, side), int(share), rng) + rng.random((share, 3))
        places[:, axis] = np.floor(places[:, axis]) + side
        points.append(places)
        flat.append(np.tile(np.eye(3)[axis] * (2 * side - 1), (share, 1)))
    where, facing = np.concatenate(points), np.concatenate(flat)
    normals = rays.surface_normals(grid, where, threads=threads).astype(np.float64)
    balanced = ~normals.any(axis=1)
    normals[balanced] = facing[balanced]
    normals /= spacing
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return SurfaceSamples(np.array(grid.origin) + where * spacing, normals)


def occupied_box(grid: VoxelGrid) -> tuple[Points, Points] | None:
    """The corners of the box around the occupied voxels, in voxels; None for an empty grid."""
    along_x = grid.packed.any(axis=(1, 2))
    along_y = grid.packed.any(axis=(0, 2))
    words = np.bitwise_or.reduce(grid.packed, axis=(0, 1)) if grid.packed.size else np.empty(0)
    along_z = np.unpackbits(np.asarray(words, "<u8").view(np.uint8), bitorder="little")
    occupied = [np.flatnonzero(line) for line in (along_x, along_y, along_z)]
    if not all(len(line) for line in occupied):
        return None
    low = np.array([line[0] for line in occupied], np.float64)
    high = np.array([line[-1] + 1 for line in occupied], np.float64)
    return low, high


def _exposed(grid: VoxelGrid, axis: int, side: int) -> Words:
    """(X, Y, W) the occupied voxels whose neighbour on that side is empty; side 1 is upward."""
    here = grid.packed
    beyond = np.zeros_like(here)
    if axis == 0:
        near, far = (here[1:], beyond[:-1]) if side else (here[:-1], beyond[1:])
        far[:] = near
    elif axis == 1:
        near, far = (here[:, 1:], beyond[:, :-1]) if side else (here[:, :-1], beyond[:, 1:])
        far[:] = near
    else:
        one, carry = np.uint64(1), np.uint64(WORD_BITS - 1)
        if side:
            beyond[:] = here >> one
            beyond[..., :-1] |= here[..., 1:] << carry
        else:
            beyond[:] = here << one
            beyond[..., 1:] |= here[..., :-1] >> carry
    return here & ~beyond


def _count(words: Words) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64)) if words.size else 0


def _draw(words: Words, count: int, rng: np.random.Generator) -> Points:
    """(count, 3) indices of set bits of (X, Y, W) words, each as likely as any, with repeats."""
    ends = np.cumsum(np.bitwise_count(words).ravel(), dtype=np.int64)
    if not count:
        return np.empty((0, 3))
    rank = np.sort(rng.integers(ends[-1], size=count))
    word = np.searchsorted(ends, rank, side="right")
    chosen = words.ravel()[word]
    nth = rank - (ends[word] - np.bitwise_count(chosen))
    bits = np.unpackbits(
        np.asarray(chosen, "<u8").view(np.uint8).reshape(count, 8), axis=1, bitorder="little"
    )
    bit = (np.cumsum(bits, axis=1, dtype=np.uint8) == nth[:, None] + 1).argmax(axis=1)
    x, y, w = np.unravel_index(word, words.shape)
    return np.stack([x, y, w * WORD_BITS + bit], axis=1).astype(np.float64)
