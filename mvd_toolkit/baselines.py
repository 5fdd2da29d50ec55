"""Upscaling without a network: what a model has to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.errors import UsageError
from mvd_toolkit.grid import VoxelGrid

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
    dense = low.dense().astype(np.float32)
    fine_shape = (scale * low.shape[0], scale * low.shape[1], scale * low.shape[2])
    packed = np.empty((*fine_shape[:2], -(-fine_shape[2] // 64)), np.uint64)
    for start in range(0, fine_shape[0], scale):
        coarse = np.tensordot(spread[0][start : start + scale], dense, axes=(1, 0))
        slab = spread[1] @ coarse @ spread[2].T  # (scale, fine Y, fine Z)
        packed[start : start + scale] = VoxelGrid.from_dense(slab > threshold).packed
    return low.with_occupancy(packed, fine_shape, scale)


def _spread(length: int, scale: int, sigma: float) -> npt.NDArray[np.float32]:
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
