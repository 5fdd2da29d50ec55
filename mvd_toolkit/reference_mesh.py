"""From grids to meshes and back in plain Python: like `reference`, the oracle of the tests."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from mvd_toolkit._arrays import BoolArray

Lattice = tuple[int, int, int]
"""A voxel, or the grid corner at its near end."""

ExposedFace = tuple[Lattice, Lattice]
"""The occupied and the empty voxel on either side of a face."""

Edge = tuple[Lattice, Lattice]
"""The near and the far end of an edge between two grid corners."""


def surface(dense: BoolArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The closed surface of a grid: vertices (V, 3), in voxels, and triangles (F, 3).

    Two triangles for each face between an occupied and an empty voxel, outside counting as empty,
    counterclockwise seen from the empty one. Faces that meet at a grid corner and are joined along
    an edge there, one after the other, share a vertex. Along an edge of four faces those of the
    same occupied voxel are joined; but where all four end up with one vertex at both ends, those
    of the same empty voxel. Vertices are in the order of corners, then of their first face.
    """
    outlines = {face: _outline(face) for face in _exposed(dense)}
    ends_at: dict[Edge, list[ExposedFace]] = {}
    for face, corners in outlines.items():
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            ends_at.setdefault((min(a, b), max(a, b)), []).append(face)
    joints = {
        edge: [(f, g) for f, g in combinations(faces, 2) if len(faces) == 2 or f[0] == g[0]]
        for edge, faces in ends_at.items()
    }
    fans = _fans(joints)
    for edge, faces in ends_at.items():
        if all(len({fans[corner, face] for face in faces}) == 1 for corner in edge):
            joints[edge] = [
                (f, g) for f, g in combinations(faces, 2) if len(faces) == 2 or f[1] == g[1]
            ]
    fans = _fans(joints)
    order = {fan: i for i, fan in enumerate(sorted(set(fans.values())))}
    quads = [[order[fans[c, face]] for c in corners] for face, corners in outlines.items()]
    triangles = [[quad[i] for i in half] for quad in quads for half in ((0, 1, 2), (0, 2, 3))]
    vertices = np.array([corner for corner, _ in order], np.int64).reshape(-1, 3)
    return vertices, np.array(triangles, np.int64).reshape(-1, 3)


def _exposed(dense: BoolArray) -> list[ExposedFace]:
    padded = np.pad(dense, 1)
    found: list[ExposedFace] = []
    for i, j, k in np.argwhere(dense).tolist():
        for axis, step in product(range(3), (-1, 1)):
            x, y, z = ((i, j, k)[a] + (a == axis) * step for a in range(3))
            if not padded[x + 1, y + 1, z + 1]:
                found.append(((i, j, k), (x, y, z)))
    return found


def _outline(face: ExposedFace) -> list[Lattice]:
    """The four corners of a face, counterclockwise seen from the empty voxel."""
    occupied, empty = face
    axis = next(a for a in range(3) if occupied[a] != empty[a])
    corners = []
    for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
        corner = list(map(max, occupied, empty))
        corner[axis - 2] += u
        corner[axis - 1] += v
        corners.append((corner[0], corner[1], corner[2]))
    return corners if empty[axis] > occupied[axis] else corners[::-1]


def _fans(
    joints: dict[Edge, list[tuple[ExposedFace, ExposedFace]]],
) -> dict[tuple[Lattice, ExposedFace], tuple[Lattice, int]]:
    """The fan of each face at each of its corners: the corner and the fan's first face there."""
    fans: dict[tuple[Lattice, ExposedFace], tuple[Lattice, int]] = {}
    for edge, pairs in joints.items():
        for corner, pair, face in product(edge, pairs, (0, 1)):
            fans[corner, pair[face]] = corner, _place_around(corner, pair[face])
    changed = True
    while changed:
        changed = False
        for edge, pairs in joints.items():
            for corner, (f, g) in product(edge, pairs):
                first = min(fans[corner, f], fans[corner, g])
                changed |= fans[corner, f] != fans[corner, g]
                fans[corner, f] = fans[corner, g] = first
    return fans


def _place_around(corner: Lattice, face: ExposedFace) -> int:
    """A number of the face among the twelve around a corner, by axis, then by where it lies."""
    occupied, empty = face
    axis = next(a for a in range(3) if occupied[a] != empty[a])
    u, v = (int(occupied[a] >= corner[a]) for a in range(3) if a != axis)
    return 4 * axis + 2 * u + v


LATTICE_UNIT = 1 << 16
"""Steps of the vertex lattice in one voxel."""

LATTICE_REACH = 1 << 20
"""Largest coordinate of a vertex, in voxels."""


def voxelize_surface(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Voxels whose closed cube meets a closed triangle; (X, Y, Z) bool, bad and degenerate faces.

    Vertices (V, 3), in voxels, are rounded to 1 / 65536 voxel; Python integers do the rest. A cube
    and a triangle, both convex, are apart when one of 13 axes separates them: the cube's three
    normals, the triangle's one, and the nine products of their edges.
    """
    dense = np.zeros(shape, bool)
    bad = degenerate = 0
    for face in faces.tolist():
        if min(face) < 0 or max(face) >= len(vertices):
            bad += 1
            continue
        corners = vertices[face]
        if not (np.abs(corners) <= LATTICE_REACH).all():
            bad += 1
            continue
        triangle = [[round(Fraction(c) * LATTICE_UNIT) for c in v] for v in corners.tolist()]
        edges = [_minus(triangle[(i + 1) % 3], triangle[i]) for i in range(3)]
        normal = _cross(edges[0], edges[1])
        degenerate += not any(normal)
        units = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
        axes = [*units, normal, *(_cross(edge, unit) for edge in edges for unit in units)]
        for index in np.ndindex(*shape):
            cube = [
                [(i + step) * LATTICE_UNIT for i, step in zip(index, corner, strict=True)]
                for corner in np.ndindex(2, 2, 2)
            ]
            dense[index] |= not any(_separates(axis, cube, triangle) for axis in axes)
    return dense, bad, degenerate


def _separates(axis: list[int], some: list[list[int]], others: list[list[int]]) -> bool:
    a = [_dot(axis, point) for point in some]
    b = [_dot(axis, point) for point in others]
    return max(a) < min(b) or max(b) < min(a)


def _minus(a: list[int], b: list[int]) -> list[int]:
    return [p - q for p, q in zip(a, b, strict=True)]


def _dot(a: list[int], b: list[int]) -> int:
    return sum(p * q for p, q in zip(a, b, strict=True))


def _cross(a: list[int], b: list[int]) -> list[int]:
    return [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
