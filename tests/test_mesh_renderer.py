"""Pictures of meshes against what the camera must see; without VTK or EGL these are skipped."""

import ctypes.util
import sys

import numpy as np
import pytest

from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.io.mesh import Mesh
from mvd_toolkit.views import Camera, ViewRecipe, upright

pytest.importorskip("vtkmodules")
if sys.platform == "linux" and ctypes.util.find_library("EGL") is None:
    pytest.skip("EGL is not here", allow_module_level=True)

from mvd_toolkit import mesh_renderer

SHA = "7e" * 32

FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 7, 5], [4, 6, 7], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def box(low, high):
    """The eight corners of a box, and its triangles."""
    ends = np.array([low, high], float)
    corners = [[ends[a, 0], ends[b, 1], ends[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    return np.array(corners)


def mesh_of(*boxes):
    return Mesh(np.concatenate(boxes), np.concatenate([FACES + 8 * n for n in range(len(boxes))]))


def projected(points, camera, size):
    """(P, 2) pixels, right and down, of points around the middle that the eye looks at."""
    ahead = -camera.eye / np.linalg.norm(camera.eye)
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    above = np.cross(right, ahead)
    seen = points - camera.eye
    scale = size / 2 / np.tan(np.radians(camera.field_of_view / 2)) / (seen @ ahead)
    return np.stack([size / 2 + seen @ right * scale, size / 2 - seen @ above * scale], axis=1)


def test_the_shape_is_where_the_camera_says():
    """A flat box with a tower on a corner, y up and off the origin, from all around."""
    mesh = mesh_of(box((5, 0, 0), (9, 1, 2)), box((5, 1, 0), (6, 3, 1)))
    views = mesh_renderer.make_views(mesh, "y", ViewRecipe(count=6, size=96), SHA, (32, 256))
    middle = np.array([7, 1.5, 1])
    points = upright((mesh.vertices - middle) / 4, "y")
    for number, camera in enumerate(views.cameras):
        solid = views.picture(number)[..., 3] > 127
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        spots = projected(points, camera, 96)
        assert columns[0] == pytest.approx(spots[:, 0].min(), abs=1.5)
        assert columns[-1] + 1 == pytest.approx(spots[:, 0].max(), abs=1.5)
        assert rows[0] == pytest.approx(spots[:, 1].min(), abs=1.5)
        assert rows[-1] + 1 == pytest.approx(spots[:, 1].max(), abs=1.5)


def test_the_background_is_transparent_and_colours_are_straight():
    mesh = mesh_of(box((0, 0, 0), (1, 1, 1)))
    views = mesh_renderer.make_views(mesh, "z", ViewRecipe(count=3, size=64), SHA, (32, 256))
    for number in range(3):
        picture = views.picture(number).astype(int)
        alpha = picture[..., 3]
        assert alpha[0].max() == 0
        assert alpha[32, 32] == 255
        edge = (alpha > 60) & (alpha < 200)
        assert edge.any()
        # Half-covered pixels are as bright as whole ones, not blended with black.
        inside = picture[alpha == 255][:, :3].max(axis=1)
        assert picture[edge][:, :3].max(axis=1).mean() > 0.6 * np.median(inside)


def test_the_same_shape_gives_the_same_pictures():
    mesh = mesh_of(box((0, 0, 0), (1, 2, 1)))
    recipe = ViewRecipe(count=2, size=48)
    one, two = (mesh_renderer.make_views(mesh, "y", recipe, SHA, (32, 256)) for _ in range(2))
    assert one.pngs == two.pngs
    other = mesh_renderer.make_views(mesh, "y", recipe, "11" * 32, (32, 256))
    assert one.pngs != other.pngs


def test_the_viewers_grids_are_turned_to_the_eye(monkeypatch):
    """A bar along x, seen from +y: the eye looks along it turned, so it lies along y."""
    monkeypatch.setattr(
        ViewRecipe, "camera", lambda self, random, radius: Camera(90.0, 10.0, 4.0, 30.0)
    )
    mesh = mesh_of(box((0, 0, 0), (8, 1, 1)))
    recipe = ViewRecipe(count=1, size=32, frame="viewer")
    views = mesh_renderer.make_views(mesh, "z", recipe, SHA, (8, 32))
    from mvd_toolkit.grid import VoxelGrid

    dense = VoxelGrid(views.lows["any"][0], (8, 8, 8)).dense()
    extent = np.ptp(np.argwhere(dense), axis=0) + 1
    assert extent[1] == 8
    assert max(extent[0], extent[2]) <= 2


def test_vertices_that_no_usable_face_has_do_not_count():
    corners = np.concatenate([box((0, 0, 0), (1, 1, 1)), [[np.nan] * 3, [900, 0, 0]]])
    faces = np.concatenate([FACES, [[0, 1, 8]]])
    recipe = ViewRecipe(count=1, size=48)
    plain = mesh_renderer.make_views(mesh_of(box((0, 0, 0), (1, 1, 1))), "z", recipe, SHA, (8, 32))
    odd = mesh_renderer.make_views(Mesh(corners, faces), "z", recipe, SHA, (8, 32))
    a, b = (views.picture(0)[..., 3] for views in (plain, odd))
    assert np.abs(a.astype(int) - b).mean() < 1
    with pytest.raises(InputError, match="usable triangle"):
        mesh_renderer.make_views(Mesh(corners, [[0, 1, 8]]), "z", recipe, SHA, (8, 32))


def test_without_egl_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.delenv("VTK_DEFAULT_OPENGL_WINDOW", raising=False)
    monkeypatch.setattr(mesh_renderer.sys, "platform", "linux")
    monkeypatch.setattr(mesh_renderer.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(UnavailableError, match="apt install libegl1"):
        mesh_renderer._vtk.__wrapped__()


def test_views_of_a_dataset_are_made_once_and_completed(tmp_path):
    from mvd_toolkit.convert_dataset import convert_dataset
    from mvd_toolkit.data import SPLITS
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.io import save_mesh
    from mvd_toolkit.view_data import ViewDataset

    shapes = tmp_path / "shapes"
    shapes.mkdir()
    for number in range(3):
        save_mesh(mesh_of(box((0, 0, 0), (1, 1 + number, 1))), shapes / f"box{number}.ply")
    out = tmp_path / "data"
    options = {"pairs": [(8, 32)], "split": (1, 0, 0), "workers": 1}
    convert_dataset(shapes, out, **options)
    recipe = ViewRecipe(count=2, size=32)
    report = convert_dataset(shapes, out, views=recipe, **options)
    assert len(report.with_status("made")) == 3
    files = {path: path.read_bytes() for s in SPLITS for path in (out / s).glob("*.views.zip")}
    assert len(files) == 3
    next(iter(files)).unlink()
    report = convert_dataset(shapes, out, views=recipe, **options)
    assert (len(report.with_status("made")), len(report.with_status("skipped"))) == (1, 2)
    assert all(path.read_bytes() == content for path, content in files.items())
    with pytest.raises(UsageError, match="its views were made by"):
        convert_dataset(shapes, out, views=ViewRecipe(count=3, size=32), **options)
    data = ViewDataset(out, "train")
    assert (len(data), data.low, len(data.shapes[0].views)) == (3, 8, 2)
