"""Metrics of the six depth maps."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit.comparison import Comparison
from mvd_toolkit.conventions import FACES
from mvd_toolkit.specs import MetricSpec

Odms = npt.NDArray[np.uint16]


def face_silhouette_ious(pred: Odms, truth: Odms) -> npt.NDArray[np.float64]:
    """(6,) IoU of the silhouettes of (6, N, N) depth maps, a face each; 1 when both are empty."""
    edge = truth.shape[-1]
    a, b = pred < edge, truth < edge
    either = (a | b).sum(axis=(1, 2))
    both = (a & b).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def face_depth_errors(pred: Odms, truth: Odms) -> npt.NDArray[np.float64]:
    """(6,) mean |difference| of depth where both see the shape, voxels; NaN where they never do."""
    edge = truth.shape[-1]
    both = (pred < edge) & (truth < edge)
    difference = np.abs(pred.astype(np.int32) - truth) * both
    pixels = both.sum(axis=(1, 2))
    total = difference.sum(axis=(1, 2), dtype=np.int64)
    return np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)


def silhouette_iou(pair: Comparison) -> float:
    """Mean of the six silhouettes' IoU."""
    return float(face_silhouette_ious(*pair.odms).mean())


def depth_error(pair: Comparison) -> float:
    """Mean over the faces of the mean difference of depth where both see the shape, fine voxels."""
    errors = face_depth_errors(*pair.odms)
    known = errors[~np.isnan(errors)]
    if len(known):
        return float(known.mean())
    return math.nan if pair.in_pred or pair.in_truth else 0.0


def silhouette_iou_by_face(pair: Comparison) -> dict[str, float]:
    """IoU of each silhouette."""
    return dict(zip(FACES, face_silhouette_ious(*pair.odms).tolist(), strict=True))


def depth_error_by_face(pair: Comparison) -> dict[str, float]:
    """Mean difference of depth of each face, fine voxels."""
    return dict(zip(FACES, face_depth_errors(*pair.odms).tolist(), strict=True))


METRICS: Final = (
    MetricSpec("silhouette_iou", silhouette_iou, description="mean IoU of the six silhouettes"),
    MetricSpec(
        "depth_error",
        depth_error,
        better="lower",
        unit="voxels",
        description="mean difference of depth where both see the shape",
    ),
    MetricSpec(
        "silhouettes", silhouette_iou_by_face, default=False, description="IoU of each silhouette"
    ),
    MetricSpec(
        "depths",
        depth_error_by_face,
        better="lower",
        unit="voxels",
        default=False,
        description="difference of depth of each face",
    ),
)
