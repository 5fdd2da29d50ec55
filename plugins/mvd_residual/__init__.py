"""Reconstructor `residual`, that of the default model: residual blocks in 2-D and in 3-D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvd_toolkit import ReconstructorSpec, hookimpl

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ResidualOptions:
    """Options of the network.

    Attributes:
        width: channels of its first layer; the others are in proportion.
        latent: numbers that a picture becomes.
        blocks: residual blocks at each size.
    """

    width: int = 32
    latent: int = 256
    blocks: int = 1

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise ValueError(f"width: expected a multiple of 8, found {self.width}")
        if self.latent < 1:
            raise ValueError(f"latent: expected at least 1, found {self.latent}")
        if not 1 <= self.blocks <= 64:
            raise ValueError(f"blocks: expected 1 to 64, found {self.blocks}")


def build(size: int, edge: int, **options: int) -> torch.nn.Module:
    """The network for pictures (B, 3, size, size): logits (B, edge, edge, edge)."""
    from mvd_residual.network import ResidualReconstructor

    return ResidualReconstructor(size, edge, **options)


@hookimpl
def mvd_register_reconstructors(register: Callable[[ReconstructorSpec], None]) -> None:
    """Register the reconstructor."""
    register(
        ReconstructorSpec(
            name="residual",
            build=build,
            options=ResidualOptions,
            description="residual blocks in 2-D, a latent vector, residual blocks in 3-D",
        )
    )
