"""Reading and writing grids and meshes; one file per format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mvd_toolkit.errors import FormatWarning, InputError, MVDError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid, check_is_grid
from mvd_toolkit.io.atomic import atomic, check_target
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.formats import format_of_suffix, known_formats, output_format, sniff, stem
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, MeshReport
from mvd_toolkit.io.size import parse_length, scaled_to
from mvd_toolkit.io.surface import surface_mesh

__all__ = [
    "Format",
    "FormatWarning",
    "Limits",
    "Mesh",
    "MeshReport",
    "atomic",
    "check_target",
    "format_of_suffix",
    "known_formats",
    "load",
    "load_mesh",
    "output_format",
    "parse_length",
    "save",
    "save_mesh",
    "scaled_to",
    "sniff",
    "stem",
    "surface_mesh",
]


def load(path: str | os.PathLike[str], *, limits: Limits | None = None) -> VoxelGrid:
    """Read a grid of any format, told by the file's content before its suffix.

    Args:
        path: the file.
        limits: what to accept; None: what the environment sets (``MVD_MAX_VOXELS``).

    Raises:
        InputError: unreadable, malformed, over a limit, or a mesh.
    """
    file_format = sniff(path)
    if file_format.kind != "grid":
        raise InputError(
            f"{path}: expected a grid, found a mesh ({file_format.name}); "
            "mvd convert voxelizes meshes"
        )
    grid: VoxelGrid = _read(file_format, Path(path), limits)
    return grid


def save(
    grid: VoxelGrid,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    format: str | None = None,
) -> None:
    """Write a grid, whole or not at all; to a mesh format, the surface of the grid.

    Args:
        grid: the grid.
        path: the file; its suffix picks the format.
        overwrite: whether a file of that name may be replaced.
        format: name of the format, whatever the suffix.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        UsageError: no such format (those that work are listed), the file cannot be written, or the
            format cannot hold the grid.
        InputError: it is no `VoxelGrid`; it is empty and the mesh format holds no mesh without a
            triangle; or its surface has too many.
        UnavailableError: a package that the format needs is missing.
    """
    check_is_grid(grid)
    file_format = output_format(path, format, ("grid", "mesh"))
    check_target(path, overwrite=overwrite)
    value = surface_mesh(grid) if file_format.kind == "mesh" else grid
    _write(file_format, value, path, overwrite)


def load_mesh(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Mesh:
    """Read a triangle mesh of any format, told by the file's content before its suffix.

    Polygons are cut into triangles, `Mesh.report` says how many. Vertices need not be finite.

    Args:
        path: the file.
        limits: what to accept; None: what the environment sets (``MVD_MAX_FACES``).

    Raises:
        InputError: unreadable, malformed, without a face, over a limit, or a grid.
    """
    file_format = sniff(path)
    if file_format.kind != "mesh":
        raise InputError(f"{path}: expected a mesh, found a grid ({file_format.name})")
    mesh: Mesh = _read(file_format, Path(path), limits)
    return mesh


def save_mesh(
    mesh: Mesh,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    format: str | None = None,
) -> None:
    """Write a mesh, whole or not at all; arguments and errors as for `save`."""
    _write(output_format(path, format, ("mesh",)), mesh, path, overwrite)


def _read(file_format: Format, path: Path, limits: Limits | None) -> Any:
    if file_format.read is None:
        raise InputError(f"{path}: {file_format.name} can be written, but not read")
    with _of_plugin(file_format, path):
        try:
            return file_format.read(path, limits or Limits.from_environment())
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        except MemoryError as error:
            raise InputError(
                f"{path}: does not fit into memory; MVD_MAX_VOXELS limits it"
            ) from error


def _write(file_format: Format, value: Any, path: str | os.PathLike[str], overwrite: bool) -> None:
    assert file_format.write is not None
    with _of_plugin(file_format, path):
        try:
            with atomic(path, overwrite=overwrite) as file:
                file_format.write(value, file)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _of_plugin(file_format: Format, path: str | os.PathLike[str]) -> Iterator[None]:
    """What a plugin's code trips over is the plugin's fault, and said to be."""
    from mvd_toolkit import plugins

    try:
        yield
    except MVDError:
        raise
    except Exception as error:
        plugin = plugins.provider("format", file_format.name)
        if plugin.module == "mvd_toolkit.io.builtin":
            raise
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnavailableError(
            f"{path}: format {file_format.name!r} of plugin {plugin.name!r} failed: {cause}"
        ) from error
