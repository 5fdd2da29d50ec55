"""`Mesh`, and what the readers of mesh formats share.

Every reader checks the counts its file announces before it allocates, ends in a `Mesh` whose faces
all point at vertices, or in an `InputError`, and prints nothing. None of this holds for the readers
of meshio 5.3.5. VTK, VTU, Gmsh, Abaqus, Medit, Nastran and SU2 files come in through them, guarded
by `meshio_formats`. STL, PLY, OBJ and OFF have readers of their own here, as meshio's get ordinary
files wrong: they give an empty mesh for an empty or truncated STL file and none for an ASCII one
that ends in a blank line, as trimesh's do; accept OBJ indices that point at no vertex and misread
those that count backwards; misread binary PLY faces that have colours, give no faces for
``vertex_index``, and loop for ever without ``end_header``; know neither polygons nor ModelNet's
headers in OFF files; and exit the process on a bad one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.io.limits import Limits


@dataclass(frozen=True)
class MeshReport:
    """What was done to the faces of a file to make triangles of them.

    Attributes:
        polygons: faces of more than three corners, cut into triangles.
        dropped: faces of fewer than three corners, left out.
    """

    polygons: int = 0
    dropped: int = 0


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) float64, world positions.
        faces: (F, 3) int32 or int64, vertex numbers; counterclockwise seen from outside where that
            is known.
        report: what reading it took.

    Raises:
        InputError: wrong shapes, or a face points at no vertex.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int32] | npt.NDArray[np.int64]
    report: MeshReport = field(default_factory=MeshReport)

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices, np.float64)
        small = np.asarray(self.faces).dtype == np.int32
        faces = np.ascontiguousarray(self.faces, np.int32 if small else np.int64)
        for name, array in (("vertices", vertices), ("faces", faces)):
            if array.ndim != 2 or array.shape[1] != 3:
                raise InputError(f"{name}: expected shape (n, 3), found {array.shape}")
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            worst = faces.min() if faces.min() < 0 else faces.max()
            raise InputError(
                f"faces: expected vertex numbers from 0 to {len(vertices) - 1}, found {worst}"
            )
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)


def polygon_mesh(
    path: Path,
    vertices: npt.NDArray[np.float64],
    polygons: Iterable[npt.NDArray[np.int64]],
    limits: Limits,
) -> Mesh:
    """A mesh of polygons, cut into fans; each array is (n, corners), n polygons of as many corners.

    Raises:
        InputError: no face is left, a face points at no vertex, or over a limit.
    """
    blocks = [block for block in polygons if len(block)]
    faces = sum(len(block) * (block.shape[1] - 2) for block in blocks if block.shape[1] >= 3)
    if faces == 0:
        raise InputError(f"{path}: expected a mesh of triangles or polygons, found no face")
    limits.check_mesh(path, len(vertices), faces)
    report = MeshReport(
        polygons=sum(len(block) for block in blocks if block.shape[1] > 3),
        dropped=sum(len(block) for block in blocks if block.shape[1] < 3),
    )
    fans = np.concatenate([_fans(block) for block in blocks if block.shape[1] >= 3])
    try:
        return Mesh(vertices, fans, report)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Instance:
    """A mesh somewhere in a scene.

    Attributes:
        vertices: (V, 3), before the transform.
        faces: (F, 3), vertex numbers.
        transform: (4, 4), for columns: rotation and scale in its first three rows and columns.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    transform: npt.NDArray[np.float64]

    def placed(self) -> npt.NDArray[np.float64]:
        """(V, 3), in the world."""
        with np.errstate(invalid="ignore", over="ignore"):
            placed: npt.NDArray[np.float64] = (
                self.vertices @ self.transform[:3, :3].T + self.transform[:3, 3]
            )
        return placed

    def turned(self) -> npt.NDArray[np.int64]:
        """The faces; the other way around where the transform is a mirror."""
        mirrored = np.linalg.det(self.transform[:3, :3]) < 0
        return self.faces[:, ::-1] if mirrored else self.faces


def assemble(path: Path, instances: Sequence[Instance], limits: Limits) -> Mesh:
    """One mesh of many, each in its place; nothing is copied before the limits are checked.

    Raises:
        InputError: there is no face, a face points at no vertex, or over a limit.
    """
    vertices = sum(len(instance.vertices) for instance in instances)
    faces = sum(len(instance.faces) for instance in instances)
    limits.check_mesh(path, vertices, faces)
    if faces == 0:
        raise InputError(f"{path}: expected a mesh of triangles, found no face")
    for instance in instances:
        count = len(instance.vertices)
        if len(instance.faces) and not (instance.faces.min() >= 0 and instance.faces.max() < count):
            raise InputError(
                f"{path}: faces: expected vertex numbers from 0 to {count - 1}, found "
                f"{instance.faces.min()} to {instance.faces.max()}"
            )
    begins = np.cumsum([0, *(len(instance.vertices) for instance in instances)])
    return Mesh(
        np.concatenate([instance.placed() for instance in instances]),
        np.concatenate(
            [i.turned() + begin for i, begin in zip(instances, begins[:-1], strict=True)]
        ),
    )


def by_corners(path: Path, polygons: Mapping[int, list[list[int]]]) -> list[npt.NDArray[np.int64]]:
    """Lists of polygons, by their number of corners, as arrays."""
    try:
        return [
            np.array(block, np.int64).reshape(len(block), corners)
            for corners, block in polygons.items()
        ]
    except OverflowError as error:
        raise InputError(f"{path}: expected vertex numbers of 64 bits, found more") from error


def merge_corners(corners: npt.NDArray[np.floating]) -> Mesh:
    """A mesh of (F, 3, 3) loose triangles: corners at exactly the same place become one vertex."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        points = corners.reshape(-1, 3).astype(np.float64)
    order = np.lexsort((points[:, 2], points[:, 1], points[:, 0]))
    ordered = points[order]
    first = np.ones(len(points), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    faces = np.empty(len(points), np.int64)
    faces[order] = np.cumsum(first) - 1
    return Mesh(ordered[first], faces.reshape(-1, 3))


def _fans(polygons: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n, corners) polygons as (n * (corners - 2), 3) triangles."""
    fan = [[0, i, i + 1] for i in range(1, polygons.shape[1] - 1)]
    return polygons[:, fan].reshape(-1, 3)
