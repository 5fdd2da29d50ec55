"""A depth predictor that tells one number a pixel in place of a distribution.

What others in the field do, to compare with: the offset behind the base's surface, in low voxels,
by a robust loss, as it is ("linear") or as its logarithm ("log"), where far surfaces count by their
ratio. Background has no depth: only pixels of the true silhouette teach, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F

from mvd_toolkit.errors import InputError
from mvd_toolkit.view_predictor import ViewConfig, ViewPredictor

Domain = Literal["linear", "log"]


class RegressedDepth(ViewPredictor):
    """f_ΔD: the offset of the first fine voxel behind the base's surface.

    Attributes:
        domain: what the network tells: the offset in low voxels, or ``log(1 + offset)``.
    """

    role = "depth"

    def __init__(self, config: ViewConfig, domain: Domain = "log") -> None:
        if domain not in get_args(Domain):
            raise InputError(f"domain: expected linear or log, found {domain!r}")
        super().__init__(config)
        self.domain = domain

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RegressedDepth:
        """Build from what `config` gave."""
        values = dict(config)
        domain = values.pop("domain", "log")
        return cls(ViewPredictor.view_config_of(values), domain)

    def config(self) -> dict[str, Any]:
        """JSON-able description, enough for `from_config`."""
        return {**super().config(), "kind": "regression", "domain": self.domain}

    def outputs(self) -> int:
        """One number."""
        return 1

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
        """Huber loss over the pixels of the true silhouette."""
        scale = self.view_config.scale
        offset = (odms - scale * base).clamp(min=0).float() / scale
        target = offset.log1p() if self.domain == "log" else offset
        error = F.smooth_l1_loss(self._positive(logits), target, reduction="none", beta=0.25)
        solid = (odms < background).float()
        return (error * solid).sum() / solid.sum().clamp(min=1)

    def decode(self, logits: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
        """The base's depth and the offset behind it."""
        depth = self.view_config.scale * (base + self._offset(logits))
        return depth.clamp(max=background - 1)

    def picture(self, logits: torch.Tensor) -> torch.Tensor:
        """The offset over four low voxels."""
        return (self._offset(logits) / 4).clamp(max=1)

    def _offset(self, logits: torch.Tensor) -> torch.Tensor:
        """(Q,) low voxels."""
        value = self._positive(logits)
        return value.clamp(max=20).expm1() if self.domain == "log" else value

    def _positive(self, logits: torch.Tensor) -> torch.Tensor:
        return F.softplus(logits[..., 0].float())
