"""The operations as one would write them in NumPy for speed, not for clarity (`reference` is that).

Dense (N, N, N) bool grids, (6, N, N) uint16 ODMs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
OdmArray = npt.NDArray[np.uint16]

FAR = 20000  # a depth that differs too much from any other; int16 holds its differences


def extract_odms(dense: BoolArray) -> OdmArray:
    """argmax along contiguous lines: moving an axis to the end once is faster than striding."""
    n = len(dense)
    odms = np.empty((6, n, n), np.uint16)
    for axis, (neg, pos) in zip((2, 1, 0), odms.reshape(3, 2, n, n), strict=True):
        lines = np.ascontiguousarray(np.moveaxis(dense, axis, -1))
        first = lines.argmax(-1)
        hit = np.take_along_axis(lines, first[..., None], -1)[..., 0]
        pos[:] = np.where(hit, first, n)
        neg[:] = np.where(hit, lines[..., ::-1].argmax(-1), n)
    return odms


def read(array: npt.NDArray[np.generic]) -> np.uint64:
    """Every byte once, and nothing else: the least that an operation on a grid can do."""
    total: np.uint64 = array.reshape(-1).view(np.uint64).sum()
    return total


def project_odms(odms: OdmArray) -> BoolArray:
    """Compare the index along each axis with two depths, in place."""
    n = odms.shape[-1]
    return _keep_between(np.ones((n, n, n), bool), odms)


def carve(low: BoolArray, odms: OdmArray, scale: int) -> BoolArray:
    """Structure with two votes and detail, in place on the upsampled grid."""
    fine = upsample_nearest(low, scale)
    n = len(fine)
    background = odms == n
    counts = background.astype(np.uint8)
    votes = (counts[0] + counts[1])[:, :, None] + (counts[2] + counts[3])[:, None, :]
    votes += (counts[4] + counts[5])[None]
    fine &= votes < 2
    return _keep_between(fine, np.where(background, 0, odms))


def _keep_between(fine: BoolArray, near: OdmArray) -> BoolArray:
    n = len(fine)
    i = np.arange(n, dtype=np.uint16)
    far = n - near
    fine &= i >= near[1][:, :, None]
    fine &= i < far[0][:, :, None]
    fine &= i[:, None] >= near[3][:, None, :]
    fine &= i[:, None] < far[2][:, None, :]
    fine &= i[:, None, None] >= near[5][None]
    fine &= i[:, None, None] < far[4][None]
    return fine


def smooth_odms(odms: OdmArray, threshold: int, window: int = 7) -> OdmArray:
    """The map shifted 49 times, in int16: sums of differences stay small."""
    n, radius = odms.shape[-1], window // 2
    depths = odms.astype(np.int16)
    depths[depths == n] = FAR
    padded = np.pad(depths, ((0, 0), (radius, radius), (radius, radius)), constant_values=FAR)
    total, count = np.zeros_like(depths), np.zeros_like(depths)
    for dy in range(window):
        for dx in range(window):
            difference = padded[:, dy : dy + n, dx : dx + n] - depths
            counts = np.abs(difference) < threshold
            difference *= counts
            total += difference
            count += counts
    return np.where(odms < n, np.rint(depths + total / count), n).astype(np.uint16)


def pack(dense: BoolArray) -> npt.NDArray[np.uint64]:
    return np.packbits(dense, axis=-1, bitorder="little").view(np.uint64)


def unpack(packed: npt.NDArray[np.uint64]) -> BoolArray:
    return np.unpackbits(packed.view(np.uint8), axis=-1, bitorder="little").view(bool)


def pool_any(dense: BoolArray, factor: int) -> BoolArray:
    """OR of strided slices, an axis at a time: NumPy is slow at reducing short axes."""
    for axis in range(3):
        lines = np.moveaxis(dense, axis, 0)
        dense = lines[::factor].copy()
        for i in range(1, factor):
            dense |= lines[i::factor]
        dense = np.moveaxis(dense, 0, axis)
    return dense


def pool_half(dense: BoolArray, factor: int) -> BoolArray:
    """Sums of strided slices, an axis at a time."""
    counts = dense.view(np.uint8).astype(np.uint16)
    for axis in range(3):
        lines = np.moveaxis(counts, axis, 0)
        counts = lines[::factor].copy()
        for i in range(1, factor):
            counts += lines[i::factor]
        counts = np.moveaxis(counts, 0, axis)
    return 2 * counts >= factor**3


def upsample_nearest(dense: BoolArray, factor: int) -> BoolArray:
    return dense.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2)


def dilate(dense: BoolArray) -> BoolArray:
    """One step of the cube of 26 neighbours, an axis at a time."""
    for axis in range(3):
        lines = np.moveaxis(dense, axis, 0)
        grown = dense.copy()
        to = np.moveaxis(grown, axis, 0)
        to[1:] |= lines[:-1]
        to[:-1] |= lines[1:]
        dense = grown
    return dense


def iou(a: BoolArray, b: BoolArray) -> float:
    return int(np.count_nonzero(a & b)) / int(np.count_nonzero(a | b))
