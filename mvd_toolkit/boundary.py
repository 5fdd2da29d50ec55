"""A seventh opinion: which fine voxels of the coarse ones at a shape's boundary are occupied.

The six faces each see a shape from one side. This network sees the low grid around one coarse voxel
at the boundary, in space, and tells the log-odds of each of its fine ones; what carving kept or cut
adds to them, flat faces are evened out, and what is likely enough stays. So a fine voxel stands
that most opinions see, where carving alone needs all six; how likely is enough, the shape's own
probabilities say. It looks at coarse voxels only, one by one, as many as the surface is large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F

from mvd_toolkit import ops
from mvd_toolkit.conventions import FACE_COUNT, INPUT_RULES, LOW_RULES, bits_rule
from mvd_toolkit.features import base_grids, dilate
from mvd_toolkit.flat_faces import even_out, shifted
from mvd_toolkit.frames import Frames, Offset, around, box, turned
from mvd_toolkit.subvoxel import SubvoxelNetwork, some_of

_NEAR: Final = box(range(-4, 5))
"""Low voxels that are seen one by one."""

_FAR: Final = box(range(-6, 7, 3))
"""The middles of the cubes of 3³ low voxels whose means are seen."""

_REACH: Final = 15
"""Low voxels that are seen along the axes."""


def _in_planes() -> tuple[Offset, ...]:
    """Low voxels farther than those near, in the planes through the voxel and along its axes."""
    planes = [offset for offset in box(range(-7, 8)) if 0 in offset]
    lines = [offset for offset in box(range(-_REACH, _REACH + 1)) if offset.count(0) == 2]
    return tuple(sorted({o for o in planes + lines if max(map(abs, o)) > 4}))


_PLANES: Final = _in_planes()

_LAYERS: Final = 8
"""Low voxels to each side whose layers' sizes are seen, along each axis."""

_RUNS: Final = 6
"""Lengths of runs of voxels that are counted."""

_END_REACH: Final = 8
"""Low voxels within which the shape's ends are told."""

_LEVEL: Final = 0.1
"""Log-odds are kept as levels, so wide each, of which 0 is the first that is not negative."""

_HIGHEST: Final = 40
"""Levels of log-odds to each side."""

_CARVED: Final = {"any": 3, "half": 2, "centre": 0}
"""Levels that carving adds to what it kept, and takes from what it cut, by low rule: of grids
sampled at centres it knows too little."""

_THRESHOLDS: Final = range(-10, 6)
"""Levels from which on fine voxels may stay."""

_MIDDLE: Final = _HIGHEST + max(_CARVED.values())
"""Levels to each side, carving included."""

_COUNTED_AT_ONCE: Final = 4096
"""Low voxels whose fine ones are counted at a time."""


class BoundaryPredictor(SubvoxelNetwork):
    """Tells by the low grid around it which fine voxels of a boundary voxel are occupied."""

    role = "boundary"
    features = (
        len(_NEAR)
        + len(_FAR)
        + 3 * 3
        + len(LOW_RULES)
        + len(_PLANES)
        + 3 * (2 * _LAYERS + 1)
        + 3 * _RUNS
    )

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
        if not len(places):
            return self.no_loss()
        return self.cross_entropy(Neighbourhood(low, rules), places, odms)

    @torch.inference_mode()
    def redraw(self, fine: torch.Tensor, depth: int, low: torch.Tensor, rule: str) -> None:
        """Decide anew, in place, which fine voxels at the boundary of carved grids stay.

        Log-odds count by their tenths, from -4 to 4; flat faces are evened out; and
        `most_promising` says for each grid from which on voxels stay. A byte is held for each fine
        voxel of the boundary, and up to two more for each in a flat face.

        Args:
            fine: (B, s X, s Y, W) int64 words of carved grids.
            depth: s Z.
            low: (B, X, Y, Z) bool, the low grids (hulls, not dilated).
            rule: how they were made, one of `LOW_RULES`.

        Raises:
            UnavailableError: the network gave no numbers.
        """
        rules, s = [rule] * len(low), self.scale
        here = low.to(self.device)
        places = boundary_voxels(here, rules).nonzero()
        seen = Neighbourhood(padded_to_cubes(here), rules)
        levels = torch.empty((len(places), s**3), dtype=torch.int8, device=fine.device)
        for part, logits in self.answers(seen, places, max(low.shape[1:])):
            level = (logits.float() / _LEVEL).floor().clamp(-_HIGHEST, _HIGHEST - 1)
            levels[part] = level.to(fine.device, torch.int8)
        places = places.to(fine.device)
        sure = torch.zeros(len(low), dtype=torch.int64, device=fine.device)
        for x, rows, grid, y, z in _by_layer(places):
            dense = ops.unpack(fine[:, x * s : (x + 1) * s], depth)
            kept = _blocks(dense, s)[grid, :, y, :, z, :].flatten(1)
            levels[rows] += 2 * _CARVED[rule] * kept.to(torch.int8) - _CARVED[rule]
            sure += dense.flatten(1).count_nonzero(1)
            sure.index_add_(0, grid, -kept.count_nonzero(1))
        even_out(levels, _LEVEL, low.to(fine.device), places)
        least = most_promising(_counts(levels, places[:, 0], len(low)), sure)
        for x, rows, grid, y, z in _by_layer(places):
            dense = ops.unpack(fine[:, x * s : (x + 1) * s], depth)
            stays = levels[rows] >= least[grid, None]
            _blocks(dense, s)[grid, :, y, :, z, :] = stays.view(-1, s, s, s)
            fine[:, x * s : (x + 1) * s] = ops.pack(dense)


def _counts(levels: torch.Tensor, grid: torch.Tensor, batch: int) -> torch.Tensor:
    """(B, 86) int64: how many fine voxels of each grid are on each level."""
    counts = torch.zeros(batch * 2 * _MIDDLE, dtype=torch.int64, device=levels.device)
    for first in range(0, len(levels), _COUNTED_AT_ONCE):
        part = slice(first, first + _COUNTED_AT_ONCE)
        of_grid = 2 * _MIDDLE * grid[part, None].int() + levels[part] + _MIDDLE
        counts += of_grid.flatten().bincount(minlength=len(counts))
    return counts.view(batch, 2 * _MIDDLE)


def _by_layer(
    places: torch.Tensor,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Of each x that places (P, 4) have: x, their rows, and their grids, y and z."""
    for x in torch.unique(places[:, 1]).tolist():
        rows = (places[:, 1] == x).nonzero()[:, 0]
        grid, _, y, z = places[rows].unbind(1)
        yield x, rows, grid, y, z


def _blocks(dense: torch.Tensor, scale: int) -> torch.Tensor:
    """A layer (B, s, s Y, s Z) as (B, s, Y, s, Z, s)."""
    batch, _, height, width = dense.shape
    return dense.view(batch, scale, height // scale, scale, width // scale, scale)


def most_promising(counts: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    """The level from which on voxels stay in each grid, so that the IoU is likely the highest.

    A voxel that stays adds its probability to the intersection and 1 to the union, one that goes
    its probability to the union. So the best level depends on how sure all of a shape is: thin
    things want a lower one.

    Args:
        counts: (B, 86) int64, how many voxels are on each level from -43 on.
        sure: (B,) int64, how many more stay whatever is decided, and are occupied.

    Returns:
        (B,) int64.
    """
    levels = torch.arange(-_MIDDLE, _MIDDLE, device=counts.device)
    likely = counts * ((levels + 0.5) * _LEVEL).double().sigmoid()
    occupied, staying = (part.flip(1).cumsum(1).flip(1) for part in (likely, counts.double()))
    intersection = sure[:, None] + occupied
    union = sure[:, None] + staying + occupied[:, :1] - occupied
    tried = [level + _MIDDLE for level in _THRESHOLDS]
    promised = intersection[:, tried] / union[:, tried].clamp(min=1)
    return promised.argmax(1) + _THRESHOLDS.start


def boundary_voxels(low: torch.Tensor, rules: list[str]) -> torch.Tensor:
    """(B, X, Y, Z) bool: occupied voxels with an empty one among the 26 around, outside included.

    Where grids (B, X, Y, Z) were not pooled by *any*, empty ones beside an occupied one as well.
    """
    index = torch.tensor([INPUT_RULES.index(rule) for rule in rules], device=low.device)
    beside_empty = dilate(~F.pad(low, (1,) * 6))[:, 1:-1, 1:-1, 1:-1]
    return base_grids(low, index) & beside_empty


class Neighbourhood:
    """What the network sees of low voxels.

    Each in its frame: the 9³ voxels about it; the means of 5³ cubes of 3³ voxels; those farther
    ones that lie in the three planes through it; how far the shape's ends are along each axis, and
    whether it spans the grid there; how large the layers on both sides are, beside the largest; how
    often runs of voxels along each axis are so short; and the rule.
    """

    def __init__(self, low: torch.Tensor, rules: list[str]) -> None:
        """Of grids (B, N, N, N) bool, empty outside, and the rule of each, of `LOW_RULES`."""
        self._bits = F.pad(low.to(torch.uint8), (_REACH,) * 6)
        self._sums = _sums(self._bits)  # of 3³ voxels, one less of them at each border
        self._ends = _ends(low)
        self._layers = F.pad(_layers(low), (_LAYERS, _LAYERS))
        self._runs = _runs(low)
        index = torch.tensor([LOW_RULES.index(rule) for rule in rules], device=low.device)
        self._rules = F.one_hot(index, len(LOW_RULES)).float()

    def features(self, places: torch.Tensor) -> tuple[torch.Tensor, Frames]:
        """(P, C) float32 of places (P, 4) int64, grid, x, y and z, and the frames they are in."""
        centres = places + places.new_tensor([0, *[_REACH] * 3])
        inside = places + places.new_tensor([0, *[_REACH - 1] * 3])
        near = around(self._bits, centres, _NEAR).float()
        frames = Frames.of(near, _NEAR)
        far = around(self._sums, inside, _FAR).float() / 27
        planes = around(self._bits, centres, _PLANES).float()
        grid, place = places[:, 0], places[:, 1:]
        first, last, spans = self._ends[grid].unbind(2)  # (P, 3) each
        ends = torch.stack([place - first, last - place], dim=2).clamp(-1, _END_REACH) / _END_REACH
        axes = torch.arange(3, device=places.device)
        beside = torch.arange(2 * _LAYERS + 1, device=places.device)
        layers = self._layers[grid[:, None, None], axes[:, None], place[:, :, None] + beside]
        told = [
            frames.values(near, turned(_NEAR)),
            frames.values(far, turned(_FAR)),
            frames.values(planes, turned(_PLANES)),
            frames.by_axis(ends, ends.flip(2)).flatten(1),
            frames.by_axis(spans[:, :, None]).flatten(1),
            frames.by_axis(layers, layers.flip(2)).flatten(1),
            frames.by_axis(self._runs[grid]).flatten(1),
            self._rules[grid],
        ]
        return torch.cat(told, dim=1), frames


def _sums(bits: torch.Tensor) -> torch.Tensor:
    """(B, X - 2, Y - 2, Z - 2): of 3³ voxels each."""
    for axis in (1, 2, 3):
        below, own, above = shifted(bits, axis)
        bits = below + own + above
    return bits


def _layers(low: torch.Tensor) -> torch.Tensor:
    """(B, 3, N) float32: how many voxels each layer across each axis has, beside the largest."""
    sizes = torch.stack([low.sum(axes) for axes in ((2, 3), (1, 3), (1, 2))], dim=1)
    return sizes / sizes.amax(dim=2, keepdim=True).clamp(min=1)


def _runs(low: torch.Tensor) -> torch.Tensor:
    """(B, 3, 6) float32: how many of the runs of voxels along each axis are 1, 2 … long."""
    shares = []
    for axis in (1, 2, 3):
        # Of n voxels in a row there are so many; a run of length L holds L - n + 1 of them.
        rows, counts = low, []
        for length in range(1, _RUNS + 3):
            counts.append(rows.flatten(1).count_nonzero(1))
            left = max(0, low.shape[axis] - length)
            rows = rows.narrow(axis, 0, left) & low.narrow(axis, low.shape[axis] - left, left)
        have = torch.stack(counts, dim=1)
        exactly = have[:, :-2] - 2 * have[:, 1:-1] + have[:, 2:]
        shares.append(exactly / (have[:, :1] - have[:, 1:2]).clamp(min=1))
    return torch.stack(shares, dim=1)


def _ends(low: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) int64 of each grid, along each axis: first and last occupied voxel, whether both
    are the grid's own.
    """
    ends = []
    for axis in (1, 2, 3):
        line = low.movedim(axis, 1).flatten(2).any(2)
        first = line.to(torch.uint8).argmax(1)
        last = line.shape[1] - 1 - line.flip(1).to(torch.uint8).argmax(1)
        ends.append(torch.stack([first, last, line[:, 0] & line[:, -1]], dim=1))
    return torch.stack(ends, dim=1)


def padded_to_cubes(low: torch.Tensor) -> torch.Tensor:
    """(B, N, N, N): padded with empty voxels at the far ends to the longest edge."""
    edge = max(low.shape[1:])
    x, y, z = (edge - n for n in low.shape[1:])
    return F.pad(low, (0, z, 0, y, 0, x)) if x or y or z else low
