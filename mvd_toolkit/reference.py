"""Every operation of `ops` in plain NumPy: slow, obviously right, the oracle of the tests.

Functions take and return one dense boolean (X, Y, Z) grid, or one (6, N, N) uint16 set of depth
maps; a batch is these mapped.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mvd_toolkit._arrays import BoolArray, WordArray
from mvd_toolkit.grid import WORD_BITS, words_per_line


def pack(dense: BoolArray) -> WordArray:
    """(X, Y, Z) to (X, Y, ceil(Z / 64)) words, voxel z in bit z % 64 of word z // 64."""
    x, y, z = dense.shape
    padded = np.zeros((x, y, words_per_line(z) * WORD_BITS), bool)
    padded[:, :, :z] = dense
    octets: npt.NDArray[np.uint8] = np.packbits(padded, axis=-1, bitorder="little")
    return octets.view("<u8").astype(np.uint64)


def unpack(packed: WordArray, depth: int) -> BoolArray:
    """The inverse of `pack`, for a grid ``depth`` voxels deep."""
    octets = np.ascontiguousarray(packed.astype("<u8")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=depth, bitorder="little").astype(bool)


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
