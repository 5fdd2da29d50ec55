"""The two predictors over a backbone: what a face's silhouette is, and how deep its surface lies.

The depth predictor tells a distribution. Where two surfaces share a coarse pixel a mean lies in the
air between them, and the best voxel to carve to is a quantile: a voxel is worth keeping when it is
occupied with a probability above ``IoU / (1 + IoU)``, so the quantile is a property of the model,
chosen on validation shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mvd_toolkit.silhouette_weights import SilhouetteWeights, silhouette_weights
from mvd_toolkit.view_predictor import ViewConfig, ViewPredictor, nearest


class SilhouettePredictor(ViewPredictor):
    """f_SIL: probability that a fine pixel is silhouette."""

    role = "silhouette"
    weighting: SilhouetteWeights = "plain"
    """Which pixels count more in training; no part of the model."""

    def outputs(self) -> int:
        """One logit."""
        return 1

    def outside(self, background: int) -> float:
        """Probability 0."""
        return 0.0

    def pixel_loss(
        self,
        logits: torch.Tensor,
        base: torch.Tensor,
        odms: torch.Tensor,
        background: int,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Binary cross-entropy."""
        true = (odms < background).float()
        return F.binary_cross_entropy_with_logits(logits[:, 0].float(), true, weights)

    def pixel_weights(
        self, odms: torch.Tensor, mask: torch.Tensor, background: int
    ) -> torch.Tensor | None:
        """As `weighting` says; see `silhouette_weights`."""
        asked = nearest(mask, self.view_config.scale)
        return silhouette_weights(self.weighting, odms < background, asked)

    def picture(self, logits: torch.Tensor) -> torch.Tensor:
        """The probability."""
        return logits[..., 0].float().sigmoid()

    def true_picture(self, odms: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
        """The true silhouette."""
        return (odms < background).float()

    def decode(self, logits: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
        """Sigmoid."""
        return logits[:, 0].float().sigmoid()


class DepthPredictor(ViewPredictor):
    """f_ΔD: a distribution of how far behind the base's surface the first fine voxel lies.

    Offsets, in fine voxels, fall into bins (`depth_bins`): one voxel wide over the first two low
    voxels, wider behind. Background counts as farther than everything.
    """

    role = "depth"

    def __init__(self, config: ViewConfig) -> None:
        super().__init__(config)
        edges = torch.tensor(depth_bins(config.scale))
        self.register_buffer("edges", edges, persistent=False)

    def outputs(self) -> int:
        """One logit a bin."""
        return len(depth_bins(self.view_config.scale))

    def outside(self, background: int) -> float:
        """Background."""
        return float(background)

    def pixel_loss(
        self,
        logits: torch.Tensor,
        base: torch.Tensor,
        odms: torch.Tensor,
        background: int,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Cross-entropy of the bin that holds the true offset."""
        offset = odms - self.view_config.scale * base
        edges = self.edges
        assert isinstance(edges, torch.Tensor)
        bins = (torch.bucketize(offset.clamp(min=0), edges, right=True) - 1).masked_fill(
            odms >= background, len(edges) - 1
        )
        return F.cross_entropy(logits.float(), bins)

    def picture(self, logits: torch.Tensor) -> torch.Tensor:
        """The mean offset over four low voxels, farther bins and background counting 1."""
        edges = self.edges
        assert isinstance(edges, torch.Tensor)
        offsets = (edges / (4 * self.view_config.scale)).clamp(max=1)
        return logits.float().softmax(dim=-1) @ offsets

    def levels(
        self, low: torch.Tensor, rule: str, coverage: torch.Tensor | None, count: int
    ) -> torch.Tensor:
        """Depths at several quantiles, the middles of ``count`` equal parts of [0, 1].

        Arguments as in `forward`; returns (B, count, 6, sN, sN) float32.
        """
        quantiles = [(i + 0.5) / count for i in range(count)]

        def decode(logits: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
            return self.decode_quantiles(logits, base, background, quantiles)

        maps = self._fine_maps(low, rule, coverage, count, decode)
        return maps.permute(0, 4, 1, 2, 3)

    def decode(self, logits: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
        """The depth at the model's own quantile."""
        quantile = self.view_config.quantile
        return self.decode_quantiles(logits, base, background, [quantile])[:, 0]

    def decode_quantiles(
        self,
        logits: torch.Tensor,
        base: torch.Tensor,
        background: int,
        quantiles: Sequence[float],
    ) -> torch.Tensor:
        """Quantiles of the distribution, linear within a bin: (Q, len(quantiles)) float32.

        A bin of offsets [a, b) stands for depths between a - 1/2 and b - 1/2, so that rounding
        gives the first voxel at which the cumulated probability reaches the quantile. The last bin
        stands for its first offset: what lies farther is left to the other faces.
        """
        edges = self.edges
        assert isinstance(edges, torch.Tensor)
        cumulated = logits.float().softmax(dim=1).cumsum(dim=1)  # (Q, K)
        depths = []
        for quantile in quantiles:
            bins = (cumulated < quantile).sum(dim=1, keepdim=True).clamp(max=len(edges) - 1)
            above = cumulated.gather(1, bins)
            below = torch.where(bins > 0, cumulated.gather(1, (bins - 1).clamp(min=0)), 0.0)
            part = ((quantile - below) / (above - below).clamp(min=1e-9)).clamp(0, 1)
            lower = edges[bins]
            width = edges[(bins + 1).clamp(max=len(edges) - 1)] - lower  # 0 for the last bin
            offset = (lower + width * part - 0.5).clamp(min=0)[:, 0]
            depths.append((self.view_config.scale * base + offset).clamp(max=background - 1))
        return torch.stack(depths, dim=1)


def depth_bins(scale: int) -> list[int]:
    """First offset of each depth bin, fine voxels; the last bin has no end.

    >>> depth_bins(2)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 16]
    """
    single = list(range(2 * scale))
    half = list(range(2 * scale, 4 * scale, max(1, scale // 2)))
    return [*single, *half, 4 * scale, 8 * scale]
