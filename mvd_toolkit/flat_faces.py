"""Flat faces, told as wholes.

Coarse voxels that are asked one by one differ a little about where a face lies that they share, and
it comes out rough. Those inside a flat face get the mean of what is told of it about them. As where
depth maps are smoothed, only what is about as deep counts, and where it is told that a face rises,
it is left alone: coarse voxels show slopes and round things as flat steps, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F

from mvd_toolkit.frames import Offset, around, box

_REACH: Final = 4
"""Coarse voxels to each side that count."""

_PARTS: Final = 1000
"""Of a fine voxel, in which it is counted what is likely occupied."""

_AT_ONCE: Final = 8192
"""Coarse voxels whose surroundings are gathered at a time."""


def even_out(levels: torch.Tensor, width: float, low: torch.Tensor, places: torch.Tensor) -> None:
    """Give each fine layer of a flat face, in place, the mean of its log-odds about there.

    Coarse voxels of the same face count, within four along it, of which less than one fine layer
    more or less is likely occupied; where by these the face rises a quarter of a fine voxel or more
    from one side of a coarse voxel to the other, it stays as it is. All is counted in whole
    numbers, so that every device finds the same.

    Args:
        levels: (P, s³) int8, log-odds of the fine voxels of each place, in C order; level n is from
            n to n + 1 times ``width``.
        width: of a level.
        low: (B, X, Y, Z) bool, the coarse grids.
        places: (P, 4) int64, grid, x, y and z; none twice.
    """
    scale, device = round(levels.shape[1] ** (1 / 3)), levels.device
    faces = F.pad(flat_faces(low), (_REACH,) * 6)
    middles = places + places.new_tensor([0, *[_REACH] * 3])
    rows = torch.full(faces.shape, -1, dtype=torch.int64, device=device)
    rows[middles.unbind(1)] = torch.arange(len(places), device=device)
    parts = list(_parts(faces[middles.unbind(1)]))
    # Of each place, and, as row -1, of what does not count.
    sums = torch.zeros((len(places) + 1, scale), dtype=torch.int64, device=device)  # of its layers
    full = torch.zeros(len(places) + 1, dtype=torch.int64, device=device)
    tilt = torch.zeros((len(places) + 1, 2), dtype=torch.int64, device=device)
    chance = ((torch.arange(-128, 128, device="cpu") + 0.5) * width).sigmoid()
    chance = (_PARTS * chance).round().int().to(device)
    lever = torch.arange(1 - scale, scale, 2, device=device)  # half fine voxels from the middle
    for axis, part in parts:
        layers = levels[part].view(-1, scale, scale, scale).movedim(1 + axis, 1)
        sums[part] = layers.sum((2, 3))
        heights = chance[layers.int() + 128].sum(1)  # (F, s, s)
        full[part] = heights.sum((1, 2))
        tilt[part] = torch.stack([(heights.sum(i) * lever).sum(1) for i in (1, 2)], dim=1)
    for axis, part in parts:
        window = _window(axis)
        beside = around(rows, middles[part], window)
        same = around(faces, middles[part], window) == faces[middles[part].unbind(1)][:, None]
        near = (full[beside] - full[part, None]).abs() < scale**2 * _PARTS
        beside = torch.where(same & near, beside, -1)
        count = (beside >= 0).sum(1)
        # A plane that rises by one from side to side has a tilt of half its levers' squares.
        level = 8 * tilt[beside].sum(1).abs().amax(1) < count * _PARTS * (lever**2).sum()
        part, beside, count = part[level], beside[level], count[level, None] * scale**2
        mean = (2 * sums[beside].sum(1) + count).div(2 * count, rounding_mode="floor")
        layers = mean.to(levels.dtype)[:, :, None, None].expand(-1, -1, scale, scale)
        levels[part] = layers.movedim(1, 1 + axis).flatten(1)


def _parts(faces: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Axes and rows of flat faces (P,), some at a time."""
    for axis in range(3):
        rows = ((faces > 4 * axis) & (faces < 4 * (axis + 1))).nonzero()[:, 0]
        for first in range(0, len(rows), _AT_ONCE):
            yield axis, rows[first : first + _AT_ONCE]


def flat_faces(low: torch.Tensor) -> torch.Tensor:
    """(B, X, Y, Z) uint8: in which flat face voxels are, 0: in none, or in those of two axes.

    A voxel is in one across an axis when the 3² voxels about it are all occupied, or all empty, and
    those on one side are all the other way: 4 times the axis, and 1 when that is the lower side, 2
    when it is the upper, 3 when both are. Outside is empty.
    """
    faces = torch.zeros(low.shape, dtype=torch.uint8, device=low.device)
    axes = torch.zeros_like(faces)
    padded = F.pad(low.to(torch.uint8), (1,) * 6)
    for axis in range(3):
        sums = padded  # of the 3² voxels across the axis
        for across in {1, 2, 3} - {1 + axis}:
            below, own, above = _three(sums, across)
            sums = below + own + above
        below, own, above = _three(sums, 1 + axis)
        sides = _opposite(own, below) + 2 * _opposite(own, above)
        faces += sides + 4 * axis * (sides > 0)
        axes += sides > 0
    return faces * (axes == 1)


def _three(grids: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grids moved by one along an axis, as they are, and moved back; one shorter at each end."""
    n = grids.shape[axis] - 2
    return grids.narrow(axis, 0, n), grids.narrow(axis, 1, n), grids.narrow(axis, 2, n)


def _opposite(sums: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """uint8: 1 where one of two sums of 3² voxels is 9 and the other 0."""
    return (((sums == 9) & (others == 0)) | ((sums == 0) & (others == 9))).to(torch.uint8)


def _window(axis: int) -> tuple[Offset, ...]:
    """Offsets within reach across an axis."""
    return tuple(offset for offset in box(range(-_REACH, _REACH + 1)) if offset[axis] == 0)
