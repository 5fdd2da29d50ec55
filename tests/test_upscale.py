"""`Upscaler`, with predictors that tell what is true or what a test needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import mvd_toolkit as mvd
from mvd_toolkit import ops
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.fine_odms import compose_odms
from mvd_toolkit.upscale import Upscaler
from mvd_toolkit.upscale_request import result_size, result_sizes

torch = pytest.importorskip("torch")

SCALE = 8


class Told:
    """A predictor that answers with given maps and remembers what it was asked."""

    def __init__(self, answer: Callable[[Any, str], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[np.ndarray, str]] = []

    def __call__(self, low: Any, rule: str) -> Any:
        self.asked.append((low.numpy(), rule))
        return self.answer(low, rule)


def maps(low: Any, value: float, scale: int = SCALE) -> Any:
    edge = scale * low.shape[-1]
    return torch.full((len(low), 6, edge, edge), value)


def upscaler(
    silhouette: Callable[[Any, str], Any] | None = None,
    depth: Callable[[Any, str], Any] | None = None,
    **fusion: Any,
) -> Upscaler:
    """An `Upscaler` whose default answer is: all silhouette, nothing in front of the base."""
    from mvd_toolkit.model import Fusion, Model, ModelConfig

    rules = fusion.pop("rules", ("any", "half", "centre"))
    config = ModelConfig(scale=SCALE, silhouette={}, depth={}, rules=rules, fusion=Fusion(**fusion))
    return Upscaler(
        Model(
            config,
            Told(silhouette or (lambda low, rule: maps(low, 1.0))),
            Told(depth or (lambda low, rule: maps(low, 0.0))),
        )
    )


def oracle(high: mvd.VoxelGrid, **fusion: Any) -> Upscaler:
    """An `Upscaler` that is told the true ODMs of ``high``."""
    odms = ops.extract_odms(high)
    edge = odms.shape[-1]
    sure = torch.from_numpy((odms < edge).astype(np.float32))[None]
    depth = torch.from_numpy(odms.astype(np.float32))[None]
    return upscaler(lambda low, rule: sure, lambda low, rule: depth, **fusion)


def ball(edge: int, radius: float) -> mvd.VoxelGrid:
    distance = np.linalg.norm(np.indices((edge,) * 3).T - (edge - 1) / 2, axis=-1)
    return mvd.VoxelGrid.from_dense(distance < radius, (1.0, -2.0, 3.0), (0.25, 0.25, 0.25))


def random_grid(shape: tuple[int, int, int], seed: int = 0) -> mvd.VoxelGrid:
    dense = np.random.default_rng(seed).random(shape) < 0.3
    return mvd.VoxelGrid.from_dense(dense, (0.5, 1.5, -2.5), (1.0, 2.0, 3.0))


def test_true_odms_give_the_true_shape_in_the_same_place() -> None:
    high = ball(128, 50.3)
    low = ops.pool(high, SCALE, "any")
    fine = oracle(high)(low, low_rule="any")
    assert mvd.score(fine, high)["iou"] > 0.999
    assert fine.origin == high.origin
    assert fine.spacing == high.spacing


def test_result_is_the_carved_base() -> None:
    """The stage adds nothing of its own to smooth and carve."""
    high = ops.hull(random_grid((32, 32, 32)))
    low = ops.hull(ops.pool(high, SCALE, "any"))
    odms = ops.smooth_odms(ops.extract_odms(high), 12.0, window=5)
    expected = ops.carve(low, odms, SCALE, structure_votes=3)
    up = oracle(high, smooth_threshold=12.0, smooth_window=5, structure_votes=3)
    assert up(low, low_rule="any", keep_parts=True) == expected


def test_crumbs_are_swept_up_unless_they_are_kept() -> None:
    """A carved cube with a crumb beside it, and one that is all there is of its coarse part."""
    high = np.zeros((48, 48, 48), bool)
    high[8:20, 8:20, 8:20] = high[20, 8, 22] = high[40, 40, 40] = True
    truth = mvd.VoxelGrid.from_dense(high)
    low, up = ops.pool(truth, SCALE, "any"), oracle(truth)
    assert up(low, low_rule="any", keep_parts=True) == truth
    swept = up.detailed(low, low_rule="any").grid
    high[20, 8, 22] = False
    assert np.array_equal(swept.dense(), high)
    assert up.batch([low], low_rule="any", keep_parts=True) == [truth]
    assert up.batch([low], low_rule="any") == [swept]


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_a_part_that_the_coarse_grid_tells_from_others_is_no_crumb(gap: int) -> None:
    """Though both are one part of what is carved, where the rule is not *any*."""
    high = np.zeros((64, 64, 64), bool)
    high[8:24, 8:24, 8:24] = True
    begin = 24 + 8 * gap
    high[begin : begin + 7, 8:16, 8:16] = True
    truth = mvd.VoxelGrid.from_dense(high)
    low = ops.pool(truth, SCALE, "half")
    assert ops.count_parts(low) == 2
    assert oracle(truth)(low, low_rule="half") == truth


def test_a_shape_without_crumbs_still_ends_where_its_extent_does() -> None:
    high = np.zeros((32, 32, 32), bool)
    high[8:20, 8:16, 8:16] = high[21, 8, 8] = True
    truth = mvd.VoxelGrid.from_dense(high)
    ends = (8.0, 8.0, 8.0), (22.0, 16.0, 16.0)
    low = replace(ops.pool(truth, SCALE, "any"), extent=ends)
    fine = oracle(truth)(low, low_rule="any")
    occupied = np.flatnonzero(fine.dense().any(axis=(1, 2)))
    assert (occupied[0], occupied[-1]) == (8, 21)
    assert ops.count_parts(fine) == 1


@pytest.mark.parametrize("rule", ["half", "centre"])
def test_base_is_dilated_where_the_low_grid_is_no_superset(rule: str) -> None:
    low = ball(16, 5.2)
    fine = upscaler()(low, low_rule=rule)
    assert fine == ops.upsample_nearest(ops.dilate(low), SCALE)


def test_any_base_is_the_low_grid() -> None:
    low = ball(16, 5.2)
    assert upscaler()(low, low_rule="any") == ops.upsample_nearest(low, SCALE)


def test_predictors_see_the_filled_grid_as_a_cube() -> None:
    shell = np.ones((6, 9, 5), bool)
    shell[1:-1, 1:-1, 1:-1] = False
    up = upscaler()
    fine = up(mvd.VoxelGrid.from_dense(shell), low_rule="half")
    seen, rule = up.model.silhouette.asked[0]
    assert seen.shape == (1, 9, 9, 9)
    assert rule == "half"
    assert seen[0, :6, :, :5].all()
    assert not seen[0, 6:].any()
    assert not seen[0, :, :, 5:].any()
    assert fine.shape == (48, 72, 40)


def test_fill_none_takes_the_grid_as_it_is() -> None:
    shell = np.ones((4, 4, 4), bool)
    shell[1:-1, 1:-1, 1:-1] = False
    grid = mvd.VoxelGrid.from_dense(shell)
    assert upscaler()(grid, fill="none", low_rule="any").count() == shell.sum() * SCALE**3
    assert upscaler()(grid, fill="hull", low_rule="any").count() == 64 * SCALE**3


@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 17, 17), (5, 11, 70), (1, 1, 1)])
def test_odd_and_non_cubic_grids(shape: tuple[int, int, int]) -> None:
    low = ops.hull(random_grid(shape, seed=1))
    fine = upscaler()(low, low_rule="any")
    assert fine == ops.upsample_nearest(low, SCALE)
    assert fine.origin == low.origin
    assert fine.spacing == tuple(s / SCALE for s in low.spacing)


def test_empty_grid_gives_an_empty_one_and_says_so() -> None:
    up = upscaler()
    result = up.detailed(mvd.VoxelGrid.from_dense(np.zeros((16, 3, 5), bool)))
    assert result.grid.shape == (128, 24, 40)
    assert result.grid.count() == 0
    assert result.notes == ("the grid is empty, and so is the result",)
    assert up.model.silhouette.asked == []


def test_a_shape_of_which_nothing_is_left_is_told() -> None:
    result = upscaler(silhouette=lambda low, rule: maps(low, 0.0)).detailed(ball(16, 5.0))
    assert result.grid.count() == 0
    assert result.notes == ("nothing is left of the shape: it is too small",)


@pytest.mark.parametrize("rule", ["any", "half", "centre"])
def test_a_smaller_size_is_pooled_as_the_input_was(rule: str) -> None:
    high = ball(128, 50.3)
    low = ops.pool(high, SCALE, rule)
    up = oracle(high)
    own = up(low, low_rule=rule)
    assert up(low, to=64, low_rule=rule) == ops.pool(own, 2, rule)
    assert len({ops.pool(own, 2, other).count() for other in ("any", "half", "centre")}) > 1


def test_default_sizes() -> None:
    sizes = {edge: result_size(edge, 8, None) for edge in (16, 32, 64, 128, 256)}
    assert sizes == {16: 128, 32: 256, 64: 512, 128: 1024, 256: 1024}


@pytest.mark.parametrize("edge", range(1, 257))
def test_default_size_always_works(edge: int) -> None:
    size = result_size(edge, 8, None)
    assert 8 * edge % size == 0
    assert edge < size <= 1024
    assert size in result_sizes(edge, 8)
    assert all(result_size(edge, 8, to) == to for to in result_sizes(edge, 8))


def test_size_that_does_not_divide_names_those_that_work() -> None:
    with pytest.raises(UsageError) as caught:
        upscaler()(ball(32, 9), to=100)
    assert str(caught.value) == (
        "size 100 cannot be made from 32: expected a divisor of 8 x 32 = 256; "
        "these work: 1, 2, 4, 8, 16, 32, 64, 128, 256"
    )


@pytest.mark.parametrize("to", ["64", 64.0])
def test_size_is_a_whole_number(to: Any) -> None:
    with pytest.raises(UsageError, match=r"size: expected a whole number of voxels, found '?64"):
        upscaler()(ball(32, 9), to=to)


def test_too_large_a_grid() -> None:
    grid = mvd.VoxelGrid.from_dense(np.ones((257, 1, 1), bool))
    with pytest.raises(InputError, match=r"grid of 257x1x1: expected a coarse grid, at most 256"):
        upscaler()(grid)


def test_unknown_rule_and_fill() -> None:
    with pytest.raises(UsageError, match=r"one of this model's rules \(any\), found 'half'"):
        upscaler(rules=("any",))(ball(8, 3), low_rule="half")
    with pytest.raises(UsageError, match="fill: expected hull or none, found 'flood'"):
        upscaler()(ball(8, 3), fill="flood")  # type: ignore[arg-type]


def test_device_that_is_not_there() -> None:
    model = upscaler().model
    with pytest.raises(UnavailableError, match=r"device 'warp:3' cannot be used: .*mvd doctor"):
        Upscaler(model, "warp:3")
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="device 'cuda' cannot be used"):
            Upscaler(model, "cuda")


def test_batch_is_the_single_call_mapped() -> None:
    grids = [random_grid((8, 8, 8), seed) for seed in range(3)] + [random_grid((4, 5, 6))]
    up = upscaler()
    assert up.batch(grids, low_rule="half") == [up(grid, low_rule="half") for grid in grids]


def test_same_bits_for_any_number_of_threads() -> None:
    high = ops.hull(random_grid((64, 64, 64), seed=3))
    low = ops.pool(high, SCALE, "any")
    up = oracle(high, smooth_threshold=12.0)
    assert up(low, threads=1) == up(low, threads=4)


def test_steps_are_timed_and_told() -> None:
    told: list[tuple[str, float]] = []
    result = upscaler().detailed(ball(8, 3), progress=lambda step, part: told.append((step, part)))
    steps = {"fill", "low_rule", "networks", "smooth", "carve", "finish", "pool"}
    assert set(result.seconds) == steps
    assert [part for _, part in told] == sorted(part for _, part in told)
    assert told[-1] == ("done", 1.0)


def test_predictor_of_another_shape() -> None:
    with pytest.raises(UnavailableError, match=r"expected maps of shape \(1, 6, 64, 64\), found"):
        upscaler(lambda low, rule: maps(low, 1.0, scale=4))(ball(8, 3))


def test_rounding_and_clamping_of_depth() -> None:
    depth = np.zeros((6, 8, 8), np.float32)
    depth[0, 0, :6] = [0.5, 1.5, 2.5, -3.0, 99.0, 7.4]
    odms = compose_odms(np.ones((6, 8, 8), np.float32), depth, 0.5)
    assert odms.dtype == np.uint16
    assert odms[0, 0, :6].tolist() == [0, 2, 2, 0, 7, 7]


def test_silhouette_is_strictly_above_the_threshold() -> None:
    sure = np.zeros((6, 4, 4), np.float32)
    sure[1, 0, :3] = [0.5, 0.50001, 1.0]
    depth = np.full((6, 4, 4), 2, np.float32)
    assert compose_odms(sure, depth, 0.5)[1, 0].tolist() == [4, 2, 2, 4]


def test_depth_that_is_no_number() -> None:
    sure = np.zeros((6, 4, 4), np.float32)
    depth = np.full((6, 4, 4), np.nan, np.float32)
    assert (compose_odms(sure, depth, 0.5) == 4).all()
    sure[2, 1, 1] = 1
    with pytest.raises(UnavailableError, match="the depth predictor gave NaN"):
        compose_odms(sure, depth, 0.5)


def tiny_depth(**options: Any) -> Upscaler:
    """An `Upscaler` with a real depth predictor, untrained."""
    from mvd_toolkit.predictors import DepthPredictor
    from mvd_toolkit.view_predictor import ViewConfig

    torch.manual_seed(0)
    up = upscaler(rules=options.pop("rules", ("any", "soft")))
    up.model.depth = DepthPredictor(ViewConfig(options={"width": 4, "blocks": 1})).eval()
    return up


@pytest.mark.parametrize("rules", [("any",), ("any", "soft")])
def test_fractions_are_kept_to_the_voxel(rules: tuple[str, ...]) -> None:
    high = ops.hull(random_grid((64, 48, 64)))
    low = ops.coverage(high, SCALE)
    result = tiny_depth(rules=rules).detailed(low)
    assert result.low_rule.rule == "soft"
    assert result.grid.shape == high.shape
    again = ops.coverage(result.grid, SCALE)
    np.testing.assert_array_equal(again.coverage, low.coverage)


def test_fractions_need_no_depths_at_several_levels() -> None:
    low = ops.coverage(ball(64, 27.3), SCALE)
    assert low.coverage is not None
    expected = ops.soft_rank(low.coverage, SCALE)
    assert np.array_equal(upscaler()(low).packed, expected)


@pytest.mark.parametrize("fill", ["hull", "none"])
def test_a_hollow_of_fractions_stays_hollow(fill: Any) -> None:
    shell = np.full((5, 5, 5), 0.5, np.float32)
    shell[1:-1, 1:-1, 1:-1] = 0
    low = replace(mvd.VoxelGrid.from_dense(shell > 0), coverage=shell)
    assert not upscaler()(low, fill=fill).dense()[8:-8, 8:-8, 8:-8].any()


def test_rule_soft_needs_fractions() -> None:
    with pytest.raises(UsageError, match="expected a grid of fractions"):
        upscaler()(ball(8, 3.0), low_rule="soft")


def test_fractions_can_be_ignored() -> None:
    low = ops.coverage(ball(64, 27.3), SCALE)
    assert upscaler()(low, low_rule="any") == ops.upsample_nearest(ops.hull(low), SCALE)
