"""The network with a say on what was carved: what it sees, learns from and changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mvd_toolkit import Upscaler, boundary, ops, subvoxel
from mvd_toolkit.boundary import BoundaryPredictor, Neighbourhood, boundary_voxels
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.model import Model
from mvd_toolkit.subvoxel import SubvoxelOptions

pytestmark = pytest.mark.usefixtures("one_thread")


def small(scale: int = 4, width: int = 16) -> BoundaryPredictor:
    torch.manual_seed(0)
    return BoundaryPredictor(scale, SubvoxelOptions(width, 1)).eval()


def random_low(*shape: int) -> torch.Tensor:
    rng = np.random.default_rng(sum(shape))
    return torch.from_numpy(rng.random(shape) < 0.6)


def carved(low: torch.Tensor, scale: int) -> torch.Tensor:
    """Fine grids of which half the voxels are gone: (B, s X, s Y, W) int64 words."""
    fine = low.numpy()
    for axis in (1, 2, 3):
        fine = fine.repeat(scale, axis)
    rng = np.random.default_rng(0)
    return torch.from_numpy(ops.pack(fine & (rng.random(fine.shape) < 0.5)).view(np.int64))


@pytest.mark.parametrize("rule", ["any", "half"])
def test_the_boundary_is_where_occupied_and_empty_voxels_touch(rule: str) -> None:
    low = random_low(1, 6, 5, 7)
    wide = np.pad(low[0].numpy(), 1)
    expected = np.zeros(low.shape[1:], bool)
    for x, y, z in np.ndindex(*expected.shape):
        block = wide[x : x + 3, y : y + 3, z : z + 3]
        occupied = wide[x + 1, y + 1, z + 1]
        expected[x, y, z] = not block.all() if occupied else rule != "any" and block.any()
    assert np.array_equal(boundary_voxels(low, [rule])[0].numpy(), expected)


def test_it_sees_the_voxels_about_one_and_where_the_shape_ends() -> None:
    low = torch.zeros(1, 9, 9, 9, dtype=torch.bool)
    low[0, :, 2:7, 3:5] = random_low(9, 5, 2)
    low[0, [0, -1], 2, 3] = True
    place = (1, 6, 4)
    features = Neighbourhood(low, ["centre"]).features(torch.tensor([[0, *place]]))[0].numpy()
    wide = np.pad(low[0].numpy(), 8).astype(float)
    x, y, z = (i + 8 for i in place)
    near = wide[x - 4 : x + 5, y - 4 : y + 5, z - 4 : z + 5].ravel()
    far = [
        wide[x + i - 1 : x + i + 2, y + j - 1 : y + j + 2, z + k - 1 : z + k + 2].mean()
        for i, j, k in itertools.product((-6, -3, 0, 3, 6), repeat=3)
    ]
    y_line, z_line = (np.flatnonzero(low[0].numpy().any(axes)) for axes in ((0, 2), (0, 1)))
    ends = [1 / 8, 7 / 8, 1, 1]
    ends += [(6 - y_line[0]) / 8, (y_line[-1] - 6) / 8, 0, 0]
    ends += [(4 - z_line[0]) / 8, (z_line[-1] - 4) / 8, 0, 0]
    np.testing.assert_allclose(features, [*near, *far, *ends, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "shape", "rule"),
    [(2, (2, 5, 3, 4), "half"), (4, (1, 3, 5, 17), "any"), (8, (2, 4, 3, 9), "centre")],
)
def test_what_most_opinions_see_stays(
    scale: int,
    shape: tuple[int, int, int, int],
    rule: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor, low = small(scale), random_low(*shape)
    with torch.no_grad():
        predictor.head.weight *= 8
    before = carved(low, scale)
    after, depth = before.clone(), scale * shape[3]
    predictor.redraw(after, depth, low, rule)
    edge = max(shape[1:])
    cube = torch.zeros(shape[0], edge, edge, edge, dtype=torch.bool)
    cube[:, : shape[1], : shape[2], : shape[3]] = low
    places = boundary_voxels(low, [rule] * shape[0]).nonzero()
    assert len(places)
    with torch.no_grad():
        seen = Neighbourhood(cube, [rule] * shape[0]).features(places)
        scores = predictor(seen).view(-1, *[scale] * 3).numpy()
    expected, found = (ops.unpack(words, depth).numpy() for words in (before, after))
    for (grid, x, y, z), score in zip(places.tolist(), scores, strict=True):
        block = tuple(slice(scale * i, scale * (i + 1)) for i in (x, y, z))
        opinion = np.where(expected[grid][block], boundary.CARVED, -boundary.CARVED)
        expected[grid][block] = score + opinion > boundary.THRESHOLD
    assert np.array_equal(found, expected)
    assert not torch.equal(before, after)
    again = before.clone()
    monkeypatch.setattr(subvoxel, "_VOXELS_AT_ONCE", 5)
    predictor.redraw(again, depth, low, rule)
    assert torch.equal(again, after)


def test_damaged_weights_are_told() -> None:
    predictor, low = small(), random_low(1, 3, 3, 3)
    torch.nn.init.constant_(predictor.head.bias, float("nan"))
    with pytest.raises(UnavailableError, match="the boundary network gave NaN"):
        predictor.redraw(carved(low, 4), 12, low, "any")


def test_it_learns_where_in_its_voxels_a_ball_ends() -> None:
    axis = np.arange(40) + 0.5
    centres = [(20.0, 20.0, 20.0), (18.0, 21.0, 19.0), (21.5, 20.0, 18.0)]
    balls = [
        np.add.outer(np.add.outer((axis - x) ** 2, (axis - y) ** 2), (axis - z) ** 2) < 13.3**2
        for x, y, z in centres
    ]
    grids = [VoxelGrid.from_dense(ball) for ball in balls]
    lows = torch.stack([torch.from_numpy(ops.pool(grid, 4, "any").dense()) for grid in grids])
    odms = torch.stack([torch.from_numpy(ops.extract_odms(g).astype(np.int64)) for g in grids])
    predictor = small(width=32).train()
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss, figures = predictor.loss(lows, torch.tensor([0, 0, 3]), odms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        assert 0 < figures["pixels"] <= 3 * 64 * 64  # of each shape at most 64 voxels
    assert losses[0] > 0.6
    assert losses[-1] < 0.3


def test_an_upscaler_asks_it_and_without_it_does_not() -> None:
    """A network that wants everything leaves whole voxels; one that wants nothing, nothing."""
    model = Model.load()
    low = VoxelGrid.from_dense(np.pad(np.ones((3, 3, 3), bool), 2))
    for bias, count in ((1e4, 27 * 512), (-1e4, 512)):
        network = BoundaryPredictor(8, SubvoxelOptions(4, 1)).eval()
        torch.nn.init.constant_(network.head.bias, bias)
        asked = Upscaler(Model(model.config, model.silhouette, model.depth, boundary=network))
        assert asked(low, low_rule="any").count() == count
    alone = Upscaler(Model(model.config, model.silhouette, model.depth))
    assert 512 < alone(low, low_rule="any").count() < 27 * 512
