"""`VoxelGrid`: what it is made of, how it shows itself, and what is refused in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mvd_toolkit as mvd
from mvd_toolkit import Upscaler, VoxelGrid
from mvd_toolkit.errors import InputError

BALL = np.linalg.norm(np.indices((5, 9, 3)).T - (1, 4, 2), axis=-1).T < 2


@pytest.mark.parametrize(
    "dense",
    [
        BALL,
        BALL.astype(np.int8),
        BALL.astype(">f4"),
        np.asfortranarray(BALL),
        BALL.tolist(),
        torch.from_numpy(BALL).half(),
        torch.from_numpy(BALL.astype(np.float32)).requires_grad_(),
    ],
)
def test_any_zeros_and_ones_are_occupancy(dense: Any) -> None:
    assert np.array_equal(VoxelGrid.from_dense(dense).dense(), BALL)


@pytest.mark.parametrize("value", [0.3, float("nan"), -1.0])
def test_fractions_are_not_taken_for_occupancy(value: float) -> None:
    dense = np.ones((2, 2, 2), np.float32)
    dense[1, 0, 1] = value
    with pytest.raises(InputError, match=rf"found {value}.*; compare first, .*from_coverage"):
        VoxelGrid.from_dense(dense)


def test_fractions_are_kept_where_they_are_meant() -> None:
    shares = torch.tensor([[[0.0, 0.25, 0.5, 1.0]]], requires_grad=True)
    grid = VoxelGrid.from_coverage(shares, (1.0, 2.0, 3.0), 0.5)
    assert grid.dense().tolist() == [[[False, False, True, True]]]
    assert grid.coverage is not None
    assert grid.coverage.dtype == np.float32
    assert grid.coverage.tolist() == shares.tolist()
    assert (grid.origin, grid.spacing) == ((1.0, 2.0, 3.0), (0.5, 0.5, 0.5))
    with pytest.raises(InputError, match=r"found 1\.5; logits need a sigmoid first"):
        VoxelGrid.from_coverage([[[1.5]]])


def test_repr_is_a_line_however_large_the_grid() -> None:
    grid = VoxelGrid.from_dense(np.ones((64, 64, 64), bool), spacing=0.5)
    shown = "VoxelGrid(shape=(64, 64, 64), occupied=262144, origin=(0.0, 0.0, 0.0), spacing=(0.5, "
    assert repr(grid) == shown + "0.5, 0.5))"
    assert repr(VoxelGrid.from_coverage([[[0.5]]])).endswith(", with coverage)")


@pytest.mark.parametrize(
    "call",
    [
        lambda: mvd.save(BALL, "ball.npy"),  # type: ignore[arg-type]
        lambda: mvd.score(VoxelGrid.from_dense(BALL), torch.from_numpy(BALL)),  # type: ignore[arg-type]
        lambda: mvd.render(BALL),
        lambda: mvd.coverage(BALL, 2),
        lambda: Upscaler.load()(BALL),  # type: ignore[arg-type]
        lambda: Upscaler.load().batch([BALL]),  # type: ignore[list-item]
    ],
)
def test_arrays_are_refused_where_a_grid_is_meant(
    call: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = r"expected a VoxelGrid, found (ndarray|Tensor); VoxelGrid\.from_dense makes one"
    with pytest.raises(InputError, match=expected):
        call()
    assert not any(tmp_path.iterdir())
