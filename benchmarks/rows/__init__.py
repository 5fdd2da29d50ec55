"""The rows of `speed`, by the name that ``--only`` takes.

A bench is a function of the `Settings` that yields `measure.Row`; its first line is what ``--list``
says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rows import cuda, files, fractions, grids, meshes, program, surfaces, views
from rows.measure import Row, Settings

BENCHES: dict[str, Callable[[Settings], Iterator[Row]]] = {
    "extract": views.extract,
    "dense": views.extract_dense,
    "project": views.project,
    "smooth": views.smooth,
    "carve": views.carve,
    "soft": fractions.soft,
    "pack": grids.pack,
    "pool": grids.pool,
    "upsample": grids.upsample,
    "dilate": grids.dilate,
    "iou": grids.iou,
    "largest": grids.largest,
    "binvox": files.binvox,
    "hull": meshes.hull,
    "surface": surfaces.surface,
    "surface-memory": surfaces.surface_memory,
    "mesh-files": surfaces.mesh_files,
    "upscale": program.upscale,
    "help": program.help_,
    "memory": program.memory,
    "cuda": cuda.cuda,
    "big": program.big,
}

__all__ = ["BENCHES", "Settings"]
