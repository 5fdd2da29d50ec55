"""Hypothesis strategies and fixed grids that the tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

THREADS = (1, 2, 3, 7)
KINDS = ("grid", "numpy", "torch")

EDGES = st.one_of(st.integers(1, 9), st.sampled_from([63, 64, 65, 127, 128, 129]))
"""Edges on both sides of a word; tiny ones most of the time."""


@st.composite
def shapes(draw: st.DrawFn, most: int = 40_000) -> tuple[int, int, int]:
    """(X, Y, Z), seldom a cube, at most ``most`` voxels."""
    x, y = draw(EDGES), draw(EDGES)
    z = draw(EDGES)
    while x * y * z > most:
        x, y = (x + 1) // 2, (y + 1) // 2
    return x, y, z


@st.composite
def dense_grids(
    draw: st.DrawFn, shape: st.SearchStrategy[tuple[int, int, int]] | None = None
) -> npt.NDArray[np.bool_]:
    """(X, Y, Z) bool: empty, full, sparse, half full, dense, or a few boxes."""
    size = draw(shapes() if shape is None else shape)
    kind = draw(st.sampled_from(["noise", "boxes"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "noise":
        return rng.random(size) < draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.9, 1.0]))
    grid = np.zeros(size, bool)
    for _ in range(draw(st.integers(1, 4))):
        low = [rng.integers(0, edge) for edge in size]
        high = [rng.integers(a, edge) + 1 for a, edge in zip(low, size, strict=True)]
        grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] ^= True
    return grid


@st.composite
def dense_batches(draw: st.DrawFn) -> npt.NDArray[np.bool_]:
    """(B, X, Y, Z) bool, B from 1 to 3."""
    shape = st.just(draw(shapes(10_000)))
    return np.stack([draw(dense_grids(shape)) for _ in range(draw(st.integers(1, 3)))])


def noise(shape: tuple[int, ...], density: float = 0.5, seed: int = 0) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(seed).random(shape) < density


def big_grid() -> npt.NDArray[np.bool_]:
    """A hollow, lopsided grid with enough words for several threads to get a share each."""
    x, y, z = np.ogrid[:240, :150, :300]
    solid = (x - 120) ** 2 / 3 + (y - 70) ** 2 + (z - 170) ** 2 / 4 < 60**2
    hollow = (x - 130) ** 2 + (y - 70) ** 2 + (z - 120) ** 2 < 40**2
    return (solid & ~hollow) ^ noise((240, 150, 300), 0.0005)


def as_kind(dense: npt.NDArray[np.bool_], kind: str) -> Any:
    """A dense grid (no batch axis for ``grid``) as what a caller would pass."""
    if kind == "numpy":
        return dense
    if kind == "torch":
        return pytest.importorskip("torch").from_numpy(dense)
    from mvd_toolkit.grid import VoxelGrid

    return VoxelGrid.from_dense(dense, origin=(1.0, -2.0, 3.5), spacing=0.25)


def dense_of(grid: Any) -> npt.NDArray[np.bool_]:
    """The dense array of a grid of any kind."""
    from mvd_toolkit.grid import VoxelGrid

    return grid.dense() if isinstance(grid, VoxelGrid) else np.asarray(grid)
