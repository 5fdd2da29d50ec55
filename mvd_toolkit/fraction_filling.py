"""Filling by fractions: each low voxel exactly as far as it says, where that is likeliest.

Low voxels are asked one by one, and what they tell of a surface that they share need not meet at
their border. So how likely the fine voxels about one are, in its own low voxel and in those beside
it, counts for it as well, as where mixed pixels are divided by swapping (Atkinson 2005). Of fine
voxels, a few layers of low ones are held as bytes, and what is told of those layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit.conventions import FULL_COVERAGE

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_SURE: Final = 255
"""Chances are bytes; of this one a voxel is certainly occupied."""

_TOGETHER: Final = 6.0
"""Log-odds that a fine voxel gains where the 3³ about it are surely occupied, and loses where they
are surely empty."""

_VOXELS_AT_ONCE: Final = 4096


@dataclass(frozen=True)
class ToldLayer:
    """One layer of low voxels, across x, and what is told of its partly covered ones.

    Attributes:
        wanted: (Y, Z) how many fine voxels each low one holds.
        partly: (Y, Z) which low voxels are partly covered.
        log_odds: (P, s³) of the fine voxels, in C order, of those P, in C order.
    """

    wanted: Ints
    partly: Bools
    log_odds: Floats

    @property
    def scale(self) -> int:
        """Fine voxels along the edge of a low one, s."""
        edge: int = round(self.log_odds.shape[1] ** (1 / 3))
        return edge

    def dense(self, full: int, partly: Bytes) -> Bytes:
        """What is known of each fine voxel, (s, s Y, s Z).

        Args:
            full: of those in full low voxels; in empty ones it is 0.
            partly: (P, s³) of those in partly covered ones.
        """
        scale = self.scale
        flat = full * (self.wanted == self.log_odds.shape[1]).astype(np.uint8)
        layer = np.empty((scale, scale * flat.shape[0], scale * flat.shape[1]), np.uint8)
        layer[:] = flat.repeat(scale, 0).repeat(scale, 1)
        y, z = np.nonzero(self.partly)
        blocks = layer.reshape(scale, len(flat), scale, -1, scale)
        blocks[:, y, :, z, :] = partly.reshape(-1, scale, scale, scale)
        return layer


def filled(told: Iterable[ToldLayer]) -> Iterator[Bools]:
    """The fine voxels (s, s Y, s Z) of each layer, each when the next one is told.

    Args:
        told: all layers of a grid, in order; outside of it all is empty.
    """
    below: Bytes | None = None
    layers = ((layer, _chances(layer)) for layer in told)
    current = next(layers, None)
    while current is not None:
        layer, chances = current
        current = next(layers, None)
        above = None if current is None else current[1][0]
        yield layer.dense(1, _chosen(layer, below, chances, above)).view(np.bool_)
        below = chances[-1]


def _chances(layer: ToldLayer) -> Bytes:
    """(s, s Y, s Z) how likely each fine voxel of a layer is occupied, in 255ths."""
    chances = np.empty(layer.log_odds.shape, np.uint8)
    for first in range(0, len(chances), _VOXELS_AT_ONCE):
        part = slice(first, first + _VOXELS_AT_ONCE)
        likely = _SURE / (1 + np.exp(-layer.log_odds[part].clip(-50, 50)))
        chances[part] = np.rint(likely)
    return layer.dense(_SURE, chances)


def _chosen(layer: ToldLayer, below: Bytes | None, chances: Bytes, above: Bytes | None) -> Bytes:
    """(P, s³) 1 where a fine voxel of a partly covered low one is occupied, and 0.

    Args:
        layer: the layer.
        below: (s Y, s Z) chances, in 255ths, of the last fine layer before it; None: it is empty.
        chances: (s, s Y, s Z) its own.
        above: (s Y, s Z) those of the first fine layer after it.
    """
    scale = layer.scale
    wide = np.zeros([n + 2 for n in chances.shape], np.uint8)
    inside = wide[:, 1:-1, 1:-1]
    inside[1:-1] = chances
    if below is not None:
        inside[0] = below
    if above is not None:
        inside[-1] = above
    windows = np.lib.stride_tricks.sliding_window_view(wide, (scale + 2,) * 3)[0, ::scale, ::scale]
    y, z = np.nonzero(layer.partly)
    wanted = layer.wanted[y, z]
    chosen = np.empty(layer.log_odds.shape, np.uint8)
    for first in range(0, len(chosen), _VOXELS_AT_ONCE):
        part = slice(first, first + _VOXELS_AT_ONCE)
        sums = windows[y[part], z[part]].astype(np.uint16)
        sums = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:]
        sums = sums[:, :, :-2] + sums[:, :, 1:-1] + sums[:, :, 2:]
        sums = sums[..., :-2] + sums[..., 1:-1] + sums[..., 2:]
        # From 0 to twice as much: what all of a low voxel lack alike changes no order.
        about = sums.reshape(len(sums), -1) * np.float32(2 * _TOGETHER / (27 * _SURE))
        chosen[part] = highest(layer.log_odds[part] + about, wanted[part])
    return chosen


def covered(coverage: npt.NDArray[np.float32], voxels: int) -> npt.NDArray[np.int64]:
    """How many of ``voxels`` fine voxels each low one holds, rounded half up, as `soft_rank` does.

    >>> covered(np.array([0.0, 0.5, 1.0], np.float32), 512).tolist()
    [0, 256, 512]
    """
    whole = np.rint(coverage.astype(np.float64) * FULL_COVERAGE).astype(np.int64)
    doubled = 2 * whole * voxels + FULL_COVERAGE
    counts: npt.NDArray[np.int64] = doubled // (2 * FULL_COVERAGE)
    return counts


def highest(values: Floats, wanted: Ints) -> Bools:
    """(P, V) which of each row's values are the ``wanted`` (P,) highest, at least one; of equal
    ones the first.

    >>> highest(np.array([[2, 5, 2, 1]], np.float32), np.array([2])).tolist()
    [[True, True, False, False]]
    """
    # On a CPU, NumPy sorts values ten times as fast as PyTorch tells their order.
    ascending = np.sort(values, axis=1)
    least = np.take_along_axis(ascending, values.shape[1] - wanted[:, None], axis=1)
    found: Bools = values >= least
    too_many = np.count_nonzero(found, axis=1) - wanted
    for row in np.flatnonzero(too_many):
        equal = np.flatnonzero(values[row] == least[row])
        found[row, equal[-too_many[row] :]] = False
    return found
