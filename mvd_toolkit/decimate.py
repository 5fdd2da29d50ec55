"""Fewer triangles for the same surface, by quadric edge collapses.

The collapses are those of the package fast-simplification (Garland and Heckbert 1997), an extra.
They leave a few edges with four triangles where a thin part collapsed to nothing; those are taken
apart here, so that what was a closed mesh is one again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.io.mesh import Mesh

LEAST_FACES = 4
"""Triangles of the smallest closed mesh, a tetrahedron."""


def decimate(mesh: Mesh, faces: int) -> Mesh:
    """A closed mesh of about ``faces`` triangles, or the mesh itself when it has no more.

    Args:
        mesh: closed: each edge is in two triangles that run along it in opposite directions.
        faces: how many triangles to come down to, at least 4. Edges that a collapse left with four
            triangles cost two more each.

    Raises:
        UsageError: fewer than 4 triangles are asked for.
        UnavailableError: fast-simplification is not installed.
        InputError: the mesh is not closed, or no closed one of so few triangles was found.

    >>> from mvd_toolkit import VoxelGrid
    >>> from mvd_toolkit.io import surface_mesh
    >>> cube = surface_mesh(VoxelGrid.from_dense(np.ones((8, 8, 8), bool)))
    >>> len(cube.faces), len(decimate(cube, 12).faces)              # doctest: +SKIP
    (768, 12)
    """
    check_faces(faces)
    if len(mesh.faces) <= faces:
        return mesh
    simplify = needed_simplify()
    if not is_closed(mesh.faces):
        raise InputError("decimate: expected a closed mesh, found edges without an opposite")
    vertices, triangles = simplify(mesh.vertices, mesh.faces.astype(np.int32), target_count=faces)
    fewer = _take_apart(np.asarray(vertices, np.float64), np.asarray(triangles))
    if len(fewer.faces) < LEAST_FACES or not is_closed(fewer.faces):
        raise InputError(f"decimate: {faces} triangles are too few for a closed surface")
    return fewer


def check_faces(faces: int) -> None:
    """Raise what `decimate` would raise about a number, before there is a mesh.

    Raises:
        UsageError: fewer than 4 triangles are asked for.
    """
    if faces < LEAST_FACES:
        raise UsageError(f"faces: expected at least {LEAST_FACES}, found {faces}")


def needed_simplify() -> Callable[..., tuple[Any, Any]]:
    """The function of the extra: vertices and faces of fewer triangles.

    Raises:
        UnavailableError: fast-simplification is not installed.
    """
    try:
        from fast_simplification import simplify
    except ImportError as error:
        raise UnavailableError(
            "fewer triangles need fast-simplification: pip install 'mvd_toolkit[decimate]'"
        ) from error
    found: Callable[..., tuple[Any, Any]] = simplify
    return found


def is_closed(faces: npt.NDArray[np.integer]) -> bool:
    """Whether each edge is in exactly two triangles, which run along it in opposite directions."""
    one_way = np.sort(_directed_edges(faces))
    other_way = np.sort(_directed_edges(faces[:, ::-1]))
    return bool((one_way[1:] != one_way[:-1]).all() and np.array_equal(one_way, other_way))


def _directed_edges(faces: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """A number for each directed edge, those of corner 0 to 1 first, then 1 to 2, then 2 to 0."""
    wide = faces.astype(np.int64)
    after = np.roll(wide, -1, axis=1)
    numbers: npt.NDArray[np.int64] = (wide * (wide.max(initial=0) + 1) + after).T.ravel()
    return numbers


def _take_apart(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.integer]) -> Mesh:
    """Cuts pairs of triangles at the middle of an edge until no edge has more than one pair.

    Triangles that lie back to back go. Which of those along an edge make a pair does not matter to
    being closed: any two of opposite directions do.
    """
    triangles = _without_fins(faces.astype(np.int64))
    numbers = _directed_edges(triangles)
    unique, counts = np.unique(numbers, return_counts=True)
    base = int(triangles.max(initial=0)) + 1
    new_vertices: list[npt.NDArray[np.float64]] = []
    for number in unique[counts > 1].tolist():
        a, b = divmod(number, base)
        if a > b:
            continue  # the same edge comes the other way round
        forth, back = _along(triangles, a, b), _along(triangles, b, a)
        for one, other in list(zip(forth, back, strict=False))[1:]:
            middle = len(vertices) + len(new_vertices)
            new_vertices.append((vertices[a] + vertices[b]) / 2)
            halves = [_cut(triangles, one, a, b, middle), _cut(triangles, other, b, a, middle)]
            triangles = np.concatenate([triangles, halves])
    return Mesh(np.concatenate([vertices, np.reshape(new_vertices, (-1, 3))]), triangles)


def _without_fins(triangles: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Without the pairs of triangles of the same three vertices and opposite direction."""
    corners = np.sort(triangles, axis=1)
    # Positive one way round, negative the other.
    turns = np.sign(np.roll(triangles, -1, axis=1) - triangles).prod(axis=1)
    order = np.lexsort((turns, *corners.T))
    ordered = corners[order]
    fins = (ordered[1:] == ordered[:-1]).all(axis=1) & (turns[order][1:] != turns[order][:-1])
    kept = np.ones(len(triangles), bool)
    kept[order[:-1][fins]] = kept[order[1:][fins]] = False
    return triangles[kept]


def _along(triangles: npt.NDArray[np.int64], a: int, b: int) -> list[int]:
    """The triangles that go from vertex ``a`` to ``b``."""
    after = np.roll(triangles, -1, axis=1)
    found: list[int] = np.nonzero(((triangles == a) & (after == b)).any(axis=1))[0].tolist()
    return found


def _cut(triangles: npt.NDArray[np.int64], number: int, a: int, b: int, middle: int) -> list[int]:
    """Cuts a triangle at the middle of its edge from ``a`` to ``b``: gives the half at ``b``."""
    apex = next(v for v in triangles[number].tolist() if v not in (a, b))
    triangles[number] = [a, middle, apex]
    return [middle, b, apex]
