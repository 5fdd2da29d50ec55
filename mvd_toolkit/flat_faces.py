"""Flat faces, told as wholes.

Coarse voxels that are asked one by one differ a little about where a face lies that they share, and
it comes out rough. Those inside flat faces get the mean of what is told of all that lie in the same
plane. As where depth maps are smoothed, only what is about as deep counts, and where it is told
that a face rises it is left alone: coarse voxels show slopes and round things as flat steps, too.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F

_PARTS: Final = 1000
"""Of a fine voxel, in which it is counted what is likely occupied."""

_AT_ONCE: Final = 4096
"""Coarse voxels whose fine ones are looked at at a time."""


def even_out(levels: torch.Tensor, width: float, low: torch.Tensor, places: torch.Tensor) -> None:
    """Give each fine layer of a flat face, in place, the mean of its log-odds in that plane.

    Of the coarse voxels in flat faces in a plane those count of which less than one fine layer more
    or less is likely occupied. Where what these tell rises within a coarse voxel by a third of a
    fine one or more, in the mean, it is left alone. All is counted in whole numbers, so that every
    device finds the same.

    Args:
        levels: (P, s³) int8, log-odds of the fine voxels of each place, in C order; level n is from
            n to n + 1 times ``width``.
        width: of a level.
        low: (B, X, Y, Z) bool, the coarse grids.
        places: (P, 4) int64, grid, x, y and z; none twice.
    """
    scale = round(levels.shape[1] ** (1 / 3))
    near = scale**2 * _PARTS
    faces = flat_faces(low)[places.unbind(1)]
    for axis in range(3):
        rows = ((faces > 4 * axis) & (faces < 4 * (axis + 1))).nonzero()[:, 0]
        if not len(rows):
            continue
        grid, at = places[rows, 0], places[rows, 1 + axis]
        plane = (4 * grid + faces[rows] % 4) * low.shape[1 + axis] + at
        told = _told(levels, rows, axis, width)
        # In the order of planes, and of what is occupied in each, those that count lie together.
        key, order = (2 * scale * near * plane + told[:, 0]).sort()
        first = torch.searchsorted(key, key - near, right=True)
        last = torch.searchsorted(key, key + near)
        count = (last - first)[:, None]
        upto = F.pad(told[order].cumsum(0), (0, 0, 1, 0))
        _, tilts, sums = (upto[last] - upto[first]).split_with_sizes([1, 2, scale], dim=1)
        voxels = scale**2 * count
        mean = (2 * sums + voxels).div(2 * voxels, rounding_mode="floor").to(levels.dtype)
        # A plane that rises by one within a coarse voxel tilts by half of its levers' squares.
        flat = (6 * tilts < count * _PARTS * sum(n**2 for n in _levers(scale))).all(1)
        layers = mean[flat, :, None, None].expand(-1, -1, scale, scale)
        levels[rows[order[flat]]] = layers.movedim(1, 1 + axis).flatten(1)


def _told(levels: torch.Tensor, rows: torch.Tensor, axis: int, width: float) -> torch.Tensor:
    """(F, 3 + s) int64: how much of each row's voxels is likely occupied, how much what is tilts
    along both axes across, and the sums of the layers' levels.
    """
    scale = round(levels.shape[1] ** (1 / 3))
    chance = ((torch.arange(-128, 128, device="cpu") + 0.5) * width).sigmoid()
    chance = (_PARTS * chance).round().long().to(levels.device)
    lever = torch.tensor(_levers(scale), device=levels.device)
    told = levels.new_empty((len(rows), 3 + scale), dtype=torch.int64)
    for first in range(0, len(rows), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        layers = levels[rows[some]].view(-1, scale, scale, scale).movedim(1 + axis, 1)
        heights = chance[layers.int() + 128].sum(1)  # (F, s, s)
        told[some, 0] = heights.sum((1, 2))
        told[some, 1] = (heights.sum(2) * lever).sum(1).abs()
        told[some, 2] = (heights.sum(1) * lever).sum(1).abs()
        told[some, 3:] = layers.sum((2, 3))
    return told


def _levers(scale: int) -> range:
    """Half fine voxels from the middle of a coarse one."""
    return range(1 - scale, scale, 2)


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
