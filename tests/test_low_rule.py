"""The guess of how a coarse grid was made."""

from __future__ import annotations

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid
from mvd_toolkit.low_rule import (
    _BIAS,
    _PATTERN_WEIGHTS,
    _RUN_WEIGHTS,
    RuleGuess,
    _least_codes,
    _length_shares,
    any_pooled,
    guess_low_rule,
)


def sheet(edge: int = 32, scale: int = 8) -> np.ndarray:
    """A thin tilted sheet at fine size: what falls apart under half and centre."""
    n = edge * scale
    x, y = np.indices((n, n)) / n
    height = ((0.2 + 0.3 * x + 0.25 * y) * n).astype(int)
    z = np.arange(n)[None, None, :]
    return (z >= height[..., None]) & (z < height[..., None] + 3)


def pooled(fine: np.ndarray, scale: int, rule: str) -> VoxelGrid:
    n = fine.shape[0] // scale
    blocks = fine.reshape(n, scale, n, scale, n, scale)
    if rule == "any":
        return VoxelGrid.from_dense(blocks.any(axis=(1, 3, 5)))
    half = scale // 2
    return VoxelGrid.from_dense(blocks[:, half, :, half, :, half])


def test_a_sheet_that_fell_apart_was_not_any_pooled() -> None:
    fine = sheet()
    assert guess_low_rule(pooled(fine, 8, "any")).rule == "any"
    assert guess_low_rule(pooled(fine, 8, "centre")).rule == "half"


def test_any_pooled_probability_is_the_logistic_of_the_shares() -> None:
    """One voxel: no odd block, three runs of 1."""
    score = _BIAS + _RUN_WEIGHTS[0]
    chance = any_pooled(VoxelGrid.from_dense([[[1]]]))
    assert chance == pytest.approx(1 / (1 + np.exp(-score)))


def test_two_voxels_that_touch_along_an_edge() -> None:
    score = _BIAS + _RUN_WEIGHTS[0] + _PATTERN_WEIGHTS[0x06] * (2 / 14) ** 0.5  # 2 x 8 - 2 blocks
    chance = any_pooled(VoxelGrid.from_dense([[[1, 0], [0, 1]]]))
    assert chance == pytest.approx(1 / (1 + np.exp(-score)))


def test_gaps_count_between_runs_of_one_line() -> None:
    padded = np.pad(np.array([[[1, 0, 0, 1, 1, 0, 1]]], np.uint8), 1)
    runs, gaps = _length_shares(padded)
    along, across = [2, 1, 0, 0], [8, 0, 0, 0]  # four voxels, crossed along x and y
    assert (runs * 11).round(9).tolist() == np.add(along, across).tolist()
    assert (gaps * 11).round(9).tolist() == [1, 1, 0, 0]


def test_patterns_fall_into_22_classes() -> None:
    classes = set(_least_codes())
    assert len(classes) == 22
    assert set(_PATTERN_WEIGHTS) < classes


def test_the_chance_is_the_same_however_the_grid_is_turned() -> None:
    dense = np.random.default_rng(0).random((6, 7, 8)) < 0.3
    turned = [dense, dense.transpose(2, 0, 1), dense[::-1], dense.transpose(1, 0, 2)[:, ::-1]]
    chances = [any_pooled(VoxelGrid.from_dense(grid)) for grid in turned]
    assert chances == pytest.approx([chances[0]] * 4)


def test_an_empty_grid_tells_nothing() -> None:
    assert any_pooled(VoxelGrid.from_dense(np.zeros((3, 3, 3), bool))) == 0.5


def test_confidences_are_those_of_three_rules_alike() -> None:
    solid = VoxelGrid.from_dense(np.ones((8, 8, 8), bool))
    chance = any_pooled(solid)
    guess = guess_low_rule(solid)
    assert guess.rule == "any"
    assert guess.confidence == pytest.approx(chance / (chance + 2 * (1 - chance)))


def test_only_rules_that_the_model_knows() -> None:
    apart = pooled(sheet(), 8, "centre")
    assert guess_low_rule(apart, ("any",)) == RuleGuess("any", 1.0)
    assert guess_low_rule(apart, ("any", "half")).rule == "half"
    assert guess_low_rule(apart, ("any", "centre")).rule == "centre"
    assert guess_low_rule(VoxelGrid.from_dense([[[1]]]), ("half", "centre")).rule == "half"
