from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mvd_toolkit.conventions import INPUT_RULES, LOW_RULES
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.fine_logits import (
    IMAGE_SYMMETRIES,
    fine_logits,
    fine_pixels,
    turn_image,
    turn_image_back,
)
from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor, depth_bins
from mvd_toolkit.symmetry import SYMMETRIES
from mvd_toolkit.view_predictor import ViewConfig

SMALL = {"width": 8, "blocks": 1}


def test_a_backbone_of_another_scale_is_named_as_what_is_at_fault():
    predictor = SilhouettePredictor(ViewConfig(scale=4, options=SMALL))
    predictor.backbone = nn.Conv2d(predictor.view_config.features.channels, 1, 3, padding=1)
    low = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    low[:, 2:5, 2:5, 2:5] = True
    expected = r"backbone: expected images of shape \(6, channels, 32, 32\), found \(6, 1, 8, 8\)"
    with pytest.raises(UnavailableError, match=expected):
        predictor(low)
    with pytest.raises(UnavailableError, match=expected):
        predictor.loss(low, torch.zeros(1).long(), torch.zeros(1, 6, 32, 32).long())


@pytest.fixture(params=[SilhouettePredictor, DepthPredictor])
def predictor(request: pytest.FixtureRequest):
    torch.manual_seed(0)
    return request.param(ViewConfig(scale=4, options=SMALL)).eval()


@pytest.fixture
def low() -> torch.Tensor:
    grid = torch.zeros(2, 9, 9, 9, dtype=torch.bool)
    grid[0, 2:6, 3:7, 1:8] = True
    grid[1, 4, 4, 4] = True
    return grid


@torch.inference_mode()
def test_predictions_have_every_fine_pixel_of_six_faces(predictor, low: torch.Tensor) -> None:
    out = predictor(low)
    assert out.shape == (2, 6, 36, 36)
    assert out.dtype == torch.float32
    assert bool(out.isfinite().all())


@torch.inference_mode()
def test_a_batch_gives_what_each_grid_gives_alone(predictor, low: torch.Tensor) -> None:
    batch = predictor(low)
    alone = torch.cat([predictor(grid[None]) for grid in low])
    torch.testing.assert_close(batch, alone, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("rule", LOW_RULES)
def test_nothing_is_predicted_outside_the_base(predictor, low: torch.Tensor, rule: str) -> None:
    out = predictor(low, rule)
    outside = predictor.outside(36)
    assert bool((out[1, :, :8] == outside).all())  # the base of one voxel: pixels 12 to 23
    assert bool((out[1, :, 16:20, 16:20] != outside).any())


@torch.inference_mode()
def test_depth_lies_at_or_behind_the_base(low: torch.Tensor) -> None:
    torch.manual_seed(1)
    depth = DepthPredictor(ViewConfig(scale=4, options=SMALL)).eval()(low)
    inside = depth[0, 1, 8:24, 12:28]  # z_pos sees the box's face at low depth 1
    assert bool(((inside >= 4) & (inside < 36)).all())


@torch.inference_mode()
def test_an_empty_grid_has_neither_silhouette_nor_depth(predictor) -> None:
    out = predictor(torch.zeros(1, 5, 5, 5, dtype=torch.bool))
    assert bool((out == predictor.outside(20)).all())


def test_config_builds_the_same_predictor(predictor, low: torch.Tensor) -> None:
    twin = type(predictor).from_config(predictor.config()).eval()
    twin.load_state_dict(predictor.state_dict())
    with torch.inference_mode():
        assert torch.equal(twin(low), predictor(low))


def test_loss_sees_every_parameter(predictor, low: torch.Tensor) -> None:
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.1)
    odms = torch.randint(0, 37, (2, 6, 36, 36))
    loss, figures = predictor.loss(low, torch.tensor([0, 1]), odms)
    loss.backward()
    assert figures["loss"] == pytest.approx(loss.item())
    assert all(bool(p.grad.abs().sum() > 0) for p in predictor.parameters())


def test_bins_are_single_voxels_where_the_surface_mostly_lies() -> None:
    assert depth_bins(8) == [*range(16), 16, 20, 24, 28, 32, 64]


@pytest.mark.parametrize("offset", range(16))
def test_a_certain_offset_is_decoded_exactly_at_any_quantile(offset: int) -> None:
    for quantile in (0.1, 0.5, 0.9):
        predictor = DepthPredictor(ViewConfig(options=SMALL, quantile=quantile))
        logits = torch.full((1, predictor.outputs()), -50.0)
        logits[:, offset] = 50.0
        assert predictor.decode(logits, torch.tensor([3]), 256).round().item() == 24 + offset


def test_the_quantile_is_the_first_depth_with_that_much_probability_before_it() -> None:
    predictor = DepthPredictor(ViewConfig(options=SMALL, quantile=0.4))
    logits = torch.full((2, predictor.outputs()), -50.0)
    logits[0, 2], logits[0, 6] = torch.tensor(0.3).log(), torch.tensor(0.7).log()
    logits[1, 2], logits[1, 6] = torch.tensor(0.45).log(), torch.tensor(0.55).log()
    depths = predictor.decode(logits, torch.tensor([0, 0]), 256)
    assert depths.round().tolist() == [6, 2]


@torch.inference_mode()
def test_coverage_changes_what_is_predicted_and_turns_with_the_grid(predictor, low) -> None:
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.1)
    half, full = low * 0.5, low * 1.0
    assert not torch.equal(predictor(low, "soft", half), predictor(low, "soft", full))
    config = replace(predictor.view_config, symmetries=8)
    turning = type(predictor)(config).eval()
    turning.load_state_dict(predictor.state_dict())
    coverage = low * torch.rand(low.shape)
    for symmetry in SYMMETRIES[::11]:
        moved = turning(symmetry.grid(low), "soft", symmetry.grid(coverage))
        expected = symmetry.odms(turning(low, "soft", coverage))
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-3)


def test_loss_takes_soft_and_hard_grids_in_one_batch(predictor, low: torch.Tensor) -> None:
    rules = torch.tensor([INPUT_RULES.index("soft"), INPUT_RULES.index("half")])
    odms = torch.randint(0, 37, (2, 6, 36, 36))
    coverage = low * torch.tensor([0.5, 1.0])[:, None, None, None]
    loss, _ = predictor.loss(low, rules, odms, coverage=coverage)
    assert bool(loss.isfinite())


class WholeImages(nn.Module):
    """A backbone that hides its trunk and head."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.mark.parametrize("some", [None, torch.tensor([3, 0, 7])])
def test_logits_are_the_same_with_and_without_the_short_cut(predictor, some) -> None:
    backbone = predictor.backbone
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    planes = torch.randn(3, predictor.view_config.features.channels, 7, 7)
    mask = torch.rand(3, 7, 7) < 0.4
    quick = fine_logits(backbone, planes, mask, 4, some)
    whole = fine_logits(WholeImages(backbone), planes, mask, 4, some)
    assert quick.shape == (mask.sum(), 16 if some is None else 3, predictor.outputs())
    torch.testing.assert_close(quick, whole, rtol=1e-4, atol=1e-5)


def test_fine_pixels_are_the_blocks_of_the_masked_pixels() -> None:
    image = torch.arange(36).view(1, 6, 6)
    mask = torch.tensor([[[False, True, False]] * 2 + [[True, False, False]]])
    blocks = fine_pixels(image, mask, 2)
    assert blocks.tolist() == [[2, 3, 8, 9], [14, 15, 20, 21], [24, 25, 30, 31]]


def test_the_symmetries_of_an_image_are_eight() -> None:
    image = torch.arange(4).view(2, 2)
    turned = {tuple(turn_image(image, s, 0).flatten().tolist()) for s in IMAGE_SYMMETRIES}
    assert len(IMAGE_SYMMETRIES) == len(turned) == 8
    for symmetry in IMAGE_SYMMETRIES:
        assert torch.equal(turn_image_back(turn_image(image, symmetry, 0), symmetry), image)


@torch.inference_mode()
@pytest.mark.parametrize("kind", [SilhouettePredictor, DepthPredictor])
def test_averaged_over_all_symmetries_a_prediction_turns_with_its_grid(kind, low) -> None:
    predictor = kind(ViewConfig(scale=4, options=SMALL, symmetries=8)).eval()
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.1)
    for symmetry in SYMMETRIES[::5]:
        moved = predictor(symmetry.grid(low))
        torch.testing.assert_close(moved, symmetry.odms(predictor(low)), rtol=1e-4, atol=1e-3)


@torch.inference_mode()
def test_levels_are_quantiles_each_at_least_as_deep_as_the_one_before(low: torch.Tensor) -> None:
    predictor = DepthPredictor(ViewConfig(scale=4, options=SMALL, quantile=0.375)).eval()
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.1)
    levels = predictor.levels(low, "any", None, 4)
    assert levels.shape == (2, 4, 6, 36, 36)
    assert bool((levels[:, 1:] >= levels[:, :-1]).all())
    assert torch.equal(levels[:, 1], predictor(low))
