"""The network of backbone `unet`."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

_LEVELS = 3  # resolutions: the input's, a half and a quarter of it


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input; the identity when it starts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        result: torch.Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return result


def _stack(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))


class UNet(nn.Module):
    """(B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scale: int,
        *,
        width: int,
        top_blocks: int,
        blocks: int,
    ) -> None:
        super().__init__()
        widths = [width * (level + 1) for level in range(_LEVELS)]
        counts = [top_blocks] + [blocks] * (_LEVELS - 1)
        stacks = list(zip(widths, counts, strict=True))
        self.stem = nn.Conv2d(in_channels, width, 1)
        self.encoders = nn.ModuleList(_stack(w, n) for w, n in stacks)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.ups = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.decoders = nn.ModuleList(_stack(w, n) for w, n in stacks[:-1])
        self.head = nn.Conv2d(width, out_channels * scale * scale, 1)
        self.scale = scale

    def trunk(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) to (B, width, H, W), what the head reads."""
        height, width = x.shape[-2:]
        step = 2 ** (_LEVELS - 1)
        x = self.stem(F.pad(x, (0, -width % step, 0, -height % step)))
        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x if level == 0 else self.downs[level - 1](F.relu(x)))
            skips.append(x)
        for level in reversed(range(_LEVELS - 1)):
            up = F.pixel_shuffle(self.ups[level](F.relu(x)), 2)
            x = self.decoders[level](skips[level] + up)
        return F.relu(x)[..., :height, :width]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""
        return F.pixel_shuffle(self.head(self.trunk(x)), self.scale)
