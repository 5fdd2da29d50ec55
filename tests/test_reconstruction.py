import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from viewed_shapes import make_tiny_views, shadow

import mvd_toolkit as mvd
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.reconstruction import (
    Reconstructor,
    check_fit,
    expected_iou,
    solid,
)
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.reconstructor_model import ReconstructorModel
from mvd_toolkit.train_reconstructor import train_reconstructor
from mvd_toolkit.upscale import Upscaled, Upscaler

OPTIONS = {"width": 8, "blocks": 1, "latent": 16}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A reconstructor that has learned a little of boxes and balls, 16³."""
    folder = tmp_path_factory.mktemp("reconstructor")
    data = make_tiny_views(folder / "data")
    result = train_reconstructor(
        data, folder / "run", steps=30, lr=5e-3, batch_size=4, options=OPTIONS, seed=1
    )
    return result.model


@pytest.fixture(scope="module")
def make(tiny_model):
    return Reconstructor.load(tiny_model)


@pytest.fixture
def picture():
    dense = np.zeros((16, 16, 16), bool)
    dense[4:12, 3:9, 2:13] = True
    return shadow(dense)


def test_a_picture_becomes_a_grid_of_the_size_asked_for(make, picture):
    made = make.detailed(picture, 32, threads=1)
    assert made.grid.shape == (32, 32, 32)
    assert made.low.shape == (16, 16, 16)
    assert made.low.coverage is not None
    assert np.array_equal(made.low.dense(), made.low.coverage > make.config.upscale_threshold) or (
        made.low.count() < (made.low.coverage > make.config.upscale_threshold).sum()
    )
    assert made.grid.origin == made.low.origin == (-0.5, -0.5, -0.5)
    assert made.grid.spacing == (1 / 32,) * 3
    assert 0 <= made.confidence <= 1
    assert made.distance is not None
    assert made.cut == "alpha"
    assert {"networks", "upscale"} <= set(made.seconds)


def test_paths_images_and_arrays_are_the_same_picture(make, picture, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    grids = [make(given, 16, threads=1) for given in (path, str(path), Image.open(path), picture)]
    assert all(grid == grids[0] for grid in grids)


def test_the_function_is_the_class(tiny_model, make, picture):
    assert mvd.reconstruct(picture, 16, model=tiny_model, threads=1) == make(picture, 16, threads=1)


def test_looks_of_an_ensemble_are_turned_back(make, picture):
    """A picture that is its own mirror image must get a grid that is its own."""
    symmetric = np.maximum(picture, picture[:, ::-1])
    seen = mvd_cut(symmetric, make)
    chances, _ = make.look(seen, ensemble=True, threads=1)
    axis = "xy".index(make.config.mirror)
    assert np.allclose(chances, np.flip(chances, axis), atol=0.02)
    alone, _ = make.look(seen, threads=1)
    assert not np.allclose(alone, np.flip(alone, axis), atol=0.02)


def mvd_cut(picture, make):
    from mvd_toolkit.image_input import cut_out

    return cut_out(picture, make.config.size)


def test_mirror_makes_a_symmetric_grid(make, picture):
    low = make.detailed(picture, 16, mirror=True, keep_parts=True, threads=1).low.dense()
    axis = "xy".index(make.config.mirror)
    assert np.array_equal(low, np.flip(low, axis))


def test_several_models_vote(tiny_model, make, picture):
    other = ReconstructorModel.load(tiny_model)
    with_noise = other.network.state_dict()
    last = "network.decoder.8.bias"
    name = last if last in with_noise else next(n for n in with_noise if n.endswith("usual"))
    with_noise[name] += 1.0
    other.network.load_state_dict(with_noise)
    both = Reconstructor([ReconstructorModel.load(tiny_model), other], Upscaler.load())
    seen = mvd_cut(picture, make)
    one, _ = make.look(seen, threads=1)
    two, _ = Reconstructor([other], Upscaler.load()).look(seen, threads=1)
    voted, _ = both.look(seen, threads=1)
    assert np.allclose(voted, (one + two) / 2, atol=1e-6)
    assert not np.allclose(one, two, atol=0.05)


def test_a_vote_has_the_weight_that_its_config_says(tiny_model, make, picture):
    torch.manual_seed(0)
    plain = ReconstructorModel.load(tiny_model)
    other = ReconstructorModel.build(replace(plain.config, weight=3.0))
    seen = mvd_cut(picture, make)
    one, _ = make.look(seen, threads=1)
    two, _ = Reconstructor([other], Upscaler.load()).look(seen, threads=1)
    voted, _ = Reconstructor([plain, other], Upscaler.load()).look(seen, threads=1)
    assert np.allclose(voted, (one + 3 * two) / 4, atol=1e-6)
    assert not np.allclose(one, two, atol=0.05)
    with pytest.raises(InputError, match="weight: expected above 0"):
        replace(plain.config, weight=0.0)


def test_a_directory_may_hold_another_that_votes(tiny_model, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(tiny_model, directory)
    shutil.copytree(tiny_model, directory / "voter")
    assert len(Reconstructor.load(directory).models) == 2
    assert len(Reconstructor.load(tiny_model).models) == 1


def test_models_of_other_grids_cannot_vote():
    one = ReconstructorConfig("residual", {})
    with pytest.raises(UsageError, match="expected edge 32 of all, found 16"):
        check_fit([one, replace(one, edge=16)])
    with pytest.raises(UsageError, match="found none"):
        check_fit([])


def test_parts_are_kept_when_asked(make, picture, monkeypatch):
    asked = []

    def upscaled(*_, keep_parts, **__):
        asked.append(keep_parts)
        return Upscaled(mvd.VoxelGrid.from_dense(np.ones((32, 32, 32), bool)), None, {})

    monkeypatch.setattr(make.upscaler, "detailed", upscaled)
    make(picture, 32, threads=1)
    make(picture, 32, keep_parts=True, threads=1)
    assert asked == [False, True]


def test_only_the_largest_part_is_kept():
    chances = np.zeros((8, 8, 8), np.float32)
    chances[1:5, 1:5, 1:5] = chances[7, 7, 7] = 0.9
    config = ReconstructorConfig("residual", {}, edge=8)
    assert solid(chances, config, "any").count() == 64
    assert solid(chances, config, "any", keep_parts=True).count() == 65
    soft = solid(chances, config, "soft")
    assert soft.coverage is not None
    assert soft.coverage.sum() == pytest.approx(64 * 0.9)
    assert solid(np.zeros_like(chances), config, "any").count() == 0


def test_the_expected_iou_is_what_the_promise_was_worth():
    chances = np.zeros((2, 2, 2), np.float32)
    chances[0], chances[1] = 0.8, 0.1
    config = ReconstructorConfig("residual", {}, edge=2)
    promise = 3.2 / (4 + 0.4)
    assert expected_iou(chances, config) == pytest.approx(promise)
    worth = replace(config, calibration=((0.0, 0.0), (1.0, 0.5)))
    assert expected_iou(chances, worth) == pytest.approx(promise / 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"calibration": ((0.0, 0.0), (1.0, 0.1))}, "unsure of the shape: an IoU of 0"),
        ({"familiar": 1e-3}, "unlike those the model learned from"),
    ],
)
def test_doubts_are_told(tiny_model, picture, change, told):
    model = ReconstructorModel.load(tiny_model)
    model.config = replace(model.config, calibration=((0.0, 1.0),), familiar=1e9)
    make = Reconstructor([model], Upscaler.load())
    assert make.detailed(picture, 16, threads=1).notes == ()
    model.config = replace(model.config, **change)
    (note,) = make.detailed(picture, 16, threads=1).notes
    assert told in note


def test_a_busy_background_is_a_note(make):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    made = make.detailed(noise, 16, threads=1)
    assert made.cut == "none"
    assert any("not plain" in note for note in made.notes)


def test_a_size_that_does_not_work_names_those_that_do(make, picture):
    with pytest.raises(UsageError, match=r"these work: .*128"):
        make(picture, 100)


def test_an_empty_picture_is_an_error(make, tmp_path):
    with pytest.raises(InputError, match="nothing but background"):
        make(np.full((64, 64, 3), 255, np.uint8))
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(InputError, match=r"dot\.png: picture of 1x1: expected at least 8"):
        make(tmp_path / "dot.png")


@pytest.fixture
def photo(tmp_path, picture):
    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path)
    return path


def document(capsys):
    return json.loads(capsys.readouterr().out)


def run(*args):
    from mvd_toolkit.cli import run as program

    return program([str(arg) for arg in args])


def test_the_command_writes_a_mesh_and_says_how_sure_it_is(tiny_model, photo, capsys):
    call = ("reconstruct", photo, "-m", tiny_model, "--to", 32, "--threads", 1, "--json")
    assert run(*call) == 0
    (item,) = document(capsys)["items"]
    output = photo.with_name("photo_32.glb")
    assert item["output"] == str(output)
    assert output.read_bytes()[:4] == b"glTF"
    assert item["status"] == "made"
    assert 0 <= item["expected_iou"] <= 1
    assert item["distance"] > 0
    assert run(*call) == 0
    assert document(capsys)["items"][0]["status"] == "skipped"
    assert run(*call, "--ensemble") == 6  # the same name, another recipe


@pytest.mark.parametrize("form", ["stl", "binvox", "npz"])
def test_formats(tiny_model, photo, tmp_path, form):
    output = tmp_path / f"out.{form}"
    args = ("-m", tiny_model, "--to", 16, "--threads", 1)
    assert run("reconstruct", photo, "-o", output, *args) == 0
    if form != "stl":
        assert mvd.load(output).shape == (16, 16, 16)


def test_a_folder_with_a_broken_picture(tiny_model, photo, tmp_path, capsys):
    (photo.parent / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    Image.new("RGB", (40, 40), "white").save(photo.parent / "white.png")
    args = ("-m", tiny_model, "--to", 16, "--threads", 1, "--json")
    assert run("reconstruct", photo.parent, "-o", tmp_path / "out", *args) == 4
    items = {item["input"].rsplit("/", 1)[-1]: item for item in document(capsys)["items"]}
    assert items["photo.png"]["status"] == "made"
    assert "broken" in items["broken.jpg"]["error"]["message"]
    assert "nothing but background" in items["white.png"]["error"]["message"]
    assert not list((tmp_path / "out").glob("white*"))


def test_no_picture_and_no_model(tiny_model, tmp_path, capsys):
    (tmp_path / "a.png").write_text("text")
    assert run("reconstruct", tmp_path / "a.png", "-m", tiny_model) == 3
    assert "expected a picture" in capsys.readouterr().err
    assert run("reconstruct", tmp_path / "none.png", "-m", tiny_model) == 3
    assert "no such file" in capsys.readouterr().err
    assert run("reconstruct", tmp_path / "a.png", "-m", tmp_path / "gone") == 5
    assert "expected a model directory" in capsys.readouterr().err


def test_models_lists_both_kinds(tiny_model, capsys):
    assert run("models", tiny_model, "--json") == 0
    (row,) = document(capsys)["items"]
    assert row["reconstructor"] == "residual"
    assert row["parameters"] > 1000
