"""A residual encoder of pictures and a residual decoder of voxels, small enough for one core.

Pixels are folded into channels first and voxels unfolded from channels last, so that no convolution
works at full size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

_FOLD = 4  # pixels along an edge that the first layer sees as one
_STAGES = (8, 16, 24, 32)  # channels of the encoder, in eighths of the width
_STEPS = (16, 8, 4)  # of the decoder
_START = 8  # channels of the decoder's 4³, before its first convolution


class Residual(nn.Module):
    """Two convolutions of 3 around a batch norm each, added to their input."""

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        conv, norm = _layers(dimensions)
        self.first = conv(channels, channels, 3, padding=1, bias=False)
        self.first_norm = norm(channels)
        self.second = conv(channels, channels, 3, padding=1, bias=False)
        self.second_norm = norm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        inside = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(inside)))


class ResidualReconstructor(nn.Module):
    """(B, 3, S, S) in [0, 1] to logits (B, N, N, N); S is a multiple of 32 and N of 8."""

    def __init__(
        self, size: int, edge: int, width: int = 32, latent: int = 256, blocks: int = 1
    ) -> None:
        super().__init__()
        if size % 32 or edge % 8:
            raise ValueError(f"expected multiples of 32 and 8, found size {size} and edge {edge}")
        unit = width // 8
        stages = [unit * c for c in _STAGES]
        layers: list[nn.Module] = [nn.PixelUnshuffle(_FOLD), *_step(3 * _FOLD**2, stages[0], 2)]
        for before, after in zip(stages, [*stages[1:], None], strict=True):
            layers += [Residual(before, 2) for _ in range(blocks)]
            if after is not None:
                layers += _step(before, after, 2, stride=2)
        layers += [*_step(stages[-1], stages[-1] // 4, 2, kernel=1), nn.Flatten()]
        self.encoder = nn.Sequential(
            *layers, nn.Linear(stages[-1] // 4 * (size // 32) ** 2, latent)
        )
        steps = [unit * c for c in _STEPS]
        self._start = (unit * _START, edge // 8, edge // 8, edge // 8)
        self.grow = nn.Linear(latent, unit * _START * (edge // 8) ** 3)
        layers = _step(unit * _START, steps[0], 3)
        for before, after in zip(steps, [*steps[1:], None], strict=True):
            layers += [Residual(before, 3) for _ in range(blocks)]
            if after is not None:
                layers += [nn.ConvTranspose3d(before, after, 2, 2, bias=False)]
                layers += [nn.BatchNorm3d(after), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.Conv3d(steps[-1], 8, 1))
        self.usual = nn.Parameter(torch.zeros(edge, edge, edge))  # of all pictures
        # A third quicker on a CPU.
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, latent): what the network makes of pictures."""
        encoded: torch.Tensor = self.encoder(pictures - 0.5)
        return encoded

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, D): means over the pictures of what each residual block sees."""
        x, seen = pictures - 0.5, []
        for layer in self.encoder:
            x = layer(x)
            if isinstance(layer, Residual):
                seen.append(x.mean(dim=(2, 3)))
        return torch.cat(seen, dim=1)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits (B, N, N, N) of latent vectors."""
        coarse: torch.Tensor = self.decoder(F.relu(self.grow(latent)).view(-1, *self._start))
        batch, _, x, y, z = coarse.shape
        split = coarse.view(batch, 2, 2, 2, x, y, z).permute(0, 4, 1, 5, 2, 6, 3)
        return split.reshape(batch, 2 * x, 2 * y, 2 * z) + self.usual

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits of pictures."""
        return self.decode(self.encode(pictures))


def _layers(dimensions: int) -> tuple[type[nn.Module], type[nn.Module]]:
    return (nn.Conv2d, nn.BatchNorm2d) if dimensions == 2 else (nn.Conv3d, nn.BatchNorm3d)


def _step(
    before: int, after: int, dimensions: int, *, kernel: int = 3, stride: int = 1
) -> list[nn.Module]:
    """A convolution, its norm and its activation."""
    conv, norm = _layers(dimensions)
    return [
        conv(before, after, kernel, stride, kernel // 2, bias=False),
        norm(after),
        nn.ReLU(),
    ]
