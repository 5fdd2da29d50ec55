"""Flat faces told as wholes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mvd_toolkit import flat_faces as module
from mvd_toolkit.flat_faces import even_out, flat_faces

pytestmark = pytest.mark.usefixtures("one_thread")


def shelves() -> torch.Tensor:
    """Two grids with boards one and two voxels thick, a block, and a step in it."""
    low = torch.zeros(2, 11, 12, 13, dtype=torch.bool)
    low[0, 1:10, 1:11, 2] = True
    low[0, 1:10, 1:11, 5:7] = True
    low[0, 2:9, 3, 7:] = True
    low[1, :, 2:11, 1:12] = True
    low[1, 4:, 7:11, 1:12] = False
    return low


def plain_flat_faces(low: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    wide, found = np.pad(low, 1), np.zeros(low.shape, np.uint8)
    for x, y, z in np.ndindex(*low.shape):
        block = wide[x : x + 3, y : y + 3, z : z + 3]
        across = []
        for axis in range(3):
            layers = [set(layer.ravel().tolist()) for layer in np.moveaxis(block, axis, 0)]
            own = layers[1]
            if len(own) == 1:
                other = {not value for value in own}
                sides = (layers[0] == other) + 2 * (layers[2] == other)
                across += [4 * axis + sides] * (sides > 0)
        if len(across) == 1:
            found[x, y, z] = across[0]
    return found


def test_a_flat_face_is_a_layer_with_the_other_kind_before_it() -> None:
    low = shelves()
    found = flat_faces(low).numpy()
    for grid, faces in zip(low.numpy(), found, strict=True):
        assert np.array_equal(faces, plain_flat_faces(grid))
    # A thin board from both sides, a thick one from each, one that goes through from side to side.
    assert found[0, 4, 8, 2] == 4 * 2 + 3
    assert (found[0, 4, 8, 5], found[0, 4, 8, 6]) == (4 * 2 + 1, 4 * 2 + 2)
    assert found[1, 2, 5, 1] == 4 * 2 + 1
    assert found[0, 4, 3, 6] == 0


def plain_even_out(
    levels: npt.NDArray[np.int64], low: npt.NDArray[np.bool_], places: list[list[int]]
) -> npt.NDArray[np.int64]:
    after = levels.copy()
    scale = levels.shape[1]
    faces = [plain_flat_faces(grid) for grid in low]
    chances = np.rint(1000 / (1 + np.exp(-0.1 * (levels + 0.5)))) / 1000
    full = chances.reshape(len(levels), -1).sum(1) / scale**2  # fine layers
    rows = {tuple(place): row for row, place in enumerate(places)}
    for row, (grid, *place) in enumerate(places):
        face = faces[grid][tuple(place)]
        if not face:
            continue
        axis = (face - 1) // 4
        others = (1 + axis, *({1, 2, 3} - {1 + axis}))
        turn = [i - 1 for i in others]
        counted = [
            other
            for other in in_plane(rows, faces, grid, place, axis)
            if abs(full[other] - full[row]) < 1
        ]
        heights = [np.transpose(chances[other], turn).sum(0) for other in counted]
        ways = (heights, [height.T for height in heights])
        if max(np.mean([rise(height) for height in way]) for way in ways) < 1 / 3:
            layers = [np.transpose(levels[other], turn).reshape(scale, -1) for other in counted]
            mean = np.floor(np.concatenate(layers, axis=1).mean(1) + 0.5)
            after[row] = mean.reshape([scale if i == axis else 1 for i in range(3)])
    return after


def rise(heights: npt.NDArray[np.float64]) -> float:
    """Of the plane that fits (s, s) heights best, from one side to the other of s rows."""
    scale = len(heights)
    slope = np.polyfit(np.arange(scale).repeat(scale), heights.ravel(), 1)[0]
    return float(abs(slope) * scale)


def in_plane(
    rows: dict[tuple[int, ...], int],
    faces: list[npt.NDArray[np.uint8]],
    grid: int,
    place: list[int],
    axis: int,
) -> Iterator[int]:
    face = faces[grid][tuple(place)]
    for (of, *there), row in rows.items():
        if of == grid and there[axis] == place[axis] and faces[of][tuple(there)] == face:
            yield row


@pytest.mark.parametrize("scale", [2, 8])
def test_layers_of_a_face_get_the_mean_of_what_lies_as_deep(
    scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, rng = shelves(), np.random.default_rng(scale)
    places = low.nonzero()[::2] if scale == 2 else low.nonzero()
    # Some voxels are full, others empty, so that not all of a face counts together.
    levels = rng.integers(-scale, scale, (len(places), scale, scale, scale))
    levels += 10 * rng.integers(-2, 3, (len(places), 1, 1, 1))
    # In half of the grids faces rise along y.
    steep = places.numpy()[:, 2] < 7
    levels[steep] += np.rint(np.linspace(-8, 8, scale)).astype(int)[:, None]
    levels = levels.reshape(len(places), -1)
    found = torch.from_numpy(levels.astype(np.int8))
    even_out(found, 0.1, low, places)
    expected = plain_even_out(
        levels.reshape(-1, scale, scale, scale), low.numpy(), places.tolist()
    ).reshape(levels.shape)
    assert np.array_equal(found.numpy(), expected)
    in_face = flat_faces(low)[places.unbind(1)].numpy() > 0
    changed = (expected != levels).any(1)
    assert changed.any()
    assert (in_face & ~changed).any()
    again = torch.from_numpy(levels.astype(np.int8))
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    even_out(again, 0.1, low, places)
    assert torch.equal(again, found)


def test_no_face_is_left_as_it_is() -> None:
    low = torch.ones(1, 2, 2, 2, dtype=torch.bool)
    levels = torch.arange(64, dtype=torch.int8).view(8, 8)
    before = levels.clone()
    even_out(levels, 0.1, low, low.nonzero())
    assert torch.equal(levels, before)
