"""One step of training: weights, their average, gradients that are none."""

import pytest
import torch

from mvd_toolkit.learner import Learner
from mvd_toolkit.parallel import Parallel
from mvd_toolkit.training_batches import Batch
from mvd_toolkit.training_settings import PRESETS, make_settings


class Line(torch.nn.Module):
    """One weight; its loss is the weight times the first depth."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def loss(self, low, rule_index, odms, faces):
        loss = (self.weight * odms.flatten()[0]).sum()
        return loss, {"loss": float(loss.detach())}


def learn(settings, depths):
    learner = Learner("depth", Line(), settings, Parallel(torch.device("cpu")))
    figures = []
    for step, depth in enumerate(depths):
        odms = torch.full((1, 6, 4, 4), float(depth))
        low = torch.zeros(1, 1, 1, 1, dtype=torch.bool)
        figures.append(learner.step(Batch(low, torch.zeros(1).long(), odms), step, 0.1))
    return learner, figures


def test_the_average_follows_the_weights():
    learner, _ = learn(make_settings(ema=0.9, weight_decay=0.0, clip=1.0), [1.0] * 30)
    weight, average = learner.predictor.weight.item(), learner.average.weight.item()
    assert weight == pytest.approx(1 - 30 * 0.1, abs=1e-3)
    assert weight < average < 1


def test_without_averaging_the_average_is_the_weights():
    learner, _ = learn(PRESETS["paper"], [1.0] * 3)
    assert torch.equal(learner.predictor.weight, learner.average.weight)


def test_a_gradient_that_is_not_finite_is_skipped_and_told():
    learner, figures = learn(make_settings(weight_decay=0.0), [float("nan"), 1.0])
    assert [line["skipped"] for line in figures] == [1.0, 0.0]
    assert learner.predictor.weight.item() == pytest.approx(0.9)
