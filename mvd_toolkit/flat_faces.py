"""Flat faces, told as wholes.

Coarse voxels that are asked one by one differ a little about where a face lies that they share, and
it comes out rough. Those inside flat faces get the mean of what is told of all that lie in the same
plane. As where depth maps are smoothed, only what is about as deep counts. What is told to be on a
slope is left alone: coarse voxels show slopes and round things as flat steps, too.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F

_PARTS: Final = 1000
"""Of a fine voxel, in which it is counted what is likely occupied."""

_STEEP: Final = 2
"""One part in so many of a fine voxel that a face rises within a coarse one makes it a slope."""

_AT_ONCE: Final = 4096
"""Coarse voxels whose fine ones are looked at at a time."""


def even_out(levels: torch.Tensor, width: float, low: torch.Tensor, places: torch.Tensor) -> None:
    """Give each fine layer of flat faces, in place, the mean of its log-odds in their plane.

    A plane is that of one grid, axis and side, however far apart faces in it are. A coarse voxel in
    it counts, and is changed, when its own fine ones do not tell of a slope; it gets the mean over
    those of which less than one fine layer more or less than of itself is likely occupied. All is
    counted in whole numbers, so that every device finds the same.

    Args:
        levels: (P, s³) int8, log-odds of the fine voxels of each place, in C order; level n is from
            n to n + 1 times ``width``.
        width: log-odds from one level to the next.
        low: (B, X, Y, Z) bool, the coarse grids.
        places: (P, 4) int64, grid, x, y and z; none twice.
    """
    scale = round(levels.shape[1] ** (1 / 3))
    layer = scale**2 * _PARTS
    # Made where all devices have it from: they need not round alike.
    chance = ((torch.arange(-128, 128, device="cpu") + 0.5) * width).sigmoid()
    chance = (_PARTS * chance).round().long().to(levels.device)
    faces = flat_faces(low)[places.unbind(1)]
    for axis in range(3):
        rows = ((faces + 1) // 2 == axis + 1).nonzero()[:, 0]
        told, slopes = _told(levels, rows, scale, axis, chance)
        rows, told = rows[~slopes], told[~slopes]
        at = places[rows]
        occupied = low[at.unbind(1)]
        plane = 4 * at[:, 0] + 2 * occupied + faces[rows] % 2
        plane = plane * low.shape[1 + axis] + at[:, 1 + axis]
        # In the order of planes, and of what is occupied in each, those that count lie together.
        key, order = (2 * scale * layer * plane + told[:, 0]).sort()
        first = torch.searchsorted(key, key - layer, right=True)
        last = torch.searchsorted(key, key + layer)
        upto = F.pad(told[order, 1:].cumsum(0), (0, 0, 1, 0))
        voxels = scale**2 * (last - first)[:, None]
        # Levels are rounded down: the nearest to their mean is that of the log-odds, rounded down.
        mean = (2 * (upto[last] - upto[first]) + voxels).div(2 * voxels, rounding_mode="floor")
        for some in range(0, len(rows), _AT_ONCE):
            part = slice(some, some + _AT_ONCE)
            layers = mean[part, :, None, None].to(levels.dtype).expand(-1, -1, scale, scale)
            levels[rows[order[part]]] = layers.movedim(1, 1 + axis).flatten(1)


def _told(
    levels: torch.Tensor, rows: torch.Tensor, scale: int, axis: int, chance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What rows (F,) of levels tell of faces across an axis.

    Args:
        chance: (256,) int64, parts of a fine voxel that are likely occupied, by its level.

    Returns:
        (F, 1 + s) int64, how much is likely occupied, and the sums of the layers' levels; and (F,)
        bool, whether they tell of a slope.
    """
    lever = torch.arange(1 - scale, scale, 2, device=levels.device)  # half voxels from the middle
    # A plane that rises by one fine voxel within the coarse one tilts by half of their squares.
    least = _PARTS * (lever**2).sum()
    told = rows.new_empty((len(rows), 1 + scale))
    slopes = torch.empty_like(rows, dtype=torch.bool)
    for first in range(0, len(rows), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        layers = levels[rows[part]].view(-1, scale, scale, scale).movedim(1 + axis, 1)
        heights = chance[layers.int() + 128].sum(1)  # (F, s, s)
        tilts = [(heights.sum(along) * lever).sum(1).abs() for along in (1, 2)]
        told[part, 0] = heights.sum((1, 2))
        told[part, 1:] = layers.sum((2, 3))
        slopes[part] = 2 * _STEEP * torch.maximum(*tilts) >= least
    return told, slopes


def flat_faces(low: torch.Tensor) -> torch.Tensor:
    """(B, X, Y, Z) uint8: in which flat face voxels are, 0: in none.

    A voxel is in one across an axis when the 3² voxels about it are all occupied, or all empty, and
    those on one side are all the other way: 1 and twice the axis, and 1 more for the upper side. It
    is in none when that holds on both sides, where a board is one voxel thick, or along two axes.
    Outside is empty.
    """
    faces = torch.zeros(low.shape, dtype=torch.uint8, device=low.device)
    sides = torch.zeros_like(faces)
    padded = F.pad(low.to(torch.uint8), (1,) * 6)
    for axis in range(3):
        sums = padded  # of the 3² voxels across the axis
        for across in {1, 2, 3} - {1 + axis}:
            below, own, above = shifted(sums, across)
            sums = below + own + above
        below, own, above = shifted(sums, 1 + axis)
        for side, other in enumerate((below, above)):
            opposite = ((own == 9) & (other == 0)) | ((own == 0) & (other == 9))
            sides += opposite
            faces[opposite] = 1 + 2 * axis + side
    return faces * (sides == 1)


def shifted(grids: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grids moved by one along an axis, as they are, and moved back; one shorter at each end."""
    n = grids.shape[axis] - 2
    return grids.narrow(axis, 0, n), grids.narrow(axis, 1, n), grids.narrow(axis, 2, n)
