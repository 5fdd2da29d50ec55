"""What is measured on: a bumpy solid and a thin frame, the two kinds of shape that people have.

Time depends on the shape: a solid has lines that end soon and few background pixels, a frame the
opposite. Random voxels would have neither silhouettes nor long runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.voxelize import voxelize

SCALE = 8
NOISE = 3  # voxels by which a predicted depth is wrong, at most

Mesh = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
OdmArray = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Sample:
    """A fine grid and what is made of it.

    Attributes:
        grid: (N, N, N).
        dense: the same, (N, N, N) bool.
        low: (N / 8, N / 8, N / 8), any-pool.
        odms: (6, N, N), the depths of ``grid``.
        noisy: the same, each depth wrong by up to `NOISE`: what carving gets to see.
    """

    grid: VoxelGrid
    dense: npt.NDArray[np.bool_]
    low: VoxelGrid
    odms: OdmArray
    noisy: OdmArray


@cache
def samples(size: int) -> tuple[Sample, ...]:
    """Both shapes at ``size``."""
    return tuple(_sample(mesh, size) for mesh in (blob(), frame()))


def _sample(mesh: Mesh, size: int) -> Sample:
    grid = voxelize(*mesh, size).grid
    odms = ops.extract_odms(grid)
    noise = np.random.default_rng(0).integers(-NOISE, NOISE + 1, odms.shape)
    noisy = np.where(odms < size, np.clip(odms + noise, 0, size - 1), size).astype(np.uint16)
    return Sample(grid, grid.dense(), ops.pool(grid, SCALE), odms, noisy)


def blob(rings: int = 158, sectors: int = 160) -> Mesh:
    """A closed, bumpy ball of 2 * sectors * (rings - 1) triangles: about 50,000."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, sectors, endpoint=False)
    radius = 1 + 0.15 * np.sin(5 * polar) * np.cos(7 * around)
    out = radius * np.sin(polar)
    vertices = np.stack([out * np.cos(around), out * np.sin(around), radius * np.cos(polar)], -1)
    # The first and last ring are points: one of the two triangles of each of their quads has area.
    faces = _quads(rings, sectors).reshape(rings, sectors, 2, 3)
    kept = [faces[0, :, 1], faces[1:-1].reshape(-1, 3), faces[-1, :, 0]]
    return vertices.reshape(-1, 3), np.concatenate(kept)


def frame() -> Mesh:
    """A wire chair: thin bars, a hoop and a coil, nearly all of it background."""
    corners = [(x, y) for x in (-0.35, 0.35) for y in (-0.35, 0.35)]
    t = np.linspace(0, 1, 200)
    seat = [[(-0.35, y, 0.0), (0.35, y, 0.0)] for y in np.linspace(-0.35, 0.35, 8)]
    legs = [[(x, y, -0.8), (0.9 * x, 0.9 * y, 0.0)] for x, y in corners]
    back = [[(x, 0.35, 0.0), (1.1 * x, 0.5, 0.9)] for x in np.linspace(-0.35, 0.35, 6)]
    hoop = np.stack([0.45 * np.cos(6.3 * t), 0.45 * np.sin(6.3 * t), 0 * t - 0.4], 1)
    coil = np.stack([0.1 * np.cos(40 * t), 0.1 * np.sin(40 * t), 0.7 * t - 0.75], 1)
    bars = [*seat, *legs, *back, hoop, coil]
    meshes = [_bar(np.asarray(path, float), 0.02) for path in bars]
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + start for (_, faces), start in zip(meshes, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def _bar(path: npt.NDArray[np.float64], radius: float, sides: int = 12) -> Mesh:
    """An open tube along (P, 3) points; its hull is solid."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.cross(along, [0.36, 0.48, 0.8])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    circle = np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]
    return (path[:, None] + radius * circle).reshape(-1, 3), _quads(len(path) - 1, sides)


def _quads(rows: int, columns: int) -> npt.NDArray[np.int64]:
    """Two triangles for each quad between rows + 1 closed rows of vertices, (F, 3)."""
    i, j = np.mgrid[:rows, :columns]
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    return np.stack([a, c, b, b, c, d], -1).reshape(-1, 3).astype(np.int64)
