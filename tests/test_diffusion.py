import json

import numpy as np
import pytest
import torch
from mvd_diffusion.network import conditions, depths_of, low_depths, offsets_of

from mvd_toolkit import plugins
from mvd_toolkit.data import PairDataset
from mvd_toolkit.errors import UsageError
from mvd_toolkit.model import Model
from mvd_toolkit.options import parse_options
from mvd_toolkit.testing import check_predictor, make_tiny_dataset
from mvd_toolkit.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = plugins.predictor("diffusion")
SMALL = {"width": 16, "blocks": 2, "sampling": 4, "batch_size": 24}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", low=8, scale=4, count=8)


def shapes(dataset):
    """Low grids and true fine depths of the training shapes."""
    pairs = PairDataset(dataset, "train")
    low = torch.from_numpy(np.stack([pairs.low_grid(i).dense() for i in range(len(pairs))]))
    return low, torch.from_numpy(pairs.odms.astype(np.int64))


def test_contract(tmp_path):
    check_predictor(SPEC, tmp_path, {**SMALL, "steps": 3})


def test_offsets_and_depths_are_inverses_within_reach(dataset):
    low, odms = shapes(dataset)
    depths = low_depths(low)
    again = depths_of(offsets_of(odms, depths, 4), depths, 4)
    base = 4 * depths.repeat_interleave(4, -1).repeat_interleave(4, -2)
    near = (odms < 32) & (odms - base < 16)
    assert bool(near.any())
    assert torch.allclose(again[near], odms[near].float(), atol=1e-3)
    assert bool((again[base == 32] == 32).all())


def test_the_conditions_of_a_board_tell_its_thickness():
    low = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    low[0, 2:6, 1:7, 3:5] = True
    seen = conditions(low_depths(low))
    assert seen.shape == (6, 6, 8, 8)
    assert float(seen[0, 1, 4, 4]) == pytest.approx(2 / 8)  # looking along z
    assert float(seen[2, 1, 4, 4]) == pytest.approx(6 / 8)  # along y
    assert float(seen[:, :, 0, 0].abs().max()) == 0


def error(directory, low, odms):
    predicted = SPEC.load(directory)(low)
    return float((predicted - odms)[odms < 32].abs().mean())


def test_training_lowers_the_error_of_its_samples(dataset, tmp_path):
    low, odms = shapes(dataset)
    errors = []
    for steps in (1, 150):
        run = tmp_path / str(steps)
        run.mkdir()
        SPEC.fit(dataset, run, **parse_options(SPEC, {**SMALL, "steps": steps, "lr": 3e-3}))
        errors.append(error(run, low, odms))
    assert errors[1] < 0.7 * errors[0]


def test_another_seed_draws_another_sample_and_an_item_is_its_own(dataset, tmp_path):
    low, _ = shapes(dataset)
    SPEC.fit(dataset, tmp_path, **parse_options(SPEC, {**SMALL, "steps": 2}))
    sample = SPEC.load(tmp_path)
    both = sample(low[:2])
    assert torch.allclose(sample(low[1:2]), both[1:], atol=1e-4)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "seed": 1}))
    assert not torch.allclose(SPEC.load(tmp_path)(low[:2]), both, atol=0.1)


def test_it_serves_in_a_model_beside_a_backbone(dataset, tmp_path):
    options = {"silhouette.width": 8, "depth.steps": 2, "depth.width": 8, "depth.sampling": 2}
    result = train(dataset, tmp_path / "run", depth="diffusion", options=options, steps=1)
    assert Model.load(result.model).config.depth["predictor"] == "diffusion"
    assert result.best_iou is not None


def test_impossible_options_are_usage_errors():
    with pytest.raises(UsageError, match="sampling: expected at least 1, found 0"):
        parse_options(SPEC, {"sampling": "0"})
