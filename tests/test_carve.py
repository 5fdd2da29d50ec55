"""Carving: against the reference, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import KINDS, THREADS, as_kind, big_grid, dense_of, noise

from mvd_toolkit import _core, ops, reference
from mvd_toolkit.conventions import FACES
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid

Dense = npt.NDArray[np.bool_]
Odms = npt.NDArray[np.uint16]
VOTES = range(1, 8)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Dense, Odms, int]:
    """A coarse grid, six fine maps that need not agree with it or each other, and the scale."""
    scale = draw(st.sampled_from([1, 2, 3, 4, 8, 11]))
    most = max(1, 72 // scale)
    shape = tuple(draw(st.integers(1, min(most, draw(st.sampled_from([4, 33]))))) for _ in "xyz")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    n = scale * max(shape)
    depths = n * rng.random((6, n, n)) ** draw(st.sampled_from([1, 3, 8]))
    odms = depths.astype(np.uint16)
    odms[rng.random(odms.shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))] = n
    odms[rng.random(odms.shape) < draw(st.sampled_from([0.0, 0.05]))] = 65535
    return low, odms, scale


@given(cases(), st.sampled_from(VOTES), st.sampled_from(THREADS))
def test_equals_reference(case: tuple[Dense, Odms, int], votes: int, threads: int) -> None:
    low, odms, scale = case
    fine = ops.carve(low, odms, scale, structure_votes=votes, threads=threads)
    assert np.array_equal(fine, reference.carve(low, odms, scale, votes))


@given(cases(), st.sampled_from(VOTES))
def test_bits_past_the_end_of_a_line_stay_zero(case: tuple[Dense, Odms, int], votes: int) -> None:
    low, odms, scale = case
    fine = _core.carve(_core.pack(low[None]), low.shape[2], odms[None], scale, votes)
    assert np.array_equal(fine, _core.pack(_core.unpack(fine, low.shape[2] * scale)))


def test_true_maps_carve_the_hull_out_of_its_pool() -> None:
    fine = ops.hull(big_grid()[:160, :144, :208])
    low = ops.pool(fine, 8)
    odms = ops.extract_odms(fine)
    for votes in (1, 2):
        assert np.array_equal(ops.carve(low, odms, 8, structure_votes=votes), fine)


@pytest.mark.parametrize("face", range(6), ids=FACES)
def test_one_false_background_pixel_deletes_nothing(face: int) -> None:
    """What `project_odms(votes=2)` and then `votes=1` gets wrong."""
    odms = np.zeros((6, 8, 8), np.uint16)
    odms[face, 3, 5] = 8
    low = np.ones((2, 2, 2), bool)
    assert ops.carve(low, odms, 4).all()
    assert not ops.project_odms(odms, votes=1).all()
    assert (~ops.carve(low, odms, 4, structure_votes=1)).sum() == 8


def test_a_silhouette_that_opposite_faces_deny_counts_two_votes() -> None:
    odms = np.zeros((6, 8, 8), np.uint16)
    odms[2:4, 3, 5] = 8
    carved = ops.carve(np.ones((4, 4, 4), bool), odms, 2)
    expected = np.ones((8, 8, 8), bool)
    expected[3, :, 5] = False
    assert np.array_equal(carved, expected)
    assert ops.carve(np.ones((4, 4, 4), bool), odms, 2, structure_votes=3).all()


def test_faces_of_different_axes_vote_together_where_their_lines_cross() -> None:
    odms = np.zeros((6, 8, 8), np.uint16)
    odms[0, 2, 3] = odms[3, 2, 5] = odms[5, 3, 5] = 8
    full = np.ones((8, 8, 8), bool)
    expected = full.copy()
    expected[2, 3, 5] = False
    for votes in (2, 3):
        assert np.array_equal(ops.carve(full, odms, 1, structure_votes=votes), expected)
    assert ops.carve(full, odms, 1, structure_votes=4).all()


@pytest.mark.parametrize("face", range(6), ids=FACES)
def test_detail_needs_one_face_alone(face: int) -> None:
    odms = np.zeros((6, 6, 6), np.uint16)
    odms[face, 1, 2] = 4
    carved = ops.carve(np.ones((2, 2, 2), bool), odms, 3)
    gone = np.argwhere(~carved)
    axis = 2 - face // 2
    looked_past = {2, 3, 4, 5} if face % 2 == 0 else {0, 1, 2, 3}
    assert set(gone[:, axis].tolist()) == looked_past
    assert np.delete(gone, axis, axis=1).tolist() == [[1, 2]] * 4


def test_every_number_of_threads_gives_the_same_bits() -> None:
    low = noise((31, 19, 40), 0.7)
    n = 40 * 8
    rng = np.random.default_rng(2)
    odms = (rng.random((6, n, n)) ** 4 * n).astype(np.uint16)
    odms[rng.random(odms.shape) < 0.2] = n
    alone = ops.carve(low, odms, 8, threads=1)
    assert alone.any()
    for threads in (2, 3, 7, 0):
        assert np.array_equal(ops.carve(low, odms, 8, threads=threads), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_gives_back_the_kind_it_was_given(kind: str) -> None:
    low = noise((5, 3, 4), 0.8)
    odms = np.random.default_rng(1).integers(0, 12, (6, 10, 10)).astype(np.uint16)
    expected = reference.carve(low, odms, 2)
    given_low = as_kind(low, kind)
    fine = ops.carve(given_low, odms, 2)
    assert type(fine) is type(given_low)
    assert np.array_equal(dense_of(fine), expected)
    if isinstance(fine, VoxelGrid):
        assert fine.origin == given_low.origin
        assert fine.spacing == tuple(s / 2 for s in given_low.spacing)


def test_batch_is_the_single_grid_mapped() -> None:
    low = noise((3, 4, 4, 4), 0.8)
    odms = np.random.default_rng(9).integers(0, 10, (3, 6, 8, 8)).astype(np.uint16)
    singles = np.stack([ops.carve(*pair, 2) for pair in zip(low, odms, strict=True)])
    for threads in THREADS:
        assert np.array_equal(ops.carve(low, odms, 2, threads=threads), singles)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "scale: expected a whole number of at least 1, found 0"),
        ({"scale": 2, "structure_votes": 0}, "structure_votes: expected a whole number of at leas"),
        ({"scale": 2, "structure_votes": 8}, "structure_votes: expected 1 to 6, or 7 for no stru"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ops.carve(np.ones((2, 2, 2), bool), np.zeros((6, 4, 4), np.uint16), **options)


def test_maps_that_do_not_fit_the_grid() -> None:
    low = np.ones((2, 3, 2), bool)
    with pytest.raises(InputError, match=r"odms: expected 1 set\(s\) of 6 pixels.*found 1 of 4"):
        ops.carve(low, np.zeros((6, 4, 4), np.uint16), 2)
    with pytest.raises(InputError, match="depth maps hold edges of up to 65535"):
        ops.carve(low, np.zeros((6, 4, 4), np.uint16), 65_535)
    with pytest.raises(_core.CoreError, match=r"odms: expected \(1, 6, 6, 6\), found \(1, 6, 4"):
        _core.carve(_core.pack(low[None]), 2, np.zeros((1, 6, 4, 4), np.uint16), 2)
