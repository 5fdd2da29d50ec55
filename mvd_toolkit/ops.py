"""Operations on grids and their depth maps.

Each takes a `VoxelGrid`, a boolean NumPy array, a boolean tensor, (X, Y, Z) or with a leading batch
axis, or `PackedGrids`, and returns the kind it was given; a batch is the single grid mapped.
``threads`` is how many threads to use, 0 for one a core: the result is the same for any number.
What lies on a CUDA device stays there: kernels are queued on torch's current stream, nothing waits
for them, and ``threads`` means nothing. `reference` holds each operation in plain NumPy.

All raise `InputError` on arrays of the wrong shape or dtype, or on different devices, `UsageError`
on an option that makes no sense and `UnavailableError` on tensors on a device for which this build
or the operation has no kernels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit._arrays import (
    MAX_ODM_EDGE,
    BoolArray,
    Grids,
    GridT,
    Kind,
    OdmArray,
    Odms,
    Shape,
    WordArray,
    as_array,
    as_kind,
    check_at_least,
    contiguous,
    core_of,
    dense_grids,
    dtype_name,
    grid_shape,
    same_core,
)
from mvd_toolkit.conventions import FACE_COUNT, LOW_RULES
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import Vector, VoxelGrid, words_per_line
from mvd_toolkit.packed import PackedGrids

if TYPE_CHECKING:
    import torch

MAX_WINDOW = 15
"""The largest window of `smooth_odms`, pixels."""


TRILINEAR_STEPS = 1024
"""What `soft_rank` cuts an interpolated coverage into."""

MAX_FACTOR = 1 << 20
"""The largest factor of `pool` and `upsample_nearest`."""


# Depth maps ---------------------------------------------------------------------------------------


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
        _check_odm_edge(grids.shape)
        odms = grids.core.extract_odms(grids.packed, grids.depth, threads)
        kind: Kind = "torch" if grids.kind == "packed" and grids.core is _core else grids.kind
        return as_kind(odms if grids.batched else odms[0], kind)
    dense, kind, batched = dense_grids(grid, "grid")
    _check_odm_edge(grid_shape(dense))
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
    _check_odm_edge(grids.shape)
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


def carve(
    low: GridT,
    odms: OdmArray | torch.Tensor,
    scale: int,
    *,
    structure_votes: int = 2,
    threads: int = 0,
) -> GridT:
    """Carve a grid ``scale`` times finer out of a coarse one, with six fine depth maps.

    It starts with each coarse voxel as a block of ``scale``³. *Structure*: a voxel goes when at
    least ``structure_votes`` faces see background on its line. *Detail*: a voxel goes when it lies
    in front of the depth of any one face whose pixel is not background. So a pixel that is
    background by mistake costs its line one vote and no more. (Smith, Fujimoto and Meger, 2018.)

    Args:
        low: the coarse grid (..., X, Y, Z), or a `VoxelGrid`; the result is of its kind.
        odms: (..., 6, N, N) integers, N = ``scale`` * max(X, Y, Z), in fine voxels; a pixel of N or
            more is background.
        scale: fine voxels along the edge of a coarse one, at least 1.
        structure_votes: 1 to 6; 7 turns structure off.
        threads: how many threads to use, 0 for one a core.

    >>> low = np.ones((1, 1, 1), bool)
    >>> odms = np.zeros((6, 2, 2), np.uint16)
    >>> odms[1, 0, 0] = 1
    >>> carve(low, odms, 2).astype(int).tolist()
    [[[0, 1], [1, 1]], [[1, 1], [1, 1]]]
    """
    scale = check_at_least(scale, 1, "scale")
    votes = check_at_least(structure_votes, 1, "structure_votes")
    if votes > FACE_COUNT + 1:
        raise UsageError(
            f"structure_votes: expected 1 to {FACE_COUNT}, or {FACE_COUNT + 1} for no structure, "
            f"found {votes}"
        )
    grids = Grids.of(low, name="low", threads=threads)
    x, y, z = (edge * scale for edge in grids.shape)
    _check_odm_edge((x, y, z))
    views = Odms.of(odms)
    if views.edge != max(x, y, z) or len(views.maps) != len(grids.packed):
        raise InputError(
            f"odms: expected {len(grids.packed)} set(s) of {max(x, y, z)} pixels an edge for a "
            f"grid of shape {grids.shape} and scale {scale}, found {len(views.maps)} of "
            f"{views.edge}"
        )
    core = same_core(grids, views, "low and odms")
    fine = core.carve(grids.packed, grids.depth, views.maps, scale, votes, threads)
    return grids.give_back(fine, (x, y, z), finer=scale, threads=threads)


def soft_rank(
    coverage: npt.NDArray[np.floating[Any]],
    scale: int,
    odms: OdmArray | None = None,
    *,
    trilinear_weight: float = 2.0,
    threads: int = 0,
) -> WordArray:
    """Fill a fine grid from coverage: in each coarse voxel its covered number of fine ones.

    Which ones: those of the highest log-odds, the trilinear interpolation of the coverage (its
    value taken for a probability, times ``trilinear_weight``) plus, where ``odms`` are given, how
    many of their levels keep the voxel, again as a probability. Ties go to the higher
    interpolation, then to C order. Log-odds are whole 256ths, so the result is the same anywhere.

    Args:
        coverage: (X, Y, Z) floats in [0, 1], the occupied fraction of each coarse voxel; it is
            rounded to 65535ths.
        scale: fine voxels along the edge of a coarse one, 1 to 16.
        odms: (L, 6, N, N) integers, N = ``scale`` * max(X, Y, Z): depth maps at L levels of
            boldness, each at least as deep everywhere as the one before.
        trilinear_weight: of the interpolation against the levels, positive.
        threads: how many threads to use, 0 for one a core.

    Returns:
        (scale X, scale Y, ceil(scale Z / 64)) packed words.

    >>> soft_rank(np.array([[[1.0, 0.5, 0.0]]]), 2).squeeze().tolist()
    [[7, 7], [7, 7]]
    """
    scale = check_at_least(scale, 1, "scale")
    if not trilinear_weight > 0:
        raise UsageError(f"trilinear_weight: expected above 0, found {trilinear_weight!r}")
    shares = np.asarray(coverage)
    if shares.ndim != 3 or shares.dtype.kind != "f" or not ((shares >= 0) & (shares <= 1)).all():
        raise InputError(
            "coverage: expected (X, Y, Z) floats between 0 and 1, "
            f"found {shares.dtype} of shape {shares.shape}"
        )
    whole = np.rint(shares.astype(np.float64) * 65535).astype(np.uint16)
    n = scale * max(whole.shape)
    maps = np.empty((0, FACE_COUNT, n, n), np.uint16) if odms is None else np.asarray(odms)
    if maps.shape[1:] != (FACE_COUNT, n, n) or maps.dtype != np.uint16:
        raise InputError(
            f"odms: expected uint16 of shape (L, 6, {n}, {n}), found {maps.dtype} of {maps.shape}"
        )
    scores = soft_scores(len(maps), trilinear_weight)
    try:
        fine: WordArray = _core.soft_rank(
            whole[None], np.ascontiguousarray(maps)[None], *scores, scale, threads
        )[0]
    except _core.CoreError as error:
        raise UsageError(f"soft_rank: {error}") from error
    return fine


def soft_scores(
    levels: int, trilinear_weight: float = 2.0
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """What `soft_rank` adds up: scores of the steps of coverage and of how many levels keep."""
    trilinear = trilinear_weight * _log_odds(TRILINEAR_STEPS + 1)
    return np.rint(trilinear).astype(np.int32), np.rint(_log_odds(levels + 1)).astype(np.int32)


def _log_odds(count: int) -> npt.NDArray[np.float64]:
    """Log-odds, in 256ths, of the middles of ``count`` equal parts of [0, 1]."""
    middles = (np.arange(count) + 0.5) / count
    return 256 * np.log(middles / (1 - middles))


# Coarser and finer --------------------------------------------------------------------------------


def pool(grid: GridT, factor: int, rule: str = "any", *, threads: int = 0) -> GridT:
    """Make a grid ``factor`` times coarser: edges become ceil(edge / factor).

    Args:
        grid: any edges; the last blocks may be partial, and what they lack counts as empty.
        factor: fine voxels along the edge of a coarse one, at least 1.
        rule: ``"any"``, ``"half"`` (at least half of the fine voxels are occupied) or ``"centre"``
            (fine voxel number ``factor // 2`` along each axis is).
        threads: how many threads to use, 0 for one a core.
    """
    factor = _check_factor(factor)
    if rule not in LOW_RULES:
        raise UsageError(f"rule: expected one of {', '.join(LOW_RULES)}, found {rule!r}")
    grids = Grids.of(grid, threads=threads)
    x, y, z = (-(-edge // factor) for edge in grids.shape)
    pooled = grids.core.pool(grids.packed, grids.depth, factor, rule, threads)
    return grids.give_back(pooled, (x, y, z), coarser=factor, threads=threads)


def coverage(grid: VoxelGrid, factor: int) -> VoxelGrid:
    """A grid ``factor`` times coarser that knows how much of each voxel is occupied.

    Its coverage is the occupied fraction of each coarse voxel, its occupancy where that is above 0
    (the any-pool). Edges become ceil(edge / factor); what the last blocks lack counts as empty.

    >>> coarse = coverage(VoxelGrid.from_dense(np.eye(2, dtype=bool)[None]), 2)
    >>> coarse.coverage.tolist(), coarse.count()
    ([[[0.25]]], 1)
    """
    coarse = pool(grid, factor, "any")
    x, y, z = coarse.shape
    shares = np.empty((x, y, z), np.float32)
    for i in range(x):
        slab = np.ascontiguousarray(grid.packed[i * factor : (i + 1) * factor])
        lines = _core.unpack(slab[None], grid.shape[2])[0].sum(axis=0, dtype=np.uint32)
        rows = np.add.reduceat(lines, np.arange(y) * factor, axis=0)
        shares[i] = np.add.reduceat(rows, np.arange(z) * factor, axis=1) / factor**3
    return replace(coarse, coverage=shares)


def upsample_nearest(grid: GridT, factor: int, *, threads: int = 0) -> GridT:
    """Make a grid ``factor`` times finer: each voxel becomes a block of ``factor``³."""
    factor = _check_factor(factor)
    grids = Grids.of(grid, threads=threads)
    x, y, z = (edge * factor for edge in grids.shape)
    fine = grids.core.upsample_nearest(grids.packed, grids.depth, factor, threads)
    return grids.give_back(fine, (x, y, z), finer=factor, threads=threads)


# Shape --------------------------------------------------------------------------------------------


def dilate(grid: GridT, steps: int = 1, *, threads: int = 0) -> GridT:
    """Occupy every voxel within ``steps`` of an occupied one along each axis (26 neighbours)."""
    steps = check_at_least(steps, 0, "steps")
    grids = Grids.of(grid, threads=threads)
    reach = min(steps, max(grids.shape))  # further than that is outside
    grown = grids.core.dilate(grids.packed, grids.depth, reach, threads)
    return grids.give_back(grown, threads=threads)


def keep_largest(grid: GridT, *, threads: int = 0) -> GridT:
    """Keep the largest part connected through voxel faces (6 neighbours).

    Of parts with equally many voxels the one whose first voxel comes first in C order stays.
    """
    grids = Grids.of(grid, threads=threads)
    largest = grids.core.keep_largest(grids.packed, grids.depth, threads)
    kept = grids.give_back(largest, threads=threads)
    return replace(kept, extent=None) if isinstance(kept, VoxelGrid) else kept


def fill_holes(grid: GridT, *, threads: int = 0) -> GridT:
    """Occupy what a flood from outside does not reach through voxel faces (6 neighbours).

    >>> shell = np.ones((3, 3, 3), bool)
    >>> shell[1, 1, 1] = False
    >>> bool(fill_holes(shell).all())
    True
    """
    grids = Grids.of(grid, threads=threads)
    return grids.give_back(
        grids.core.fill_holes(grids.packed, grids.depth, threads), threads=threads
    )


def count_parts(grid: VoxelGrid, *, threads: int = 0) -> int:
    """How many parts connected through voxel faces (6 neighbours) a grid has.

    >>> count_parts(VoxelGrid.from_dense([[[1, 0, 1, 1]]]))
    2
    """
    grids = Grids.of(grid, threads=threads)
    return int(grids.core.count_parts(grids.packed, grids.depth, threads)[0])


def mirror(grid: GridT, axis: int, *, threads: int = 0) -> GridT:
    """Reverse a grid along ``axis`` (0 x, 1 y, 2 z), within the box it fills."""
    if check_at_least(axis, 0, "axis") > 2:
        raise UsageError(f"axis: expected 0 (x), 1 (y) or 2 (z), found {axis}")
    grids = Grids.of(grid, threads=threads)
    mirrored = grids.give_back(
        grids.core.mirror(grids.packed, grids.depth, axis, threads), threads=threads
    )
    if isinstance(mirrored, VoxelGrid) and isinstance(grid, VoxelGrid):
        coverage = None if grid.coverage is None else np.flip(grid.coverage, axis).copy()
        return replace(mirrored, coverage=coverage, extent=_mirrored_extent(grid, axis))
    return mirrored


def _mirrored_extent(grid: VoxelGrid, axis: int) -> tuple[Vector, Vector] | None:
    if grid.extent is None:
        return None
    low, high = map(list, grid.extent)
    ends = 2 * grid.origin[axis] + grid.shape[axis] * grid.spacing[axis]
    low[axis], high[axis] = ends - high[axis], ends - low[axis]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


# Scores -------------------------------------------------------------------------------------------


def iou(a: Any, b: Any, *, threads: int = 0) -> Any:
    """Voxels in both grids over voxels in either: a float, or (B,) float64 for a batch.

    Both empty: 1.0. The grids may be of different kinds but must be of one shape; where a
    `VoxelGrid` lies in the world does not matter. A batch of tensors gives a tensor.

    >>> iou(np.array([[[True, True]]]), np.array([[[True, False]]]))
    0.5
    """
    one = Grids.of(a, name="a", threads=threads)
    other = Grids.of(b, name="b", threads=threads)
    expected, found = _outer_shape(one), _outer_shape(other)
    if expected != found:
        raise InputError(f"b: expected the shape of a, {expected}, found {found}")
    core = same_core(one, other, "a and b")
    scores = core.iou(one.packed, other.packed, one.depth, threads)
    if not one.batched:
        return float(scores[0])
    return as_kind(scores, "torch" if one.kind == "packed" and core is _core else one.kind)


# Packed words -------------------------------------------------------------------------------------


@overload
def pack(grid: BoolArray, *, threads: int = 0) -> WordArray: ...
@overload
def pack(grid: torch.Tensor, *, threads: int = 0) -> torch.Tensor: ...
def pack(grid: Any, *, threads: int = 0) -> Any:
    """Pack a boolean array or tensor, 64 voxels of z a word: (..., X, Y, ceil(Z / 64)).

    The words are uint64 for an array and int64, the same bits, for a tensor.

    >>> pack(np.ones((1, 1, 3), bool))
    array([[[7]]], dtype=uint64)
    """
    dense, kind, batched = dense_grids(grid, "grid")
    packed = core_of(dense, "grid").pack(dense, threads)
    words = packed.view(np.int64) if kind == "torch" else packed
    return as_kind(words if batched else words[0], kind)


@overload
def unpack(packed: WordArray, depth: int, *, threads: int = 0) -> BoolArray: ...
@overload
def unpack(packed: torch.Tensor, depth: int, *, threads: int = 0) -> torch.Tensor: ...
def unpack(packed: Any, depth: int, *, threads: int = 0) -> Any:
    """Unpack words (..., X, Y, ceil(Z / 64)) of grids ``depth`` (Z) voxels deep: (..., X, Y, Z).

    >>> unpack(np.array([[[5]]], np.uint64), 3)
    array([[[ True, False,  True]]])
    """
    depth = check_at_least(depth, 1, "depth")
    array, kind = as_array(packed, "packed")
    if dtype_name(array) not in ("uint64", "int64"):
        raise InputError(f"packed: expected uint64 or int64 words, found {dtype_name(array)}")
    words = words_per_line(depth)
    if array.ndim not in (3, 4) or array.shape[-1] != words:
        raise InputError(
            f"packed: expected shape (X, Y, {words}) or (B, X, Y, {words}) for a depth of {depth}, "
            f"found {tuple(array.shape)}"
        )
    batched = array.ndim == 4
    words_in = contiguous(array if batched else array[None])
    if kind != "device":
        words_in = words_in.view(np.uint64)
    dense = core_of(array, "packed").unpack(words_in, depth, threads)
    return as_kind(dense if batched else dense[0], kind)


def _check_factor(factor: Any) -> int:
    if check_at_least(factor, 1, "factor") > MAX_FACTOR:
        raise UsageError(f"factor: expected at most {MAX_FACTOR}, found {factor}")
    return int(factor)


def _check_odm_edge(shape: Shape) -> None:
    if max(shape) > MAX_ODM_EDGE:
        raise InputError(
            f"grid: depth maps hold edges of up to {MAX_ODM_EDGE} voxels, found shape {shape}"
        )


def _outer_shape(grids: Grids[Any]) -> tuple[int, ...]:
    """The shape the caller sees: (X, Y, Z) or (B, X, Y, Z)."""
    return (*grids.packed.shape[:1], *grids.shape) if grids.batched else grids.shape
