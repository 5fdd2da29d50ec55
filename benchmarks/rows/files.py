"""binvox files against trimesh."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mvd_toolkit import io
from rows.measure import Row, Settings, compare, faster, peer, same
from rows.shapes import samples


def binvox(settings: Settings) -> Iterator[Row]:
    """binvox files read and written, against trimesh"""
    trimesh = peer("trimesh")
    export = peer("trimesh.exchange.binvox").export_binvox
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.binvox", Path(folder) / "theirs.binvox"
        for size in settings.sizes:
            paths = []
            for i, sample in enumerate(samples(size)):
                paths.append(Path(folder) / f"{size}_{i}.binvox")
                io.save(sample.grid, paths[-1])
                same(trimesh.load(paths[-1]).matrix, sample.dense)
            yield compare(
                settings,
                "binvox, read to voxels",
                size,
                io.load,
                "trimesh",
                lambda path: trimesh.load(path).matrix,
                paths,
                faster(5),
            )
            yield compare(
                settings,
                "binvox, write",
                size,
                lambda pair: io.save(pair[0], ours, overwrite=True),
                "trimesh",
                lambda pair: theirs.write_bytes(export(pair[1])),
                [(sample.grid, trimesh.voxel.VoxelGrid(sample.dense)) for sample in samples(size)],
                faster(20),
            )
