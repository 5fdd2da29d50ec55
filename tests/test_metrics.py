"""Intersection over union, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import KINDS, THREADS, as_kind, big_grid, dense_batches, dense_grids, noise, shapes

from mvd_toolkit import ops, reference
from mvd_toolkit.errors import InputError

Dense = npt.NDArray[np.bool_]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Dense, Dense]:
    shape = st.just(draw(shapes()))
    return draw(dense_grids(shape)), draw(dense_grids(shape))


@given(pairs(), st.sampled_from(THREADS))
def test_iou_equals_reference(pair: tuple[Dense, Dense], threads: int) -> None:
    a, b = pair
    score = ops.iou(a, b, threads=threads)
    assert isinstance(score, float)
    assert score == reference.iou(a, b) == ops.iou(b, a)


@given(dense_batches())
def test_batch_is_the_single_pair_mapped(batch: Dense) -> None:
    other = batch[::-1] ^ noise(batch.shape, 0.2)
    scores = ops.iou(batch, other)
    assert scores.dtype == np.float64
    assert scores.tolist() == [ops.iou(a, b) for a, b in zip(batch, other, strict=True)]


def test_any_number_of_threads_gives_the_same_score() -> None:
    big = big_grid()
    other = big ^ noise(big.shape, 0.1)
    assert {ops.iou(big, other, threads=t) for t in THREADS} == {reference.iou(big, other)}


def test_bounds() -> None:
    empty, full = np.zeros((3, 4, 70), bool), np.ones((3, 4, 70), bool)
    assert ops.iou(empty, empty) == 1.0
    assert ops.iou(full, full) == 1.0
    assert ops.iou(empty, full) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_mix(kind: str) -> None:
    a, b = noise((3, 4, 70), 0.5, 1), noise((3, 4, 70), 0.5, 2)
    assert ops.iou(as_kind(a, kind), b) == reference.iou(a, b)


def test_batch_of_tensors_gives_a_tensor() -> None:
    torch = pytest.importorskip("torch")
    batch = noise((2, 3, 4, 5))
    assert ops.iou(torch.from_numpy(batch), batch).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("other", [np.ones((2, 2, 65), bool), np.ones((1, 2, 2, 64), bool)])
def test_error_says_when_shapes_differ(other: Any) -> None:
    with pytest.raises(InputError, match=r"b: expected the shape of a, \(2, 2, 64\), found"):
        ops.iou(np.ones((2, 2, 64), bool), other)
