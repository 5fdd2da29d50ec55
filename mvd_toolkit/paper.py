"""The predictors of the MVD paper (arXiv 1802.09987), as the authors' code has them.

The floor that others are measured against, ``mvd train --preset paper``. What differs from
`predictors`: a face's input is its bare low ODM and the face's index 0 … 5; the outputs are
sigmoids; both networks learn by squared error, every pixel counting the same.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import nn

from mvd_toolkit import plugins
from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.features import face_views, first_depth
from mvd_toolkit.options import parse_options
from mvd_toolkit.specs import Role
from mvd_toolkit.tiling import FaceTiles, run_tiled

REFERENCE_EDGE: Final = 256
"""The fine edge that the authors' constants are told for."""

VARIATION_WEIGHT: Final = 0.001

_CHUNK_PIXELS = 2**19  # fine pixels in flight while predicting


@dataclass(frozen=True)
class PaperConfig:
    """What it takes to build a predictor again.

    Attributes:
        backbone: name of the backbone plugin.
        scale: fine edge / low edge.
        options: options of the backbone.
        range: how deep a surface may move, fine voxels at 256³; depth predictor only.
    """

    backbone: str = "resnet"
    scale: int = 8
    options: Mapping[str, Any] = field(default_factory=lambda: {"variant": "authors"})
    range: float = 70.0


class PaperPredictor(nn.Module, ABC):
    """A backbone on the ODM of one face and the face's index; see the two subclasses."""

    role: ClassVar[Role]

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        spec = plugins.backbone(config.backbone)
        options = parse_options(spec, config.options)
        self.paper_config = dataclasses.replace(config, options=options)
        self.backbone = spec.build(2, 1, config.scale, **options)
        self.tiles = FaceTiles(spec, options, quick=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PaperPredictor:
        """Build from what `config` gave."""
        values = {key: value for key, value in config.items() if key not in ("kind", "role")}
        return cls(PaperConfig(**values))

    def config(self) -> dict[str, Any]:
        """JSON-able description, enough for `from_config`."""
        return {"kind": "paper", "role": self.role, **dataclasses.asdict(self.paper_config)}

    @abstractmethod
    def predict(self, images: torch.Tensor, low_odms: torch.Tensor) -> torch.Tensor:
        """Predictions (M, sN, sN) from network outputs (M, sN, sN) and low ODMs (M, N, N)."""

    @abstractmethod
    def image_loss(
        self, images: torch.Tensor, low_odms: torch.Tensor, odms: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of network outputs (M, sN, sN) against true ODMs (M, sN, sN), and its parts."""

    def loss(
        self,
        low: torch.Tensor,
        rule_index: torch.Tensor,
        odms: torch.Tensor,
        faces: int = FACE_COUNT,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Training loss.

        Args:
            low: (B, N, N, N) bool, low grids (hulls).
            rule_index: (B,) int64; these networks do not see it.
            odms: (B, 6, sN, sN) int64, true fine ODMs.
            faces: how many of each item's faces to look at, drawn at random.

        Returns:
            the loss, and figures for the log.
        """
        chosen = torch.rand(len(low), FACE_COUNT).argsort(dim=1)[:, :faces].to(low.device)
        item = torch.arange(len(low), device=low.device)[:, None]
        low_odms = first_depth(face_views(low))[item, chosen].flatten(0, 1)
        images = self._images(low_odms, chosen.flatten())
        loss, parts = self.image_loss(images, low_odms, odms[item, chosen].flatten(0, 1))
        return loss, {"loss": float(loss.detach()), **parts}

    def forward(self, low: torch.Tensor, rule: str = "any") -> torch.Tensor:
        """Predict all six faces.

        Args:
            low: (B, N, N, N) bool, low grids (hulls).
            rule: not seen by these networks, which are trained for "any".

        Returns:
            (B, 6, sN, sN) float32: probability of silhouette, or depth in fine voxels.
        """
        low_odms = first_depth(face_views(low)).flatten(0, 1)
        faces = torch.arange(FACE_COUNT, device=low.device).repeat(len(low))
        fine = self.paper_config.scale * low.shape[-1]
        chunk = max(1, _CHUNK_PIXELS // fine**2)
        parts = [
            self.predict(self._images(part, index), part)
            for part, index in zip(
                torch.split(low_odms, chunk), torch.split(faces, chunk), strict=True
            )
        ]
        return torch.cat(parts).view(len(low), FACE_COUNT, fine, fine)

    def _images(self, low_odms: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Network outputs (M, sN, sN) float32 of low ODMs (M, N, N) seen by ``faces`` (M,)."""
        planes = torch.stack(
            [low_odms.float(), faces[:, None, None].float().expand_as(low_odms)], dim=1
        )
        tiling = None if self.training else self.tiles.of(low_odms.shape[-1])
        images = run_tiled(self.backbone, planes, tiling)[:, 0].float()
        return images.sigmoid()


class PaperSilhouette(PaperPredictor):
    """f_SIL: probability that a fine pixel is silhouette, learned by squared error."""

    role = "silhouette"

    def predict(self, images: torch.Tensor, low_odms: torch.Tensor) -> torch.Tensor:
        """The output itself."""
        return images

    def image_loss(
        self, images: torch.Tensor, low_odms: torch.Tensor, odms: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error against 1 where the true ODM is not background."""
        return F.mse_loss(images, (odms < odms.shape[-1]).float()), {}


class PaperDepth(PaperPredictor):
    """f_ΔD: depth is the upsampled low depth plus at most ``range``."""

    role = "depth"

    def predict(self, images: torch.Tensor, low_odms: torch.Tensor) -> torch.Tensor:
        """Depth in fine voxels."""
        return self._upsample(low_odms) + self._range(images) * images

    def image_loss(
        self, images: torch.Tensor, low_odms: torch.Tensor, odms: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error over all pixels plus a little total variation.

        Depths count from 1; base and target are 0 at true background. The variation of an image is
        summed over its pixels, of depth / 256.
        """
        solid = odms < odms.shape[-1]
        base = torch.where(solid, self._upsample(low_odms) + 1, 0.0)
        target = torch.where(solid, odms.float() + 1, 0.0)
        depth = base + self._range(images) * images
        error = F.mse_loss(depth, target)
        scaled = depth / REFERENCE_EDGE
        variation = scaled.diff(dim=1).abs().sum(dim=(1, 2)) + scaled.diff(dim=2).abs().sum(
            dim=(1, 2)
        )
        smoothness = VARIATION_WEIGHT * variation.mean()
        parts = {"squared_error": float(error.detach()), "variation": float(smoothness.detach())}
        return error + smoothness, parts

    def _upsample(self, low_odms: torch.Tensor) -> torch.Tensor:
        """(M, N, N) low depths to (M, sN, sN) fine ones, nearest neighbour, float32."""
        scale = self.paper_config.scale
        fine = low_odms.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
        return (fine * scale).float()

    def _range(self, images: torch.Tensor) -> float:
        return self.paper_config.range * images.shape[-1] / REFERENCE_EDGE
