"""Reconstructor `autoencoder`: the one of the MVD paper, as the authors' code has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvd_toolkit import ReconstructorSpec, hookimpl

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AutoencoderOptions:
    """Options of the network.

    Attributes:
        width: channels of its first layer; the others are in proportion.
        latent: numbers that a picture becomes.
        kernel: edge of the encoder's kernels, odd.
    """

    width: int = 64
    latent: int = 256
    kernel: int = 7

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise ValueError(f"width: expected a multiple of 8, found {self.width}")
        if self.latent < 1:
            raise ValueError(f"latent: expected at least 1, found {self.latent}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel: expected an odd number, found {self.kernel}")


def build(size: int, edge: int, **options: int) -> torch.nn.Module:
    """The network for pictures (B, 3, size, size): logits (B, edge, edge, edge)."""
    from mvd_autoencoder.network import Autoencoder

    return Autoencoder(size, edge, **options)


def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error plus 0.001 x mean absolute error of the probabilities."""
    error = logits.sigmoid() - target
    return error.square().mean() + 0.001 * error.abs().mean()


@hookimpl
def mvd_register_reconstructors(register: Callable[[ReconstructorSpec], None]) -> None:
    """Register the reconstructor."""
    register(
        ReconstructorSpec(
            name="autoencoder",
            build=build,
            loss=loss,
            options=AutoencoderOptions,
            threshold=0.45,
            description="the paper's: five convolutions, a latent vector, four deconvolutions",
        )
    )
