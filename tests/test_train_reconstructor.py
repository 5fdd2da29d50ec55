import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from runs import metrics
from viewed_shapes import make_tiny_views

from mvd_toolkit.errors import InputError, OutputExistsError, UnavailableError, UsageError
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.reconstructor_model import ReconstructorModel, dice_loss
from mvd_toolkit.reconstructor_settings import PRESETS, make_reconstructor_settings
from mvd_toolkit.train_reconstructor import (
    best_threshold,
    calibrate,
    intersection_over_union,
    promised_iou,
    train_reconstructor,
)
from mvd_toolkit.training_loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "options": {"width": 8, "blocks": 1, "latent": 16},
    "batch_size": 4,
    "validate_every": 5,
    "seed": 3,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_tiny_views(tmp_path_factory.mktemp("views") / "data")


def weights(model):
    return (model / "reconstructor.safetensors").read_bytes()


def test_training_lowers_the_loss_and_its_model_predicts(dataset, tmp_path):
    result = train_reconstructor(dataset, tmp_path / "run", steps=60, lr=5e-3, **SMALL)
    losses = [r["reconstructor_loss"] for r in metrics(tmp_path / "run") if "lr" in r]
    assert losses[-1] < 0.8 * losses[0]
    model = ReconstructorModel.load(result.model)
    assert model.config.edge == 16
    assert model.config.frame == "object"
    assert result.best_iou is not None
    assert model.config.familiar is not None
    promises, scores = zip(*model.config.calibration, strict=True)
    assert sorted(scores) == list(scores)
    assert sorted(promises) == list(promises)
    with torch.inference_mode():
        chances = model.network(torch.rand(2, 3, 128, 128))
    assert chances.shape == (2, 16, 16, 16)
    assert 0 <= float(chances.min()) <= float(chances.max()) <= 1
    assert "7" in (result.model / "README.md").read_text()


def test_a_run_that_was_stopped_ends_as_one_that_was_not(dataset, tmp_path):
    import os
    import signal

    def stop(line, done):
        if line["step"] >= 5:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = train_reconstructor(dataset, tmp_path / "whole", steps=10, **SMALL)
    with pytest.raises(TrainingStopped):
        train_reconstructor(dataset, tmp_path / "cut", steps=10, report=stop, **SMALL)
    rest = train_reconstructor(None, tmp_path / "cut", resume=True)
    assert weights(whole.model) == weights(rest.model)
    with pytest.raises(OutputExistsError, match="another run"):
        train_reconstructor(dataset, tmp_path / "cut", steps=11, **SMALL)


def test_a_model_comes_back_as_it_was(dataset, tmp_path):
    model = ReconstructorModel.build(ReconstructorConfig("residual", SMALL["options"], edge=16))
    model.network.learn_familiar(torch.randn(50, len(model.network.centre)))
    model.save(tmp_path / "model")
    again = ReconstructorModel.load(tmp_path / "model")
    assert again.config == model.config
    assert again.hash == model.hash
    pictures = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        assert torch.allclose(again.network(pictures), model.network(pictures), atol=2e-3)
        assert torch.allclose(
            again.network.distance(pictures), model.network.distance(pictures), 0.1
        )
    with pytest.raises(OutputExistsError):
        model.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"reconstructor": "gone"}, UnavailableError, "needs reconstructor 'gone'"),
        ({"edge": 24}, InputError, "expected shape"),
        ({"options": {"width": 9}}, InputError, "width: expected a multiple of 8"),
        ({"schema": "mvd.model/1"}, InputError, "schema"),
        ({"threshold": 1.5}, InputError, "threshold"),
        ({"calibration": [[1, 2, 3]]}, InputError, "calibration"),
        ({"colour": 1}, InputError, "unknown key 'colour'"),
    ],
)
def test_a_model_directory_that_does_not_fit(tmp_path, change, error, told):
    model = ReconstructorModel.build(ReconstructorConfig("residual", SMALL["options"], edge=16))
    place = model.save(tmp_path / "model")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(error, match=told):
        ReconstructorModel.load(place)


def test_far_features_are_far():
    """Pictures of stripes are known; an empty one and one of other stripes are not alike."""
    model = ReconstructorModel.build(ReconstructorConfig("residual", SMALL["options"], edge=16))
    network = model.network
    stripes = torch.linspace(0, 40, 128).sin().expand(64, 3, 128, 128) / 4 + 0.5
    known = stripes + 0.05 * torch.rand(64, 1, 1, 1)
    with torch.no_grad():
        network.learn_familiar(network.network.features(known))
        near, far = (network.distance(pictures) for pictures in (known, known.mT[:1] ** 4))
    assert float(near.square().mean()) <= 1.01
    assert float(far) > 2 * float(near.max())


def test_scores_and_promises():
    truth = np.zeros((3, 2, 2, 2), bool)
    truth[0, 0] = truth[1, 0, 0] = True
    found = np.zeros_like(truth)
    found[0, 0, 0] = True
    assert intersection_over_union(found, truth).tolist() == [0.5, 0.0, 1.0]
    chances = np.full((1, 2, 2, 2), 0.25, np.float32)
    chances[0, 0] = 0.75
    # Four voxels are taken: 3 of them are right; of the four others one is missed.
    assert promised_iou(chances, 0.5) == pytest.approx([3 / 5])


def test_the_best_threshold_and_the_calibration_of_known_odds():
    random = np.random.default_rng(0)
    chances = random.random((64, 6, 6, 6)).astype(np.float32) ** 2
    truth = random.random(chances.shape) < chances
    best = best_threshold(chances, truth)
    assert 0.2 <= best <= 0.45  # below one half: IoU forgives an extra voxel more than a missed one
    for promise, score in calibrate(chances, truth, best):
        assert promise == pytest.approx(score, abs=0.06)
    worse = calibrate(chances, truth[::-1], best)
    assert all(later > earlier for (_, earlier), (_, later) in pairwise(worse))


def test_dice_loss_is_least_at_the_truth():
    target = (torch.rand(2, 4, 4, 4) < 0.3).float()
    right, wrong = dice_loss(20 * target - 10, target), dice_loss(10 - 20 * target, target)
    assert float(right) < 0.01 < float(wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"preset": "none"}, "expected one of default, paper"),
        ({"backbone": "unet"}, "a reconstructor has none"),
        ({"rules": {"any": 1.0, "half": 1.0}}, "expected one of"),
        ({"options": {"wdith": "8"}}, "no option 'wdith'"),
        ({"epochs": 1, "steps": 1}, "expected one of epochs"),
        ({"colour": 1}, "no setting 'colour'"),
    ],
)
def test_settings_that_make_no_sense(wrong, told):
    with pytest.raises(UsageError, match=told):
        make_reconstructor_settings(**wrong)


def test_the_paper_is_a_preset():
    settings = make_reconstructor_settings("paper", options={"train.batch_size": "8"})
    assert settings.reconstructor == "autoencoder"
    assert settings.batch_size == 8
    assert settings.options["reconstructor"] == {"width": 64, "latent": 256, "kernel": 7}
    assert PRESETS["paper"].ema is None


def test_a_dataset_whose_grids_do_not_fit_the_network(tmp_path):
    data = make_tiny_views(tmp_path / "data", low=12)
    with pytest.raises(UsageError, match=r"residual.*multiples of 32 and 8"):
        train_reconstructor(data, tmp_path / "run", steps=1, **SMALL)
