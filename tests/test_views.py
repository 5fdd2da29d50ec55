import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.views import (
    SUFFIX,
    Camera,
    ViewRecipe,
    Views,
    encode,
    read_views,
    upright,
    upright_grid,
    write_views,
)

SHA = "5a" * 32


def some_views(frame="object"):
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (16, 16, 4), np.uint8) for _ in range(3)]
    cameras = tuple(Camera(10.0 * n, 5.0, 2.0, 30.0) for n in range(3))
    lows = {}
    if frame == "viewer":
        lows = {rule: np.full((3, 4, 4, 1), n, np.uint64) for n, rule in enumerate(RULES)}
    return Views(frame, "y", cameras, encode(pictures), lows), pictures


RULES = ("any", "half", "centre")


@pytest.mark.parametrize("frame", ["object", "viewer"])
def test_what_is_written_comes_back(tmp_path, frame):
    views, pictures = some_views(frame)
    write_views(tmp_path / "a.views.zip", views)
    again = read_views(tmp_path / "a.views.zip")
    assert (again.frame, again.up, again.cameras) == (frame, "y", views.cameras)
    assert len(again) == 3
    for number, picture in enumerate(pictures):
        assert np.array_equal(again.picture(number), picture)
    assert set(again.lows) == set(views.lows)
    assert all(np.array_equal(again.lows[rule], views.lows[rule]) for rule in views.lows)


def test_the_same_views_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_views(tmp_path / name, some_views()[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_cut_short_or_changed_is_an_input_error_or_a_value(tmp_path):
    path = tmp_path / f"a{SUFFIX}"
    write_views(path, some_views("viewer")[0])
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    errors = []
    for number in range(80):
        if number < 40:
            broken = whole[: len(whole) * number // 40]
        else:
            changed = np.frombuffer(whole, np.uint8).copy()
            changed[random.integers(len(changed), size=8)] ^= 255
            broken = changed.tobytes()
        path.write_bytes(broken)
        try:
            views = read_views(path)
            for view in range(len(views)):
                views.picture(view)
        except InputError as error:
            errors.append(str(error))
    assert len(errors) > 40
    assert all("view" in error for error in errors)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": "mvd.views/9"}, "schema"),
        ({"up": "w"}, "up 'w'"),
        ({"cameras": []}, "1 to 1000 cameras"),
        ({"frame": "viewer"}, "low.npz"),
    ],
)
def test_what_a_views_file_says_is_checked(tmp_path, change, told):
    path = tmp_path / "a.views.zip"
    write_views(path, some_views()[0])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["views.json"] = json.dumps(json.loads(members["views.json"]) | change).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=told):
        read_views(path)


def test_a_picture_must_be_square_and_rgba():
    views = some_views()[0]
    tall = encode([np.zeros((8, 16, 4), np.uint8)])
    with pytest.raises(InputError, match="RGBA of 16x8"):
        replace(views, pngs=tall).picture(0)


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_grids_are_stood_upright_as_points_are(up):
    dense = np.zeros((5, 5, 5), bool)
    dense[0, 1, 3] = True
    ((a, b, c),) = np.argwhere(upright_grid(dense, up))
    point = upright(np.array([[0, 1, 3]]) - 2.0, up)[0] + 2
    assert [a, b, c] == point.tolist()
    assert point[2] == {"x": 0, "y": 1, "z": 3}[up]  # the vertical is z now


def test_what_is_drawn_depends_on_seed_shape_and_number_alone():
    recipe = ViewRecipe(count=4)
    camera = recipe.camera(recipe.random(SHA, 1), 0.8)
    assert camera == ViewRecipe(count=9).camera(recipe.random(SHA, 1), 0.8)
    others = [
        recipe.camera(recipe.random(SHA, 2), 0.8),
        recipe.camera(recipe.random("5b" * 32, 1), 0.8),
        recipe.camera(ViewRecipe(seed=1).random(SHA, 1), 0.8),
    ]
    assert camera not in others


def test_a_camera_sees_all_of_the_shape():
    recipe = ViewRecipe()
    for number in range(200):
        camera = recipe.camera(recipe.random(SHA, number), 0.7)
        reach = camera.distance * np.sin(np.radians(camera.field_of_view / 2))
        assert reach >= 0.7 - 1e-9
        assert np.isclose(np.linalg.norm(camera.eye), camera.distance)
    assert Camera(90, 0, 2, 30).eye == pytest.approx([0, 2, 0])
    assert Camera(0, 90, 2, 30).eye == pytest.approx([0, 0, 2])


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"size": 8}, {"size": 4096}, {"frame": "mine"}, {"seed": -1}]
)
def test_a_recipe_that_makes_no_sense(wrong):
    with pytest.raises(UsageError):
        ViewRecipe(**wrong)
