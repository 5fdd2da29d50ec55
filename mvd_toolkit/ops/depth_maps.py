"""Depth maps of a grid: looking at it, what six views leave, and smoothing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from mvd_toolkit import _core
from mvd_toolkit._arrays import (
    BoolArray,
    Grids,
    GridT,
    Kind,
    OdmArray,
    Odms,
    as_kind,
    check_at_least,
    check_odm_edge,
    core_of,
    dense_grids,
    grid_shape,
    same_core,
)
from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.packed import PackedGrids

if TYPE_CHECKING:
    import torch

MAX_WINDOW = 15
"""The largest window of `smooth_odms`, pixels."""


@overload
def extract_odms(grid: VoxelGrid | BoolArray, *, threads: int = 0) -> OdmArray: ...
@overload
def extract_odms(grid: torch.Tensor | PackedGrids, *, threads: int = 0) -> torch.Tensor: ...
def extract_odms(grid: Any, *, threads: int = 0) -> Any:
    """Look at a grid from its six sides: (..., 6, N, N) uint16, N the longest edge.

    A pixel is the count of empty voxels met before the first occupied one, N where there is none.
    Faces and image axes are those of `conventions`, which are Kaolin's. A grid that is no cube is
    padded with empty voxels at the far end.

    >>> extract_odms(np.eye(2, dtype=bool)[None].repeat(2, 0))[:, 0].tolist()
    [[1, 0], [0, 1], [1, 0], [0, 1], [0, 2], [0, 2]]
    """
    is_packed = isinstance(grid, (VoxelGrid, PackedGrids))
    if is_packed:
        grids = Grids.of(grid)
        check_odm_edge(grids.shape)
        odms = grids.core.extract_odms(grids.packed, grids.depth, threads)
        kind: Kind = "torch" if grids.kind == "packed" and grids.core is _core else grids.kind
        return as_kind(odms if grids.batched else odms[0], kind)
    dense, kind, batched = dense_grids(grid, "grid")
    check_odm_edge(grid_shape(dense))
    odms = core_of(dense, "grid").extract_odms_dense(dense, threads)
    return as_kind(odms if batched else odms[0], kind)


@overload
def project_odms(
    odms: OdmArray | torch.Tensor, votes: int = 1, *, like: GridT, threads: int = 0
) -> GridT: ...
@overload
def project_odms(
    odms: OdmArray, votes: int = 1, *, like: None = None, threads: int = 0
) -> BoolArray: ...
@overload
def project_odms(
    odms: torch.Tensor, votes: int = 1, *, like: None = None, threads: int = 0
) -> torch.Tensor: ...
def project_odms(odms: Any, votes: int = 1, *, like: Any = None, threads: int = 0) -> Any:
    """What six views leave of a full grid: (..., N, N, N) bool, or the kind and shape of ``like``.

    A voxel goes when at least ``votes`` (1 to 6) faces see past it. A face sees past the voxels in
    front of its depth; a background pixel (N or more) sees past its whole line.

    Args:
        odms: (..., 6, N, N) integers, as `extract_odms` gives them.
        votes: how many faces must agree. 1 gives a hull.
        like: a grid whose longest edge is N: the result is of its kind, its shape and, for a
            `VoxelGrid`, its place in the world. Its occupancy does not matter.
        threads: how many threads to use, 0 for one a core.

    >>> full = project_odms(np.zeros((6, 2, 2), np.uint16))
    >>> full.shape, full.all()
    ((2, 2, 2), np.True_)
    """
    if hasattr(votes, "shape") and like is None:
        raise UsageError("votes: expected a whole number, found a grid; a grid goes to like=")
    votes = check_at_least(votes, 1, "votes")
    if votes > FACE_COUNT:
        raise UsageError(f"votes: expected at most {FACE_COUNT}, one a face, found {votes}")
    views = Odms.of(odms)
    n = views.edge
    if like is None:
        packed = views.core.project_odms(views.maps, n, n, n, votes, threads)
        dense = views.core.unpack(packed, n, threads)
        return as_kind(dense if views.batched else dense[0], views.kind)
    grids = Grids.of(like, name="like", threads=threads)
    if max(grids.shape) != n or len(grids.packed) != len(views.maps):
        raise InputError(
            f"odms: expected {len(grids.packed)} set(s) of {max(grids.shape)} pixels an edge for a "
            f"grid of shape {grids.shape}, found {len(views.maps)} of {n}"
        )
    core = same_core(views, grids, "odms and like")
    return grids.give_back(
        core.project_odms(views.maps, *grids.shape, votes, threads), threads=threads
    )


def hull(grid: GridT, *, threads: int = 0) -> GridT:
    """Every voxel that no face sees past: ``project_odms(extract_odms(grid), like=grid)``.

    It makes a solid of a surface, closed or not, and never loses an occupied voxel.
    """
    grids = Grids.of(grid, threads=threads)
    check_odm_edge(grids.shape)
    odms = grids.core.extract_odms(grids.packed, grids.depth, threads)
    hulls = grids.core.project_odms(odms, *grids.shape, 1, threads)
    return grids.give_back(hulls, threads=threads)


@overload
def smooth_odms(
    odms: OdmArray, threshold: float, *, window: int = 7, threads: int = 0
) -> OdmArray: ...
@overload
def smooth_odms(
    odms: torch.Tensor, threshold: float, *, window: int = 7, threads: int = 0
) -> torch.Tensor: ...
def smooth_odms(odms: Any, threshold: float, *, window: int = 7, threads: int = 0) -> Any:
    """Adaptive mean of depth maps (..., 6, N, N): noise goes, edges stay.

    Each silhouette pixel becomes the mean, rounded half to even, of the silhouette pixels in the
    window around it whose depth differs from its own by strictly less than ``threshold``.
    Background pixels (N or more) are neither counted nor changed. The method is that of Smith,
    Fujimoto and Meger (2018), who use 1.5 voxels a unit of scale for super-resolution.

    Args:
        odms: integers; the result is uint16.
        threshold: voxels, above 0.
        window: edge of the square window, odd, at most 15; it is cut at the border.
        threads: how many threads to use, 0 for one a core.

    >>> odms = np.full((6, 2, 2), 2, np.uint16)
    >>> odms[0] = [[0, 1], [1, 2]]
    >>> smooth_odms(odms, 2)[0].tolist()
    [[1, 1], [1, 2]]
    """
    if not threshold > 0:
        raise UsageError(f"threshold: expected a difference above 0 voxels, found {threshold!r}")
    if check_at_least(window, 1, "window") > MAX_WINDOW or window % 2 == 0:
        raise UsageError(f"window: expected an odd number from 1 to {MAX_WINDOW}, found {window}")
    views = Odms.of(odms)
    return views.give_back(views.core.smooth_odms(views.maps, float(threshold), window, threads))
