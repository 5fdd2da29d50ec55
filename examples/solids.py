"""Solids as triangle meshes: turned, bent, cut and bolted together.

A mesh is a pair of (V, 3) float64 vertices and (F, 3) int64 faces, z up. Solids may overlap: who
takes the hull of what they fill does not mind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Mesh = tuple[Points, npt.NDArray[np.int64]]
Point = Sequence[float]


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + start for (_, faces), start in zip(meshes, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def move(mesh: Mesh, offset: Point) -> Mesh:
    """The mesh, ``offset`` away."""
    return mesh[0] + np.asarray(offset, float), mesh[1]


def turn(mesh: Mesh, degrees: float) -> Mesh:
    """The mesh turned about the z axis."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return mesh[0] @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]), mesh[1]


def mirror(mesh: Mesh, axis: int) -> Mesh:
    """The mesh and its mirror image in the plane through the origin."""
    flip = np.ones(3)
    flip[axis] = -1
    return join(mesh, (mesh[0] * flip, mesh[1][:, ::-1]))


def lathe(profile: Sequence[tuple[float, float]], sides: int = 48) -> Mesh:
    """The (height, radius) points of ``profile`` turned about the z axis, both ends closed."""
    return loft([circle(radius, height, sides) for height, radius in profile])


def tube(path: Sequence[Point], radii: float | Sequence[float], sides: int = 16) -> Mesh:
    """A round bar along ``path``; one radius, or one a point."""
    points = np.asarray(path, float)
    widths = np.broadcast_to(np.asarray(radii, float), len(points))
    return sweep(points, [circle(width, 0, sides)[:, :2] for width in widths])


def board(path: Sequence[Point], width: float, thickness: float, up: Point = (0, 0, 1)) -> Mesh:
    """A flat bar along ``path``, its ``width`` along ``up``."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [thickness / 2, width / 2]
    return sweep(np.asarray(path, float), [corners] * len(path), up)


def box(low: Point, high: Point) -> Mesh:
    """The box between two opposite corners."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return loft([np.array([[x, y, z] for x, y in corners], float) for z in (z0, z1)])


def plate(outline: Sequence[tuple[float, float]], thickness: float) -> Mesh:
    """A plate in the xz plane with an outline that its first point sees all of."""
    sides = (-thickness / 2, thickness / 2)
    return loft([np.array([[x, y, z] for x, z in outline], float) for y in sides])


def ring(radius: float, thickness: float, height: float, sides: int = 48) -> Mesh:
    """A torus about the z axis."""
    path = circle(radius, height, sides)
    return tube(np.concatenate([path, path[:2]]), thickness, 12)


def arc(start: Point, end: Point, bulge: Point, steps: int = 12) -> Points:
    """Points on the parabola from ``start`` to ``end`` whose middle is moved by ``bulge``."""
    t = np.linspace(0, 1, steps + 1)[:, None]
    a, b = np.asarray(start, float), np.asarray(end, float)
    return a + (b - a) * t + np.asarray(bulge, float) * 4 * t * (1 - t)


def circle(radius: float, height: float, sides: int) -> Points:
    """``sides`` points on a circle about the z axis, (sides, 3)."""
    angles = [2 * math.pi * i / sides for i in range(sides)]
    return np.array([[radius * math.cos(a), radius * math.sin(a), height] for a in angles])


def sweep(path: Points, sections: Sequence[Points], up: Point = (0, 0, 1)) -> Mesh:
    """Flat (K, 2) ``sections`` stood across ``path``, their second axis nearest to ``up``."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    upward = np.asarray(up, float)
    if (np.abs(along @ upward) > 0.9 * np.linalg.norm(upward)).any():
        upward = np.array([0.0, 1.0, 0.0])
    side = np.cross(along, upward)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    across = np.cross(side, along)
    return loft(
        [
            point + section[:, :1] * a + section[:, 1:] * b
            for point, section, a, b in zip(path, sections, side, across, strict=True)
        ]
    )


def loft(sections: Sequence[Points]) -> Mesh:
    """A skin over (K, 3) outlines of equal K, one after another, both ends closed."""
    count, k = len(sections), len(sections[0])
    centres = [np.mean(sections[0], axis=0), np.mean(sections[-1], axis=0)]
    vertices = np.concatenate([*sections, centres])
    faces = []
    for i in range(k):
        j = (i + 1) % k
        for row in range(0, (count - 1) * k, k):
            faces += [[row + i, row + j, row + k + j], [row + i, row + k + j, row + k + i]]
        last = (count - 1) * k
        faces += [[count * k, j, i], [count * k + 1, last + i, last + j]]
    return vertices, np.array(faces, np.int64)
