"""The network with a say on what was carved: what it sees, learns from and changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mvd_toolkit import Upscaler, boundary, ops, subvoxel
from mvd_toolkit.boundary import (
    BoundaryPredictor,
    Neighbourhood,
    boundary_voxels,
    most_promising,
)
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.flat_faces import even_out
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.model import Model
from mvd_toolkit.subvoxel import SubvoxelOptions
from mvd_toolkit.symmetry import SYMMETRIES

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


def test_it_sees_the_voxels_about_one_and_what_the_shape_is_like() -> None:
    """All of it in the voxel's frame: as it would be seen if the grid were turned so."""
    low = torch.zeros(1, 12, 12, 12, dtype=torch.bool)
    low[0, :, 2:9, 3:7] = random_low(12, 7, 4)
    low[0, [0, -1], 2, 3] = True
    low = torch.cat([low, random_low(1, 12, 12, 12) & (torch.arange(12) > 3)])
    places = torch.tensor([[0, 1, 6, 4], [0, 11, 2, 3], [0, 5, 8, 6], [0, 0, 4, 5], [1, 7, 0, 4]])
    features, frames = Neighbourhood(low, ["centre", "any"]).features(places)
    assert len(set(frames.index.tolist())) > 1
    numbers = torch.arange(12**3).view(12, 12, 12)
    for place, index, seen in zip(places, frames.index, features.numpy(), strict=True):
        symmetry = SYMMETRIES[index]
        number = numbers[tuple(place[1:])]
        at = (symmetry.grid(numbers) == number).nonzero()[0].tolist()
        expected = what_is_seen(symmetry.grid(low[place[0]]).numpy(), at)
        rule = [1, 0, 0] if place[0] else [0, 0, 1]
        np.testing.assert_allclose(seen, [*expected, *rule], atol=1e-6)


def what_is_seen(low: np.ndarray, at: list[int]) -> list[float]:
    """Plainly, of one voxel of a grid (N, N, N) that is turned already; without the rule."""
    wide = np.pad(low, 16).astype(float)
    x, y, z = (i + 16 for i in at)
    seen = [*wide[x - 4 : x + 5, y - 4 : y + 5, z - 4 : z + 5].ravel()]
    seen += [
        wide[x + i - 1 : x + i + 2, y + j - 1 : y + j + 2, z + k - 1 : z + k + 2].mean()
        for i, j, k in itertools.product((-6, -3, 0, 3, 6), repeat=3)
    ]
    for i, j, k in itertools.product(range(-15, 16), repeat=3):
        far, zeros = max(abs(i), abs(j), abs(k)), (i, j, k).count(0)
        if far > 4 and (zeros == 2 or (zeros == 1 and far <= 7)):
            seen.append(wide[x + i, y + j, z + k])
    lines = [low.any(axes) for axes in ((1, 2), (0, 2), (0, 1))]
    ends = [(np.flatnonzero(line)[0], np.flatnonzero(line)[-1]) for line in lines]
    for i, (first, last) in zip(at, ends, strict=True):
        seen += [np.clip(i - first, -1, 8) / 8, np.clip(last - i, -1, 8) / 8]
    seen += [first == 0 and last == len(low) - 1 for first, last in ends]
    for i, axes in zip(at, ((1, 2), (0, 2), (0, 1)), strict=True):
        sizes = low.sum(axes)
        seen += [*(np.pad(sizes, 8) / sizes.max())[i : i + 17]]
    for axis in range(3):
        lines = np.moveaxis(low, axis, 2).reshape(-1, len(low))
        runs = [len([*run]) for line in lines for full, run in itertools.groupby(line) if full]
        seen += [runs.count(length) / len(runs) for length in range(1, 7)]
    return seen


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
        predictor.members[0].head.weight *= 8
    before = carved(low, scale)
    after, depth = before.clone(), scale * shape[3]
    predictor.redraw(after, depth, low, rule)
    edge = max(shape[1:])
    cube = torch.zeros(shape[0], edge, edge, edge, dtype=torch.bool)
    cube[:, : shape[1], : shape[2], : shape[3]] = low
    places = boundary_voxels(low, [rule] * shape[0]).nonzero()
    assert len(places)
    with torch.no_grad():
        seen = Neighbourhood(cube, [rule] * shape[0])
        scores = predictor.log_odds(seen, places)
    told = (scores / 0.1).floor().clamp(-40, 39).to(torch.int8)
    expected, found = (ops.unpack(words, depth).numpy() for words in (before, after))
    blocks = [
        (of, *(slice(scale * i, scale * (i + 1)) for i in place)) for of, *place in places.tolist()
    ]
    says = {"any": 3, "half": 2, "centre": 0}[rule]
    for level, block in zip(told, blocks, strict=True):
        level += torch.from_numpy(np.where(expected[block].ravel(), says, -says)).to(torch.int8)
    even_out(told, 0.1, low, places)
    levels = np.full(expected.shape, np.nan)
    for level, block in zip(told.numpy(), blocks, strict=True):
        levels[block] = level.reshape([scale] * 3)
    for grid, asked in zip(expected, levels, strict=True):
        inside = ~np.isnan(asked)
        grid[inside] = asked[inside] >= best_level(asked[inside], grid[~inside].sum())
    assert np.array_equal(found, expected)
    assert not torch.equal(before, after)
    again = before.clone()
    monkeypatch.setattr(subvoxel, "_VOXELS_AT_ONCE", 5)
    monkeypatch.setattr(boundary, "_COUNTED_AT_ONCE", 5)
    predictor.redraw(again, depth, low, rule)
    assert torch.equal(again, after)


def test_a_flat_face_comes_out_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    low = torch.zeros(1, 9, 9, 9, dtype=torch.bool)
    low[0, 1:8, 1:8, 2:5] = True
    predictor, fine = small(), carved(low, 4)
    with torch.no_grad():
        predictor.members[0].head.weight *= 0.1  # of one mind, but for what was carved
    tops = []
    for heeded in (True, False):
        if not heeded:
            monkeypatch.setattr(boundary, "even_out", lambda *_: None)
        redrawn = fine.clone()
        predictor.redraw(redrawn, 36, low, "any")
        inside = ops.unpack(redrawn, 36).numpy()[0, 8:28, 8:28, 16:20]  # inside the upper face
        tops.append(len(np.unique(inside.reshape(-1, 4), axis=0)))
    assert tops[0] == 1
    assert tops[1] > 1


def best_level(levels: np.ndarray, sure: int) -> int:
    """The tenth of log-odds from which on voxels stay with the highest IoU to be expected."""
    chances = 1 / (1 + np.exp(-0.1 * (levels + 0.5)))
    promised = {}
    for least in range(-10, 6):
        stays = levels >= least
        union = sure + stays.sum() + chances[~stays].sum()
        promised[least] = (sure + chances[stays].sum()) / union
    return max(promised, key=promised.__getitem__)


def test_each_grid_of_a_batch_is_decided_by_itself() -> None:
    """A solid one, of which most is sure, a thin one, and an empty one."""
    low = torch.zeros(3, 7, 7, 7, dtype=torch.bool)
    low[0, 1:6], low[1, :, 3] = True, True
    predictor, fine = small(), carved(low, 4)
    together = fine.clone()
    predictor.redraw(together, 28, low, "any")
    for number, words in enumerate(fine):
        predictor.redraw(words[None], 28, low[number][None], "any")
    assert torch.equal(together, fine)
    assert not together[2].any()


def test_a_thin_thing_keeps_what_is_less_likely() -> None:
    counts = torch.zeros(2, 86, dtype=torch.int64)
    counts[:, [43 - 3, 43 + 2]] = 100  # log-odds of -0.25 and 0.25
    assert most_promising(counts, torch.tensor([0, 10_000])).tolist() == [-10, -2]


def test_damaged_weights_are_told() -> None:
    predictor, low = small(), random_low(1, 3, 3, 3)
    torch.nn.init.constant_(predictor.members[0].head.bias, float("nan"))
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
        torch.nn.init.constant_(network.members[0].head.bias, bias)
        asked = Upscaler(Model(model.config, model.silhouette, model.depth, boundary=network))
        assert asked(low, low_rule="any").count() == count
    alone = Upscaler(Model(model.config, model.silhouette, model.depth))
    assert 512 < alone(low, low_rule="any").count() < 27 * 512
