from __future__ import annotations

import numpy as np
import pytest
import torch

from mvd_toolkit import ops
from mvd_toolkit.conventions import INPUT_RULES, LOW_RULES
from mvd_toolkit.features import (
    FeatureConfig,
    base_grids,
    dilate,
    face_views,
    first_depth,
    view_features,
)

ANY = torch.tensor([LOW_RULES.index("any")])


def features(grid: torch.Tensor, config: FeatureConfig) -> tuple[torch.Tensor, torch.Tensor]:
    views = face_views(grid[None])[0]
    base = first_depth(views)
    return view_features(views, base, ANY.expand(6), config), base


def test_view_depths_are_the_odms() -> None:
    dense = np.random.default_rng(0).random((2, 9, 9, 9)) < 0.1
    depths = first_depth(face_views(torch.from_numpy(dense)))
    assert np.array_equal(depths.numpy(), np.asarray(ops.extract_odms(dense)))


def test_planes_are_as_many_as_declared_and_zero_on_background() -> None:
    config = FeatureConfig(before=2, behind=3, radius=2)
    grid = torch.zeros(8, 8, 8, dtype=torch.bool)
    grid[2:5, 3:7, 1:4] = True
    planes, base = features(grid, config)
    assert planes.shape == (6, config.channels, 8, 8)
    background = (base == 8)[:, None].expand_as(planes)
    assert not planes[background].any()
    assert planes[:, :, 3, 3].any()


def test_a_pixel_sees_the_column_behind_its_surface() -> None:
    config = FeatureConfig(before=1, behind=4, radius=0)
    grid = torch.zeros(6, 6, 6, dtype=torch.bool)
    grid[2, 2, [1, 2, 4]] = True
    planes, _ = features(grid, config)
    z_pos = planes[1, :5, 2, 2]  # looks along +z: one layer before the surface at 1, then 1 to 4
    assert z_pos.tolist() == [0, 1, 1, 0, 1]


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, 2, 0), (0, 0, 1), (2, 1, 2)])
def test_features_do_not_tell_the_place(shift: tuple[int, int, int]) -> None:
    grid = torch.zeros(20, 20, 20, dtype=torch.bool)
    grid[6:10, 6:12, 7:9] = True
    grid[7, 7, 5:12] = True
    moved = torch.roll(grid, shift, dims=(0, 1, 2))
    config = FeatureConfig()
    here, there = features(grid, config)[0], features(moved, config)[0]
    for face, axes in enumerate([(0, 1), (0, 1), (0, 2), (0, 2), (1, 2), (1, 2)]):
        rolled = torch.roll(here[face], (shift[axes[0]], shift[axes[1]]), dims=(1, 2))
        assert torch.equal(rolled, there[face])


def test_base_is_dilated_where_the_rule_gives_no_superset() -> None:
    grids = torch.zeros(3, 5, 5, 5, dtype=torch.bool)
    grids[:, 2, 2, 2] = True
    rules = torch.tensor([LOW_RULES.index(rule) for rule in ("any", "half", "centre")])
    base = base_grids(grids, rules)
    assert base.sum(dim=(1, 2, 3)).tolist() == [1, 27, 27]
    assert torch.equal(base[1:], dilate(grids)[1:])


def test_soft_shows_coverage_where_bits_would_be() -> None:
    config = FeatureConfig(before=1, behind=3, radius=0)
    coverage = torch.zeros(1, 6, 6, 6)
    coverage[0, 2, 2, 1:4] = torch.tensor([0.25, 1.0, 0.5])
    grid = coverage > 0
    base = first_depth(grid)
    soft = torch.tensor([INPUT_RULES.index("soft")])
    assert torch.equal(base_grids(grid, soft), grid)
    planes = view_features(grid, base, soft, config, coverage)
    assert planes[0, :4, 2, 2].tolist() == [0, 0.25, 1.0, 0.5]
    assert planes[0, -4:, 2, 2].tolist() == [0, 0, 0, 1]


def test_soft_is_any_to_features_that_do_not_know_it() -> None:
    config = FeatureConfig(soft=False)
    grid = torch.rand(1, 8, 8, 8) < 0.2
    base = first_depth(grid)
    soft = torch.tensor([INPUT_RULES.index("soft")])
    told = view_features(grid, base, soft, config, torch.rand(1, 8, 8, 8))
    assert torch.equal(told, view_features(grid, base, ANY, config))


def test_borders_are_told_along_the_axes_that_the_shape_spans() -> None:
    grid = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    grid[0, :, 3:6, 2] = True  # spans u alone
    config = FeatureConfig(before=0, behind=1, radius=0)
    planes = view_features(grid, first_depth(grid), ANY, config)
    first = config.channels - len(INPUT_RULES) - 6
    borders = planes[0, first : first + 6, :, 4]  # (6, u)
    assert borders[0].tolist() == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert borders[1].tolist() == borders[0].tolist()[::-1]
    assert bool((borders[2:] == 1).all())
