"""Pictures: what is where, in which colour, and how bright."""

from __future__ import annotations

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, extract_odms, render
from mvd_toolkit.errors import UsageError
from mvd_toolkit.picture_view import OCHRE, View
from mvd_toolkit.pictures import render_strip, render_turntable


def ball(edge: int, radius: float) -> VoxelGrid:
    distance = np.linalg.norm(np.indices((edge,) * 3).T - (edge - 1) / 2, axis=-1)
    return VoxelGrid.from_dense(distance < radius)


def pixels(grid: VoxelGrid, **options: object) -> np.ndarray:
    return np.asarray(render(grid, size=96, **options)).astype(int)  # type: ignore[arg-type]


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_from_above_the_picture_is_the_silhouette(up: str) -> None:
    dense = np.random.default_rng(0).random((12, 12, 12)) < 0.02
    grid = VoxelGrid.from_dense(dense)
    view = View(96, 0, 90, up, "none", samples=1, zoom=1.24)  # type: ignore[arg-type]
    seen = np.asarray(render(grid, view))[..., 3] > 0
    axis = "xyz".index(up)
    shadow = dense.any(axis)
    expected = shadow.sum() / shadow.size
    assert seen.mean() == pytest.approx(expected, abs=0.02)
    odm = extract_odms(grid)[(2 - axis) * 2] < 12
    assert odm.sum() == shadow.sum()


def test_sides_are_where_they_are() -> None:
    """From -y: +x is on the right, +z is above."""
    dense = np.zeros((20, 20, 20), bool)
    dense[14:, 5:10, 14:] = True
    seen = pixels(VoxelGrid.from_dense(dense), azimuth=-90, elevation=0, background="none")[..., 3]
    rows, columns = np.nonzero(seen > 128)
    assert columns.min() > 48
    assert rows.max() < 48


def test_colour_and_light() -> None:
    image = pixels(ball(80, 30), colour=OCHRE, azimuth=0)
    middle = image[30:66, 30:66].reshape(-1, 3)
    assert (middle[:, 0] > middle[:, 2] + 20).all(), "ochre"
    assert image[2, 2].tolist() == [251, 250, 247], "paper"
    lit, shaded = image[34, 34].sum(), image[62, 66].sum()
    assert lit > 1.3 * shaded, "the lamp is to the left and above"
    below = image[80:90, 30:90].sum(-1)
    assert below.min() < 0.9 * image[2, 2].sum(), "a shadow on the floor"


def test_edges_are_antialiased() -> None:
    alpha = pixels(ball(80, 30), background="none", samples=3)[..., 3]
    assert len(np.unique(alpha)) > 5
    assert {0, 255} <= set(np.unique(alpha))


def test_backgrounds() -> None:
    assert pixels(ball(20, 8), background="dark")[0, 0].sum() < 120
    assert pixels(ball(20, 8), background="light")[0, 0].sum() > 700


def test_cubes_have_flat_faces_and_fine_grids_smooth_ones() -> None:
    coarse = pixels(ball(12, 5), background="none", azimuth=-90, elevation=0, samples=1)
    smooth = pixels(ball(120, 50), background="none", azimuth=-90, elevation=0, samples=1)
    column = slice(40, 56)
    assert len(np.unique(coarse[column, 48, 0])) < len(np.unique(smooth[column, 48, 0]))


def test_heat_is_red_where_the_surface_is_off() -> None:
    truth = ball(80, 30)
    near = pixels(truth, heat=truth)
    far = pixels(ball(80, 36), heat=truth)
    assert (near[40:56, 40:56, 0] - near[40:56, 40:56, 2]).mean() < 10
    assert (far[40:56, 40:56, 0] - far[40:56, 40:56, 2]).mean() > 40


def test_the_same_picture_for_any_number_of_threads() -> None:
    one, three = (np.asarray(render(ball(40, 15), size=64, threads=t)) for t in (1, 3))
    assert np.array_equal(one, three)


def test_strips_and_turntables() -> None:
    grids = [ball(12, 5), ball(80, 30)]
    strip = render_strip(grids, ["input 12³", "fine"], size=48, samples=1)
    assert strip.size == (96, 88)
    assert np.asarray(strip)[50:].min() < 150, "captions"
    frames = list(render_turntable(VoxelGrid.from_dense(np.ones((4, 9, 2))), 4, size=32, samples=1))
    assert len(frames) == 4
    assert np.abs(np.asarray(frames[0]).astype(int) - np.asarray(frames[1])).max() > 50


def test_empty_grids_have_pictures() -> None:
    assert pixels(VoxelGrid.from_dense(np.zeros((5, 5, 5), bool))).min() > 200


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 4}, "size: expected 8 to 8192, found 4"),
        ({"up": "w"}, "up: expected one of x, y, z, found 'w'"),
        ({"angle": 3}, "there is no option 'angle'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        render(ball(8, 3), **options)
