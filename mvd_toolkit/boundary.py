"""A seventh opinion: which fine voxels of the coarse ones at a shape's boundary are occupied.

The six faces each see a shape from one side. This network sees the low grid around one coarse voxel
at the boundary, in space, and tells the log-odds of each of its fine ones; what carving kept or cut
adds to them, and what is likely enough stays. So a fine voxel stands that most opinions see, where
carving alone needs all six. It looks at coarse voxels only, one by one, as many as the surface is
large.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F

from mvd_toolkit import ops
from mvd_toolkit.conventions import FACE_COUNT, INPUT_RULES, LOW_RULES, bits_rule
from mvd_toolkit.features import base_grids, dilate
from mvd_toolkit.subvoxel import SubvoxelNetwork, around, some_of

_NEAR: Final = 4
"""Low voxels to each side that are seen."""

_FAR: Final = (-6, -3, 0, 3, 6)
"""Where, along each axis, cubes of 3³ low voxels lie whose mean is seen."""

_REACH: Final = 7
_END_REACH: Final = 8
"""Low voxels within which the shape's ends are told."""

CARVED: Final = 0.5
"""Log-odds that carving adds to what it kept, and takes from what it cut."""

THRESHOLD: Final = -0.1
"""Log-odds above which a fine voxel stays."""


class BoundaryPredictor(SubvoxelNetwork):
    """Tells by the low grid around it which fine voxels of a boundary voxel are occupied."""

    role = "boundary"
    features = (2 * _NEAR + 1) ** 3 + len(_FAR) ** 3 + 3 * 4 + len(LOW_RULES)

    def loss(
        self,
        low: torch.Tensor,
        rule_index: torch.Tensor,
        odms: torch.Tensor,
        faces: int = FACE_COUNT,
        coverage: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Training loss: binary cross-entropy over boundary voxels, a part of each grid's.

        Args:
            low: (B, N, N, N) bool, low grids (hulls).
            rule_index: (B,) int64, place of each grid's rule in `INPUT_RULES`; *soft* is *any*.
            odms: (B, 6, sN, sN) int64, true fine ODMs.
            faces: not looked at: it takes all six to tell which voxels are occupied.
            coverage: not looked at.

        Returns:
            the loss, 0 where there is no boundary; figures for the log, with ``pixels``, over how
            many fine voxels it is a mean.
        """
        rules = [bits_rule(INPUT_RULES[i]) for i in rule_index.tolist()]
        places = some_of(boundary_voxels(low, rules))
        logits = self(Neighbourhood(low, rules).features(places))
        return self.cross_entropy(logits, odms, places)

    @torch.inference_mode()
    def redraw(self, fine: torch.Tensor, depth: int, low: torch.Tensor, rule: str) -> None:
        """Decide anew, in place, which fine voxels at the boundary of carved grids stay.

        Args:
            fine: (B, s X, s Y, W) int64 words of carved grids.
            depth: s Z.
            low: (B, X, Y, Z) bool, the low grids (hulls, not dilated).
            rule: how they were made, one of `LOW_RULES`.

        Raises:
            UnavailableError: the network gave no numbers.
        """
        rules, s = [rule] * len(low), self.scale
        low = low.to(self.head.weight.device)
        neighbourhood = Neighbourhood(padded_to_cubes(low), rules)
        for x, asked in enumerate(boundary_voxels(low, rules).unbind(1)):
            found = asked.nonzero()
            if not len(found):
                continue
            places = F.pad(found[:, :1], (0, 1), value=x)
            places = torch.cat([places, found[:, 1:]], dim=1)
            grid, y, z = found.to(fine.device).unbind(1)
            layer = fine[:, x * s : (x + 1) * s]
            dense = ops.unpack(layer, depth)
            blocks = dense.view(len(low), s, low.shape[2], s, low.shape[3], s)
            kept = torch.where(blocks[grid, :, y, :, z, :], CARVED, -CARVED).flatten(1)
            stays = torch.empty_like(kept, dtype=torch.bool)
            for part, logits in self.answers(neighbourhood.features, places):
                stays[part] = logits.to(fine.device) + kept[part] > THRESHOLD
            blocks[grid, :, y, :, z, :] = stays.view(-1, s, s, s)
            fine[:, x * s : (x + 1) * s] = ops.pack(dense)


def boundary_voxels(low: torch.Tensor, rules: list[str]) -> torch.Tensor:
    """(B, X, Y, Z) bool: occupied voxels with an empty one among the 26 around, outside included.

    Where grids (B, X, Y, Z) were not pooled by *any*, empty ones beside an occupied one as well.
    """
    index = torch.tensor([INPUT_RULES.index(rule) for rule in rules], device=low.device)
    beside_empty = dilate(~F.pad(low, (1,) * 6))[:, 1:-1, 1:-1, 1:-1]
    return base_grids(low, index) & beside_empty


class Neighbourhood:
    """What the network sees of low voxels.

    The 9³ voxels about each, the means of 5³ cubes of 3³ voxels, how far the shape's ends are along
    each axis and whether it spans the grid there, and the rule.
    """

    def __init__(self, low: torch.Tensor, rules: list[str]) -> None:
        """Of grids (B, N, N, N) bool, empty outside, and the rule of each, of `LOW_RULES`."""
        self._bits = F.pad(low.to(torch.uint8), (_REACH,) * 6)
        self._means = F.avg_pool3d(self._bits[:, None].float(), 3, stride=1, padding=1)[:, 0]
        self._ends = _ends(low)
        index = torch.tensor([LOW_RULES.index(rule) for rule in rules], device=low.device)
        self._rules = F.one_hot(index, len(LOW_RULES)).float()

    def features(self, places: torch.Tensor) -> torch.Tensor:
        """(P, C) float32 of places (P, 4) int64: grid, x, y and z."""
        centres = places + places.new_tensor([0, _REACH, _REACH, _REACH])
        near = around(self._bits, centres, range(-_NEAR, _NEAR + 1)).float()
        far = around(self._means, centres, _FAR)
        grid, place = places[:, 0], places[:, 1:].float()
        first, last, spans = self._ends[grid].unbind(1)  # (P, 3) each
        before, behind = (
            d.clamp(-1, _END_REACH) / _END_REACH for d in (place - first, last - place)
        )
        ends = torch.stack([before, behind, spans, spans], dim=2).flatten(1)
        return torch.cat([near, far, ends, self._rules[grid]], dim=1)


def _ends(low: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) of each grid, along each axis: first and last occupied voxel, whether both are
    the grid's own.
    """
    ends = []
    for axis in (1, 2, 3):
        line = low.movedim(axis, 1).flatten(2).any(2)
        first = line.float().argmax(1)
        last = line.shape[1] - 1 - line.flip(1).float().argmax(1)
        ends.append(torch.stack([first, last, line[:, 0] & line[:, -1]], dim=1))
    return torch.stack(ends, dim=2).float()


def padded_to_cubes(low: torch.Tensor) -> torch.Tensor:
    """(B, N, N, N): padded with empty voxels at the far ends to the longest edge."""
    edge = max(low.shape[1:])
    x, y, z = (edge - n for n in low.shape[1:])
    return F.pad(low, (0, z, 0, y, 0, x)) if x or y or z else low
