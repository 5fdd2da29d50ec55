from collections import Counter

import numpy as np
import pytest
import torch

from mvd_toolkit import ops
from mvd_toolkit.conventions import INPUT_RULES, LOW_RULES
from mvd_toolkit.data import PairDataset, write_description
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import write_pair
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.train import _validation_rules
from mvd_toolkit.training_batches import Batches
from mvd_toolkit.training_settings import make_settings
from mvd_toolkit.voxelize import pair_of

ALL = {"any": 1.0, "half": 1.0, "centre": 1.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    return PairDataset(make_tiny_dataset(directory, low=8, scale=4, count=8), "train")


def same(one, two):
    return all(
        torch.equal(getattr(one, name), getattr(two, name))
        for name in ("low", "rule_index", "odms")
    )


def test_a_batch_is_a_function_of_seed_and_step(dataset):
    one = Batches(dataset, 3, seed=1, rules=ALL)
    two = Batches(dataset, 3, seed=1, rules=ALL)
    expected = [one.batch(step) for step in range(6)]
    assert all(same(two.batch(step), expected[step]) for step in (5, 0, 3))
    iterator = two.iterate(2)
    assert all(same(next(iterator), expected[step]) for step in range(2, 6))
    iterator.close()
    assert not same(Batches(dataset, 3, seed=2, rules=ALL).batch(0), expected[0])


def test_shapes_and_types(dataset):
    batch = Batches(dataset, 5, rules=ALL).batch(0)
    assert (batch.low.shape, batch.low.dtype) == ((5, 8, 8, 8), torch.bool)
    assert (batch.rule_index.shape, batch.rule_index.dtype) == ((5,), torch.int64)
    assert (batch.odms.shape, batch.odms.dtype) == ((5, 6, 32, 32), torch.int64)


def test_low_grid_and_odms_are_of_one_shape_however_it_is_turned(dataset):
    # Not *centre*: of an even scale the fine voxel at the centre is one of two, and turns with it.
    batches = Batches(dataset, 7, rules={"any": 1.0, "half": 1.0})
    for step in range(4):
        batch = batches.batch(step)
        for low, rule, odms in zip(batch.low, batch.rule_index, batch.odms, strict=True):
            like = VoxelGrid.from_dense(np.zeros((32, 32, 32), bool))
            high = ops.project_odms(odms.numpy().astype(np.uint16), votes=1, like=like)
            pooled = ops.hull(ops.pool(high, 4, LOW_RULES[int(rule)]))
            assert np.array_equal(pooled.dense(), low.numpy())


def test_soft_batches_tell_how_much_of_each_voxel_is_occupied(dataset):
    batches = Batches(dataset, 7, rules={"any": 1.0, "soft": 1.0})
    for step in range(3):
        batch = batches.batch(step)
        for low, rule, odms, coverage in zip(
            batch.low, batch.rule_index, batch.odms, batch.coverage, strict=True
        ):
            like = VoxelGrid.from_dense(np.zeros((32, 32, 32), bool))
            high = ops.project_odms(odms.numpy().astype(np.uint16), votes=1, like=like)
            soft = INPUT_RULES[int(rule)] == "soft"
            expected = ops.coverage(high, 4).coverage if soft else low.numpy()
            assert np.array_equal(coverage.numpy(), expected)
    assert Batches(dataset, 7, rules=ALL).batch(0).coverage is None


def test_every_shape_comes_up_equally_often(dataset):
    batches = Batches(dataset, 3, augment=False)
    seen = Counter(odms.numpy().tobytes() for step in range(7) for odms in batches.batch(step).odms)
    assert len(seen) == len(dataset) == 7
    assert set(seen.values()) == {3}
    assert batches.steps_per_epoch == 3


def test_augmenting_turns_shapes(dataset):
    plain = Batches(dataset, 7, augment=False).batch(0)
    turned = Batches(dataset, 7, augment=True).batch(0)
    assert not torch.equal(plain.odms, turned.odms)
    assert torch.equal(plain.low.sum(dim=(1, 2, 3)), turned.low.sum(dim=(1, 2, 3)))


def test_rules_come_in_their_proportions(dataset):
    batches = Batches(dataset, 7, rules={"any": 2.0, "centre": 1.0})
    drawn = torch.cat([batches.batch(step).rule_index for step in range(60)])
    counts = torch.bincount(drawn, minlength=3) / len(drawn)
    assert counts[0] == pytest.approx(2 / 3, abs=0.1)
    assert counts[1] == 0


def test_a_shape_that_a_rule_loses_comes_by_the_rule_any(tmp_path):
    dense = np.zeros((16, 16, 16), bool)
    dense[1:15, 1:15, 5] = True  # a sheet: no coarse voxel is half full
    pair = pair_of(VoxelGrid.from_dense(dense), 4)
    assert pair.low_half.count() == 0
    write_pair(tmp_path / "train", "sheet", pair)
    write_description(tmp_path, [(4, 16)])
    batch = Batches(PairDataset(tmp_path, "train"), 2, rules={"half": 1.0}).batch(0)
    assert batch.rule_index.tolist() == [0, 0]
    assert bool(batch.low.flatten(1).any(dim=1).all())


def test_validation_rules_are_fixed_and_in_proportion():
    settings = make_settings(rules={"any": 0.5, "half": 0.25, "centre": 0.25})
    rules = _validation_rules(settings, 16)
    assert rules == _validation_rules(settings, 16)
    assert Counter(rules) == {"any": 8, "half": 4, "centre": 4}
