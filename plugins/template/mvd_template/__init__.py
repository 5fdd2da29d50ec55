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
        if self.width < 1 or self.blocks < 0:
            raise ValueError(f"expected a width of at least 1, found {self.width}")


def build(in_channels, out_channels, scale, *, width=32, blocks=4):
    """A torch.nn.Module from (B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""
    from mvd_template.network import Network

    return Network(in_channels, out_channels, scale, width, blocks)


@hookimpl
def mvd_register_backbones(register):
    """Tell mvd_toolkit of the backbone."""
    register(
        BackboneSpec(
            name="template",
            build=build,
            options=Options,
            scales=(2, 4, 8),
            receptive_field=17,  # 1 + 2 for each 3x3 convolution in a row, with the defaults
            licence="MIT",
            description="a small residual network",
        )
    )
