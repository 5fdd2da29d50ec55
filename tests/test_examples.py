"""The example files are what their generator makes, and the picture can be made of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mvd_toolkit as mvd

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The generator, imported from its folder."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("make_examples")
    for name in ("make_examples", "picture", "solids"):
        if name not in before:
            sys.modules.pop(name, None)


def test_the_generator_makes_the_committed_bytes(examples: ModuleType, tmp_path: Path) -> None:
    made = examples.write_examples(tmp_path)
    committed = [path for path in EXAMPLES.iterdir() if path.suffix in (".binvox", ".stl")]
    assert {path.name for path in made} == {path.name for path in committed}
    for path in made:
        assert path.read_bytes() == (EXAMPLES / path.name).read_bytes(), path.name


def test_examples_are_coarse_grids_in_world_units() -> None:
    for path in EXAMPLES.glob("*_32.binvox"):
        grid = mvd.load(path)
        assert grid.shape == (32, 32, 32)
        assert grid.count() > 500
        assert 0.1 < 32 * grid.spacing[0] < 4, "metres"
        assert mvd.hull(grid) == grid


def test_examples_are_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()) < 200_000


def test_a_lathed_cylinder_has_the_volume_of_one(examples: ModuleType) -> None:
    solids = sys.modules["solids"]
    vertices, faces = solids.lathe([(0.0, 1.0), (2.0, 1.0)], sides=256)
    corners = vertices[faces]
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume == pytest.approx(2 * np.pi, rel=1e-3), "closed, and seen from outside"


def test_pictures_of_the_documentation(examples: ModuleType) -> None:
    picture = importlib.import_module("picture")

    class Nearest:
        """In place of a model."""

        def __call__(self, low: mvd.VoxelGrid) -> mvd.VoxelGrid:
            return mvd.upsample_nearest(low, picture.SCALE)

        def predict_odms(self, low: mvd.VoxelGrid) -> np.ndarray:
            return mvd.extract_odms(self(low))

    strips = [make("mug", Nearest(), 48) for make in (picture.row, picture.steps)]
    assert [strip.size for strip in strips] == [(192, 88), (192, 88)]
    assert picture.stacked(strips).size == (192, 176)
    pixels = np.asarray(strips[0]).astype(int)[:48]
    ochre = (pixels[..., 0] - pixels[..., 2] > 40).mean(axis=0)
    assert ochre[96:144].max() > 0.2, "the upscaled one stands out"
    assert ochre[:96].max() == ochre[144:].max() == 0
