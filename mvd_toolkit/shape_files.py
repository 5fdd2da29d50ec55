"""Which files of a folder are shapes, and what each is called: the layouts that people have.

=============  ===========================================================  ==================
layout         files                                                        name
=============  ===========================================================  ==================
ShapeNetCore   ``<synset>/<model>/model.obj`` (version 1),                  ``<synset>-<model>``
               ``<synset>/<model>/models/model_normalized.obj`` (2)
ModelNet       ``<class>/train/<class>_0001.off``, ``<class>/test/…``;      the file's stem
               their vertical is z
meshes         any other file of a mesh format                              the file's stem
voxels         any file of a grid format, where there is no mesh            the file's stem
=============  ===========================================================  ==================

Voxel files are fine grids. Coarse ones may lie beside them (``chair_32.binvox``); `convert_dataset`
tells them by their size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mvd_toolkit import io
from mvd_toolkit.augmented_copies import Axis
from mvd_toolkit.errors import InputError

_SHAPENET: Final = re.compile(r"(\d{8})/([^/]+)/(?:models/model_normalized|model)\.obj$")
_MODELNET: Final = re.compile(r"[^/]+/(?:train|test)/[^/]+\.off$", re.IGNORECASE)


@dataclass(frozen=True)
class ShapeFile:
    """A file that holds a shape.

    Attributes:
        path: where it is.
        name: what it is called.
        up: its vertical axis.
    """

    path: Path
    name: str
    up: Axis = "y"

    def __str__(self) -> str:
        return str(self.path)


def find_shapes(
    inputs: Iterable[str | Path | ShapeFile], up: Axis | None = None
) -> list[ShapeFile]:
    """The shapes that files and folders stand for, sorted within each folder, none twice.

    Args:
        inputs: files, whatever their suffix, folders, and shapes found before.
        up: the vertical of all of them; by default the layout's.

    Raises:
        InputError: a folder holds none.
    """
    found: dict[Path, ShapeFile] = {}
    for given in inputs:
        for shape in [given] if isinstance(given, ShapeFile) else _shapes(Path(given)):
            named = ShapeFile(shape.path, shape.name, up or shape.up)
            found.setdefault(shape.path.resolve(), named)
    return list(found.values())


def listed_shapes(files: Iterable[Path]) -> list[ShapeFile]:
    """The shapes of a list of files, which are called as their folders' layout says."""
    return [_named(path, path.as_posix()) for path in files]


def family(shape: ShapeFile) -> str:
    """What shapes of one name and content have in common, told without reading them."""
    try:
        size = shape.path.stat().st_size
    except OSError:
        size = 0
    return f"{shape.name} {size}"


def _shapes(path: Path) -> list[ShapeFile]:
    return _below(path) if path.is_dir() else [ShapeFile(path, path.stem)]


def _below(folder: Path) -> list[ShapeFile]:
    suffixes = {kind: _suffixes(kind) for kind in ("mesh", "grid")}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for wanted in suffixes.values():
        shapes = [path for path in files if path.name.lower().endswith(wanted)]
        if shapes:
            # The folder's own name counts: it may be a single synset or class.
            root = folder.resolve().name
            return [
                _named(path, f"{root}/{path.relative_to(folder).as_posix()}") for path in shapes
            ]
    known = " ".join(sorted({*suffixes["mesh"], *suffixes["grid"]}))
    raise InputError(f"{folder}: expected meshes or voxel files ({known}), found none")


def _named(path: Path, place: str) -> ShapeFile:
    """The shape in a file; ``place`` is its path from where a layout may begin."""
    shapenet = _SHAPENET.search(place)
    if shapenet:
        return ShapeFile(path, f"{shapenet[1]}-{shapenet[2]}")
    return ShapeFile(path, path.stem, "z" if _MODELNET.search(place) else "y")


def _suffixes(kind: Literal["mesh", "grid"]) -> tuple[str, ...]:
    return tuple(
        suffix
        for form in io.known_formats()
        if form.kind == kind and form.reads
        for suffix in form.suffixes
    )
