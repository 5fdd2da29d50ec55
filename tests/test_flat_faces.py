"""Flat faces told as wholes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mvd_toolkit import flat_faces as module
from mvd_toolkit.boundary import boundary_voxels
from mvd_toolkit.flat_faces import even_out, flat_faces

pytestmark = pytest.mark.usefixtures("one_thread")


def boards() -> torch.Tensor:
    """Three grids. Boards of one and two voxels, of which two have opposite faces in one plane, one
    in what is occupied and one in what is empty; a block with a step; boards as before, but those
    faces both in what is occupied.
    """
    low = torch.zeros(3, 11, 14, 13, dtype=torch.bool)
    low[0, 1:10, 1:11, 2] = True
    low[0, 1:5, 1:12, 5:7] = True
    low[0, 6:10, 1:12, 7:9] = True
    low[0, 2:9, 12, 7:] = True
    low[1, :, 2:12, 1:10] = True
    low[1, 4:, 7:12, 1:10] = False
    low[2, 1:5, 1:12, 5:7] = True
    low[2, 6:10, 1:12, 6:8] = True
    return low


def plain_flat_faces(low: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    wide, found = np.pad(low, 1), np.zeros(low.shape, np.uint8)
    for x, y, z in np.ndindex(*low.shape):
        block = wide[x : x + 3, y : y + 3, z : z + 3]
        sides = []
        for axis in range(3):
            below, own, above = (set(la.ravel().tolist()) for la in np.moveaxis(block, axis, 0))
            if len(own) == 1:
                other = {not value for value in own}
                sides += [1 + 2 * axis] * (below == other) + [2 + 2 * axis] * (above == other)
        if len(sides) == 1:
            found[x, y, z] = sides[0]
    return found


def test_a_flat_face_is_a_layer_with_the_other_kind_on_one_side() -> None:
    low = boards()
    found = flat_faces(low).numpy()
    for grid, faces in zip(low.numpy(), found, strict=True):
        assert np.array_equal(faces, plain_flat_faces(grid))
    assert found[0, 8, 8, 2] == 0  # from both sides
    assert (found[0, 3, 8, 5], found[0, 3, 8, 6]) == (5, 6)
    assert found[1, 2, 5, 1] == 5
    assert found[1, 0, 4, 5] == 1


def plain_even_out(
    levels: npt.NDArray[np.int64], low: npt.NDArray[np.bool_], places: list[list[int]]
) -> npt.NDArray[np.int64]:
    after = levels.copy()
    scale = levels.shape[1]
    chances = np.rint(1000 / (1 + np.exp(-0.1 * (levels + 0.5)))) / 1000
    full = chances.reshape(len(levels), -1).sum(1) / scale**2  # fine layers
    for plane in planes(low, places):
        axis = plane[0]
        turn = [axis, *({0, 1, 2} - {axis})]
        heights = {row: np.transpose(chances[row], turn).sum(0) for row in plane[1]}
        flat = [row for row, h in heights.items() if max(rise(h), rise(h.T)) < 1 / 2]
        for row in flat:
            counted = [other for other in flat if abs(full[other] - full[row]) < 1]
            layers = [np.transpose(levels[other], turn).reshape(scale, -1) for other in counted]
            mean = np.floor(np.concatenate(layers, axis=1).mean(1) + 0.5)
            after[row] = mean.reshape([scale if i == axis else 1 for i in range(3)])
    return after


def planes(low: npt.NDArray[np.bool_], places: list[list[int]]) -> Iterator[tuple[int, list[int]]]:
    """Axes, and the rows of places that are in flat faces of one plane across them."""
    found: dict[tuple[object, ...], list[int]] = {}
    faces = [plain_flat_faces(grid) for grid in low]
    for row, (grid, *place) in enumerate(places):
        face = int(faces[grid][tuple(place)])
        if face:
            axis = (face - 1) // 2
            plane = (axis, face, grid, place[axis], bool(low[grid][tuple(place)]))
            found.setdefault(plane, []).append(row)
    for (axis, *_), rows in found.items():
        assert isinstance(axis, int)
        yield axis, rows


def rise(heights: npt.NDArray[np.float64]) -> float:
    """Of the plane that fits (s, s) heights best, from one side to the other of s rows."""
    scale = len(heights)
    slope = np.polyfit(np.arange(scale).repeat(scale), heights.ravel(), 1)[0]
    return float(abs(slope) * scale)


@pytest.mark.parametrize(("scale", "rule"), [(2, "half"), (3, "any"), (8, "half")])
def test_layers_of_a_plane_get_the_mean_of_what_is_as_full(
    scale: int, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, rng = boards(), np.random.default_rng(scale)
    places = boundary_voxels(low, [rule] * 3).nonzero()
    places = places[torch.from_numpy(rng.permutation(len(places)))]
    # Some are full, others empty, so that not all of a plane count together. Where y < 7, faces
    # rise along it.
    levels = rng.integers(-3, 4, (len(places), scale, scale, scale))
    levels += 10 * rng.integers(-3, 4, (len(places), 1, 1, 1))
    slope = np.rint(np.linspace(-8, 8, scale)).astype(int)[:, None]
    levels += np.where((places.numpy()[:, 2] < 7)[:, None, None, None], slope, 0)
    found = torch.from_numpy(levels.reshape(len(places), -1).astype(np.int8))
    again = found.clone()
    even_out(found, 0.1, low, places)
    expected = plain_even_out(levels, low.numpy(), places.tolist())
    assert np.array_equal(found.view(-1, scale, scale, scale).numpy(), expected)
    in_face = flat_faces(low)[places.unbind(1)].numpy() > 0
    changed = (expected != levels).any((1, 2, 3))
    assert not (changed & ~in_face).any()
    assert changed.sum() > 100
    assert (in_face & ~changed).any()
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    even_out(again, 0.1, low, places)
    assert torch.equal(again, found)


def test_only_what_is_in_the_same_plane_and_less_than_a_layer_apart_counts() -> None:
    """Across z, where voxels tell one of two things: any that counts wrongly is seen."""
    low = boards()
    places = boundary_voxels(low, ["half"] * 3).nonzero()
    # All are half full, or full, which is just not near.
    levels = torch.full((len(places), 2, 2, 2), -100, dtype=torch.int8)
    levels[:, :, :, 0] = 100
    odd = places[:, 1] % 2 == 1
    levels[odd] = 100
    before = levels.clone().view(-1, 8)
    after = before.clone()
    even_out(after, 0.1, low, places)
    across_z = flat_faces(low)[places.unbind(1)] >= 5
    assert across_z.any()
    assert torch.equal(after[across_z], before[across_z])


@pytest.mark.parametrize("count", [0, 8])
def test_without_a_flat_face_nothing_changes(count: int) -> None:
    low = torch.ones(1, 2, 2, 2, dtype=torch.bool)
    levels = torch.arange(8 * count, dtype=torch.int8).view(count, 8)
    before = levels.clone()
    even_out(levels, 0.1, low, low.nonzero()[:count])
    assert torch.equal(levels, before)
