"""The frame that a voxel is seen in: the same however the grid is turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mvd_toolkit.frames import Frames, box, turned
from mvd_toolkit.symmetry import SYMMETRIES

NEAR = box(range(-2, 3))


def patches(count: int) -> torch.Tensor:
    """(P, 5, 5, 5) 0 or 1, uneven along each axis, so that no two symmetries are as good."""
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(count, 3))
    heights = slopes @ np.array(NEAR).T + rng.normal(size=(count, 125))
    return torch.from_numpy(heights > 0).float().view(count, 5, 5, 5)


def moments(around: torch.Tensor) -> torch.Tensor:
    """(P, 3): how much more lies on the upper side of each axis, what is near counting more."""
    offsets = np.array(NEAR)
    near = np.array([0, 9, 3])[np.abs(offsets).max(1)]
    return around.flatten(1) @ torch.from_numpy(offsets * near[:, None]).float()


def test_values_are_turned_as_the_symmetry_turns_a_grid() -> None:
    around = patches(48)
    frames = Frames(torch.arange(48))
    found = frames.values(around.flatten(1), turned(NEAR))
    expected = torch.stack(
        [symmetry.grid(patch) for symmetry, patch in zip(SYMMETRIES, around, strict=True)]
    )
    assert torch.equal(found, expected.flatten(1))
    assert torch.equal(frames.values_back(found, turned(NEAR)), around.flatten(1))


@pytest.mark.parametrize("number", [1, 8, 13, 22, 31, 47])
def test_a_turned_voxel_is_seen_as_before(number: int) -> None:
    around = patches(200)
    before = Frames.of(around.flatten(1), NEAR).values(around.flatten(1), turned(NEAR))
    also = SYMMETRIES[number].grid(around)
    after = Frames.of(also.flatten(1), NEAR).values(also.flatten(1), turned(NEAR))
    sizes = moments(around).abs().sort(1).values
    unique = (sizes[:, 0] > 0) & (sizes[:, 1] > sizes[:, 0]) & (sizes[:, 2] > sizes[:, 1])
    assert unique.sum() > 150
    assert torch.equal(before[unique], after[unique])


def test_most_lies_below_and_most_one_sidedly_along_the_first_axis() -> None:
    around = patches(200).flatten(1)
    seen = moments(Frames.of(around, NEAR).values(around, turned(NEAR)))
    assert (seen <= 0).all()
    assert (seen.diff(dim=1) >= 0).all()


def test_numbers_of_axes_follow_them() -> None:
    """How much lies on the lower and upper side of each axis, as of the turned patches."""
    around = patches(48)

    def sides(around: torch.Tensor) -> torch.Tensor:
        lines = torch.stack([around.sum(axes) for axes in ((2, 3), (1, 3), (1, 2))], dim=1)
        return lines[:, :, [0, 4]]

    frames = Frames(torch.arange(48))
    seen = frames.values(around.flatten(1), turned(NEAR)).view_as(around)
    found = frames.by_axis(sides(around), sides(around).flip(2))
    assert torch.equal(found, sides(seen))
    total = sides(around).sum(2, keepdim=True)
    assert torch.equal(frames.by_axis(total), sides(seen).sum(2, keepdim=True))
