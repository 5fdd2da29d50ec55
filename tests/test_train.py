"""Training: it learns, and a run that is stopped, killed or changed."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
import xml.dom.minidom

import pytest
import torch
from runs import metrics, same_files

from mvd_toolkit import plugins
from mvd_toolkit.data import PairDataset
from mvd_toolkit.directory_lock import only_writer
from mvd_toolkit.errors import InputError, OutputExistsError, UnavailableError, UsageError
from mvd_toolkit.features import face_views, first_depth
from mvd_toolkit.model import Model
from mvd_toolkit.silhouette_weights import _boundary
from mvd_toolkit.subvoxel import SubvoxelOptions
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.train import TrainingStopped, train
from mvd_toolkit.training_settings import Settings, make_settings

pytestmark = pytest.mark.usefixtures("one_thread")

DEFAULT = {
    "options": {"width": 8, "blocks": 1, "features.behind": 4},
    "batch_size": 4,
    "validate_every": 5,
    "seed": 3,
}
PAPER = {
    "preset": "paper",
    "options": {"width": 8, "blocks": 1},
    "batch_size": 4,
    "validate_every": 5,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", low=8, scale=4, count=8)


def test_training_lowers_the_loss_and_its_model_predicts(dataset, tmp_path):
    told = []
    result = train(
        dataset,
        tmp_path / "run",
        steps=100,
        lr=1e-2,
        rules={"any": 1.0},
        report=lambda line, done: told.append((line["step"], done)),
        **{**DEFAULT, "validate_every": 25},
    )
    lines = metrics(tmp_path / "run")
    losses = [line for line in lines if "depth_loss" in line]
    assert losses[-1]["depth_loss"] < 0.8 * losses[0]["depth_loss"]
    assert losses[-1]["silhouette_loss"] < 0.8 * losses[0]["silhouette_loss"]
    scores = [line["val_iou"] for line in lines if "val_iou" in line]
    assert len(scores) == 4
    assert result.best_iou == max(scores) > scores[0]
    assert (result.steps, result.best_step % 25) == (100, 0)
    assert told[-1] == (100, 1.0)
    model = Model.load(result.model)
    assert model.config.rules == ("any",)
    low = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    low[:, 2:6, 2:6, 2:6] = True
    with torch.no_grad():
        silhouette, depth = model.silhouette(low, "any"), model.depth(low, "half")
    assert silhouette.shape == depth.shape == (1, 6, 32, 32)
    assert 0 <= float(silhouette.min()) <= float(silhouette.max()) <= 1


@pytest.mark.parametrize("options", [DEFAULT, PAPER], ids=["default", "paper"])
def test_a_stopped_run_ends_as_one_that_was_not(dataset, tmp_path, options):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(dataset, whole, steps=14, **options)

    def stop(line, done):
        if line["step"] == 5 and "val_iou" in line:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingStopped, match="stopped after step 5") as caught:
        train(dataset, parts, steps=14, report=stop, **options)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not (parts / "model").exists()
    torch.manual_seed(999)  # whatever happened in between must not matter
    train(dataset, parts, steps=14, **options)
    assert metrics(parts) == metrics(whole)
    assert same_files(parts / "model", whole / "model")


def test_a_killed_run_goes_on_from_its_checkpoint(dataset, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(dataset, whole, steps=12, **DEFAULT)

    def crash(line, done):
        if line["step"] == 10:
            raise RuntimeError("the lights went out")  # after the line, before the checkpoint

    with pytest.raises(RuntimeError, match="lights"):
        train(dataset, parts, steps=12, report=crash, **DEFAULT)
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "val_')
    train(dataset, parts, resume=True)
    assert metrics(parts) == metrics(whole)
    assert same_files(parts / "model", whole / "model")


def test_a_finished_run_is_left_as_it_is(dataset, tmp_path):
    first = train(dataset, tmp_path / "run", steps=6, **DEFAULT)
    content = {path.name: path.read_bytes() for path in first.model.iterdir()}
    again = train(dataset, tmp_path / "run", steps=6, **DEFAULT)
    assert (again.steps, again.best_iou) == (first.steps, first.best_iou)
    assert {path.name: path.read_bytes() for path in again.model.iterdir()} == content


def test_another_recipe_in_the_same_folder_is_refused(dataset, tmp_path):
    run = tmp_path / "run"
    train(dataset, run, steps=1, **DEFAULT)
    with pytest.raises(OutputExistsError, match=r"lr was 0.001, expected the same, found 0.002"):
        train(dataset, run, steps=1, lr=2e-3, **DEFAULT)
    other = make_tiny_dataset(tmp_path / "other", low=8, scale=4, seed=1)
    with pytest.raises(OutputExistsError, match="its dataset was another"):
        train(other, run, steps=1, **DEFAULT)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "letter.txt").write_text("Dear")
    with pytest.raises(OutputExistsError, match="holds no run"):
        train(dataset, stranger, steps=1, **DEFAULT)


def test_resume_takes_no_settings_and_needs_a_run(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"run\.json is not there"):
        train(dataset, tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="takes its settings from the run"):
        train(dataset, tmp_path / "run", resume=True, steps=3)


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_malformed_state_is_an_input_error_and_runs_nothing(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    train(dataset, run, steps=1, **DEFAULT)
    (run / "state" / "last.pt").write_bytes(b"not a state")
    with pytest.raises(InputError, match=r"last\.pt: is no training state"):
        train(dataset, run, steps=1, **DEFAULT)
    torch.save({"step": Payload()}, run / "state" / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: is no training state"):
        train(dataset, run, steps=1, **DEFAULT)
    assert not (tmp_path / "executed").exists()


TRAIN = """
import json, sys
import torch
from mvd_toolkit.train import train

torch.set_num_threads(1)
train(sys.argv[1], sys.argv[2], steps=30, **json.loads(sys.argv[3]))
"""


def test_killed_for_real_and_resumed_it_ends_as_one_that_was_not(dataset, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(dataset, whole, steps=30, **DEFAULT)
    command = [sys.executable, "-c", TRAIN, str(dataset), str(parts), json.dumps(DEFAULT)]
    process = subprocess.Popen(command)
    until = time.monotonic() + 120
    while not (parts / "state" / "best.pt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (parts / "model").exists()
    train(None, parts, resume=True)
    assert metrics(parts) == metrics(whole)
    assert same_files(parts / "model", whole / "model")
    assert not list(parts.rglob(".*.tmp"))


def test_a_run_that_gets_no_better_ends_early_and_stays_ended(dataset, tmp_path):
    options = {**DEFAULT, "lr": 1e-9, "patience": 2, "steps": 200}
    result = train(dataset, tmp_path / "run", **options)
    assert (result.best_step, result.steps) == (5, 15)
    assert train(dataset, tmp_path / "run", **options).steps == 15


def test_only_one_process_trains_in_a_run(dataset, tmp_path):
    with (
        only_writer(tmp_path / "run"),
        pytest.raises(OutputExistsError, match="another process is writing there"),
    ):
        train(dataset, tmp_path / "run", steps=1, **DEFAULT)


def test_deterministic_is_what_torch_calls_so_while_it_trains(dataset, tmp_path):
    seen = []
    train(
        dataset,
        tmp_path / "run",
        steps=1,
        deterministic=True,
        report=lambda line, done: seen.append(torch.are_deterministic_algorithms_enabled()),
        **DEFAULT,
    )
    assert seen
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_curves_are_drawn(dataset, tmp_path):
    train(dataset, tmp_path / "run", steps=10, **DEFAULT)
    picture = xml.dom.minidom.parse(str(tmp_path / "run" / "curves.svg"))
    curves = picture.getElementsByTagName("polyline")
    texts = [node.firstChild.data for node in picture.getElementsByTagName("text")]
    assert {"depth_loss", "silhouette_loss", "val_iou"} <= set(texts)
    assert all(len(curve.getAttribute("points").split()) >= 2 for curve in curves)


def test_tensorboard_is_told_every_number(dataset, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(dataset, tmp_path / "run", steps=10, board=True, **DEFAULT)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    lines = {line["step"]: line for line in metrics(tmp_path / "run") if "val_iou" in line}
    told = {event.step: event.value for event in events.Scalars("val_iou")}
    assert told == {step: pytest.approx(line["val_iou"]) for step, line in lines.items()}


def depth_error(model, dataset):
    """Mean distance between true and predicted depths of the training shapes, fine voxels."""
    shapes = PairDataset(dataset, "train")
    lows = torch.stack([torch.from_numpy(shapes.low_grid(i).dense()) for i in range(len(shapes))])
    true = torch.from_numpy(shapes.odms.astype("float32"))
    with torch.no_grad():
        return float((model.depth(lows, "any") - true)[true < 32].abs().mean())


@pytest.mark.parametrize("head", ["linear", "log"])
def test_one_depth_a_pixel_is_learned_and_kept_by_the_model(dataset, tmp_path, head):
    options = {"width": 8, "blocks": 1, "train.depth_head": head, "train.validate_every": 99}
    errors = []
    for steps in (1, 80):
        run = tmp_path / str(steps)
        result = train(dataset, run, steps=steps, lr=1e-2, batch_size=7, options=options)
        model = Model.load(result.model)
        errors.append(depth_error(model, dataset))
    assert errors[1] < 0.9 * errors[0]
    assert (model.config.depth["kind"], model.config.depth["domain"]) == ("regression", head)


def silhouette_errors(dataset, run, weights):
    """Error rates of trained silhouettes: of silhouette, of background, near the edge."""
    options = {"width": 8, "blocks": 1, "train.silhouette_weights": weights}
    options["train.validate_every"] = 99
    train(dataset, run, steps=60, lr=1e-2, batch_size=4, options=options, seed=3, rules={"any": 1})
    model = Model.load(run / "model")
    shapes = PairDataset(dataset, "train")
    lows = torch.stack([torch.from_numpy(shapes.low_grid(i).dense()) for i in range(len(shapes))])
    with torch.no_grad():
        predicted = model.silhouette(lows, "any").flatten(0, 1)
    true = torch.from_numpy(shapes.odms.astype("int64")).flatten(0, 1) < 32
    base = torch.stack(list(first_depth(face_views(lows)).flatten(0, 1))) < 8
    asked = base.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    edge = _boundary(true) & asked
    cost = torch.nn.functional.binary_cross_entropy(predicted, true.float(), reduction="none")
    wrong = (predicted > 0.5) != true
    return {
        "rare": float(wrong[asked & ~true].float().mean()),
        "edge": float(cost[edge].mean() / cost[asked].mean()),
    }


def test_weights_lower_the_errors_they_are_for(dataset, tmp_path):
    plain = silhouette_errors(dataset, tmp_path / "plain", "plain")
    balanced = silhouette_errors(dataset, tmp_path / "balanced", "balanced")
    boundary = silhouette_errors(dataset, tmp_path / "boundary", "boundary")
    assert balanced["rare"] < plain["rare"]  # most pixels under a low silhouette are silhouette
    assert boundary["edge"] < plain["edge"]


def test_an_adversary_goes_on_where_it_stopped(dataset, tmp_path):
    options = {**DEFAULT, "adversarial": 0.1}
    train(dataset, tmp_path / "whole", steps=7, **options)

    def crash(line, done):
        if line["step"] == 7:
            raise RuntimeError("the lights went out")

    with pytest.raises(RuntimeError, match="lights"):
        train(dataset, tmp_path / "parts", steps=7, report=crash, **options)
    train(dataset, tmp_path / "parts", resume=True)
    assert same_files(tmp_path / "parts" / "model", tmp_path / "whole" / "model")


def test_more_networks_learn_and_the_model_says_so(dataset, tmp_path):
    size = {**DEFAULT["options"], "subvoxel.width": 8, "subvoxel.blocks": 1}
    size |= {"train.boundary": True, "boundary.width": 8, "boundary.blocks": 2}
    size |= {"boundary.members": 2}
    options = {**DEFAULT, "rules": {"any": 1.0, "soft": 1.0}, "options": size}
    settings = make_settings(epochs=2, **options)
    train(dataset, tmp_path / "run", settings=settings)
    model = Model.load(tmp_path / "run" / "model")
    assert model.config.rules == ("any", "soft")
    assert model.subvoxel is not None
    assert model.subvoxel.options == SubvoxelOptions(8, 1)
    assert model.boundary is not None
    assert model.boundary.options == SubvoxelOptions(8, 2, 2)
    again = make_settings(epochs=1, rules={"soft": 1.0}, start=str(tmp_path / "run" / "model"))
    assert again.options["subvoxel"] == {"width": 8, "blocks": 1, "members": 1, "largest": 0}
    assert again.boundary
    assert again.options["boundary"] == {"width": 8, "blocks": 2, "members": 2, "largest": 0}
    with pytest.raises(UsageError, match="were not pooled"):
        make_settings(boundary=True, predicted_by="reconstruct")
    start = str(tmp_path / "run" / "model")
    assert not make_settings(start=start, predicted_by="reconstruct").more_networks
    old = Settings.from_dict({**settings.to_dict(), "options": {}})
    assert not old.more_networks  # as in the run.json of a version that had none
    scores = [line for line in metrics(tmp_path / "run") if "val_iou_soft" in line]
    assert all(line["val_iou_soft"] > line["val_iou_any"] for line in scores)
    with pytest.raises(UsageError, match="paper predictors see bits only, found soft"):
        make_settings(rules={"soft": 1.0}, **PAPER)


def test_a_run_of_minutes_ends(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", minutes=0.01, **DEFAULT)
    assert result.steps >= 1
    assert result.seconds >= 0.6


def test_epochs_count_every_shape(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", epochs=3, **DEFAULT)
    assert result.steps == 3 * math.ceil(7 / 4)


def test_without_validation_shapes_the_last_weights_are_kept(tmp_path):
    data = make_tiny_dataset(tmp_path / "data", low=8, scale=4, count=4)
    for path in (data / "val").iterdir():
        path.unlink()
    result = train(data, tmp_path / "run", steps=3, **DEFAULT)
    assert (result.best_iou, result.best_step) == (None, 3)
    assert Model.load(result.model).config.scale == 4


def test_no_training_shapes_is_an_input_error(tmp_path):
    data = make_tiny_dataset(tmp_path / "data", low=8, scale=4, count=2)
    for path in (data / "train").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="expected pairs in train, found none"):
        train(data, tmp_path / "run", steps=3, **DEFAULT)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_unavailable(dataset, tmp_path):
    with pytest.raises(UnavailableError, match="device 'cuda:77' cannot be used"):
        train(dataset, tmp_path / "run", steps=1, device="cuda:77", **DEFAULT)


# A predictor that a plugin trains by itself

PLUGIN = """
    import json
    from dataclasses import dataclass
    from pathlib import Path
    from mvd_toolkit.hookspecs import hookimpl
    from mvd_toolkit.specs import PredictorSpec

    @dataclass(frozen=True)
    class Options:
        level: float = 1.0

    def fit(dataset, run, level):
        assert (Path(dataset) / "dataset.json").exists()
        with (Path(run) / "level.json").open("x") as file:
            json.dump(level, file)

    def load(directory):
        import torch
        level = json.loads((Path(directory) / "level.json").read_text())
        return lambda low: torch.full((len(low), 6, 4 * low.shape[-1], 4 * low.shape[-1]), level)

    @hookimpl
    def mvd_register_predictors(register):
        register(
            PredictorSpec(
                name="solid", role="silhouette", fit=fit, load=load, options=Options, scales=(4,)
            )
        )
"""


def test_a_predictor_of_a_plugin_is_fitted_once_beside_a_backbone(dataset, tmp_path, monkeypatch):
    (tmp_path / "solid_plugin.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MVD_PLUGINS", "solid_plugin")
    plugins.reload_plugins()
    arguments = {
        "silhouette": "solid",
        "options": {"silhouette.level": "0.75", "depth.width": "8"},
        "steps": 2,
        "batch_size": 4,
    }
    try:
        result = train(dataset, tmp_path / "run", **arguments)
        assert json.loads((result.model / "silhouette" / "level.json").read_text()) == 0.75
        assert train(dataset, tmp_path / "run", **arguments).steps == 2
        assert Model.load(result.model).config.silhouette["predictor"] == "solid"
        with pytest.raises(UnavailableError, match="'solid' is for silhouette, not for depth"):
            make_settings(depth="solid")
    finally:
        monkeypatch.undo()
        plugins.reload_plugins()


def test_a_run_can_start_from_a_model(dataset, tmp_path):
    first = train(dataset, tmp_path / "first", steps=4, **DEFAULT).model
    small = {"batch_size": 4, "steps": 1, "lr": 1e-9, "seed": 4}
    second = train(dataset, tmp_path / "second", start=str(first), **small).model
    before, after = Model.load(first), Model.load(second)
    assert after.config.depth["features"] == before.config.depth["features"]
    for role in ("silhouette", "depth"):
        known, learned = getattr(before, role).state_dict(), getattr(after, role).state_dict()
        assert all(torch.allclose(learned[name], known[name], atol=1e-3) for name in known)
    other = train(dataset, tmp_path / "other", **{**DEFAULT, **small}).model
    stem = next(iter(before.depth.state_dict()))
    assert not torch.allclose(
        Model.load(other).depth.state_dict()[stem], before.depth.state_dict()[stem], atol=1e-3
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"options": {"depth.width": 16}}, UsageError, "start: the depth network has another"),
        ({"preset": "paper"}, UsageError, "expected a model of kind 'paper'"),
        ({"start": "nowhere"}, UnavailableError, "no model 'nowhere'"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(dataset, tmp_path, options, error, message):
    first = train(dataset, tmp_path / "first", steps=1, **DEFAULT).model
    with pytest.raises(error, match=message):
        train(dataset, tmp_path / "second", steps=1, **{"start": str(first), **options})
    assert not (tmp_path / "second" / "model").exists()
