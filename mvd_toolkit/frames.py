"""What lies around low voxels, and the frame that each is seen in: one of the cube's 48 symmetries.

What is asked of a low voxel turns with the grid. So each is turned, by what is around it, until
most of that lies on the lower side of each axis, and most one-sidedly along the first: a wall is
then always the same wall, and a network learns it once. Where two symmetries are as good, either
serves.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch

from mvd_toolkit.symmetry import SYMMETRIES

Offset = tuple[int, int, int]


@functools.cache
def turned(offsets: tuple[Offset, ...]) -> torch.Tensor:
    """Where things at these offsets come from, under each symmetry; remembered, so leave it be.

    Args:
        offsets: n, of which each symmetry makes the same ones.

    Returns:
        (48, n) int64: at each offset in the frame, the place in ``offsets`` of the one in the grid.
    """
    places = {offset: place for place, offset in enumerate(offsets)}
    rows = []
    for symmetry in SYMMETRIES:
        sources = []
        for offset in offsets:
            source = [0, 0, 0]
            for step, axis in zip(offset, symmetry.axes, strict=True):
                source[axis] = -step if symmetry.flips[axis] else step
            sources.append(places[source[0], source[1], source[2]])
        rows.append(sources)
    return torch.tensor(rows, device="cpu")


def box(steps: Sequence[int]) -> tuple[Offset, ...]:
    """All offsets of these steps along each axis, in C order.

    >>> box([0]), box([-1, 1])[:2]
    (((0, 0, 0),), ((-1, -1, -1), (-1, -1, 1)))
    """
    return tuple((i, j, k) for i in steps for j in steps for k in steps)


def cube(edge: int) -> tuple[Offset, ...]:
    """Twice the offsets of edge³ voxels from the middle of all, in C order."""
    return box(range(1 - edge, edge, 2))


def around(grids: torch.Tensor, places: torch.Tensor, offsets: Iterable[Offset]) -> torch.Tensor:
    """(P, n) what grids (B, X, Y, Z) hold at n offsets from places (P, 4): grid, x, y and z."""
    _, x, y, z = grids.shape
    # Selecting by 32 bits is several times as fast on a CPU as indexing by 64.
    kind = torch.int32 if grids.numel() < 2**31 else torch.int64
    flat = [(i * y + j) * z + k for i, j, k in offsets]
    steps = torch.tensor(flat, dtype=kind, device=grids.device)
    grid, u, v, w = places.to(kind).unbind(1)
    index = (((grid * x + u) * y + v) * z + w)[:, None] + steps
    return grids.flatten().index_select(0, index.flatten()).view(index.shape)


class Frames:
    """The frames of P voxels.

    Attributes:
        index: (P,) int64, place in `SYMMETRIES`.
    """

    def __init__(self, index: torch.Tensor) -> None:
        self.index = index
        axes = torch.tensor([symmetry.axes for symmetry in SYMMETRIES], device=index.device)
        flips = torch.tensor([symmetry.flips for symmetry in SYMMETRIES], device=index.device)
        self._axes = axes[index]
        self._flipped = flips[index].gather(1, self._axes)

    @classmethod
    def of(cls, around: torch.Tensor, offsets: Iterable[Offset]) -> Frames:
        """By what is around each voxel; what is near counts more.

        Args:
            around: (P, n) float32, a whole number at each offset, such that their weighted sums
                are below 2²⁴.
            offsets: n.
        """
        weighed = [[_weight(offset) * step for step in offset] for offset in offsets]
        # Whole numbers below 2²⁴ and no matrix product: exact on any device, in any order.
        weights = torch.tensor(weighed, dtype=torch.float32, device=around.device)
        moments = torch.stack([(around * of_axis).sum(1) for of_axis in weights.unbind(1)], dim=1)
        order = moments.abs().argsort(dim=1, descending=True, stable=True)
        first, second, _ = order.unbind(1)
        permutations = torch.full((3, 3), -1, device=around.device)
        for place, symmetry in enumerate(SYMMETRIES[::8]):
            permutations[symmetry.axes[0], symmetry.axes[1]] = place
        flips = ((moments > 0) * torch.tensor([4, 2, 1], device=around.device)).sum(1)
        return cls(8 * permutations[first, second] + flips)

    def values(self, values: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
        """What lies around (P, n), as `turned` has its offsets, seen in the frames."""
        return values.gather(1, turned.to(values.device)[self.index])

    def values_back(self, values: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
        """What `values` gave, as it was."""
        return values.gather(1, turned.to(values.device).argsort(dim=1)[self.index])

    def by_axis(self, values: torch.Tensor, mirrored: torch.Tensor | None = None) -> torch.Tensor:
        """Numbers of each axis of the grid, (P, 3, n), as those of the frames' axes.

        Args:
            values: (P, 3, n).
            mirrored: (P, 3, n), the same of a mirrored axis; left out where there's no difference.
        """
        places = self._axes[:, :, None].expand_as(values)
        straight = values.gather(1, places)
        if mirrored is None:
            return straight
        return torch.where(self._flipped[:, :, None], mirrored.gather(1, places), straight)


def _weight(offset: Offset) -> int:
    far = max(map(abs, offset))
    return 9 if far <= 1 else 3 if far == 2 else 1
