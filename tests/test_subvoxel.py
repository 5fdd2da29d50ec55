"""The network that fills by fractions: what it sees, learns from and writes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
import torch

from mvd_toolkit import Upscaler, baselines, fraction_filling, ops, subvoxel
from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.fraction_filling import highest
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.subvoxel import (
    SubvoxelOptions,
    SubvoxelPredictor,
    Surroundings,
    true_subvoxels,
)
from mvd_toolkit.symmetry import SYMMETRIES

pytestmark = pytest.mark.usefixtures("one_thread")


def small(scale: int = 4, width: int = 16) -> SubvoxelPredictor:
    torch.manual_seed(0)
    return SubvoxelPredictor(scale, SubvoxelOptions(width, 1)).eval()


def fractions(*shape: int) -> npt.NDArray[np.float32]:
    """A third of them empty, a third full."""
    shares = np.random.default_rng(sum(shape)).uniform(-1, 2, shape)
    return shares.clip(0, 1).astype(np.float32)


def below_a_plane(edge: int, normal: tuple[float, float, float], at: float) -> VoxelGrid:
    place = np.stack(np.meshgrid(*[np.arange(edge) + 0.5 - edge / 2] * 3, indexing="ij"), -1)
    inside = place @ (np.array(normal) / np.linalg.norm(normal)) < at
    inside[:8] = inside[-8:] = inside[:, :8] = inside[:, -8:] = False
    inside[:, :, :8] = inside[:, :, -8:] = False
    return VoxelGrid.from_dense(inside)


def test_it_sees_the_fractions_about_a_voxel_in_its_frame_and_nothing_outside() -> None:
    coverage = torch.from_numpy(fractions(2, 5, 8, 9))
    places = torch.tensor([[0, 4, 1, 3], [1, 2, 4, 4], [1, 0, 7, 5], [0, 2, 6, 0]])
    features, frames = Surroundings(coverage).features(places)
    assert len(set(frames.index.tolist())) > 1
    numbers = torch.arange(5 * 8 * 9).view(5, 8, 9)
    for place, index, seen in zip(places, frames.index, features.numpy(), strict=True):
        symmetry = SYMMETRIES[index]
        at = (symmetry.grid(numbers) == numbers[tuple(place[1:])]).nonzero()[0].tolist()
        expected = what_is_seen(symmetry.grid(coverage[place[0]]).numpy(), at)
        np.testing.assert_allclose(seen, expected, atol=1e-5)


def what_is_seen(coverage: npt.NDArray[np.float32], at: list[int]) -> npt.NDArray[np.float32]:
    """Plainly, of one voxel of a grid that is turned already."""
    wide = np.pad(coverage, 8)
    x, y, z = (i + 8 for i in at)
    near = wide[x - 3 : x + 4, y - 3 : y + 4, z - 3 : z + 4]
    inner = near[1:-1, 1:-1, 1:-1].ravel()
    far = [
        wide[x + i - 1 : x + i + 2, y + j - 1 : y + j + 2, z + k - 1 : z + k + 2].mean()
        for i, j, k in itertools.product((-6, -3, 0, 3, 6), repeat=3)
    ]
    partial = (inner > 0) & (inner < 1)
    return np.concatenate([near.ravel(), partial, np.cbrt(inner + 1e-6), far])


@pytest.mark.parametrize("number", [1, 8, 13, 30, 47])
def test_a_turned_grid_is_filled_turned(number: int) -> None:
    predictor, coverage = small(), fractions(4, 5, 6)
    turn = SYMMETRIES[number].grid
    plain = ops.unpack(predictor.fill(coverage), 4 * 6)
    also = turn(torch.from_numpy(coverage)).contiguous()
    found = ops.unpack(predictor.fill(also.numpy()), 4 * also.shape[2])
    assert np.array_equal(found, turn(torch.from_numpy(plain)).numpy())


def test_the_truth_is_what_no_face_sees_past() -> None:
    rng = np.random.default_rng(0)
    odms = torch.from_numpy(rng.integers(0, 13, (2, 6, 12, 12)))
    places = torch.tensor(list(itertools.product(range(2), *[range(3)] * 3)))
    found = true_subvoxels(odms, places, 4)
    for grid in range(2):
        carved = ops.carve(
            VoxelGrid.from_dense(np.ones((3, 3, 3), bool)),
            odms[grid].numpy().astype(np.uint16),
            4,
            structure_votes=1,
        )
        blocks = carved.dense().reshape(3, 4, 3, 4, 3, 4).transpose(0, 2, 4, 1, 3, 5)
        mine = found[places[:, 0] == grid].reshape(blocks.shape)
        assert np.array_equal(mine.numpy(), blocks)


@pytest.mark.parametrize(
    ("scale", "shape"), [(2, (3, 4, 5)), (4, (2, 3, 17)), (8, (3, 1, 9)), (4, (1, 3, 4))]
)
def test_each_voxel_holds_its_number_of_the_likeliest_by_what_is_about_them(
    scale: int, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, coverage = small(scale), fractions(*shape)
    fine = ops.unpack(predictor.fill(coverage), scale * shape[2])
    blocks = in_blocks(fine, scale)
    wanted = np.floor(coverage.astype(float) * scale**3 + 0.5)
    assert np.array_equal(blocks.sum(-1), wanted)
    partly = (wanted > 0) & (wanted < scale**3)
    with torch.no_grad():
        seen = Surroundings(torch.from_numpy(coverage)[None])
        places = torch.tensor([[0, *place] for place in np.argwhere(partly)])
        log_odds = predictor.log_odds(seen, places).numpy()
    chances = np.zeros(blocks.shape)
    chances[wanted == scale**3] = 1
    chances[partly] = 1 / (1 + np.exp(-log_odds))
    chances = chances.reshape(*shape, *[scale] * 3).transpose(0, 3, 1, 4, 2, 5)
    about = scipy.ndimage.uniform_filter(chances.reshape(fine.shape), 3, mode="constant")
    scores = log_odds + 12 * in_blocks(about, scale)[partly]
    rounding = 12 / 255 + 1e-4  # chances are kept as bytes
    for values, chosen in zip(scores, blocks[partly], strict=True):
        assert values[chosen].min() >= values[~chosen].max() - rounding
    # Without what is about them others would be chosen: the test could tell.
    pairs = zip(log_odds, blocks[partly], strict=True)
    assert any(values[chosen].min() < values[~chosen].max() - 0.1 for values, chosen in pairs)
    monkeypatch.setattr(subvoxel, "_VOXELS_AT_ONCE", 3)
    monkeypatch.setattr(fraction_filling, "_VOXELS_AT_ONCE", 2)
    assert np.array_equal(ops.unpack(predictor.fill(coverage), scale * shape[2]), fine)


def test_layers_without_partly_covered_voxels_are_full_or_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor, coverage = small(), fractions(7, 3, 5)
    coverage[[0, 3]], coverage[[2, 6]] = 0, 1  # both ends, and between others
    fine = ops.unpack(predictor.fill(coverage), 20)
    wanted = np.floor(coverage.astype(float) * 64 + 0.5)
    assert np.array_equal(in_blocks(fine, 4).sum(-1), wanted)
    for at_once in (1, 9, 20):  # how many layers are asked of at once
        monkeypatch.setattr(subvoxel, "_VOXELS_AT_ONCE", at_once)
        assert np.array_equal(ops.unpack(predictor.fill(coverage), 20), fine)
    for share in (0.0, 1.0):
        words = predictor.fill(np.full((2, 3, 4), share, np.float32))
        assert (ops.unpack(words, 16) == bool(share)).all()


def in_blocks(fine: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    """(X, Y, Z, s³) the fine voxels (s X, s Y, s Z) of each low one."""
    x, y, z = (n // scale for n in fine.shape)
    blocks = fine.reshape(x, scale, y, scale, z, scale).transpose(0, 2, 4, 1, 3, 5)
    return blocks.reshape(x, y, z, -1)


def test_of_equal_values_the_first_are_the_highest() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (200, 27)).astype(np.float32)
    wanted = rng.integers(1, 28, 200)
    order = np.argsort(-values, axis=1, kind="stable")
    expected = np.zeros_like(values, bool)
    np.put_along_axis(expected, order, np.arange(27) < wanted[:, None], axis=1)
    assert np.array_equal(highest(values, wanted), expected)


def test_an_ensemble_tells_the_mean_and_each_member_learns_by_itself() -> None:
    both = SubvoxelPredictor(2, SubvoxelOptions(8, 1, members=2))
    alone = [SubvoxelPredictor(2, SubvoxelOptions(8, 1)) for _ in both.members]
    for one, member in zip(alone, both.members, strict=True):
        one.members[0].load_state_dict(member.state_dict())
    coverage = torch.from_numpy(fractions(2, 4, 4, 4))
    seen, places = Surroundings(coverage), ((coverage > 0) & (coverage < 1)).nonzero()
    told = [one.log_odds(seen, places) for one in alone]
    assert not torch.equal(*told)
    torch.testing.assert_close(both.log_odds(seen, places), (told[0] + told[1]) / 2)
    odms = torch.randint(0, 9, (2, 6, 8, 8), generator=torch.Generator().manual_seed(0))
    true = true_subvoxels(odms, places, 2).flatten(1).float()
    assert len(set(seen.features(places)[1].index.tolist())) > 1
    for network, tells in zip(alone, told, strict=True):
        loss, _ = network.cross_entropy(seen, places, odms)
        expected = torch.nn.functional.binary_cross_entropy_with_logits(tells, true)
        torch.testing.assert_close(loss, expected)
    for network in (*alone, both):
        network.cross_entropy(seen, places, odms)[0].backward()  # type: ignore[no-untyped-call]
    for one, member in zip(alone, both.members, strict=True):
        for mine, theirs in zip(one.parameters(), member.parameters(), strict=True):
            torch.testing.assert_close(2 * theirs.grad, mine.grad)


def test_of_a_large_grid_the_first_member_is_asked_alone() -> None:
    predictor = SubvoxelPredictor(2, SubvoxelOptions(8, 1, members=2, largest=5))
    first = SubvoxelPredictor(2, SubvoxelOptions(8, 1))
    first.members[0].load_state_dict(predictor.members[0].state_dict())
    for shape, alone in (((5, 4, 3), False), ((3, 6, 2), True)):
        coverage = fractions(*shape)
        same = np.array_equal(predictor.fill(coverage), first.fill(coverage))
        assert same == alone


def test_damaged_weights_are_told() -> None:
    predictor = small()
    torch.nn.init.constant_(predictor.members[0].head.bias, float("nan"))
    with pytest.raises(UnavailableError, match="the subvoxel network gave NaN"):
        predictor.fill(fractions(2, 2, 2))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"width": 0}, "width: expected a positive whole number, found 0"),
        ({"largest": -1}, "largest: expected 0 or a positive whole number, found -1"),
        ({"blocks": "3"}, "blocks: expected a positive whole number, found '3'"),
        ({"depth": 3}, "'depth'"),
    ],
)
def test_options_that_make_no_sense(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SubvoxelPredictor.from_config(config, 8)


def lesson(scale: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Fractions and depth maps of shapes cut off by planes."""
    normals = [(3.0, 1.0, 0.0), (0.0, 1.0, -2.0), (1.0, 1.0, 1.0), (-1.0, 4.0, 2.0)]
    shapes = [below_a_plane(10 * scale, normal, 2.0) for normal in normals]
    shares = [ops.coverage(shape, scale).coverage for shape in shapes]
    maps = [ops.extract_odms(shape).astype(np.int64) for shape in shapes]
    return torch.from_numpy(np.stack(shares)), torch.from_numpy(np.stack(maps))


def test_it_learns_which_part_of_a_voxel_lies_below_a_plane() -> None:
    coverage, odms = lesson()
    predictor = small(width=32).train()
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss, figures = predictor.loss(coverage > 0, torch.tensor([3] * 4), odms, 2, coverage)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        assert 0 < figures["pixels"] <= 4 * 64 * 64  # of each shape at most 64 voxels
    assert losses[0] > 0.6
    assert losses[-1] < 0.25


def test_a_batch_of_bits_teaches_nothing_and_breaks_nothing() -> None:
    coverage, odms = lesson()
    predictor = small().train()
    for shares in (None, (coverage > 0).float()):
        predictor.zero_grad()
        loss, figures = predictor.loss(coverage > 0, torch.tensor([0] * 4), odms, 2, shares)
        loss.backward()
        assert figures == {"pixels": 0.0}
        assert all(float(weight.grad.abs().max()) == 0 for weight in predictor.parameters())


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (1.0, 2.0, -5.0), (3.0, -2.0, 2.0)])
def test_the_default_model_finds_planes_better_than_interpolation(normal: Any) -> None:
    truth = below_a_plane(96, normal, 1.3)
    low = ops.coverage(truth, 8)
    found = Upscaler.load()(low)
    error, rival = (1 - float(ops.iou(g, truth)) for g in (found, baselines.soft_swap(low, 8)))
    assert error < 0.6 * rival
