"""The formats of the package, as a plugin: the first to load, so no other takes their names."""

from __future__ import annotations

from collections.abc import Callable

from mvd_toolkit.hookspecs import hookimpl
from mvd_toolkit.io import (
    binvox,
    gltf,
    mat,
    meshio_formats,
    nifti,
    npy,
    npz,
    nrrd,
    obj,
    off,
    open3d_voxels,
    ply,
    safetensors_format,
    stl,
    threemf,
    vox,
)
from mvd_toolkit.io.format import Format


@hookimpl
def mvd_register_formats(register: Callable[[Format], None]) -> None:
    """Register each of them, in the order in which a file's content is tried."""
    for module in (binvox, npy, threemf, npz, vox, mat, safetensors_format, nrrd):
        register(module.FORMAT)
    for form in nifti.FORMATS:
        register(form)
    for module in (open3d_voxels, stl, ply, off):
        register(module.FORMAT)
    for form in gltf.FORMATS:
        register(form)
    for form in meshio_formats.FORMATS:
        register(form)
    register(obj.FORMAT)
