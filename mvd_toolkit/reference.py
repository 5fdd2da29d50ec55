"""Every operation of `ops` in plain NumPy: slow, obviously right, the oracle of the tests.

Functions take and return one dense boolean (X, Y, Z) grid, or one (6, N, N) uint16 set of depth
maps; a batch is these mapped.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from mvd_toolkit._arrays import BoolArray, OdmArray, Shape, WordArray, grid_shape
from mvd_toolkit.conventions import FACE_COUNT, FACE_VIEWS
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


def pad_to_cube(dense: BoolArray) -> BoolArray:
    """The grid in the near corner of an empty cube of its longest edge."""
    cube = np.zeros((max(dense.shape),) * 3, bool)
    x, y, z = dense.shape
    cube[:x, :y, :z] = dense
    return cube


def extract_odms(dense: BoolArray) -> OdmArray:
    """For each face and pixel the count of empty voxels before the first occupied one, else N."""
    cube = pad_to_cube(dense)
    n = len(cube)
    odms = np.empty((FACE_COUNT, n, n), np.uint16)
    for odm, face in zip(odms, FACE_VIEWS, strict=True):
        lines = np.moveaxis(cube, face.axis, -1)
        if face.negative:
            lines = lines[..., ::-1]
        odm[:] = np.where(lines.any(axis=-1), lines.argmax(axis=-1), n)
    return odms


def project_odms(odms: OdmArray, votes: int = 1, shape: Shape | None = None) -> BoolArray:
    """What is left of a full grid when a voxel goes that at least ``votes`` faces see past.

    A face sees past the voxels in front of its depth; a background pixel sees past its whole line.
    """
    n = odms.shape[-1]
    seen_past = np.zeros((n, n, n), np.int64)
    for odm, face in zip(odms, FACE_VIEWS, strict=True):
        in_front = np.arange(n) < odm[..., None]
        if face.negative:
            in_front = in_front[..., ::-1]
        seen_past += np.moveaxis(in_front, -1, face.axis)
    x, y, z = (n, n, n) if shape is None else shape
    return (seen_past < votes)[:x, :y, :z]


def hull(dense: BoolArray) -> BoolArray:
    """Every voxel that no face sees past."""
    return project_odms(extract_odms(dense), 1, grid_shape(dense))


def pool(dense: BoolArray, factor: int, rule: str = "any") -> BoolArray:
    """A voxel for each block of ``factor``³; voxels missing from the last blocks count as empty."""
    x, y, z = (-(-edge // factor) for edge in dense.shape)
    whole = np.zeros((x * factor, y * factor, z * factor), bool)
    whole[tuple(slice(edge) for edge in dense.shape)] = dense
    blocks = whole.reshape(x, factor, y, factor, z, factor)
    centre = factor // 2
    coarse: BoolArray = {
        "any": blocks.any(axis=(1, 3, 5)),
        "half": 2 * blocks.sum(axis=(1, 3, 5)) >= factor**3,
        "centre": blocks[:, centre, :, centre, :, centre],
    }[rule]
    return coarse


def dilate(dense: BoolArray, steps: int = 1) -> BoolArray:
    """Every voxel within ``steps`` of an occupied one along each axis (26 neighbours, a cube)."""
    for _ in range(steps):
        padded = np.pad(dense, 1)
        x, y, z = dense.shape
        shifted = [
            padded[i : i + x, j : j + y, k : k + z] for i, j, k in product(range(3), repeat=3)
        ]
        dense = np.logical_or.reduce(shifted)
    return dense


def upsample_nearest(dense: BoolArray, factor: int) -> BoolArray:
    """Each voxel as a block of ``factor``³."""
    for axis in range(3):
        dense = dense.repeat(factor, axis)
    return dense


def mirror(dense: BoolArray, axis: int) -> BoolArray:
    """The grid reversed along ``axis``."""
    return np.flip(dense, axis)


def iou(a: BoolArray, b: BoolArray) -> float:
    """Voxels in both over voxels in either; 1.0 when both grids are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def count_parts(dense: BoolArray) -> int:
    """How many parts connected through voxel faces there are."""
    left = dense.copy()
    parts = 0
    for i, j, k in product(*(range(edge) for edge in dense.shape)):
        if left[i, j, k]:
            _take_part(left, (i, j, k))
            parts += 1
    return parts


def keep_largest(dense: BoolArray) -> BoolArray:
    """The largest part connected through voxel faces; of equals, the one met first in C order."""
    left = dense.copy()
    largest: list[tuple[int, int, int]] = []
    for i, j, k in product(*(range(edge) for edge in dense.shape)):
        if left[i, j, k]:
            part = _take_part(left, (i, j, k))
            largest = max(largest, part, key=len)
    kept = np.zeros_like(dense)
    for voxel in largest:
        kept[voxel] = True
    return kept


def fill_holes(dense: BoolArray) -> BoolArray:
    """What a flood from beyond the grid does not reach through voxel faces."""
    empty = np.pad(~dense, 1, constant_values=True)
    for voxel in _take_part(empty.copy(), (0, 0, 0)):
        empty[voxel] = False
    inside: BoolArray = dense | empty[1:-1, 1:-1, 1:-1]
    return inside


def _take_part(left: BoolArray, seed: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """The voxels connected to ``seed``, which are taken out of ``left``."""
    left[seed] = False
    part, queue = [seed], deque([seed])
    while queue:
        voxel = queue.popleft()
        for axis, step in product(range(3), (-1, 1)):
            moved = list(voxel)
            moved[axis] += step
            x, y, z = moved
            if 0 <= moved[axis] < left.shape[axis] and left[x, y, z]:
                left[x, y, z] = False
                part.append((x, y, z))
                queue.append((x, y, z))
    return part


def smooth_odms(odms: OdmArray, threshold: float, window: int = 7) -> OdmArray:
    """Each silhouette pixel becomes the mean of those of its window that differ by < threshold.

    The window is cut at the border, means are rounded half to even, background stays.
    """
    n, radius = odms.shape[-1], window // 2
    depths = odms.astype(np.int64)
    padded = np.pad(depths, ((0, 0), (radius, radius), (radius, radius)), constant_values=n)
    total, count = np.zeros_like(depths), np.zeros_like(depths)
    for dy, dx in product(range(window), repeat=2):
        near = padded[:, dy : dy + n, dx : dx + n]
        counts = (near < n) & (np.abs(near - depths) < threshold)
        total += near * counts
        count += counts
    mean, rest = np.divmod(total, np.maximum(count, 1))
    mean += (2 * rest > count) | ((2 * rest == count) & (mean % 2 == 1))
    return np.where(depths < n, mean, depths).astype(np.uint16)


def carve(low: BoolArray, odms: OdmArray, scale: int, structure_votes: int = 2) -> BoolArray:
    """What six fine depth maps leave of a coarse grid, made ``scale`` times finer.

    Structure: a voxel goes when at least ``structure_votes`` faces see background on its line.
    Detail: a voxel goes when it lies in front of the depth of any face whose pixel is not
    background.
    """
    fine = upsample_nearest(low, scale)
    n = odms.shape[-1]
    votes = np.zeros((n, n, n), np.int64)
    in_front = np.zeros((n, n, n), bool)
    for odm, face in zip(odms, FACE_VIEWS, strict=True):
        background = (odm >= n)[..., None]
        front = (np.arange(n) < odm[..., None]) & ~background
        if face.negative:
            front = front[..., ::-1]
        votes += np.moveaxis(background, -1, face.axis)
        in_front |= np.moveaxis(front, -1, face.axis)
    x, y, z = fine.shape
    kept: BoolArray = fine & ((votes < structure_votes) & ~in_front)[:x, :y, :z]
    return kept


def soft_rank(
    coverage: npt.NDArray[np.uint16],
    scale: int,
    levels: OdmArray,
    trilinear_scores: npt.NDArray[np.int32],
    level_scores: npt.NDArray[np.int32],
) -> BoolArray:
    """Keep the covered number of each coarse voxel's fine ones, those of the highest keys.

    Args:
        coverage: (X, Y, Z) uint16, 65535 is full.
        scale: fine voxels along the edge of a coarse one.
        levels: (L, 6, N, N) depth maps; a level keeps what no face sees past.
        trilinear_scores: (1025,), by 1024ths of the interpolated coverage.
        level_scores: (L + 1,), by how many levels keep a voxel.
    """
    x, y, z = (scale * edge for edge in coverage.shape)
    kept = np.zeros((x, y, z), np.int64)
    for odms in levels:
        kept += project_odms(odms, shape=(x, y, z))
    share = coverage.astype(np.int64)
    for axis in range(3):
        share = _interpolate(share, scale, axis)
    whole = (2 * scale) ** 3 * 65535
    scores = trilinear_scores.astype(np.int64)[share * 1024 // whole] + level_scores[kept]
    keys = scores * 2**32 + share
    wanted = (2 * coverage.astype(np.int64) * scale**3 + 65535) // (2 * 65535)
    fine = np.zeros((x, y, z), bool)
    for i, j, k in np.ndindex(*coverage.shape):
        block = tuple(slice(scale * a, scale * (a + 1)) for a in (i, j, k))
        order = np.argsort(-keys[block].ravel(), kind="stable")
        chosen = np.zeros(scale**3, bool)
        chosen[order[: wanted[i, j, k]]] = True
        fine[block] = chosen.reshape((scale,) * 3)
    return fine


def _interpolate(values: npt.NDArray[np.int64], scale: int, axis: int) -> npt.NDArray[np.int64]:
    """Linear interpolation at the centres of voxels ``scale`` times finer, times 2 ``scale``."""
    length = values.shape[axis]
    place = 2 * np.arange(scale * length) + 1 - scale  # in 2 scale parts of a coarse voxel
    before = place // (2 * scale)
    weight = np.expand_dims(place - 2 * scale * before, [a for a in range(3) if a != axis])
    first = np.take(values, np.clip(before, 0, length - 1), axis)
    second = np.take(values, np.clip(before + 1, 0, length - 1), axis)
    return np.asarray((2 * scale - weight) * first + weight * second)


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
