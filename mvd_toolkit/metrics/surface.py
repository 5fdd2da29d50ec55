"""Metrics of points drawn from the two surfaces.

Distances go from each sample to the nearest sample of the other surface, so two samplings of one
surface are not at distance 0: with n points on an area A they are about 0.5 √(A / n) apart. Compare
only figures with the same number of points.

A prediction without surface has no distance: Chamfer and normal consistency are NaN, the F-score 0.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import numpy as np

from mvd_toolkit.comparison import Comparison
from mvd_toolkit.specs import MetricSpec

PIXEL2MESH_DIAGONAL: Final = 0.57
"""Diagonal of a shape's box in the normalisation of Pixel2Mesh (Wang et al., ECCV 2018): models of
ShapeNetCore, whose box has a diagonal of 1, times 0.57."""

PIXEL2MESH_TAU: Final = 1e-4
"""Their threshold, of squared distances."""

RELATIVE_TAU: Final = 0.01
"""Threshold of `fscore_1pct`, of the truth's longest side (Tatarchenko et al., CVPR 2019)."""


def fscore_pixel2mesh(pair: Comparison, tau: float = PIXEL2MESH_TAU) -> float:
    """F-score at squared distance ``tau`` with the truth's diagonal scaled to 0.57.

    As in the papers on reconstructing meshes from pictures that follow Pixel2Mesh, which draw 2,466
    points: `Sampling(points=2466)`.
    """
    diagonal = float(np.linalg.norm(pair.extent))
    return fscore(pair, math.sqrt(tau) / PIXEL2MESH_DIAGONAL * diagonal)


def fscore_relative(pair: Comparison, tau: float = RELATIVE_TAU) -> float:
    """F-score at a distance of ``tau`` times the truth's longest side."""
    return fscore(pair, tau * float(pair.extent.max()))


def fscore(pair: Comparison, distance: float) -> float:
    """Harmonic mean of the shares of samples that have one of the other surface within a distance.

    1 when neither has a surface, 0 when one of them has none.
    """
    if not pair.in_pred or not pair.in_truth:
        return float(pair.in_pred == pair.in_truth)
    precise = float((pair.to_truth.distances <= distance).mean())
    complete = float((pair.to_pred.distances <= distance).mean())
    return 2 * precise * complete / (precise + complete) if precise + complete else 0.0


def chamfer(pair: Comparison) -> float:
    """Mean distance to the other surface, averaged over both directions; longest side = 1."""
    if not pair.in_pred or not pair.in_truth:
        return 0.0 if pair.in_pred == pair.in_truth else math.nan
    both = (pair.to_truth.distances.mean() + pair.to_pred.distances.mean()) / 2
    return float(both / pair.extent.max())


def chamfer_l2(pair: Comparison) -> float:
    """Mean squared distance, summed over both directions; longest side = 1."""
    if not pair.in_pred or not pair.in_truth:
        return 0.0 if pair.in_pred == pair.in_truth else math.nan
    both = (pair.to_truth.distances**2).mean() + (pair.to_pred.distances**2).mean()
    return float(both / pair.extent.max() ** 2)


def normal_consistency(pair: Comparison) -> float:
    """Mean |cos| between normals of nearest samples, averaged over both directions.

    (Mescheder et al., CVPR 2019.)
    """
    if not pair.in_pred or not pair.in_truth:
        return 1.0 if pair.in_pred == pair.in_truth else math.nan
    pred, truth = pair.pred_samples.normals, pair.truth_samples.normals
    precise = np.abs((pred * truth[pair.to_truth.indices]).sum(axis=1)).mean()
    complete = np.abs((truth * pred[pair.to_pred.indices]).sum(axis=1)).mean()
    return float((precise + complete) / 2)


METRICS: Final = (
    MetricSpec(
        "fscore", fscore_pixel2mesh, description="F-score at Pixel2Mesh's τ = 1e-4, squared"
    ),
    MetricSpec(
        "fscore_2tau",
        partial(fscore_pixel2mesh, tau=2 * PIXEL2MESH_TAU),
        default=False,
        description="F-score at 2τ",
    ),
    MetricSpec(
        "fscore_1pct", fscore_relative, description="F-score at 1 % of the truth's longest side"
    ),
    MetricSpec(
        "chamfer",
        chamfer,
        better="lower",
        unit="longest side",
        description="mean distance between the surfaces",
    ),
    MetricSpec(
        "chamfer_l2",
        chamfer_l2,
        better="lower",
        unit="longest side²",
        default=False,
        description="mean squared distance, both directions summed",
    ),
    MetricSpec("normal_consistency", normal_consistency, description="mean |cos| of the normals"),
)
