"""A backbone that looks at the six views of a low grid, and what trains and asks it.

It looks through `features` and answers for the fine pixels under the base's silhouette; elsewhere
a fine silhouette cannot be. What an answer means is up to the subclass; see `predictors`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from mvd_toolkit.conventions import FACE_COUNT, INPUT_RULES
from mvd_toolkit.errors import InputError
from mvd_toolkit.features import FeatureConfig
from mvd_toolkit.fine_logits import (
    IMAGE_SYMMETRIES,
    FaceAnswer,
    fine_logits,
    fine_pixels,
    quick_head,
)
from mvd_toolkit.looks import Looks
from mvd_toolkit.options import parse_options
from mvd_toolkit.plugins import backbone as find_backbone
from mvd_toolkit.specs import Role
from mvd_toolkit.tiling import FaceTiles

Judge = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""An adversary's judgement: of predicted and true pictures and what they were made from."""

TRAINED_SUBPIXELS = 16
"""Sub-pixels of every low pixel that one training step looks at, drawn anew each step. Neighbours
tell nearly the same, and a quarter of the 64 at scale 8 makes a step several times quicker."""

_CHUNK_VALUES = 2**26  # fine logits of the faces that are run at once, if all pixels were asked for
_PIECE_VALUES = 2**24  # float32 values of fine logits held at once while predicting: 64 MiB


@dataclass(frozen=True)
class ViewConfig:
    """What it takes to build a view predictor again.

    Attributes:
        backbone: name of the backbone plugin.
        scale: fine voxels a low voxel, along an edge.
        options: options of the backbone.
        features: what a pixel sees.
        symmetries: how many of the eight symmetries of an image to average over when predicting.
        quantile: depth predictor only, the part of the depth distribution in front of the
            predicted depth.
    """

    backbone: str = "unet"
    scale: int = 8
    options: Mapping[str, Any] = field(default_factory=dict)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    symmetries: int = 2
    quantile: float = 0.37

    def __post_init__(self) -> None:
        if self.symmetries not in range(1, len(IMAGE_SYMMETRIES) + 1):
            raise InputError(f"symmetries: expected 1 to 8, found {self.symmetries!r}")
        if not 0 < self.quantile < 1:
            raise InputError(f"quantile: expected between 0 and 1, found {self.quantile!r}")


class ViewPredictor(nn.Module, ABC):
    """A backbone between view features and a head; see the two subclasses.

    Attributes:
        tiles: on which tiles of a face the backbone is run when predicting.
    """

    role: ClassVar[Role]

    def __init__(self, config: ViewConfig) -> None:
        super().__init__()
        self.view_config = config
        spec = find_backbone(config.backbone)
        options = parse_options(spec, config.options)
        self.backbone = spec.build(
            config.features.channels, self.outputs(), config.scale, **options
        )
        self.tiles = FaceTiles(spec, options, quick_head(self.backbone) is not None)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ViewPredictor:
        """Build from what `config` gave."""
        return cls(cls.view_config_of(config))

    @staticmethod
    def view_config_of(config: Mapping[str, Any]) -> ViewConfig:
        """The part of what `config` gave that every view predictor has."""
        values = {key: value for key, value in config.items() if key not in ("kind", "role")}
        features = FeatureConfig(**values.pop("features", {}))
        return ViewConfig(features=features, **values)

    def config(self) -> dict[str, Any]:
        """JSON-able description, enough for `from_config`."""
        config = self.view_config
        values: dict[str, Any] = {
            "kind": "view",
            "role": self.role,
            "backbone": config.backbone,
            "scale": config.scale,
            "options": dict(config.options),
            "features": config.features.to_dict(),
            "symmetries": config.symmetries,
        }
        if self.role == "depth":
            values["quantile"] = config.quantile
        return values

    @abstractmethod
    def outputs(self) -> int:
        """Channels of the backbone's output, a fine pixel."""

    @abstractmethod
    def pixel_loss(
        self,
        logits: torch.Tensor,
        base: torch.Tensor,
        odms: torch.Tensor,
        background: int,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss over fine pixels.

        Args:
            logits: (Q, K) of Q fine pixels.
            base: (Q,) int64, base depth under each, low voxels.
            odms: (Q,) int64, true depth of each, ``background`` where none.
            background: edge of the fine grid.
            weights: (Q,) float32, what each counts; see `pixel_weights`.
        """

    def pixel_weights(
        self, odms: torch.Tensor, mask: torch.Tensor, background: int
    ) -> torch.Tensor | None:
        """What each fine pixel counts in training; None: all the same.

        Args:
            odms: (M, sL, sL) int64, true depths.
            mask: (M, L, L) bool, the low pixels under the base's silhouette.
            background: edge of the fine grid.

        Returns:
            (M, sL, sL) float32.
        """
        return None

    @abstractmethod
    def picture(self, logits: torch.Tensor) -> torch.Tensor:
        """What an adversary sees of logits (..., K): (...), 0 to 1, differentiable."""

    @abstractmethod
    def decode(self, logits: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
        """Predictions (Q,) float32 of fine pixels; arguments as in `pixel_loss`."""

    @abstractmethod
    def outside(self, background: int) -> float:
        """The prediction where the base has no silhouette."""

    def loss(
        self,
        low: torch.Tensor,
        rule_index: torch.Tensor,
        odms: torch.Tensor,
        faces: int = FACE_COUNT,
        coverage: torch.Tensor | None = None,
        judge: Judge | None = None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Training loss.

        Args:
            low: (B, N, N, N) bool, low grids (hulls).
            rule_index: (B,) int64, place of each grid's rule in `INPUT_RULES`.
            odms: (B, 6, sN, sN) int64, true fine ODMs.
            faces: look at the first so many faces only. With random symmetries applied to the items
                any face is as good as another, and fewer faces of more items teach more a second.
            coverage: (B, N, N, N) float32, occupied fraction where the rule is *soft*, the bits
                elsewhere; may be left out where no rule is.
            judge: an adversary, whose judgement of whole pictures is added to the loss.

        Returns:
            the loss; figures for the log, with ``pixels``, over how many the loss is a mean.
        """
        scale, background = self.view_config.scale, odms.shape[-1]
        looks = Looks.of(low, rule_index, coverage, faces)
        base, mask = looks.base, looks.base < low.shape[-1]
        planes = looks.planes(self.view_config.features)
        some = torch.randperm(scale**2, device=low.device)[:TRAINED_SUBPIXELS]
        logits = fine_logits(self.backbone, planes, mask, scale, some)  # (P, S, K)
        images = odms[:, :faces].flatten(0, 1)
        true = fine_pixels(images, mask, scale)[:, some]  # (P, S)
        bases = base[mask][:, None].expand_as(true)
        weighed = self.pixel_weights(images, mask, background)
        weights = None if weighed is None else fine_pixels(weighed, mask, scale)[:, some].flatten()
        loss = self.pixel_loss(
            logits.flatten(0, 1), bases.flatten(), true.flatten(), background, weights
        )
        figures = {"loss": float(loss.detach()), "pixels": float(true.numel())}
        if judge is not None:
            adversarial = judge(*self._pictures(planes, mask, base, images))
            loss = loss + adversarial
            figures["adversarial"] = float(adversarial.detach())
        return loss, figures

    def _pictures(
        self, planes: torch.Tensor, mask: torch.Tensor, base: torch.Tensor, odms: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Predicted and true pictures and the base's silhouette, (M, 1, sL, sL) each."""
        scale, background = self.view_config.scale, odms.shape[-1]
        given = nearest(mask, scale)
        predicted = self.picture(self.backbone(planes).permute(0, 2, 3, 1)) * given
        true = self.true_picture(odms, scale * nearest(base, scale), background) * given
        return predicted[:, None], true[:, None], given[:, None].float()

    def true_picture(self, odms: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
        """What `picture` should be for true depths (M, sL, sL) behind base depths, fine voxels."""
        offset = (odms - base).clamp(min=0).float() / (4 * self.view_config.scale)
        return offset.masked_fill(odms >= background, 1.0).clamp(max=1)

    def forward(
        self, low: torch.Tensor, rule: str = "any", coverage: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict all six faces.

        Args:
            low: (B, N, N, N) bool, low grids (hulls).
            rule: how they were made, one of `INPUT_RULES`.
            coverage: (B, N, N, N) float32, the occupied fraction of each low voxel, where the rule
                is *soft*.

        Returns:
            (B, 6, sN, sN) float32: probability of silhouette, or depth in fine voxels.
        """

        def decode(logits: torch.Tensor, base: torch.Tensor, background: int) -> torch.Tensor:
            return self.decode(logits, base, background)[:, None]

        return self._fine_maps(low, rule, coverage, 1, decode)[..., 0]

    def _fine_maps(
        self,
        low: torch.Tensor,
        rule: str,
        coverage: torch.Tensor | None,
        count: int,
        decode: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor],
    ) -> torch.Tensor:
        """(B, 6, sN, sN, L), L = ``count``: what ``decode`` makes of logits, (Q, K) to (Q, L)."""
        scale, edge = self.view_config.scale, low.shape[-1]
        rule_index = torch.full((len(low),), INPUT_RULES.index(rule), device=low.device)
        looks = Looks.of(low, rule_index, coverage, FACE_COUNT)
        fine = scale * edge
        shape = (len(looks.base), fine, fine, count)
        maps = torch.full(shape, self.outside(fine), device=low.device)
        chunk = max(1, _CHUNK_VALUES // (self.outputs() * fine * fine))
        for start in range(0, len(looks.base), chunk):
            some = looks.part(slice(start, start + chunk))
            pixels = maps[start : start + chunk].view(-1, edge, scale, edge, scale, count)
            pixels = pixels.transpose(2, 3)
            for place, logits in self._logits(some):
                bases = some.base[place][:, None].expand(-1, scale**2)
                values = decode(logits.flatten(0, 1), bases.flatten(), fine)
                pixels[place] = values.view(-1, scale, scale, count)
        return maps.view(len(low), FACE_COUNT, fine, fine, count)

    def _logits(self, looks: Looks) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
        """The mean over symmetries of the image, of so many low pixels at a time as fit in memory.

        Yields the places of P low pixels under the base's silhouette, as indices into M, N and N,
        and (P, s * s, K).
        """
        config, edge = self.view_config, looks.base.shape[-1]
        place = torch.nonzero(looks.base < edge, as_tuple=True)
        if not len(place[0]):
            return
        tiling = self.tiles.of(edge)
        answers = [
            FaceAnswer.of(
                self.backbone,
                looks.turned(symmetry).planes(config.features),
                config.scale,
                symmetry,
                tiling,
            )
            for symmetry in IMAGE_SYMMETRIES[: config.symmetries]
        ]
        most = max(1, _PIECE_VALUES // (self.outputs() * config.scale**2))
        for some in zip(*(torch.split(index, most) for index in place), strict=True):
            logits = answers[0].logits(some)
            for answer in answers[1:]:
                logits = logits + answer.logits(some)
            yield some, logits / config.symmetries


def nearest(images: torch.Tensor, scale: int) -> torch.Tensor:
    """(M, L, L) to (M, sL, sL)."""
    return images.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
