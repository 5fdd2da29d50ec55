"""Filling a fine grid by fractions: what keeping scores from round to round is worth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, ops
from mvd_toolkit.conventions import FULL_COVERAGE
from rows.measure import THREADS, Row, Settings, compare, same
from rows.shapes import SCALE, Sample, samples

LEVELS = 8

Input = tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]


def soft(settings: Settings) -> Iterator[Row]:
    """soft_rank, with depth maps and without, against the same with no score kept"""
    for size in settings.sizes:
        for levels in (LEVELS, 0):
            inputs = [_input(sample, levels) for sample in samples(size)]
            for item in inputs:
                same(_fill(item), _fill(item, keep=0))
            yield compare(
                settings,
                f"soft_rank by {SCALE}, {levels} levels",
                size,
                _fill,
                "no score kept",
                lambda item: _fill(item, keep=0),
                inputs,
            )


def _input(sample: Sample, count: int) -> Input:
    """A batch of one: coverage, and depths from less to more than is true."""
    coverage = ops.coverage(sample.grid, SCALE).coverage
    assert coverage is not None
    whole = np.rint(FULL_COVERAGE * coverage.astype(np.float64)).astype(np.uint16)
    steps = np.arange(count).reshape(-1, 1, 1, 1) - count // 2
    n = sample.odms.shape[-1]
    levels = np.clip(sample.odms.astype(np.int64) + steps, 0, n).astype(np.uint16)
    return whole[None], levels[None]


def _fill(item: Input, **options: int) -> npt.NDArray[np.uint64]:
    coverage, levels = item
    scores = ops.soft_scores(levels.shape[1])
    rounds = ops.SWAP_ROUNDS
    return _core.soft_rank(coverage, levels, *scores, SCALE, rounds, THREADS, **options)
