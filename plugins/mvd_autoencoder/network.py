"""The autoencoder of Smith, Fujimoto and Meger (arXiv 1802.09987).

What the authors' code says: strides of 2, 2, 2, 2 and 1, kernels of 7 throughout, leaky ReLUs, a
latent vector without activation, deconvolutions of 4 from 2³ on, batch norms everywhere.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

_ENCODER = (8, 16, 32, 64, 50)  # channels, in eighths of the width
_DECODER = (16, 16, 8, 4, 1)


class Autoencoder(nn.Module):
    """(B, 3, S, S) in [0, 1] to logits (B, N, N, N); S and N are multiples of 16."""

    def __init__(
        self, size: int, edge: int, width: int = 64, latent: int = 256, kernel: int = 7
    ) -> None:
        super().__init__()
        if size % 16 or edge % 16:
            raise ValueError(f"expected multiples of 16, found size {size} and edge {edge}")
        unit = width // 8
        channels = [3, *(unit * c for c in _ENCODER)]
        layers: list[nn.Module] = []
        for before, after, stride in zip(channels, channels[1:], (2, 2, 2, 2, 1), strict=False):
            layers += [
                nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2),
            ]
        self.encoder = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels[-1] * (size // 16) ** 2, latent)
        )
        channels = [unit * c for c in _DECODER]
        self._start = (channels[0], edge // 16, edge // 16, edge // 16)
        self.grow = nn.Linear(latent, channels[0] * (edge // 16) ** 3)
        layers = []
        for before, after in pairwise(channels):
            layers += [
                nn.ConvTranspose3d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm3d(after),
                nn.ReLU(),
            ]
        self.decoder = nn.Sequential(*layers, nn.Conv3d(channels[-1], 1, 3, padding=1))

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, latent): what the network makes of pictures."""
        encoded: torch.Tensor = self.encoder(pictures)
        return encoded

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, D): means over the pictures of what each convolution sees."""
        x, seen = pictures, []
        for layer in self.encoder:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                seen.append(x.mean(dim=(2, 3)))
        return torch.cat(seen, dim=1)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits (B, N, N, N) of latent vectors."""
        logits: torch.Tensor = self.decoder(self.grow(latent).view(-1, *self._start))
        return logits[:, 0]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits of pictures."""
        return self.decode(self.encode(pictures))
