"""Which pixels of a silhouette count more while its predictor learns."""

from __future__ import annotations

from typing import Final, Literal

import torch
import torch.nn.functional as F

SilhouetteWeights = Literal["plain", "balanced", "boundary"]

BOUNDARY_REACH: Final = 2
"""How far from the silhouette's edge a fine pixel counts as of its boundary."""

BOUNDARY_WEIGHT: Final = 4.0
"""What a pixel of the boundary counts, others counting 1."""

_LEAST_SHARE: Final = 0.01  # of a class: fewer pixels than that weigh no more


def silhouette_weights(
    kind: SilhouetteWeights, silhouette: torch.Tensor, asked: torch.Tensor
) -> torch.Tensor | None:
    """Weights of fine pixels; their mean over the pixels asked is 1.

    "balanced" lets silhouette and background count the same in all, however many pixels each has;
    "boundary" counts those within `BOUNDARY_REACH` of its edge `BOUNDARY_WEIGHT` times.

    Args:
        kind: which weights.
        silhouette: (M, H, W) bool, the true one.
        asked: (M, H, W) bool, the pixels that are predicted at all.

    Returns:
        (M, H, W) float32; None where all count the same.
    """
    if kind == "plain":
        return None
    if kind == "balanced":
        share = (silhouette & asked).sum() / asked.sum().clamp(min=1)
        inside = 1 / share.clamp(min=_LEAST_SHARE)
        outside = 1 / (1 - share).clamp(min=_LEAST_SHARE)
        weights = torch.where(silhouette, inside, outside)
    else:
        weights = torch.where(_boundary(silhouette), BOUNDARY_WEIGHT, 1.0)
    mean = weights[asked].mean() if bool(asked.any()) else weights.new_ones(())
    return weights / mean


def _boundary(silhouette: torch.Tensor) -> torch.Tensor:
    """(M, H, W) bool: pixels whose neighbourhood is not all of one kind."""
    size, pad = 2 * BOUNDARY_REACH + 1, BOUNDARY_REACH
    images = silhouette[:, None].float()
    grown = F.max_pool2d(images, size, stride=1, padding=pad)
    shrunk = -F.max_pool2d(-images, size, stride=1, padding=pad)
    return (grown != shrunk)[:, 0]
