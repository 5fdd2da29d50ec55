"""Every symmetry moves ODMs as it moves the grid they are of."""

from __future__ import annotations

import pytest
import torch

from mvd_toolkit.features import face_views, first_depth
from mvd_toolkit.symmetry import SYMMETRIES


@pytest.fixture
def grids() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 5, 5, 5, generator=generator) < 0.15


def test_there_are_48_different_ones() -> None:
    cube = torch.arange(27).view(3, 3, 3)
    images = {tuple(symmetry.grid(cube).flatten().tolist()) for symmetry in SYMMETRIES}
    assert len(SYMMETRIES) == len(images) == 48


def test_the_first_is_the_identity(grids: torch.Tensor) -> None:
    assert torch.equal(SYMMETRIES[0].grid(grids), grids)


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=str)
def test_odms_of_the_moved_grid_are_the_moved_odms(symmetry, grids: torch.Tensor) -> None:
    odms = first_depth(face_views(grids))
    moved = first_depth(face_views(symmetry.grid(grids)))
    assert torch.equal(symmetry.odms(odms), moved)
