"""The adaptive mean of depth maps: against the reference, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import THREADS

from mvd_toolkit import _core, ops, reference
from mvd_toolkit.errors import InputError, UsageError

Odms = npt.NDArray[np.uint16]
THRESHOLDS = (0.5, 1.0, 1.5, 2.0, 12.0, 12.5, 700.0, 1e9, float("inf"))


@st.composite
def noisy_odms(draw: st.DrawFn) -> Odms:
    """(6, N, N): a rough surface or pure noise, with background, some of it beyond N."""
    n = draw(st.sampled_from([1, 2, 3, 6, 7, 8, 31, 32, 33, 65, 100]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.0, 1.0, 5.0, n]))
    odms = np.clip(n / 2 + rng.normal(0, 1, (6, n, n)) * spread, 0, n - 1).astype(np.uint16)
    odms[rng.random(odms.shape) < draw(st.sampled_from([0.0, 0.05, 0.5, 0.98, 1.0]))] = n
    odms[rng.random(odms.shape) < draw(st.sampled_from([0.0, 0.05]))] = 65535
    return odms


@given(
    noisy_odms(),
    st.sampled_from(THRESHOLDS),
    st.sampled_from([1, 3, 7, 7, 7, 15]),
    st.sampled_from(THREADS),
)
def test_equals_reference(odms: Odms, threshold: float, window: int, threads: int) -> None:
    smooth = ops.smooth_odms(odms, threshold, window=window, threads=threads)
    assert np.array_equal(smooth, reference.smooth_odms(odms, threshold, window))


@pytest.mark.parametrize("threshold", [146.5, 147.5, 1e4])  # 224 * 147 no longer fits int16
def test_sums_of_differences_beyond_16_bits(threshold: float) -> None:
    odms = np.zeros((6, 170, 170), np.uint16)
    odms[:, ::12, ::12] = 147
    odms[3:] = np.random.default_rng(1).integers(0, 171, (3, 170, 170))
    smooth = ops.smooth_odms(odms, threshold, window=15)
    assert np.array_equal(smooth, reference.smooth_odms(odms, threshold, 15))


def one_map(pixels: list[list[int]]) -> Odms:
    """A map in its first face; the others all background."""
    odms = np.full((6, len(pixels), len(pixels)), len(pixels), np.uint16)
    odms[0] = pixels
    return odms


def test_difference_must_be_strictly_less() -> None:
    odms = one_map([[0, 3, 6, 6, 6, 6, 9], *[[9] * 7] * 6])
    odms[odms == 9] = 7
    below, at = ops.smooth_odms(odms, 3.01), ops.smooth_odms(odms, 3.0)
    assert below[0, 0, :2].tolist() == [2, 4]  # (0 + 3) / 2 = 1.5, (0 + 3 + 4 * 6) / 6 = 4.5
    assert at[0, 0, :2].tolist() == [0, 3]


@pytest.mark.parametrize("low", [0, 1, 2, 3])
def test_means_are_rounded_half_to_even(low: int) -> None:
    odms = one_map([[low, low + 1, 6, 6, 6, 6], *[[6] * 6] * 5])
    assert ops.smooth_odms(odms, 2)[0, 0, :2].tolist() == [round(low + 0.5)] * 2


def test_every_quotient_rounds_in_single_precision_as_whole_numbers_do() -> None:
    """The claim of csrc/mvd/smooth.hpp; no map that fits in memory has means this large."""
    for count in range(1, 15 * 15 + 1):
        means = np.array([0, 1, 2, 255, 4094, 32_766, 32_767, 65_533, 65_534])
        totals = (means[:, None] * count + np.arange(count)).ravel()
        quotients, rests = np.divmod(totals, count)
        up = (2 * rests > count) | ((2 * rests == count) & (quotients % 2 == 1))
        no_fraction = np.float32(1.5 * 2**23)
        rounded = (totals.astype(np.float32) / np.float32(count) + no_fraction) - no_fraction
        assert np.array_equal(rounded, quotients + up)


def test_background_is_neither_counted_nor_changed() -> None:
    odms = one_map([[0, 4, 4, 4], [4, 4, 4, 4], [4, 4, 4, 4], [4, 4, 4, 1]])
    assert np.array_equal(ops.smooth_odms(odms, 100, window=3), odms)


def test_an_edge_of_depth_stays() -> None:
    odms = np.zeros((6, 64, 64), np.uint16)
    odms[:, :, 32:] = 40
    assert np.array_equal(ops.smooth_odms(odms, 12), odms)


def test_batch_is_the_single_set_mapped() -> None:
    batch = np.random.default_rng(3).integers(0, 34, (3, 6, 33, 33)).astype(np.uint16)
    singles = np.stack([ops.smooth_odms(odms, 9.0) for odms in batch])
    assert np.array_equal(ops.smooth_odms(batch, 9.0), singles)


def test_tensors_give_tensors_and_the_input_stays() -> None:
    torch = pytest.importorskip("torch")
    odms = np.random.default_rng(5).integers(0, 21, (6, 20, 20)).astype(np.int64)
    before = torch.from_numpy(odms.copy())
    smooth = ops.smooth_odms(before, 5)
    assert smooth.dtype == torch.uint16
    assert np.array_equal(smooth.numpy(), reference.smooth_odms(odms.astype(np.uint16), 5))
    assert np.array_equal(before.numpy(), odms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold: expected a difference above 0 voxels, found 0"),
        ({"threshold": float("nan")}, "threshold: expected a difference above 0 voxels, found nan"),
        ({"threshold": 1, "window": 4}, "window: expected an odd number from 1 to 15, found 4"),
        ({"threshold": 1, "window": 17}, "window: expected an odd number from 1 to 15, found 17"),
        ({"threshold": 1, "window": 0}, "window: expected a whole number of at least 1, found 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ops.smooth_odms(np.zeros((6, 2, 2), np.uint16), **options)


def test_maps_of_the_wrong_shape() -> None:
    with pytest.raises(InputError, match=r"odms: expected shape \(6, N, N\) or"):
        ops.smooth_odms(np.zeros((6, 2, 3), np.uint16), 1)
    with pytest.raises(_core.CoreError, match=r"odms: expected \(B, 6, N, N\).*found \(1, 5, 2, 2"):
        _core.smooth_odms(np.zeros((1, 5, 2, 2), np.uint16), 1.0)
