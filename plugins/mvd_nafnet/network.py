"""The network of backbone `nafnet`: NAFNet's blocks in a U, and a sub-pixel head."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

_LEVELS = 3  # resolutions: the input's, a half and a quarter of it
_EPSILON = 1e-6


class LayerNorm2d(nn.Module):
    """Normalises the channels of each pixel by themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        normal: torch.Tensor = (x - mean) * torch.rsqrt(variance + _EPSILON)
        return normal * self.weight + self.bias


class SimpleGate(nn.Module):
    """The product of the two halves of the channels: all the non-linearity there is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 2 C, H, W) to (B, C, H, W)."""
        one, other = x.chunk(2, dim=1)
        return one * other


class ChannelAttention(nn.Module):
    """Scales each channel by a linear function of the means of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        result: torch.Tensor = x * self.linear(x.mean(dim=(2, 3), keepdim=True))
        return result


class NAFBlock(nn.Module):
    """A gated convolution, then a gated perceptron, added to the input; at first the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
            SimpleGate(),
            ChannelAttention(channels),
            nn.Conv2d(channels, channels, 1),
        )
        self.pointwise = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            SimpleGate(),
            nn.Conv2d(channels, channels, 1),
        )
        self.beta = nn.Parameter(torch.zeros(channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        x = x + self.beta * self.spatial(x)
        result: torch.Tensor = x + self.gamma * self.pointwise(x)
        return result


def _stack(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(blocks)))


class NAFNet(nn.Module):
    """(B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scale: int,
        *,
        width: int,
        blocks: int,
        middle: int,
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(_LEVELS)]
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(_stack(w, blocks) for w in widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = _stack(widths[-1], middle)
        self.ups = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.decoders = nn.ModuleList(_stack(w, blocks) for w in widths[:-1])
        self.norm = LayerNorm2d(width)
        self.head = nn.Conv2d(width, out_channels * scale * scale, 1)
        self.scale = scale

    def trunk(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) to (B, width, H, W), what the head reads."""
        height, width = x.shape[-2:]
        step = 2 ** (_LEVELS - 1)
        x = self.stem(F.pad(x, (0, -width % step, 0, -height % step)))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for level in reversed(range(_LEVELS - 1)):
            x = self.decoders[level](skips[level] + F.pixel_shuffle(self.ups[level](x), 2))
        result: torch.Tensor = self.norm(x)[..., :height, :width]
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, L, L) to (B, out_channels, L * scale, L * scale)."""
        return F.pixel_shuffle(self.head(self.trunk(x)), self.scale)
