"""Backbone `template`: a small residual network, to copy, rename and replace by your own.

No torch at the top of this module: `mvd --help` imports it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvd_toolkit import BackboneSpec, hookimpl


@dataclass(frozen=True)
class Options:
    """What ``--set`` takes: a field each, with its type and its default."""

    width: int = 32
    blocks: int = 4

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: expected at least 1, found {self.width}")
        if self.blocks < 0:
            raise ValueError(f"blocks: expected at least 0, found {self.blocks}")


def build(in_channels, out_channels, scale, *, width=32, blocks=4):
    """A torch.nn.Module from (B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""
    from mvd_template.network import Network

    return Network(in_channels, out_channels, scale, width, blocks)


def receptive_field(*, width=32, blocks=4):
    """Edge of what a pixel depends on, input pixels: 1, and 2 for each 3x3 convolution in a row."""
    return 1 + 4 * blocks


@hookimpl
def mvd_register_backbones(register):
    """Tell mvd_toolkit of the backbone."""
    register(
        BackboneSpec(
            name="template",
            build=build,
            options=Options,
            scales=(2, 4, 8),
            receptive_field=receptive_field,
            licence="MIT",
            description="a small residual network",
        )
    )
