import shutil

import numpy as np
import pytest
import torch
from viewed_shapes import make_tiny_views

from mvd_toolkit import ops
from mvd_toolkit.data import PairDataset
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.model import Model
from mvd_toolkit.picture_batches import standard_picture
from mvd_toolkit.predicted_pairs import _UPRIGHT, PredictedPairs
from mvd_toolkit.reconstruction import Reconstructor, solid
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.reconstructor_model import ReconstructorModel
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.train import train
from mvd_toolkit.train_reconstructor import train_reconstructor
from mvd_toolkit.upscale import Upscaler
from mvd_toolkit.view_data import ViewDataset
from mvd_toolkit.views import upright_grid

SMALL = {"batch_size": 4, "validate_every": 5, "seed": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_tiny_views(tmp_path_factory.mktemp("views") / "data", views=3)


@pytest.fixture(scope="module")
def reconstructor(dataset, tmp_path_factory):
    """Trained for a few steps: its grids are wrong, and not empty."""
    options = {"width": 8, "blocks": 1, "latent": 16}
    run = tmp_path_factory.mktemp("reconstructor") / "run"
    return train_reconstructor(dataset, run, steps=8, lr=5e-3, options=options, **SMALL).model


@pytest.fixture(scope="module")
def pairs(dataset, reconstructor):
    return PredictedPairs(dataset, "train", reconstructor)


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_maps_are_turned_upright_as_grids_are(up):
    dense = np.random.default_rng(1).random((6, 6, 6)) < 0.2
    expected = ops.extract_odms(np.ascontiguousarray(upright_grid(dense, up)))
    turned = _UPRIGHT[up].odms(torch.from_numpy(ops.extract_odms(dense).view(np.int16)))
    assert np.array_equal(turned.numpy().view(np.uint16), expected)


def test_a_pair_is_a_predicted_grid_and_the_true_one_upright(dataset, reconstructor, pairs):
    views, truth = ViewDataset(dataset, "train"), PairDataset(dataset, "train")
    assert len(pairs) == 3 * len(views)
    network = ReconstructorModel.load(reconstructor).network
    with torch.inference_mode():
        picture = torch.from_numpy(standard_picture(views, 1, 0, 128))[None]
        chances = network(picture)[0].numpy()
    low = pairs.low_grid(3)  # the second shape's first picture
    inside = low.dense()
    assert inside.any()
    assert np.allclose(low.coverage, np.where(inside, chances, 0), atol=1 / 255)
    assert low.coverage[inside].max() > 0.2
    fine = upright_grid(truth.high_grid(1).dense(), "y")
    assert np.array_equal(pairs.high_grid(3).dense(), fine)
    assert np.array_equal(pairs.fine_odms(np.array([3]))[0], ops.extract_odms(fine.copy()))


def test_a_voter_has_its_say(dataset, reconstructor, pairs, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(reconstructor, both)
    other = ReconstructorModel.build(ReconstructorModel.load(reconstructor).config)
    other.save(both / "voter")
    alone = PredictedPairs(dataset, "train", both / "voter")
    of_both = PredictedPairs(dataset, "train", both)
    expected = (pairs._chances.astype(float) + alone._chances) / 2
    assert np.abs(of_both._chances - expected).max() <= 1
    assert np.abs(alone._chances - expected).max() > 10


def test_pairs_are_the_same_for_the_same_seed(dataset, reconstructor, pairs):
    again = PredictedPairs(dataset, "train", reconstructor)
    assert again.fingerprint == pairs.fingerprint
    assert PredictedPairs(dataset, "train", reconstructor, seed=1).fingerprint != again.fingerprint


def test_what_cannot_be_predicted_is_told(dataset, reconstructor, tmp_path):
    other = ReconstructorModel.build(ReconstructorConfig("residual", {"width": 8}, edge=8))
    other.save(tmp_path / "other")
    with pytest.raises(UsageError, match="expected grids of 16, frame object, found 8"):
        PredictedPairs(dataset, "train", tmp_path / "other")
    with pytest.raises(UnavailableError, match="no model"):
        PredictedPairs(dataset, "train", tmp_path / "nowhere")
    plain = make_tiny_dataset(tmp_path / "plain", low=16, scale=2, count=2)
    with pytest.raises(InputError, match="has no pictures"):
        PredictedPairs(plain, "train", reconstructor)


def test_a_super_resolution_learns_the_grids_of_a_reconstructor(dataset, reconstructor, tmp_path):
    result = train(
        dataset,
        tmp_path / "run",
        silhouette="everywhere",
        predicted_by=str(reconstructor),
        options={"depth.width": 8, "depth.blocks": 1},
        steps=6,
        **SMALL,
    )
    model = Model.load(result.model)
    assert model.config.rules == ("soft",)
    assert not model.config.fusion.keep_coverage
    assert result.best_iou is not None
    shutil.copytree(result.model, reconstructor / "upscaler")
    make = Reconstructor.load(reconstructor)
    assert make.upscaler.model.hash == model.hash
    assert Reconstructor.load(reconstructor, "default").upscaler.model.hash != model.hash
    picture = np.full((40, 40, 3), 255, np.uint8)
    picture[10:30, 12:28] = 90
    made = make.detailed(picture, threads=1)
    assert made.grid.shape == (32, 32, 32)
    likely = solid(made.low.coverage, make.config, "soft")
    expected = Upscaler(model)(likely, low_rule="soft")
    assert np.array_equal(made.grid.packed, expected.packed)


def test_chances_are_a_hint_that_depths_depend_on(dataset, reconstructor, pairs, tmp_path):
    options = {"depth.width": 8, "depth.blocks": 1}
    small = {**SMALL, "silhouette": "everywhere", "options": options}
    run = train(dataset, tmp_path / "run", predicted_by=str(reconstructor), steps=6, **small)
    upscaler = Upscaler.load(run.model)
    grid = pairs.low_grid(0)
    assert grid.coverage is not None
    told = upscaler.predict_odms(grid, "soft", coverage=grid.coverage)
    assert not np.array_equal(told, upscaler.predict_odms(grid, "soft", coverage=0 * grid.coverage))
    base = ops.carve(grid, ops.smooth_odms(told, 0.75), 2, structure_votes=1)
    assert np.array_equal(upscaler(grid, low_rule="soft", fill="none").packed, base.packed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "paper"}, "see bits only"),
        ({"rules": {"any": 1.0}}, "predicted grids have chances"),
    ],
)
def test_settings_that_predicted_grids_do_not_have(dataset, reconstructor, options, message):
    with pytest.raises(UsageError, match=message):
        train(dataset, "unused", predicted_by=str(reconstructor), steps=1, **options)
