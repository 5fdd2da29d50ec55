"""The network of backbone `resnet`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

_INITIAL_DEVIATION = 0.02  # of the authors' weights, and of their batch-norm gains around 1


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.first = _conv(width, width, norm)
        self.second = _conv(width, width, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) to the same."""
        result: torch.Tensor = x + self.second(F.relu(self.first(x)))
        return result


class ResNet(nn.Module):
    """(B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scale: int,
        *,
        width: int,
        blocks: int,
        variant: str,
    ) -> None:
        super().__init__()
        steps = scale.bit_length() - 1
        if scale != 1 << steps:
            raise ValueError(f"scale: expected a power of two, found {scale}")
        authors = variant == "authors"
        self.head = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width, authors) for _ in range(blocks)))
        self.merge = _conv(width, width, authors)
        before = [2 * width >> i if authors else 4 * width for i in range(steps)]
        inputs = [width, *(channels // 4 for channels in before)]
        self.steps = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, before, strict=False)
        )
        self.tail = nn.Conv2d(inputs[-1], out_channels, 1)
        if authors:
            self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""
        start = F.relu(self.head(x))
        x = start + self.merge(self.blocks(start))
        for step in self.steps:
            x = F.relu(F.pixel_shuffle(step(x), 2))
        result: torch.Tensor = self.tail(x)
        return result


def _conv(inputs: int, outputs: int, norm: bool) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs)) if norm else conv


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=_INITIAL_DEVIATION)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=_INITIAL_DEVIATION)
