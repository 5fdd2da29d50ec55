"""Every operation of `ops` in plain NumPy: slow, obviously right, the oracle of the tests.

Functions take and return one dense boolean (X, Y, Z) grid, or one (6, N, N) uint16 set of depth
maps; a batch is these mapped.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, product

import numpy as np
import numpy.typing as npt

from mvd_toolkit._arrays import BoolArray, OdmArray, Shape, WordArray, grid_shape
from mvd_toolkit.conventions import FACE_COUNT, FACE_VIEWS
from mvd_toolkit.grid import WORD_BITS, words_per_line

Voxel = tuple[int, int, int]


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
    return len(_parts(dense))


def keep_largest(dense: BoolArray) -> BoolArray:
    """The largest part connected through voxel faces; of equals, the one met first in C order."""
    kept = np.zeros_like(dense)
    for voxel in max(_parts(dense), key=len, default=[]):
        kept[voxel] = True
    return kept


def remove_small_parts(dense: BoolArray, voxels: int, within: BoolArray | None = None) -> BoolArray:
    """The parts connected through voxel faces that have at least so many voxels.

    The others stay, too, where they lie in parts of the coarser grid ``within`` and none of these
    has one of at least so many.
    """
    parts = _parts(dense)
    large = [part for part in parts if len(part) >= voxels]
    kept = np.zeros_like(dense)
    for voxel in chain.from_iterable(large):
        kept[voxel] = True
    if within is None:
        return kept
    scale = dense.shape[0] // within.shape[0]
    names = {voxel: name for name, part in enumerate(_parts(within)) for voxel in part}

    def whole(part: list[Voxel]) -> set[int]:
        """The names of the coarse parts that a part lies in."""
        coarse = {(i // scale, j // scale, k // scale) for i, j, k in part}
        return {names[voxel] for voxel in coarse & names.keys()}

    taken = {name for part in large for name in whole(part)}
    for part in parts:
        if whole(part) and not whole(part) & taken:
            for voxel in part:
                kept[voxel] = True
    return kept


def fill_holes(dense: BoolArray) -> BoolArray:
    """What a flood from beyond the grid does not reach through voxel faces."""
    empty = np.pad(~dense, 1, constant_values=True)
    for voxel in _take_part(empty.copy(), (0, 0, 0)):
        empty[voxel] = False
    inside: BoolArray = dense | empty[1:-1, 1:-1, 1:-1]
    return inside


def _parts(dense: BoolArray) -> list[list[Voxel]]:
    """The parts connected through voxel faces, in C order of their first voxels."""
    left = dense.copy()
    cells = product(*(range(edge) for edge in dense.shape))
    return [_take_part(left, (i, j, k)) for i, j, k in cells if left[i, j, k]]


def _take_part(left: BoolArray, seed: Voxel) -> list[Voxel]:
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
    neighbour_scores: npt.NDArray[np.int32],
    before: BoolArray | None = None,
) -> BoolArray:
    """Keep the covered number of each coarse voxel's fine ones, those of the highest keys.

    Args:
        coverage: (X, Y, Z) uint16, 65535 is full.
        scale: fine voxels along the edge of a coarse one.
        levels: (L, 6, N, N) depth maps; a level keeps what no face sees past.
        trilinear_scores: (1025,), by 1024ths of the interpolated coverage.
        level_scores: (L + 1,), by how many levels keep a voxel.
        neighbour_scores: (1025,), by 1024ths of what the voxels about one weigh in ``before``.
        before: (scale X, scale Y, scale Z), or None: neighbours do not count.
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
    if before is not None:
        share = before.astype(np.int64)
        for axis in range(3):
            share = _weigh_neighbours(share, axis)
        scores = scores + neighbour_scores[share * 1024 // 104**3]
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


def _weigh_neighbours(values: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.int64]:
    """Each with those up to 4 places away along an axis, in 104ths; outside all is 0."""
    padded = np.pad(values, [(4, 4) if a == axis else (0, 0) for a in range(3)])
    places = np.arange(values.shape[axis])
    weights = (1, 4, 11, 22, 28, 22, 11, 4, 1)
    shifted = [w * np.take(padded, places + i, axis) for i, w in enumerate(weights)]
    return np.asarray(np.sum(shifted, axis=0), np.int64)


def _interpolate(values: npt.NDArray[np.int64], scale: int, axis: int) -> npt.NDArray[np.int64]:
    """Linear interpolation at the centres of voxels ``scale`` times finer, times 2 ``scale``."""
    length = values.shape[axis]  # outside all is 0
    place = 2 * np.arange(scale * length) + 1 - scale  # in 2 scale parts of a coarse voxel
    before = place // (2 * scale)
    weight = np.expand_dims(place - 2 * scale * before, [a for a in range(3) if a != axis])
    padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in range(3)])
    first, second = np.take(padded, before + 1, axis), np.take(padded, before + 2, axis)
    return np.asarray((2 * scale - weight) * first + weight * second)
