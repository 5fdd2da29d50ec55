"""A closed mesh of any mesh: voxelize it, fill it, take the surface."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.filling import MeshFill
from mvd_toolkit.voxelize import voxelize


def solidify(
    mesh: Any,
    resolution: int | None = None,
    *,
    fill: MeshFill = "hull",
    voxel_size: float | None = None,
    smooth: bool = True,
    threads: int = 0,
) -> io.Mesh:
    """The closed surface of what a mesh encloses, in the same place: watertight, without overlaps.

    Triangles may be in any order, doubled, crossing or missing. With the hull, as by default, what
    cannot be seen into along an axis becomes solid; that is the way in which depth maps are used to
    make meshes watertight. The surface lies up to a voxel outside the mesh, as every voxel that a
    triangle touches is part of the solid; with ``fill="centre"`` it lies within half a voxel of it.

    Args:
        mesh: the path of a mesh file, a pair of vertices (V, 3) and faces (F, 3), or anything with
            ``vertices`` and ``faces``, as an `io.Mesh` or one of trimesh.
        resolution: voxels along each edge of the cube that the mesh is fitted into; 256 by default.
        fill: hull, flood or centre, see `filling`; a doubt about flood or centre is a warning. With
            "none" it is the closed shell of the surface voxels alone.
        voxel_size: edge of a voxel, world units, instead of a resolution.
        smooth: whether to take the staircase away.
        threads: how many to use, 0 for one a core; the result is the same for any number.

    Raises:
        InputError: it is no mesh, cannot be read, or its surface has too many triangles.
        UsageError: an option makes no sense.

    >>> lid = solidify(([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), 6, smooth=False)
    >>> lid.vertices.shape[1], len(lid.faces) % 2
    (3, 0)
    """
    vertices, faces = _parts(mesh)
    made = voxelize(vertices, faces, resolution, fill=fill, voxel_size=voxel_size, threads=threads)
    if made.filling is not None and fill != "hull":
        for doubt in made.filling.doubts():
            warnings.warn(doubt, stacklevel=2)
    return io.surface_mesh(made.grid, smooth=smooth, threads=threads)


def _parts(mesh: Any) -> tuple[Any, Any]:
    """Vertices and faces of whatever was given."""
    if isinstance(mesh, (str, os.PathLike)):
        mesh = io.load_mesh(Path(mesh))
    if hasattr(mesh, "vertices") and hasattr(mesh, "faces"):
        return mesh.vertices, mesh.faces
    if isinstance(mesh, (tuple, list)) and len(mesh) == 2:
        return mesh[0], mesh[1]
    raise InputError(
        "mesh: expected a path, a pair of vertices and faces, or something that has both, found "
        f"{type(mesh).__name__}"
    )
