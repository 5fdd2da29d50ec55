"""The 48 symmetries of the cube, applied to grids and to their ODMs alike.

A symmetry first mirrors some axes and then permutes them. Training draws one for every item, so a
network learns no preferred direction; applying one to a grid and to its ODMs gives the ODMs of the
transformed grid (tested for all 48).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import torch

from mvd_toolkit.conventions import FACE_VIEWS


@dataclass(frozen=True)
class Symmetry:
    """New axis ``i`` is old axis ``axes[i]``; old axes in ``flips`` are mirrored first."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def grid(self, grid: torch.Tensor) -> torch.Tensor:
        """Apply to (..., N, N, N) occupancy."""
        lead = grid.ndim - 3
        dims = [lead + axis for axis in range(3) if self.flips[axis]]
        flipped = grid.flip(dims) if dims else grid
        return flipped.permute(*range(lead), *(lead + axis for axis in self.axes))

    def odms(self, odms: torch.Tensor) -> torch.Tensor:
        """Apply to (..., 6, N, N) depth maps: faces trade places, images turn; depths stay."""
        return torch.stack([self._face(odms, face) for face in range(len(FACE_VIEWS))], dim=-3)

    def _face(self, odms: torch.Tensor, face: int) -> torch.Tensor:
        view = FACE_VIEWS[face]
        axis = self.axes[view.axis]
        negative = view.negative != self.flips[axis]
        source = next(
            i for i, old in enumerate(FACE_VIEWS) if old.axis == axis and old.negative == negative
        )
        image = odms.select(-3, source)  # (..., u, v) over the old image axes
        old_axes = FACE_VIEWS[source].image_axes
        dims = [i - 2 for i, old in enumerate(old_axes) if self.flips[old]]
        image = image.flip(dims) if dims else image
        new_axes = tuple(self.axes[i] for i in view.image_axes)
        return image if new_axes == old_axes else image.transpose(-1, -2)


SYMMETRIES = tuple(
    Symmetry((a, b, c), (flip_x, flip_y, flip_z))
    for a, b, c in permutations(range(3))
    for flip_x, flip_y, flip_z in product((False, True), repeat=3)
)
"""All 48; the first is the identity."""
