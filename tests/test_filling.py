"""Filling: floods and parities against plain definitions, and what is said when one fails."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import THREADS, dense_grids

import mvd_toolkit as mvd
from mvd_toolkit import _core, io, ops, reference
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.mesh_frame import Placement
from mvd_toolkit.voxelize import Voxelized, voxelize

Dense = npt.NDArray[np.bool_]

CORNERS = np.array(list(product((0, 1), repeat=3)), float)
BOX = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
        *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ]
)
LID = [10, 11]  # the triangles of BOX at z = 1


@given(dense_grids(), st.sampled_from(THREADS))
def test_flood_equals_reference(dense: Dense, threads: int) -> None:
    assert np.array_equal(ops.fill_holes(dense, threads=threads), reference.fill_holes(dense))


@given(dense_grids())
def test_flood_is_scipys(dense: Dense) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    assert np.array_equal(ops.fill_holes(dense), ndimage.binary_fill_holes(dense))


@given(dense_grids())
def test_flood_fills_no_more_than_the_hull(dense: Dense) -> None:
    assert (ops.fill_holes(dense) <= ops.hull(dense)).all()


def centres(vertices: Any, faces: Any, shape: Any, threads: int = 1) -> tuple[Dense, int]:
    """(X, Y, Z) bool and how many voxels are disputed."""
    points = np.ascontiguousarray(vertices, np.float64)
    triangles = np.ascontiguousarray(faces, np.int64)
    packed, disputed = _core.voxelize_centres(points, triangles, *shape, threads)
    dense = _core.unpack(packed[None], shape[2])
    assert (_core.pack(dense) == packed).all(), "bits past Z are set"
    return dense[0], disputed


HALVES = st.integers(-8, 20).map(lambda n: n / 2)
EDGES = st.sampled_from([1, 2, 5, 8, 64, 70])


@given(st.tuples(HALVES, HALVES, HALVES), st.tuples(HALVES, HALVES, HALVES), EDGES, EDGES)
def test_box_holds_the_centres_on_its_lower_faces(a: Any, b: Any, y: int, z: int) -> None:
    low, high = np.minimum(a, b), np.maximum(a, b)
    shape = (7, y, z)
    dense, disputed = centres(low + CORNERS * (high - low), BOX, shape)
    inside = [
        (low[k] <= np.arange(n) + 0.5) & (np.arange(n) + 0.5 < high[k]) for k, n in enumerate(shape)
    ]
    assert disputed == 0
    assert np.array_equal(dense, inside[0][:, None, None] & inside[1][:, None] & inside[2])


def orientation(a: Any, b: Any, c: Any, d: Any) -> Fraction:
    (p, q, r), (s, t, u), (v, w, x) = (
        [m - n for m, n in zip(e, a, strict=True)] for e in (b, c, d)
    )
    result: Fraction = p * (t * x - u * w) - q * (s * x - u * v) + r * (s * w - t * v)
    return result


HAIR = [Fraction(1, 10**8), Fraction(1, 10**17), Fraction(1, 10**26)]


@given(st.lists(st.one_of(HALVES, st.floats(-2, 8, width=32)), min_size=12, max_size=12))
def test_tetrahedron_is_four_half_spaces(numbers: list[float]) -> None:
    vertices = np.round(np.array(numbers).reshape(4, 3) * 65536) / 65536
    faces = [[0, 1, 2], [0, 3, 1], [1, 3, 2], [0, 2, 3]]
    dense, disputed = centres(vertices, faces, (4, 3, 5))
    exact = [[Fraction(x) for x in vertex] for vertex in vertices.tolist()]
    whole = orientation(*exact)
    expected = np.zeros((4, 3, 5), bool)
    for index in product(range(4), range(3), range(5)):
        centre = [Fraction(2 * i + 1, 2) + hair for i, hair in zip(index, HAIR, strict=True)]
        signs = [orientation(*exact[:k], centre, *exact[k + 1 :]) * whole for k in range(4)]
        expected[index] = whole != 0 and all(sign > 0 for sign in signs)
    assert disputed == 0
    assert np.array_equal(dense, expected)


@pytest.mark.parametrize("threads", THREADS)
def test_ball_of_large_and_small_triangles(threads: int) -> None:
    trimesh = pytest.importorskip("trimesh")
    for subdivisions in (1, 4):
        ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=31.3)
        points = ball.vertices + 40.1
        dense, disputed = centres(points, ball.faces, (80, 81, 82), threads)
        assert disputed == 0
        assert dense.sum() == pytest.approx(ball.volume, rel=0.003)
        some = np.random.default_rng(0).integers(0, 80, (300, 3))
        distance = np.linalg.norm(some + 0.5 - 40.1, axis=1)
        clear = abs(distance - 31.3) > 0.01 * 31.3
        if subdivisions == 4:
            assert np.array_equal(dense[tuple(some.T)][clear], distance[clear] < 31.3)


def box(fill: Any = "hull", open_: bool = False, resolution: int = 32, **options: Any) -> Voxelized:
    """The unit cube, or one without a lid, in a grid."""
    faces = np.delete(BOX, LID, axis=0) if open_ else BOX
    return voxelize(CORNERS, faces, resolution, fill=fill, **options)


@pytest.mark.parametrize("fill", ["hull", "flood", "centre"])
def test_closed_mesh_is_filled_alike(fill: Any) -> None:
    made = box(fill)
    assert made.grid.count() == 30**3
    assert made.filling is not None
    assert (made.filling.fill, made.filling.disagreement, made.filling.disputed) == (fill, 0, 0)
    assert made.filling.doubts() == []


def peephole() -> tuple[Any, Any]:
    """The unit cube with a small square hole in its lid."""
    rim = [(x, y, 1.0) for x in (0, 1) for y in (0, 1)]
    hole = [(x, y, 1.0) for x in (0.45, 0.55) for y in (0.45, 0.55)]
    ring = [[(8, 9), (12, 13)], [(9, 11), (13, 15)], [(11, 10), (15, 14)], [(10, 8), (14, 12)]]
    lid = [face for (a, b), (c, d) in ring for face in ([a, b, c], [b, d, c])]
    return np.concatenate([CORNERS, rim, hole]), np.concatenate([np.delete(BOX, LID, axis=0), lid])


def test_leak_is_noticed() -> None:
    vertices, faces = peephole()
    flood = voxelize(vertices, faces, 32, fill="flood").filling
    hull = voxelize(vertices, faces, 32, fill="hull").filling
    assert flood is not None
    assert hull is not None
    assert flood.disagreement == hull.disagreement > 0.7
    (leaks,), (reached,) = flood.doubts(), hull.doubts()
    assert "of the volume that hull fills: the mesh leaks" in leaks
    assert "of the volume that hull fills: the mesh is open" in reached


def test_parity_of_an_open_mesh_is_disputed() -> None:
    filling = box("centre", open_=True).filling
    assert filling is not None
    assert filling.disputed == pytest.approx(1 / 30)  # the margin over the missing lid
    assert "the mesh is not closed: parity along x, y and z differs for" in filling.doubts()[0]


def test_parity_of_overlapping_parts_disagrees_with_a_flood() -> None:
    vertices = np.concatenate([CORNERS, CORNERS + np.array([0.5, 0.0, 0.0])])
    filling = voxelize(vertices, np.concatenate([BOX, BOX + 8]), 32, fill="centre").filling
    assert filling is not None
    assert filling.disputed == 0
    assert "centre and flood disagree on" in filling.doubts()[0]


def test_hollow_that_only_a_flood_finds() -> None:
    """A box in a box with a bent way in: no line along an axis sees the inside."""
    dense = np.zeros((15, 15, 15), bool)
    dense[1:14, 1:14, 1:14] = True
    dense[4:11, 4:11, 4:11] = False
    dense[2, 7, 4:13] = dense[2:4, 7, 4] = dense[2, 7:, 12] = False
    hull, flood = ops.hull(dense), ops.fill_holes(dense)
    assert hull[7, 7, 7]
    assert not flood[7, 7, 7]


def test_none_is_the_surface() -> None:
    made = box("none")
    assert made.filling is None
    assert made.grid.count() == 30**3 - 28**3


def test_voxel_size_makes_the_grid_that_the_mesh_needs() -> None:
    made = voxelize(CORNERS * (4.0, 2.0, 1.0), BOX, voxel_size=0.25, fill="centre")
    assert made.grid.spacing == (0.25,) * 3
    assert made.grid.shape == (19, 11, 7)
    assert made.grid.count() in range(15 * 7 * 3, 17 * 9 * 5 + 1)
    middle = np.array(made.grid.origin) + 0.125 * np.array(made.grid.shape)
    assert np.allclose(middle, [2.0, 1.0, 0.5])


def test_bounds_are_the_grid() -> None:
    made = voxelize(CORNERS * 4, BOX, 8, bounds=(0, 0, 0, 2, 1, 0.9), fill="centre")
    assert made.grid.shape == (8, 4, 4)
    assert made.grid.origin == (0, 0, 0)
    assert made.grid.spacing == (0.25,) * 3
    assert made.grid.count() == 8 * 4 * 4  # cut, and full: parity knows the mesh outside
    sized = voxelize(CORNERS, BOX, voxel_size=0.1, bounds=(-1, -1, -1, 2, 2, 2), fill="centre")
    assert sized.grid.shape == (30, 30, 30)
    assert sized.grid.count() == 10**3
    outside = voxelize(CORNERS, BOX, 8, bounds=(5, 5, 5, 6, 6, 6))
    assert outside.grid.count() == 0


def test_up_turns_y_to_z() -> None:
    tall = voxelize(CORNERS * (1.0, 4.0, 2.0) + (0.0, 10.0, 20.0), BOX, voxel_size=0.25, up="y")
    low = np.array(tall.grid.origin) + 0.25
    high = np.array(tall.grid.origin) + 0.25 * (np.array(tall.grid.shape) - 1)
    assert np.allclose(low, [0, -22, 10], atol=0.25)
    assert np.allclose(high, [1, -20, 14], atol=0.25)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fill": "full"}, "fill: expected hull, flood, centre, none, found 'full'"),
        ({"up": "x"}, "up: expected y or z, found 'x'"),
        ({"resolution": 8, "voxel_size": 0.1}, "expected one of them, found both"),
        ({"voxel_size": 0.0}, "voxel size: expected a positive number, found 0.0"),
        ({"voxel_size": float("nan")}, "voxel size: expected a positive number"),
        ({"bounds": (0, 0, 0, 1, 1)}, "bounds: expected six finite numbers"),
        ({"bounds": (0, 0, 0, 1, 1, 0)}, "the lowest corner x y z and a higher one"),
        ({"bounds": (0, 0, 0, 1, 1, 1), "placement": Placement()}, "placement and bounds"),
        ({"voxel_size": 0.1, "margin": -1}, "margin: expected at least 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        voxelize(CORNERS, BOX, **options)


def test_solid_mesh_of_anything_with_faces(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    vertices, faces = CORNERS * 3 + 10, np.delete(BOX, [0, 7], axis=0)
    soup = io.Mesh(vertices, faces)
    io.save_mesh(soup, tmp_path / "soup.ply")
    solid = mvd.solidify(soup, 32)
    for same in (tmp_path / "soup.ply", str(tmp_path / "soup.ply"), (vertices, faces)):
        again = mvd.solidify(same, 32)
        assert np.array_equal(again.vertices, solid.vertices)
        assert np.array_equal(again.faces, solid.faces)
    checked = trimesh.Trimesh(solid.vertices, solid.faces)
    assert checked.is_watertight
    assert checked.is_winding_consistent
    assert checked.volume > 0
    voxel = 3 / 30
    assert np.allclose(checked.bounds, [[10] * 3, [13] * 3], atol=voxel)
    fitted = mvd.solidify((vertices, BOX), voxel_size=0.5, fill="centre", smooth=False)
    assert trimesh.Trimesh(fitted.vertices, fitted.faces).volume == pytest.approx(27, rel=0.02)
    with pytest.warns(UserWarning, match="the mesh is not closed|centre and flood disagree"):
        mvd.solidify(soup, 16, fill="centre")
    with pytest.raises(InputError, match=r"mesh: expected a path, a pair .* found int"):
        mvd.solidify(3)


def test_too_small_a_voxel() -> None:
    with pytest.raises(InputError, match=r"expected at most 8589934592 voxels; a larger voxel"):
        voxelize(CORNERS, BOX, voxel_size=1e-9)
