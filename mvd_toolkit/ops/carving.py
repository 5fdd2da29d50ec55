"""Making a coarse grid fine: carving it with depth maps, or filling it by its fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit._arrays import (
    Grids,
    GridT,
    OdmArray,
    Odms,
    WordArray,
    check_at_least,
    check_odm_edge,
    same_core,
)
from mvd_toolkit.conventions import FACE_COUNT, FULL_COVERAGE
from mvd_toolkit.errors import InputError, UsageError

if TYPE_CHECKING:
    import torch

SHARE_STEPS = 1024
"""What `soft_rank` cuts an interpolated coverage and a share of neighbours into."""

SWAP_ROUNDS = 8
"""How often `soft_rank` looks at neighbours; by then hardly a voxel moves at scales up to 8."""

TRILINEAR_WEIGHT = 0.5
"""Of the interpolated coverage, where `soft_rank` adds up log-odds; that of the levels is 1."""

NEIGHBOUR_WEIGHT = 3.0
"""Of the share of occupied neighbours."""


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
    check_odm_edge((x, y, z))
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
    rounds: int = SWAP_ROUNDS,
    trilinear_weight: float = TRILINEAR_WEIGHT,
    neighbour_weight: float = NEIGHBOUR_WEIGHT,
    threads: int = 0,
) -> WordArray:
    """Fill a fine grid from coverage: in each coarse voxel its covered number of fine ones.

    Which ones: those of the highest log-odds, the trilinear interpolation of the coverage (its
    value taken for a probability, times ``trilinear_weight``) plus, where ``odms`` are given, how
    many of their levels keep the voxel, again as a probability. Then, in each round, the share of
    the voxels about it that the round before occupied counts, too, times ``neighbour_weight``: so
    voxels move inside their coarse ones until surfaces meet at the borders of those (pixel
    swapping: Atkinson, 2005). Neighbours are those within 4 fine voxels along each axis, weighed by
    a Gaussian of 1.5. Outside the grid all is empty. Ties go to the higher share of neighbours,
    without rounds to the higher interpolation, then to C order. Log-odds are whole 256ths, so the
    result is the same anywhere. Two packed fine grids are in memory at a time, and four bytes for
    each fine voxel in a coarse one that is neither full nor empty, but at most 256 MiB.

    Args:
        coverage: (X, Y, Z) floats in [0, 1], the occupied fraction of each coarse voxel; it is
            rounded to 65535ths.
        scale: fine voxels along the edge of a coarse one, 1 to 16.
        odms: (L, 6, N, N) integers, N = ``scale`` * max(X, Y, Z): depth maps at L levels of
            boldness, each at least as deep everywhere as the one before.
        rounds: how often neighbours are looked at, 0 for never.
        trilinear_weight: of the interpolation against the levels, positive.
        neighbour_weight: of the neighbours against the levels, 0 to 16.
        threads: how many threads to use, 0 for one a core.

    Returns:
        (scale X, scale Y, ceil(scale Z / 64)) packed words.

    >>> soft_rank(np.array([[[1.0, 0.5, 0.0]]]), 2).squeeze().tolist()
    [[7, 7], [7, 7]]
    """
    scale = check_at_least(scale, 1, "scale")
    rounds = check_at_least(rounds, 0, "rounds")
    if not trilinear_weight > 0:
        raise UsageError(f"trilinear_weight: expected above 0, found {trilinear_weight!r}")
    if not 0 <= neighbour_weight <= 16:
        raise UsageError(f"neighbour_weight: expected 0 to 16, found {neighbour_weight!r}")
    shares = np.asarray(coverage)
    if shares.ndim != 3 or shares.dtype.kind != "f" or not ((shares >= 0) & (shares <= 1)).all():
        raise InputError(
            "coverage: expected (X, Y, Z) floats between 0 and 1, "
            f"found {shares.dtype} of shape {shares.shape}"
        )
    whole = np.ascontiguousarray(
        np.rint(shares.astype(np.float64) * FULL_COVERAGE).astype(np.uint16)
    )
    n = scale * max(whole.shape)
    maps = np.empty((0, FACE_COUNT, n, n), np.uint16) if odms is None else np.asarray(odms)
    if maps.shape[1:] != (FACE_COUNT, n, n) or maps.dtype != np.uint16:
        raise InputError(
            f"odms: expected uint16 of shape (L, 6, {n}, {n}), found {maps.dtype} of {maps.shape}"
        )
    scores = soft_scores(len(maps), trilinear_weight, neighbour_weight)
    levels = np.ascontiguousarray(maps)[None]
    try:
        fine: WordArray = _core.soft_rank(whole[None], levels, *scores, scale, rounds, threads)[0]
    except _core.CoreError as error:
        raise UsageError(f"soft_rank: {error}") from error
    return fine


Scores = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]


def soft_scores(
    levels: int,
    trilinear_weight: float = TRILINEAR_WEIGHT,
    neighbour_weight: float = NEIGHBOUR_WEIGHT,
) -> Scores:
    """What `soft_rank` adds up: scores of steps of coverage, of levels that keep, of neighbours."""
    weighted = (
        trilinear_weight * _log_odds(SHARE_STEPS + 1),
        _log_odds(levels + 1),
        neighbour_weight * _log_odds(SHARE_STEPS + 1),
    )
    trilinear, kept, neighbours = (np.rint(scores).astype(np.int32) for scores in weighted)
    return trilinear, kept, neighbours


def _log_odds(count: int) -> npt.NDArray[np.float64]:
    """Log-odds, in 256ths, of the middles of ``count`` equal parts of [0, 1]."""
    middles = (np.arange(count) + 0.5) / count
    return 256 * np.log(middles / (1 - middles))
