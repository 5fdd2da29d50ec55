"""Multi-view decomposition: upscale coarse voxel grids by upscaling six depth maps.

>>> import mvd_toolkit as mvd
>>> grid = mvd.VoxelGrid.from_dense([[[1]]])
>>> mvd.upsample_nearest(grid, 8).shape
(8, 8, 8)

The public names are those of `__all__`; each is imported when it is first used, so that
``import mvd_toolkit`` costs next to nothing and loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvd_toolkit.errors import (
        BatchError,
        BugError,
        InputError,
        MVDError,
        OutputExistsError,
        ThresholdError,
        UnavailableError,
        UsageError,
    )
    from mvd_toolkit.evaluate import score
    from mvd_toolkit.grid import VoxelGrid
    from mvd_toolkit.hookspecs import hookimpl
    from mvd_toolkit.io import load, save
    from mvd_toolkit.io.format import Format
    from mvd_toolkit.ops import (
        carve,
        coverage,
        dilate,
        extract_odms,
        hull,
        iou,
        keep_largest,
        mirror,
        pool,
        project_odms,
        smooth_odms,
        soft_rank,
        upsample_nearest,
    )
    from mvd_toolkit.packed import PackedGrids
    from mvd_toolkit.pictures import render
    from mvd_toolkit.reconstruction import Reconstructor, reconstruct
    from mvd_toolkit.solid_mesh import solidify
    from mvd_toolkit.specs import BackboneSpec, PredictorSpec, ReconstructorSpec
    from mvd_toolkit.upscale import Upscaler
    from mvd_toolkit.upscale_files import upscale_many

__version__ = "0.1.0"

_HOME = {
    "BackboneSpec": "specs",
    "BatchError": "errors",
    "BugError": "errors",
    "Format": "io.format",
    "InputError": "errors",
    "MVDError": "errors",
    "OutputExistsError": "errors",
    "PackedGrids": "packed",
    "PredictorSpec": "specs",
    "Reconstructor": "reconstruction",
    "ReconstructorSpec": "specs",
    "ThresholdError": "errors",
    "UnavailableError": "errors",
    "Upscaler": "upscale",
    "UsageError": "errors",
    "VoxelGrid": "grid",
    "carve": "ops",
    "coverage": "ops",
    "dilate": "ops",
    "extract_odms": "ops",
    "hookimpl": "hookspecs",
    "hull": "ops",
    "iou": "ops",
    "keep_largest": "ops",
    "load": "io",
    "mirror": "ops",
    "pool": "ops",
    "project_odms": "ops",
    "reconstruct": "reconstruction",
    "render": "pictures",
    "save": "io",
    "score": "evaluate",
    "smooth_odms": "ops",
    "solidify": "solid_mesh",
    "soft_rank": "ops",
    "upsample_nearest": "ops",
    "upscale_many": "upscale_files",
}
"""The module each public name lives in."""

__all__ = [
    "BackboneSpec",
    "BatchError",
    "BugError",
    "Format",
    "InputError",
    "MVDError",
    "OutputExistsError",
    "PackedGrids",
    "PredictorSpec",
    "Reconstructor",
    "ReconstructorSpec",
    "ThresholdError",
    "UnavailableError",
    "Upscaler",
    "UsageError",
    "VoxelGrid",
    "carve",
    "coverage",
    "dilate",
    "extract_odms",
    "hookimpl",
    "hull",
    "iou",
    "keep_largest",
    "load",
    "mirror",
    "pool",
    "project_odms",
    "reconstruct",
    "render",
    "save",
    "score",
    "smooth_odms",
    "soft_rank",
    "solidify",
    "upsample_nearest",
    "upscale_many",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
