"""How was this coarse grid made? A guess, for ``--low-rule auto``.

Pooling by *any* makes shapes fat and joined; sampling their centres, or asking for half, lets thin
parts fall apart or go. So the guess looks for what is left of thin parts: blocks of 2x2x2 voxels
whose pattern no smooth surface makes (12 classes under the symmetries of the cube), short runs of
voxels, and gaps between runs. A logistic regression weighs the square roots of their shares; a
grid without any of them is taken for *any*. Half and centre can hardly be told apart, and the
networks answer alike for either: not *any* means half.

Fitted on 16,600 coarse grids of training shapes at 32³. Calling a grid half wrongly costs more than
calling it any wrongly, so *any* is given up late. On 300 other shapes, each pooled by all three
rules, 98 % of the any-pooled grids are called any, and 30 % of the others are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.grid import VoxelGrid

if TYPE_CHECKING:
    import torch

ANY_FROM = 0.25
"""A grid is called any-pooled from this probability on, any-pooled or not being equally likely."""

# Weights of the square roots of shares. Patterns: by the least code of their class, in which bit
# 4 a + 2 b + c is the voxel at offset (a, b, c). Runs and gaps: of 1, 2, 3 and at least 4 voxels.
_PATTERN_WEIGHTS = {
    0x06: -27.4, 0x16: -5.63, 0x18: -5.89, 0x19: -2.36, 0x1B: 5.27, 0x1E: -3.84,
    0x3C: -5.92, 0x3D: -5.87, 0x69: -42.44, 0x6B: -1.18, 0x6F: 1.79, 0x7E: -23.17,
}  # fmt: skip
_RUN_WEIGHTS = (-3.2, 0.63, -0.25, 0.0)
_GAP_WEIGHTS = (1.02, 0.66, 1.31, 1.23)
_BIAS = 0.7


@dataclass(frozen=True)
class RuleGuess:
    """A low rule and how sure one can be of it.

    Attributes:
        rule: one of `conventions.INPUT_RULES`.
        confidence: probability that it is right when all low rules are equally likely; 1 when the
            rule was given.
        guessed: whether it was guessed from the grid or given by the caller.
    """

    rule: str
    confidence: float
    guessed: bool = True


def guess_low_rule(grid: VoxelGrid, known: Sequence[str] = LOW_RULES) -> RuleGuess:
    """Guess the low rule of a filled coarse grid, among the ``known`` ones.

    >>> guess_low_rule(VoxelGrid.from_dense(np.ones((8, 8, 8), bool))).rule
    'any'
    """
    return guess_from(any_pooled(grid) if len(known) > 1 else 1.0, known)


def guess_from(chance: float, known: Sequence[str] = LOW_RULES) -> RuleGuess:
    """The guess among the ``known`` rules where `any_pooled` gives ``chance``."""
    if len(known) == 1:
        return RuleGuess(known[0], confidence=1.0)
    one_of_three = chance / (2 - chance)  # half and centre as likely as any, each
    others = [rule for rule in known if rule != "any"]
    if "any" in known and (chance >= ANY_FROM or not others):
        return RuleGuess("any", one_of_three)
    return RuleGuess("half" if "half" in others else others[0], (1 - one_of_three) / len(others))


def any_pooled(grid: VoxelGrid) -> float:
    """Probability that a filled coarse grid was any-pooled, if it is as likely as not.

    An empty grid tells nothing: 0.5.
    """
    dense = grid.dense()
    if not dense.any():
        return 0.5
    padded = np.pad(dense, 1).astype(np.uint8)
    patterns = _pattern_shares(padded)
    return _chance(patterns, *_length_shares(padded))


def any_pooled_batch(grids: torch.Tensor) -> list[float]:
    """`any_pooled` of each of a batch (B, X, Y, Z) of boolean grids, counted on its device."""
    import torch
    import torch.nn.functional as F

    padded = F.pad(grids.to(torch.uint8), (1,) * 6)
    counts = torch.cat([_pattern_counts(padded), _length_counts(padded)], dim=1).cpu().numpy()
    return [_chance_of_counts(row) for row in counts]


def _chance(
    patterns: Mapping[int, float], runs: npt.NDArray[np.float64], gaps: npt.NDArray[np.float64]
) -> float:
    score = _BIAS + sum(_PATTERN_WEIGHTS[code] * math.sqrt(s) for code, s in patterns.items())
    score += float(np.dot(_RUN_WEIGHTS, np.sqrt(runs)) + np.dot(_GAP_WEIGHTS, np.sqrt(gaps)))
    return 1 / (1 + math.exp(-score))


def _pattern_shares(padded: npt.NDArray[np.uint8]) -> dict[int, float]:
    """Class of patterns -> its share of the 2x2x2 blocks that are neither empty nor full."""
    x, y, z = (n - 1 for n in padded.shape)
    codes = np.zeros((x, y, z), np.uint8)
    for bit, (a, b, c) in enumerate(product((0, 1), repeat=3)):
        codes |= padded[a : a + x, b : b + y, c : c + z] << bit
    return _shares_of_patterns(np.bincount(codes.ravel(), minlength=256))


def _shares_of_patterns(counts: npt.NDArray[np.int64]) -> dict[int, float]:
    """The same from how often each of the 256 patterns occurs."""
    counts = counts.copy()
    counts[[0, 255]] = 0
    shares = dict.fromkeys(_PATTERN_WEIGHTS, 0.0)
    for code, least in enumerate(_least_codes()):
        if least in shares:
            shares[least] += float(counts[code] / counts.sum())
    return shares


@cache
def _least_codes() -> tuple[int, ...]:
    """For each of the 256 patterns the least code among its 48 turned and mirrored ones."""
    corners = list(product((0, 1), repeat=3))
    orders = [
        [corners.index((p[axes[0]] ^ f[0], p[axes[1]] ^ f[1], p[axes[2]] ^ f[2])) for p in corners]
        for axes in permutations(range(3))
        for f in corners
    ]
    return tuple(
        min(sum((code >> order[bit] & 1) << bit for bit in range(8)) for order in orders)
        for code in range(256)
    )


def _length_shares(
    padded: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Runs of 1, 2, 3 and more voxels, and gaps between runs of a line, in shares of all runs."""
    runs, gaps = np.zeros(4), np.zeros(4)
    for axis in range(3):
        lines = np.moveaxis(padded, axis, -1).reshape(-1, padded.shape[axis])
        steps = np.diff(lines.astype(np.int8), axis=1)
        begin, end = np.argwhere(steps == 1), np.argwhere(steps == -1)
        runs += _lengths(end[:, 1] - begin[:, 1])
        same_line = begin[1:, 0] == end[:-1, 0]
        gaps += _lengths((begin[1:, 1] - end[:-1, 1])[same_line])
    return runs / runs.sum(), gaps / runs.sum()


def _lengths(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.bincount(np.minimum(lengths, 4) - 1, minlength=4)


def _chance_of_counts(row: npt.NDArray[np.int64]) -> float:
    """`any_pooled` from counts of the 256 patterns, then of runs and of gaps by length."""
    patterns, runs, gaps = row[:256], row[256:260], row[260:264]
    if not runs.sum():
        return 0.5  # an empty grid
    return _chance(_shares_of_patterns(patterns), runs / runs.sum(), gaps / runs.sum())


def _pattern_counts(padded: torch.Tensor) -> torch.Tensor:
    """(B, 256) int64, how often each pattern occurs in grids (B, X, Y, Z) uint8."""
    import torch

    x, y, z = (n - 1 for n in padded.shape[1:])
    codes = torch.zeros((len(padded), x, y, z), dtype=torch.int64, device=padded.device)
    for bit, (a, b, c) in enumerate(product((0, 1), repeat=3)):
        codes |= padded[:, a : a + x, b : b + y, c : c + z].long() << bit
    codes += 256 * torch.arange(len(padded), device=padded.device)[:, None, None, None]
    return torch.bincount(codes.flatten(), minlength=256 * len(padded)).view(-1, 256)


def _length_counts(padded: torch.Tensor) -> torch.Tensor:
    """(B, 8) int64: runs of 1, 2, 3 and more voxels, then gaps between the runs of a line."""
    import torch

    runs = torch.zeros((len(padded), 4), dtype=torch.int64, device=padded.device)
    gaps = torch.zeros_like(runs)
    for axis in (1, 2, 3):
        lines = padded.movedim(axis, -1).bool()
        begins = (lines[..., 1:] & ~lines[..., :-1]).flatten(1).sum(1)
        between = begins - lines.any(-1).flatten(1).sum(1)  # runs of a line less one
        runs += _by_length(lines, begins)
        gaps += _by_length(~lines, between)
    return torch.cat([runs, gaps], dim=1)


def _by_length(lines: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """(B, 4): of ``total`` (B,) runs within lines how many are 1, 2, 3 and more voxels long."""
    import torch

    short = []
    for length in (1, 2, 3):
        places = lines.shape[-1] - length - 1
        met = torch.ones_like(lines[..., : max(0, places)])
        for i in range(length + 2):
            inside = 0 < i <= length
            part = lines[..., i : i + met.shape[-1]]
            met &= part if inside else ~part
        short.append(met.flatten(1).sum(1))
    counts = torch.stack(short, dim=1)
    return torch.cat([counts, total[:, None] - counts.sum(1, keepdim=True)], dim=1)
