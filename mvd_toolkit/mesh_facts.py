"""What a triangle mesh is like: whether it is closed, how many parts it has, what it encloses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mvd_toolkit.io.mesh import Mesh, merge_corners


@dataclass(frozen=True)
class MeshFacts:
    """Facts about a mesh whose corners at exactly the same place count as one vertex.

    Attributes:
        closed: every edge is in exactly two triangles that run along it in opposite directions.
        open_edges: edges of one triangle alone.
        crowded_edges: edges of more than two triangles.
        turned_edges: edges of two triangles that run along it in the same direction.
        parts: parts that no vertex connects.
        volume: enclosed volume, world units cubed; negative when triangles face inwards; None
            unless closed.
    """

    closed: bool
    open_edges: int
    crowded_edges: int
    turned_edges: int
    parts: int
    volume: float | None


def mesh_facts(mesh: Mesh) -> MeshFacts:
    """Look at a mesh; triangles with two corners at one place are left out.

    >>> corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    >>> facts = mesh_facts(Mesh(corners, [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]))
    >>> facts.closed, facts.parts, round(facts.volume, 3)
    (True, 1, 0.167)
    """
    merged = merge_corners(mesh.vertices[mesh.faces])
    a, b, c = merged.faces.T
    faces = merged.faces[(a != b) & (b != c) & (c != a)]
    uses, forward = _edges(faces)
    open_, crowded = int((uses == 1).sum()), int((uses > 2).sum())
    turned = int(((uses == 2) & (forward != 1)).sum())
    closed = len(faces) > 0 and open_ == crowded == turned == 0
    volume = _volume(merged.vertices, faces) if closed else None
    return MeshFacts(closed, open_, crowded, turned, _parts(faces, len(merged.vertices)), volume)


def _edges(faces: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each edge how many triangles use it, and how many of them from its lower vertex up."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    order = np.lexsort((ends.max(axis=1), ends.min(axis=1)))
    low, high = ends.min(axis=1)[order], ends.max(axis=1)[order]
    first = np.ones(len(ends), bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    edge = np.cumsum(first) - 1
    up = ends[order, 0] == low
    count = int(first.sum())
    return np.bincount(edge, minlength=count), np.bincount(edge[up], minlength=count)


def _parts(faces: npt.NDArray[np.int64], vertices: int) -> int:
    """Sets of triangles that shared vertices connect: labels sink to the lowest of each set."""
    label = np.arange(vertices)
    while True:
        lowest = label[faces].min(axis=1)
        sunk = label.copy()
        for corner in range(3):
            np.minimum.at(sunk, label[faces[:, corner]], lowest)
        sunk = sunk[sunk]
        if np.array_equal(sunk, label):
            return len(np.unique(label[faces]))
        label = sunk


def _volume(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> float:
    """The sum of the tetrahedra between each triangle and the middle of the box."""
    a, b, c = (vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2)[faces.T]
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
