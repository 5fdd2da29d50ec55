"""The other operations on packed grids against NumPy and SciPy on dense ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mvd_toolkit import ops
from mvd_toolkit.grid import VoxelGrid
from rows import plain
from rows.measure import THREADS, Row, Settings, compare, peer, same
from rows.shapes import SCALE, Sample, samples


def pack(settings: Settings) -> Iterator[Row]:
    """pack and unpack, against packbits and unpackbits"""
    yield from _rows(
        settings,
        "pack",
        lambda sample: ops.pack(sample.dense, threads=THREADS),
        "packbits",
        lambda sample: plain.pack(sample.dense),
    )
    yield from _rows(
        settings,
        "unpack",
        lambda sample: ops.unpack(sample.grid.packed, sample.grid.shape[2], threads=THREADS),
        "unpackbits",
        lambda sample: plain.unpack(sample.grid.packed),
    )


def pool(settings: Settings) -> Iterator[Row]:
    """pool by 8 under any and half, against sums of strided slices"""
    for rule, theirs in (("any", plain.pool_any), ("half", plain.pool_half)):
        yield from _rows(
            settings,
            f"pool by {SCALE}, {rule}",
            lambda sample, rule=rule: ops.pool(sample.grid, SCALE, rule, threads=THREADS),
            "NumPy slices",
            lambda sample, theirs=theirs: theirs(sample.dense, SCALE),
        )


def upsample(settings: Settings) -> Iterator[Row]:
    """upsample_nearest by 8, against repeat"""
    yield from _rows(
        settings,
        f"upsample_nearest by {SCALE}",
        lambda sample: ops.upsample_nearest(sample.low, SCALE, threads=THREADS),
        "NumPy repeat",
        lambda sample: plain.upsample_nearest(sample.low.dense(), SCALE),
    )


def dilate(settings: Settings) -> Iterator[Row]:
    """dilate by one step, against ORs of shifted slices"""
    yield from _rows(
        settings,
        "dilate",
        lambda sample: ops.dilate(sample.grid, threads=THREADS),
        "NumPy shifts",
        lambda sample: plain.dilate(sample.dense),
    )


def iou(settings: Settings) -> Iterator[Row]:
    """iou of a grid and its dilation, against count_nonzero"""
    for size in settings.sizes:
        inputs = [(sample, ops.dilate(sample.grid)) for sample in samples(size)]
        pairs = [(sample, fat, fat.dense()) for sample, fat in inputs]
        for sample, fat, dense in pairs:
            same(ops.iou(sample.grid, fat), plain.iou(sample.dense, dense))
        yield compare(
            settings,
            "iou",
            size,
            lambda pair: ops.iou(pair[0].grid, pair[1], threads=THREADS),
            "count_nonzero",
            lambda pair: plain.iou(pair[0].dense, pair[2]),
            pairs,
        )


def largest(settings: Settings) -> Iterator[Row]:
    """keep_largest, against SciPy's label"""
    label = peer("scipy.ndimage").label

    def theirs(sample: Sample) -> Any:
        parts, _ = label(sample.dense)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        return parts == sizes.argmax()

    yield from _rows(
        settings,
        "keep_largest",
        lambda sample: ops.keep_largest(sample.grid, threads=THREADS),
        "scipy label",
        theirs,
    )


def _rows(
    settings: Settings,
    what: str,
    ours: Callable[[Sample], Any],
    name: str,
    theirs: Callable[[Sample], Any],
) -> Iterator[Row]:
    """A row for each size, once both have given the same."""
    for size in settings.sizes:
        inputs = samples(size)
        for sample in inputs:
            result = ours(sample)
            same(result.dense() if isinstance(result, VoxelGrid) else result, theirs(sample))
        yield compare(settings, what, size, ours, name, theirs, inputs)
