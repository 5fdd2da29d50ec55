"""The guess of how a coarse grid was made."""

from __future__ import annotations

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid
from mvd_toolkit.low_rule import RuleGuess, edge_contacts, guess_low_rule


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
    assert guess_low_rule(pooled(fine, 8, "any")) == RuleGuess("any", 0.39)
    assert guess_low_rule(pooled(fine, 8, "centre")) == RuleGuess("centre", 0.54)


@pytest.mark.parametrize(
    ("dense", "expected"),
    [
        (np.zeros((3, 3, 3), bool), 0.0),
        (np.ones((2, 2, 2), bool), 0.0),
        ([[[1, 0], [0, 1]]], 1 / 12),
        ([[[0, 1], [1, 0]]], 1 / 12),
    ],
)
def test_contacts_per_face(dense: np.ndarray, expected: float) -> None:
    assert edge_contacts(VoxelGrid.from_dense(dense)) == pytest.approx(expected)


def test_contacts_do_not_depend_on_the_axis() -> None:
    dense = np.random.default_rng(0).random((6, 7, 8)) < 0.3
    turned = [dense.transpose(p) for p in [(0, 1, 2), (2, 0, 1), (1, 2, 0)]]
    counts = {edge_contacts(VoxelGrid.from_dense(grid)) for grid in turned}
    assert len(counts) == 1


def test_only_rules_that_the_model_knows() -> None:
    apart = VoxelGrid.from_dense([[[1, 0], [0, 1]]])
    assert guess_low_rule(apart, ("any",)) == RuleGuess("any", 1.0)
    assert guess_low_rule(apart, ("any", "half")).rule == "half"
    assert guess_low_rule(VoxelGrid.from_dense([[[1]]]), ("half", "centre")).rule == "half"
