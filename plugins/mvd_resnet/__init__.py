"""Backbone `resnet`: the super-resolution network of the MVD paper (arXiv 1802.09987)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mvd_toolkit import BackboneSpec, hookimpl

if TYPE_CHECKING:
    import torch

Variant = Literal["paper", "authors"]


@dataclass(frozen=True)
class ResNetOptions:
    """Options of the backbone.

    Attributes:
        width: channels of the residual blocks.
        blocks: residual blocks.
        variant: "paper" is what the text says: no normalisation, the width kept through the
            sub-pixel steps. "authors" is what their code does besides: batch normalisation in the
            blocks, ``2 * width / 2**i`` channels before shuffle ``i``, weights drawn with a
            standard deviation of 0.02.
    """

    width: int = 128
    blocks: int = 16
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        if not 1 <= self.blocks <= 256:
            raise ValueError(f"blocks: expected 1 to 256, found {self.blocks}")
        if self.width < 8 or self.width % 8:
            raise ValueError(f"width: expected a multiple of 8, found {self.width}")


def build(
    in_channels: int,
    out_channels: int,
    scale: int,
    *,
    width: int = 128,
    blocks: int = 16,
    variant: Variant = "paper",
) -> torch.nn.Module:
    """Build the network: (B, in, L, L) to (B, out, L * scale, L * scale)."""
    from mvd_resnet.network import ResNet

    return ResNet(in_channels, out_channels, scale, width=width, blocks=blocks, variant=variant)


def receptive_field(*, width: int = 128, blocks: int = 16, variant: Variant = "paper") -> int:
    """Edge of what a pixel depends on at scale 8, input pixels; at the others it is no more."""
    return 9 + 4 * blocks


@hookimpl
def mvd_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Register the backbone."""
    register(
        BackboneSpec(
            name="resnet",
            build=build,
            options=ResNetOptions,
            scales=(2, 4, 8),
            receptive_field=receptive_field,
            description="the paper's residual network with sub-pixel steps",
        )
    )
