"""Upscaling without a network: what a model has to beat."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid, words_per_line

Floats = npt.NDArray[np.float32]

GAUSSIAN_TRUNCATE = 4.0
"""Half width of the kernel, in σ."""


def nearest(low: VoxelGrid, scale: int) -> VoxelGrid:
    """Every coarse voxel becomes a block of ``scale``³ fine ones.

    >>> nearest(VoxelGrid.from_dense([[[1]]]), 8).count()
    512
    """
    return ops.upsample_nearest(low, scale)


def gaussian(low: VoxelGrid, scale: int, sigma: float = 2.5, threshold: float = 0.87) -> VoxelGrid:
    """Nearest, blurred, cut: the classical way to round a staircase off.

    The nearest-upsampled grid, blurred by a Gaussian that sees zeros outside the grid; a fine
    voxel is occupied where the blur is above the threshold. A slab of fine layers is dense at a
    time, never the whole fine grid.

    Args:
        low: (X, Y, Z) coarse grid.
        scale: fine / coarse edge.
        sigma: standard deviation of the kernel, fine voxels; it is cut at 4 σ.
        threshold: between 0 and 1.

    Returns:
        (scale * X, scale * Y, scale * Z) grid in the same place.

    Raises:
        UsageError: ``scale`` or ``sigma`` is not positive.
    """
    if scale < 1 or not sigma > 0:
        raise UsageError(
            f"gaussian: expected a positive scale and sigma, found {scale} and {sigma}"
        )
    spread = [_spread(n, scale, sigma) for n in low.shape]
    return _separable(low, low.dense().astype(np.float32), spread, scale, threshold)


def trilinear(low: VoxelGrid, scale: int, threshold: float = 0.5) -> VoxelGrid:
    """Occupancy, or coverage where the grid has it, interpolated linearly and cut.

    Outside the grid all is empty.

    Args:
        low: (X, Y, Z) coarse grid.
        scale: fine / coarse edge.
        threshold: a fine voxel is occupied where the interpolated value at its centre is above it.

    Raises:
        UsageError: ``scale`` is not positive.
    """
    _check_scale("trilinear", scale)
    values = low.dense().astype(np.float32) if low.coverage is None else low.coverage
    spread = [_linear(n, scale, outside="zero") for n in low.shape]
    return _separable(low, values, spread, scale, threshold)


def sdf(low: VoxelGrid, scale: int, offset: float = 0.0) -> VoxelGrid:
    """Signed distances of the coarse voxels, interpolated linearly and cut.

    The distance of a voxel is that of its centre to the nearest centre on the other side, less half
    a voxel (scipy's exact transform); outside the grid all is empty.

    Args:
        low: (X, Y, Z) coarse grid.
        scale: fine / coarse edge.
        offset: a fine voxel is occupied where it lies deeper than this inside, coarse voxels.

    Raises:
        UsageError: ``scale`` is not positive.
    """
    from scipy.ndimage import distance_transform_edt

    _check_scale("sdf", scale)
    dense = np.pad(low.dense(), 1)
    depth = np.where(
        dense, distance_transform_edt(dense) - 0.5, 0.5 - distance_transform_edt(~dense)
    )
    if not dense.any():
        depth[:] = -1
    spread = [_linear(n, scale, outside="border") for n in low.shape]
    values = depth.astype(np.float32)
    return _separable(low, values, spread, scale, offset)


def soft_rank(low: VoxelGrid, scale: int) -> VoxelGrid:
    """As many fine voxels in each coarse one as its coverage says, where the coverage points to.

    The coverage is interpolated linearly; within each coarse voxel the ``coverage * scale³``
    (rounded) fine voxels of the highest value stay, so the volume of the result is right in every
    coarse voxel. It is `ops.soft_rank` without depth maps or rounds; nothing fine is dense.

    Args:
        low: (X, Y, Z) coarse grid with `VoxelGrid.coverage`.
        scale: fine / coarse edge.

    Raises:
        InputError: the grid has no coverage.
        UsageError: ``scale`` is not positive.

    >>> import dataclasses
    >>> low = VoxelGrid.from_dense([[[1]]])
    >>> soft = dataclasses.replace(low, coverage=np.full((1, 1, 1), 0.5, np.float32))
    >>> soft_rank(soft, 2).count()
    4
    """
    return _fill("soft-rank", low, scale, rounds=0)


def soft_swap(low: VoxelGrid, scale: int) -> VoxelGrid:
    """What `soft_rank` gives, then voxels move inside their coarse ones to where others are.

    Pixel swapping (Atkinson, 2005), as `ops.soft_rank` does it without depth maps. Arguments and
    errors are those of `soft_rank`.
    """
    return _fill("soft-swap", low, scale, rounds=ops.SWAP_ROUNDS)


def oracle(
    low: VoxelGrid, scale: int, odms: npt.NDArray[np.uint16], low_rule: str = "any"
) -> VoxelGrid:
    """Carving with the true depth maps: the most that six views can give.

    Under other rules than *any* the coarse grid is no superset of the truth, and a dilated one is
    carved (the ceiling of IoU is about 0.93 then).

    Args:
        low: (X, Y, Z) coarse grid.
        scale: fine / coarse edge.
        odms: (6, N, N) uint16, of the true fine grid.
        low_rule: how the coarse grid was made.
    """
    base = low if low_rule == "any" else ops.dilate(low)
    return ops.carve(base, odms, scale)


def _fill(name: str, low: VoxelGrid, scale: int, rounds: int) -> VoxelGrid:
    _check_scale(name, scale)
    if low.coverage is None:
        raise InputError(
            f"{name}: expected a grid of fractions, found one of bits; "
            "a coverage grid comes from an npz with `coverage`"
        )
    packed = ops.soft_rank(low.coverage, scale, rounds=rounds)
    return low.with_occupancy(packed, _fine_shape(low, scale), scale)


def _check_scale(name: str, scale: int) -> None:
    if scale < 1:
        raise UsageError(f"{name}: expected a positive scale, found {scale}")


def _fine_shape(low: VoxelGrid, scale: int) -> tuple[int, int, int]:
    return (scale * low.shape[0], scale * low.shape[1], scale * low.shape[2])


def _new_packed(low: VoxelGrid, scale: int) -> npt.NDArray[np.uint64]:
    x, y, z = _fine_shape(low, scale)
    return np.empty((x, y, words_per_line(z)), np.uint64)


def _slab(values: Floats, spread: list[Floats], rows: slice) -> Floats:
    """(rows, fine Y, fine Z) of the values spread along each axis by a matrix (fine, coarse)."""
    coarse = np.tensordot(spread[0][rows], values, axes=(1, 0))
    return np.asarray(spread[1] @ coarse @ spread[2].T, np.float32)


def _separable(
    low: VoxelGrid, values: Floats, spread: list[Floats], scale: int, threshold: float
) -> VoxelGrid:
    """Occupied where the spread values are above a threshold; a slab is dense at a time."""
    packed = _new_packed(low, scale)
    for start in range(0, len(packed), scale):
        slab = _slab(values, spread, slice(start, start + scale))
        packed[start : start + scale] = VoxelGrid.from_dense(slab > threshold).packed
    return low.with_occupancy(packed, _fine_shape(low, scale), scale)


def _linear(length: int, scale: int, outside: Literal["zero", "border"]) -> Floats:
    """(scale * length, length or length + 2) linear interpolation at the centres of fine voxels.

    With ``outside="border"`` the values have one more at each end.
    """
    centre = (np.arange(scale * length) + 0.5) / scale - 0.5
    weights = np.maximum(1 - np.abs(centre[:, None] - np.arange(-1, length + 1)[None, :]), 0)
    return np.asarray(weights if outside == "border" else weights[:, 1:-1], np.float32)


def _spread(length: int, scale: int, sigma: float) -> Floats:
    """(scale * length, length): what each coarse voxel gives each fine one along one axis.

    Upsampling and blur are linear and separable, so both are one matrix an axis.
    """
    radius = int(GAUSSIAN_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = np.pad(kernel / kernel.sum(), 1)
    fine = scale * length
    distance = np.arange(fine)[:, None] - np.arange(fine)[None, :]
    blur = kernel[np.clip(distance + radius + 1, 0, 2 * radius + 2)]
    return np.asarray(blur.reshape(fine, length, scale).sum(axis=2), np.float32)
