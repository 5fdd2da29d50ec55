"""Tiles: the answer of the whole face, or a refusal that says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mvd_toolkit import Upscaler, VoxelGrid, plugins
from mvd_toolkit.errors import UsageError
from mvd_toolkit.model import Model
from mvd_toolkit.options import parse_options
from mvd_toolkit.paper import PaperConfig, PaperDepth, PaperSilhouette
from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor
from mvd_toolkit.tiling import DEFAULT_TILE, WHOLE_FACE, FaceTiles, Tiling, run_tiled
from mvd_toolkit.view_predictor import ViewConfig


def waken(predictor: Any) -> Any:
    """Random weights everywhere: layers that start at zero see nothing."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return predictor


def view_model(backbone: str = "unet", symmetries: int = 2) -> Model:
    config = ViewConfig(backbone, 4, {"width": 8, "blocks": 0}, symmetries=symmetries)
    return Model.from_predictors(
        waken(SilhouettePredictor(config)), waken(DepthPredictor(config)), scale=4
    )


def paper_model() -> Model:
    config = PaperConfig(options={"variant": "authors", "width": 8, "blocks": 1}, scale=4)
    return Model.from_predictors(waken(PaperSilhouette(config)), waken(PaperDepth(config)), scale=4)


def blobs(edge: int) -> VoxelGrid:
    """Something with slopes, holes and steps, cut by every tile."""
    x, y, z = (np.indices((edge,) * 3) - edge / 2) / edge
    dense = (x**2 + 2 * y**2 + z**2 < 0.2) ^ ((abs(x) < 0.1) & (abs(y + z) < 0.2))
    return VoxelGrid.from_dense(dense)


class Strided(nn.Module):
    """Down by two and up again: what a pixel sees depends on where the strides begin."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(2, 4, 2, stride=2).double()
        self.up = nn.Conv2d(4, 3 * 16, 3, padding=1).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        x = self.up(self.down(F.pad(x, (0, width % 2, 0, height % 2))))
        return F.pixel_shuffle(x, 4)[..., : 2 * height, : 2 * width]


@pytest.mark.parametrize("edge", [1, 3, 7, 8, 30])
@torch.inference_mode()
def test_tiles_give_the_whole(edge: int) -> None:
    network, planes = Strided(), torch.randn(2, 2, 21, 30, dtype=torch.float64)
    tiled = run_tiled(network, planes, Tiling(edge, reach=4, step=2))
    assert tiled.shape == (2, 3, 42, 60)
    torch.testing.assert_close(tiled, network(planes), rtol=1e-12, atol=1e-12)


@torch.inference_mode()
def test_too_little_overlap_or_another_step_would_not() -> None:
    network, planes = Strided(), torch.randn(1, 2, 30, 30, dtype=torch.float64)
    whole = network(planes)
    for wrong in (Tiling(7, reach=1, step=2), Tiling(8, reach=3, step=1)):
        assert not torch.allclose(run_tiled(network, planes, wrong), whole)


@pytest.mark.parametrize("model", [view_model, paper_model])
@torch.inference_mode()
def test_maps_and_the_packed_grid_are_those_of_whole_faces(model: Any) -> None:
    grid, upscaler = blobs(33), Upscaler(model())
    low = grid.to_torch()[None]
    predictors = (upscaler.model.silhouette, upscaler.model.depth)
    maps, whole = [predict(low, "any") for predict in predictors], upscaler(grid, threads=1)
    assert all(len(image.unique()) > 20 for image in maps)
    upscaler.use_tiles(8)
    assert all(
        torch.equal(predict(low, "any"), image)
        for predict, image in zip(predictors, maps, strict=True)
    )
    assert upscaler(grid, threads=1) == whole


def test_a_backbone_that_sees_everything_refuses() -> None:
    upscaler = Upscaler(view_model("nafnet"))
    with pytest.raises(UsageError) as caught:
        upscaler.use_tiles(16)
    assert str(caught.value) == (
        "tile: backbone 'nafnet' declares no receptive field, any pixel may bear on any other: "
        "tiles would change the result; run it on whole faces"
    )
    upscaler.use_tiles(None)


def test_a_predictor_without_a_backbone_refuses() -> None:
    model = view_model()
    upscaler = Upscaler(model)
    model.depth = lambda low, rule: low
    with pytest.raises(UsageError, match="tile: the depth predictor of this model looks at whole"):
        upscaler.use_tiles(16)


def test_large_faces_of_backbones_that_make_fine_images_are_cut() -> None:
    resnet, nafnet = plugins.backbone("resnet"), plugins.backbone("nafnet")
    options = parse_options(resnet, {})
    tiles = FaceTiles(resnet, options, quick=False)
    assert tiles.of(WHOLE_FACE) is None
    assert tiles.of(WHOLE_FACE + 1) == Tiling(DEFAULT_TILE, reach=36)
    assert FaceTiles(resnet, options, quick=True).of(256) is None
    assert FaceTiles(nafnet, parse_options(nafnet, {}), quick=False).of(256) is None
    with pytest.raises(UsageError, match="tile: expected an edge of at least 1 low pixel, found 0"):
        tiles.use(0)
