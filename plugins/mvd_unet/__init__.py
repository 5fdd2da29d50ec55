"""Backbone `unet`: residual blocks on the input's resolution and two below, sub-pixel head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvd_toolkit import BackboneSpec, hookimpl

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class UNetOptions:
    """Options of the backbone.

    Attributes:
        width: channels at the input's resolution; twice and three times as many below.
        top_blocks: residual blocks on each side of the input's resolution, the costly one.
        blocks: residual blocks on each side of the resolutions below.
    """

    width: int = 48
    top_blocks: int = 1
    blocks: int = 2

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: expected at least 1, found {self.width}")
        for name in ("top_blocks", "blocks"):
            if not 0 <= getattr(self, name) <= 64:
                raise ValueError(f"{name}: expected 0 to 64, found {getattr(self, name)}")


def build(
    in_channels: int,
    out_channels: int,
    scale: int,
    *,
    width: int = 48,
    top_blocks: int = 1,
    blocks: int = 2,
) -> torch.nn.Module:
    """Build the network: (B, in, L, L) to (B, out, L * scale, L * scale)."""
    from mvd_unet.network import UNet

    return UNet(in_channels, out_channels, scale, width=width, top_blocks=top_blocks, blocks=blocks)


def receptive_field(*, width: int = 48, top_blocks: int = 1, blocks: int = 2) -> int:
    """Edge of what a pixel depends on, input pixels.

    A block of two convolutions reaches 2 pixels of its resolution to each side, and the lowest one
    sees the input in blocks of 4.
    """
    top, half, quarter = 2 * top_blocks, 2 * blocks, blocks
    reach = 2 * top + 2 * 2 * half + 4 * 2 * quarter
    return 1 + 2 * (reach + 3)


@hookimpl
def mvd_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Register the backbone."""
    register(
        BackboneSpec(
            name="unet",
            build=build,
            options=UNetOptions,
            scales=(2, 4, 8),
            receptive_field=receptive_field,
            step=4,
            description="multi-scale residual network with skip connections",
        )
    )
