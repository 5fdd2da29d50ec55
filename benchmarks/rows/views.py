"""Depth maps and carving against plain NumPy and against reading memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mvd_toolkit import ops
from rows import plain
from rows.measure import THREADS, Row, Settings, compare, faster, same, within
from rows.shapes import SCALE, samples

SMOOTH_THRESHOLD = 12  # 1.5 voxels a unit of scale, as the paper has it


def extract(settings: Settings) -> Iterator[Row]:
    """extract_odms of a packed grid, against NumPy and against reading the packed grid once"""
    for size in settings.sizes:
        inputs = samples(size)
        for sample in inputs:
            same(sample.odms, plain.extract_odms(sample.dense))
        what = "extract_odms, packed"
        yield compare(
            settings,
            what,
            size,
            lambda sample: ops.extract_odms(sample.grid, threads=THREADS),
            "NumPy argmax",
            lambda sample: plain.extract_odms(sample.dense),
            inputs,
            faster(100),
        )
        yield compare(
            settings,
            what,
            size,
            lambda sample: ops.extract_odms(sample.grid, threads=THREADS),
            "reading the words",
            lambda sample: plain.read(sample.grid.packed),
            inputs,
            within(8),
        )


def extract_dense(settings: Settings) -> Iterator[Row]:
    """extract_odms of a dense bool array, against reading the array once"""
    for size in settings.sizes:
        inputs = samples(size)
        for sample in inputs:
            same(sample.odms, ops.extract_odms(sample.dense, threads=THREADS))
        yield compare(
            settings,
            "extract_odms, dense",
            size,
            lambda sample: ops.extract_odms(sample.dense, threads=THREADS),
            "reading the bytes",
            lambda sample: plain.read(sample.dense),
            inputs,
            within(2),
        )


def project(settings: Settings) -> Iterator[Row]:
    """project_odms, ODMs to packed, against NumPy in place"""
    for size in settings.sizes:
        inputs = samples(size)
        for sample in inputs:
            projected = ops.project_odms(sample.odms, like=sample.grid)
            same(projected.dense(), plain.project_odms(sample.odms))
        yield compare(
            settings,
            "project_odms",
            size,
            lambda sample: ops.project_odms(sample.odms, like=sample.grid, threads=THREADS),
            "NumPy in place",
            lambda sample: plain.project_odms(sample.odms),
            inputs,
        )


def smooth(settings: Settings) -> Iterator[Row]:
    """smooth_odms 6 × 7×7, against the map shifted 49 times in int16"""
    for size in settings.sizes:
        depths = np.random.default_rng(0).normal(size / 3, 3, (6, size, size))
        full = np.clip(depths, 0, size - 1).astype(np.uint16)
        cases = {"": [sample.noisy for sample in samples(size)], ", no background": [full]}
        for case, inputs in cases.items():
            for odms in inputs:
                same(ops.smooth_odms(odms, SMOOTH_THRESHOLD), _smooth_plainly(odms))
            yield compare(
                settings,
                f"smooth_odms 7×7{case}",
                size,
                lambda odms: ops.smooth_odms(odms, SMOOTH_THRESHOLD, threads=THREADS),
                "NumPy, 49 shifts",
                _smooth_plainly,
                inputs,
                faster(5),
            )


def _smooth_plainly(odms: plain.OdmArray) -> plain.OdmArray:
    return plain.smooth_odms(odms, SMOOTH_THRESHOLD)


def carve(settings: Settings) -> Iterator[Row]:
    """carve, low grid and six fine ODMs to packed, against NumPy in place"""
    for size in settings.sizes:
        inputs = [(sample.low, sample.low.dense(), sample.noisy) for sample in samples(size)]
        for low, dense, odms in inputs:
            same(ops.carve(low, odms, SCALE).dense(), plain.carve(dense, odms, SCALE))
        yield compare(
            settings,
            "carve, both stages",
            size,
            lambda item: ops.carve(item[0], item[2], SCALE, threads=THREADS),
            "NumPy in place",
            lambda item: plain.carve(item[1], item[2], SCALE),
            inputs,
            faster(30),
        )
