"""Backbone `nafnet`: a restoration network without activation functions (arXiv 2204.04676)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvd_toolkit import BackboneSpec, hookimpl

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NAFNetOptions:
    """Options of the backbone.

    Attributes:
        width: channels at the input's resolution; they double with each of the two below.
        blocks: blocks on each side of a resolution.
        middle: blocks at the lowest.
    """

    width: int = 32
    blocks: int = 1
    middle: int = 4

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2:
            raise ValueError(f"width: expected an even number, found {self.width}")
        if not (0 <= self.blocks <= 64 and 1 <= self.middle <= 64):
            raise ValueError(
                f"blocks, middle: expected 0 and 1 to 64, found {self.blocks} and {self.middle}"
            )


def build(
    in_channels: int,
    out_channels: int,
    scale: int,
    *,
    width: int = 32,
    blocks: int = 1,
    middle: int = 4,
) -> torch.nn.Module:
    """Build the network: (B, in, L, L) to (B, out, L * scale, L * scale)."""
    from mvd_nafnet.network import NAFNet

    return NAFNet(in_channels, out_channels, scale, width=width, blocks=blocks, middle=middle)


@hookimpl
def mvd_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Register the backbone."""
    register(
        BackboneSpec(
            name="nafnet",
            build=build,
            options=NAFNetOptions,
            scales=(2, 4, 8),
            receptive_field=None,
            description="gates in place of activations, attention over channels",
        )
    )
