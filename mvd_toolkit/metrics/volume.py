"""Metrics of occupied voxels, on packed words."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.comparison import Comparison
from mvd_toolkit.grid import VoxelGrid, words_per_line
from mvd_toolkit.specs import MetricSpec

BOUNDARY_SHARE: Final = 1 / 64
"""Width of the boundary of `boundary_iou`, as a share of the longest edge: 4 voxels at 256³."""


def iou(pair: Comparison) -> float:
    """Voxels in both over voxels in either; 1 when both are empty."""
    return _ratio(pair.in_both, pair.in_pred + pair.in_truth - pair.in_both, empty=1.0)


def precision(pair: Comparison) -> float:
    """Share of the predicted voxels that are true; 1 when neither has any."""
    return _ratio(pair.in_both, pair.in_pred, empty=0.0 if pair.in_truth else 1.0)


def recall(pair: Comparison) -> float:
    """Share of the true voxels that are predicted; 1 when neither has any."""
    return _ratio(pair.in_both, pair.in_truth, empty=0.0 if pair.in_pred else 1.0)


def boundary_iou(pair: Comparison) -> float:
    """IoU of the occupied voxels near the surface (Cheng et al., CVPR 2021, in three dimensions).

    Near is within d voxels along the axes of an empty voxel, d = edge / 64 and at least 1; outside
    the grid all is empty.
    """
    width = boundary_width(pair.truth)
    pred = boundary(pair.pred, width, threads=pair.threads)
    truth = boundary(pair.truth, width, threads=pair.threads)
    return float(ops.iou(pred, truth, threads=pair.threads))


def volume_ratio(pair: Comparison) -> float:
    """Predicted over true volume; 1 when both are empty, undefined (NaN) when only the truth is."""
    return _ratio(pair.in_pred, pair.in_truth, empty=math.nan if pair.in_pred else 1.0)


def components(pair: Comparison) -> dict[str, float]:
    """Parts connected through voxel faces, of the prediction and of the truth."""
    return {name: float(ops.count_parts(getattr(pair, name))) for name in ("pred", "truth")}


def boundary_width(grid: VoxelGrid) -> int:
    """How wide the boundary of `boundary_iou` is, voxels."""
    return max(1, round(max(grid.shape) * BOUNDARY_SHARE))


def boundary(grid: VoxelGrid, width: int, *, threads: int = 0) -> VoxelGrid:
    """The occupied voxels within ``width`` of an empty one along each axis (26 neighbours)."""
    x, y, z = grid.shape
    line = np.full(words_per_line(z), ~np.uint64(0))
    line[-1:] >>= np.uint64(-z % 64)
    empty = grid.with_occupancy(~grid.packed & line, grid.shape)
    near = ops.dilate(empty, width, threads=threads).packed
    for axis, edge in ((0, x), (1, y)):
        rim = np.moveaxis(near, axis, 0)
        rim[: min(width, edge)] = line
        rim[max(0, edge - width) :] = line
    near |= _ends(z, width) & line
    return grid.with_occupancy(near & grid.packed, grid.shape)


def _ends(depth: int, width: int) -> npt.NDArray[np.uint64]:
    """(W,) the first and the last ``width`` voxels of a line."""
    line = np.zeros((1, 1, depth), bool)
    line[..., :width] = line[..., max(0, depth - width) :] = True
    ends: npt.NDArray[np.uint64] = VoxelGrid.from_dense(line).packed[0, 0]
    return ends


def _ratio(part: int, whole: int, empty: float) -> float:
    return part / whole if whole else empty


METRICS: Final = (
    MetricSpec("iou", iou, description="voxels in both over voxels in either"),
    MetricSpec("precision", precision, description="share of the predicted voxels that are true"),
    MetricSpec("recall", recall, description="share of the true voxels that are predicted"),
    MetricSpec("boundary_iou", boundary_iou, description="IoU of the voxels near the surface"),
    MetricSpec(
        "volume_ratio", volume_ratio, better="neither", description="predicted over true volume"
    ),
    MetricSpec(
        "components",
        components,
        better="neither",
        default=False,
        description="parts connected through voxel faces",
    ),
)
