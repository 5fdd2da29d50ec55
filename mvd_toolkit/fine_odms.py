"""The six fine ODMs of a low grid, as a model's two predictors tell them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.errors import UnavailableError

if TYPE_CHECKING:
    import torch


def compose_odms(
    silhouette: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    threshold: float,
) -> npt.NDArray[np.uint16]:
    """ODMs from what the predictors say, face by face.

    Args:
        silhouette: (6, N, N) float32, probability that a pixel meets the shape.
        depth: (6, N, N) float32, fine voxels; read only where the silhouette is.
        threshold: a pixel is silhouette when its probability is above it.

    Returns:
        (6, N, N) uint16: depth rounded half to even and clamped to 0 … N - 1, N at background.

    Raises:
        UnavailableError: a depth inside the silhouette is not a number.
    """
    edge = depth.shape[-1]
    odms = np.empty(depth.shape, np.uint16)
    for face in range(FACE_COUNT):
        inside = silhouette[face] > threshold
        rounded = np.clip(np.rint(depth[face]), 0, edge - 1)
        if np.isnan(rounded[inside]).any():
            raise UnavailableError("the depth predictor gave NaN: its weights are damaged")
        odms[face] = np.where(inside, rounded, edge).astype(np.uint16)
    return odms


def pad_to_cube(dense: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, N, N): padded with zeros at the far ends to its longest edge."""
    edge = max(dense.shape)
    return np.pad(dense, [(0, edge - n) for n in dense.shape])


def face_maps(maps: torch.Tensor, edge: int) -> npt.NDArray[np.float32]:
    """The (6, edge, edge) float32 maps of a batch of one."""
    expected = (1, FACE_COUNT, edge, edge)
    if tuple(maps.shape) != expected:
        raise UnavailableError(
            f"predictor: expected maps of shape {expected}, found {tuple(maps.shape)}"
        )
    array: npt.NDArray[np.float32] = maps[0].float().cpu().numpy()
    return array


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Lets torch use ``threads`` threads inside; 0 leaves it alone."""
    import torch

    before = torch.get_num_threads()
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads > 0:
            torch.set_num_threads(before)
