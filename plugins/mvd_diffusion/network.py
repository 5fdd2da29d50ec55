"""The denoiser, and what it sees and tells.

A face's fine depths are told as *offsets* behind the coarse surface, 0 to 1 for zero to four low
voxels and 1 for background, then stretched to -1 … 1; the s² fine pixels of a low pixel are its
channels, so that the network works on the low resolution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

import mvd_toolkit as mvd

CONDITIONS = 6
"""Planes that the denoiser sees beside the noisy offsets."""

_REACH = 4.0  # low voxels of depth that an offset of 1 stands for
_UNIT = 8.0  # low voxels that thickness and steps of depth are measured in


class Denoiser(nn.Module):
    """Guesses the clean offsets of a face from noisy ones."""

    def __init__(self, scale: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(scale**2 + CONDITIONS, width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, 2 * width))
        self.blocks = nn.ModuleList(_Block(width, 1 + index % 3) for index in range(blocks))
        self.head = nn.Conv2d(width, scale**2, 1)

    def forward(
        self, noisy: torch.Tensor, conditions: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """Clean offsets.

        Args:
            noisy: (M, s * s, N, N).
            conditions: (M, CONDITIONS, N, N).
            time: (M,), 0 where all is clean to 1 where all is noise.
        """
        angle = time[:, None] * (math.pi / 2)
        shift, gain = self.time(torch.cat([angle.sin(), angle.cos()], 1))[..., None, None].chunk(
            2, dim=1
        )
        x = self.stem(torch.cat([noisy, conditions], dim=1)) * (1 + gain) + shift
        for block in self.blocks:
            x = block(x)
        result: torch.Tensor = self.head(F.silu(x))
        return result


class _Block(nn.Module):
    """Two 3x3 convolutions, the first dilated, added to their input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.second.weight.data.mul_(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(M, width, N, N) to the same."""
        result: torch.Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return result


def low_depths(low: torch.Tensor) -> torch.Tensor:
    """(B, 6, N, N) int64, the depth maps of low grids (B, N, N, N) bool."""
    odms = mvd.extract_odms(low.cpu())
    return odms.to(torch.int64).to(low.device)


def conditions(depths: torch.Tensor) -> torch.Tensor:
    """What the denoiser sees of coarse shapes: silhouette, thickness, steps to the neighbours.

    Args:
        depths: (B, 6, N, N) int64; face 2 i looks against face 2 i + 1.

    Returns:
        (6 B, CONDITIONS, N, N) float32.
    """
    edge = depths.shape[-1]
    opposite = depths[:, [1, 0, 3, 2, 5, 4]]
    solid = (depths < edge).flatten(0, 1)
    thickness = ((edge - opposite - depths).clamp(min=0).flatten(0, 1) / _UNIT).clamp(max=1)
    flat = depths.flatten(0, 1)
    padded = F.pad(flat, (1, 1, 1, 1), value=edge)
    around = (padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    steps = [((other - flat) / _UNIT).clamp(-1, 1) for other in around]
    return torch.stack([solid.float(), thickness, *steps], dim=1) * solid[:, None]


def offsets_of(odms: torch.Tensor, depths: torch.Tensor, scale: int) -> torch.Tensor:
    """Offsets -1 … 1 as channels, (6 B, s * s, N, N).

    Args:
        odms: (B, 6, sN, sN) int64, fine depths.
        depths: (B, 6, N, N) int64, coarse ones.
        scale: s.
    """
    fine = F.pixel_unshuffle(odms.flatten(0, 1)[:, None].float(), scale)
    offset = (fine - scale * depths.flatten(0, 1)[:, None]) / (_REACH * scale)
    offset = offset.masked_fill(fine >= odms.shape[-1], 1.0)
    return 2 * offset.clamp(0, 1) - 1


def depths_of(offsets: torch.Tensor, depths: torch.Tensor, scale: int) -> torch.Tensor:
    """Fine depths (B, 6, sN, sN) float32 of offsets; the inverse of `offsets_of`, s N outside."""
    edge = scale * depths.shape[-1]
    offset = (offsets.clamp(-1, 1) + 1) / 2 * (_REACH * scale)
    low = depths.flatten(0, 1)[:, None]
    fine = torch.where(low < depths.shape[-1], scale * low + offset, float(edge))
    return F.pixel_shuffle(fine, scale).clamp(max=edge).view(*depths.shape[:2], edge, edge)
