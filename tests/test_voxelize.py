"""`voxelize_surface` against the reference and against clipping in exact fractions; the fit."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvd_toolkit import _core, reference, reference_mesh
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.mesh_frame import Placement
from mvd_toolkit.voxelize import make_pair, pair_of, voxelize

TRIANGLE = np.array([[0, 1, 2]])


def surface(vertices, faces, shape, threads=1):
    """(X, Y, Z) bool, bad, degenerate."""
    vertices = np.ascontiguousarray(vertices, np.float64).reshape(-1, 3)
    faces = np.ascontiguousarray(faces, np.int64).reshape(-1, 3)
    packed, bad, degenerate = _core.voxelize_surface(vertices, faces, *shape, threads)
    dense = _core.unpack(packed[None], shape[2])
    assert (_core.pack(dense) == packed).all(), "bits past Z are set"
    return dense[0], bad, degenerate


def voxels(dense):
    return set(map(tuple, np.argwhere(dense).tolist()))


def box(low, high):
    """The voxels of a block, both corners included."""
    return set(product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))))


def meets_by_clipping(triangle, index):
    """Whether a triangle meets the closed cube of a voxel: what is left after six clips."""
    polygon = [tuple(map(Fraction, vertex)) for vertex in triangle]
    for axis, side in product(range(3), (-1, 1)):
        wall = index[axis] + (side + 1) // 2

        def depth(point, axis=axis, side=side, wall=wall):
            return side * (wall - point[axis])

        clipped = []
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            if depth(a) >= 0:
                clipped.append(a)
            if depth(a) * depth(b) < 0:
                t = depth(a) / (depth(a) - depth(b))
                clipped.append(tuple(p + t * (q - p) for p, q in zip(a, b, strict=True)))
        polygon = clipped
    return bool(polygon)


@st.composite
def meshes(draw):
    """A small grid's shape and a few triangles: generic, on the lattice of voxels, huge, flat."""
    shape = draw(st.tuples(*[st.integers(1, 6)] * 3))
    coordinate = draw(
        st.sampled_from(
            [
                st.floats(-2, 8, width=32),
                st.integers(-2, 8).map(float),
                st.integers(-8, 32).map(lambda n: n / 4),
                st.integers(-70, 70).map(float),
                st.floats(-2e5, 2e5),
            ]
        )
    )
    count = draw(st.integers(1, 3))
    vertices = np.array(draw(st.lists(coordinate, min_size=9 * count, max_size=9 * count)))
    vertices = vertices.reshape(-1, 3)
    if draw(st.booleans()):
        vertices[:, draw(st.integers(0, 2))] = draw(coordinate)
    if draw(st.booleans()):
        vertices[draw(st.integers(0, len(vertices) - 1))] = vertices[0]
    return vertices, np.arange(3 * count).reshape(-1, 3), shape


@given(meshes(), st.integers(1, 4))
def test_equals_reference(mesh, threads):
    vertices, faces, shape = mesh
    dense, bad, degenerate = surface(vertices, faces, shape, threads)
    expected, *counts = reference_mesh.voxelize_surface(vertices, faces, shape)
    assert (dense == expected).all()
    assert [bad, degenerate] == counts


@given(meshes())
def test_equals_clipping_in_fractions(mesh):
    vertices, _, shape = mesh
    triangle = np.round(vertices[:3] * reference_mesh.LATTICE_UNIT) / reference_mesh.LATTICE_UNIT
    dense, _, _ = surface(triangle, TRIANGLE, shape)
    expected = {i for i in np.ndindex(*shape) if meets_by_clipping(triangle, i)}
    assert voxels(dense) == expected


def test_vertices_are_rounded_half_to_even_on_the_lattice():
    step = 1 / reference_mesh.LATTICE_UNIT
    for offset, touched in ((-0.5, {1, 2}), (-0.51, {1}), (0.5, {1, 2}), (0.51, {2})):
        point = [[2 + offset * step, 0.5, 0.5]]
        dense, _, _ = surface(point, [[0, 0, 0]], (4, 1, 1))
        assert {x for x, _, _ in voxels(dense)} == touched


@pytest.mark.parametrize(
    ("vertices", "expected"),
    [
        pytest.param([[1.5, 1.5, 1.5]] * 3, box((1, 1, 1), (1, 1, 1)), id="point"),
        pytest.param([[2, 1.5, 1.5]] * 3, box((1, 1, 1), (2, 1, 1)), id="point on a face"),
        pytest.param([[2, 2, 2]] * 3, box((1, 1, 1), (2, 2, 2)), id="point on a corner"),
        pytest.param(
            [[0.5, 1.5, 1.5], [3.5, 1.5, 1.5], [2.5, 1.5, 1.5]],
            box((0, 1, 1), (3, 1, 1)),
            id="segment",
        ),
        pytest.param(
            [[0.5, 0.5, 0.5], [1.5, 1.5, 1.5], [1.5, 1.5, 1.5]],
            box((0, 0, 0), (1, 1, 1)),
            id="diagonal segment through a corner",
        ),
        pytest.param(
            [[0.5, 0.5, 2], [0.5, 3.5, 2], [3.5, 3.5, 2]],
            {(i, j, k) for i, j, k in box((0, 0, 1), (3, 3, 2)) if i <= j + 1},
            id="triangle between two layers, its long side through corners",
        ),
        pytest.param(
            [[-9, 0.5, -9], [-9, 0.5, 30], [30, 0.5, 0]],
            box((0, 0, 0), (3, 0, 3)),
            id="larger than the grid",
        ),
    ],
)
def test_known_shapes(vertices, expected):
    dense, bad, _ = surface(vertices, TRIANGLE, (4, 4, 4))
    assert voxels(dense) == expected
    assert bad == 0


def test_a_thin_far_triangle_leaves_no_gap_in_its_part_of_the_grid():
    dense, _, _ = surface(
        [[-9e5, 1.5, -9e5], [9e5, 1.5, 9e5], [9e5, 1.5, 9e5]], TRIANGLE, (5, 3, 5)
    )
    assert {i for i in voxels(dense) if i[0] == i[2]} == {(k, 1, k) for k in range(5)}
    assert {abs(x - z) for x, _, z in voxels(dense)} == {0, 1}


def test_bad_triangles_are_skipped_and_counted():
    vertices = np.array(
        [[0.5, 0.5, 0.5], [1, 1, 1], [2, 1, 1], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, 1.1e6]]
    )
    good, bad = [[0, 1, 2]], [[0, 1, 3], [4, 1, 2], [5, 1, 2], [-1, 0, 1], [0, 1, 6]]
    alone, none, _ = surface(vertices, good, (3, 3, 3))
    together, some, _ = surface(vertices, bad[:2] + good + bad[2:], (3, 3, 3))
    assert (none, some) == (0, 5)
    assert (together == alone).all()
    assert alone.any()


def test_degenerate_triangles_are_counted():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [3, 0, 0], [1 + 1e-9, 0, 0]])
    faces = [[0, 1, 2], [0, 1, 3], [1, 1, 1], [0, 2, 2], [1, 2, 4]]
    assert surface(vertices, faces, (4, 4, 4))[1:] == (0, 4)


def test_no_triangles_and_no_voxels():
    assert not surface(np.empty((0, 3)), np.empty((0, 3)), (3, 3, 3))[0].any()
    assert surface(np.zeros((3, 3)), TRIANGLE, (1, 1, 70))[0].sum() == 1


def test_every_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(7)
    shape = (67, 41, 130)
    starts = rng.uniform(-5, 1.1, (300, 1, 3)) * shape
    vertices = (starts + rng.normal(0, 12, (300, 3, 3))).reshape(-1, 3)
    vertices[:90] *= 4
    faces = np.arange(900).reshape(-1, 3)
    alone, _, _ = surface(vertices, faces, shape, 1)
    assert alone.any()
    for threads in (2, 3, 5, 0):
        assert (surface(vertices, faces, shape, threads)[0] == alone).all()


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((3, 2)), TRIANGLE, "vertices: expected 3 columns, found 2"),
        (np.zeros((3, 3)), np.zeros((1, 4), np.int64), "faces: expected 3 columns, found 4"),
        (np.zeros(3), TRIANGLE, "vertices: expected 2 axes, found 1"),
    ],
)
def test_core_names_a_wrong_shape(vertices, faces, message):
    with pytest.raises(_core.CoreError, match=message):
        _core.voxelize_surface(vertices, faces, 2, 2, 2)


# The fit ------------------------------------------------------------------------------------------

CUBE_VERTICES = np.array(list(product((0.0, 1.0), repeat=3)))
CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


@pytest.mark.parametrize("resolution", [3, 8, 33])
@pytest.mark.parametrize("margin", [0, 1])
def test_fitted_cube_fills_all_but_the_margin(resolution, margin):
    made = voxelize(CUBE_VERTICES * 5 + 100, CUBE_FACES, resolution, fill="none", margin=margin)
    inner = resolution - 2 * margin
    expected = np.zeros((resolution,) * 3, bool)
    room = slice(margin, margin + inner)
    expected[room, room, room] = True
    core = slice(margin + 1, margin + inner - 1)
    expected[core, core, core] = False
    assert (made.grid.dense() == expected).all()
    assert (made.report.triangles, made.report.bad, made.report.degenerate) == (12, 0, 0)


def test_fit_keeps_aspect_and_records_the_transform():
    size = np.array([4.0, 1.0, 2.0])
    grid = voxelize(CUBE_VERTICES * size - 7, CUBE_FACES, 40, fill="none", margin=2).grid
    occupied = np.argwhere(grid.dense())
    low = grid.origin + np.array(grid.spacing) * occupied.min(axis=0)
    high = grid.origin + np.array(grid.spacing) * (occupied.max(axis=0) + 1)
    assert len(set(grid.spacing)) == 1
    assert occupied.min() == 2
    assert occupied.max() == 37
    assert (low <= -7).all()
    assert (high >= size - 7).all()
    assert (np.abs(high - low - size) <= 2 * grid.spacing[0]).all()
    np.testing.assert_allclose((low + high) / 2, size / 2 - 7, rtol=0, atol=1e-9)


def test_unused_and_bad_vertices_do_not_move_the_fit():
    stray = np.vstack([CUBE_VERTICES, [[50, 50, 50], [np.nan, 0, 0], [99, 0, 0]]])
    faces = np.vstack([CUBE_FACES, [[0, 1, 9], [0, 8, 9], [0, 1, 77]]])
    clean = voxelize(CUBE_VERTICES, CUBE_FACES, 9, fill="none")
    dirty = voxelize(stray, faces, 9, fill="none")
    assert dirty.grid == clean.grid
    assert (dirty.report.triangles, dirty.report.bad) == (15, 3)


def test_a_point_is_a_mesh():
    made = voxelize([[5, 6, 7]], [[0, 0, 0]], 3, fill="none")
    assert voxels(made.grid.dense()) == {(1, 1, 1)}
    assert made.grid.spacing == (1.0, 1.0, 1.0)
    assert made.report.degenerate == 1


def test_nothing_usable_is_an_error_with_counts():
    vertices = [[0, 0, np.nan], [0, 1, 0], [1, 0, 0]]
    message = (
        "found none: of 3 triangles 1 name a vertex that does not exist and 2 have one that is "
        "not finite"
    )
    with pytest.raises(InputError, match=message):
        voxelize(vertices, [[0, 1, 2], [0, 0, 0], [0, 1, 3]])
    with pytest.raises(InputError, match="of 0 triangles"):
        voxelize(np.empty((0, 3)), np.empty((0, 3), int))
    with pytest.raises(InputError, match="extent is not finite"):
        voxelize([[-1e308, 0, 0], [1e308, 0, 0], [0, 1, 0]], TRIANGLE)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        ([[0, 0]], TRIANGLE, r"vertices: expected numbers of shape \(V, 3\)"),
        ([["a", "b", "c"]], TRIANGLE, r"vertices: expected numbers of shape \(V, 3\)"),
        (CUBE_VERTICES, [[0, 1, 2, 3]], r"faces: expected integers of shape \(F, 3\)"),
        (CUBE_VERTICES, [[0.0, 1.0, 2.0]], r"faces: expected integers of shape \(F, 3\)"),
    ],
)
def test_arrays_that_are_no_mesh(vertices, faces, message):
    with pytest.raises(InputError, match=message):
        voxelize(vertices, faces)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": "solid"}, "fill: expected hull, flood, centre, none, found 'solid'"),
        ({"resolution": 2}, "resolution: expected at least 3, as the margin takes 1 on each side"),
        ({"margin": -1}, "margin: expected at least 0, found -1"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=message):
        voxelize(CUBE_VERTICES, CUBE_FACES, **options)


def test_hull_makes_a_closed_surface_solid():
    made = voxelize(CUBE_VERTICES, CUBE_FACES, 17)
    expected = np.zeros((17,) * 3, bool)
    expected[1:16, 1:16, 1:16] = True
    assert (made.grid.dense() == expected).all()


# Pairs --------------------------------------------------------------------------------------------


def test_pair_is_one_shape_under_every_rule():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles), 0.2 * np.cos(3 * angles)], axis=1)
    vertices = np.vstack([ring, [[0, 0, 0.7], [0, 0, -0.7]]])
    faces = [[i, (i + 1) % 40, tip] for i in range(40) for tip in (40, 41)]
    pair = make_pair(vertices, faces, low=12, scale=5)
    high = voxelize(vertices, faces, 60).grid
    assert pair.high == high
    assert (pair.odms == reference.extract_odms(high.dense())).all()
    for rule, low in (("any", pair.low), ("half", pair.low_half), ("centre", pair.low_centre)):
        expected = reference.hull(reference.pool(high.dense(), 5, rule))
        assert (low.dense() == expected).all()
        assert low.origin == high.origin
        np.testing.assert_allclose(low.spacing, 5 * np.array(high.spacing))
    assert pair.low.count() > pair.low_half.count() > 0
    assert pair.report.triangles == 80


@pytest.mark.parametrize("sizes", [{"low": 0}, {"scale": 0}])
def test_pair_sizes_that_make_no_sense(sizes):
    with pytest.raises(UsageError, match="expected low and scale of at least 1"):
        make_pair(CUBE_VERTICES, CUBE_FACES, **sizes)


def test_a_pair_of_a_mesh_is_the_pair_of_its_surface() -> None:
    vertices, faces = (
        [[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]],
        [[0, 1, 2], [0, 1, 3], [1, 2, 3]],
    )
    surface = voxelize(vertices, faces, 16, fill="none")
    by_mesh, by_grid = make_pair(vertices, faces, 4, 4), pair_of(surface.grid, 4)
    for name in ("high", "low", "low_half", "low_centre"):
        one, other = getattr(by_mesh, name), getattr(by_grid, name)
        assert one.count() > 0
        assert (one.dense() == other.dense()).all()
        assert (one.origin, one.spacing) == (other.origin, other.spacing)
    assert (by_mesh.odms == by_grid.odms).all()
    assert by_mesh.report == surface.report


# Placement

BOARD = np.array([[0, 0, 0], [4, 0, 0], [0, 2, 0], [0, 0, 1]], float)
BOARD_FACES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])


def extent(grid):
    """First and last occupied voxel along each axis."""
    inside = np.argwhere(grid.dense())
    return inside.min(axis=0), inside.max(axis=0)


def test_a_placed_mesh_has_its_share_of_the_room():
    whole = voxelize(BOARD, BOARD_FACES, 66).grid
    half = voxelize(BOARD, BOARD_FACES, 66, placement=Placement(0.5)).grid
    low, high = extent(whole)
    assert (high - low + 1).tolist()[0] == 64
    low, high = extent(half)
    assert abs((high - low + 1)[0] - 32) <= 1
    assert half.spacing[0] == pytest.approx(2 * whole.spacing[0])


@pytest.mark.parametrize(("at", "first"), [(0.0, 1), (1.0, 65 - 32)])
def test_a_placed_mesh_lies_where_it_is_put_within_the_margin(at, first):
    grid = voxelize(BOARD, BOARD_FACES, 66, placement=Placement(0.5, (at, at, at))).grid
    low, high = extent(grid)
    assert low.min() >= 1
    assert high.max() <= 64
    assert abs(low[0] - first) <= 1
    world = np.array(grid.origin) + np.array(grid.spacing) * low
    assert np.allclose(world, 0, atol=1.01 * grid.spacing[0])  # the place in the world stays


def test_filling_the_middle_is_what_happens_without_a_placement():
    assert voxelize(BOARD, BOARD_FACES, 20).grid == (
        voxelize(BOARD, BOARD_FACES, 20, placement=Placement(1.0, (0.5, 0.5, 0.5))).grid
    )


@pytest.mark.parametrize("values", [(0.0,), (1.5,), (0.5, (0.5, 0.5, 1.5)), (float("nan"),)])
def test_impossible_placements_are_usage_errors(values):
    with pytest.raises(UsageError, match="expected a share above 0 and at most 1"):
        Placement(*values)
