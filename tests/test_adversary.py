"""An adversary tells pictures apart, and who listens to it stops being grey."""

from __future__ import annotations

import pytest
import torch

from mvd_toolkit.adversary import Adversary
from mvd_toolkit.parallel import Parallel

ALONE = Parallel(torch.device("cpu"))


def half_planes(count: int) -> torch.Tensor:
    """(count, 1, 16, 16): black left of some column, white right of it."""
    columns = torch.randint(4, 12, (count, 1, 1, 1))
    return (torch.arange(16) >= columns).float().expand(-1, -1, 16, -1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_it_learns_to_tell_grey_from_true() -> None:
    adversary = Adversary(1.0, 1e-2, ALONE)
    grey, given = torch.full((8, 1, 16, 16), 0.5), torch.ones(8, 1, 16, 16)
    losses = []
    for _ in range(30):
        adversary.judge(grey, half_planes(8), given)
        losses.append(adversary.learn()["critic_loss"])
    assert losses[0] > 1.5
    assert losses[-1] < 0.5
    verdicts = [float(adversary.judge(picture, grey, given)) for picture in (half_planes(8), grey)]
    assert verdicts[0] < verdicts[1]


def test_who_listens_to_it_is_less_grey() -> None:
    # Every column between 4 and 12 is black or white as often: squared error alone asks for grey.
    assert greyness(weight=2.0) < 0.85 * greyness(weight=0.0)


def greyness(weight: float) -> float:
    """How grey a picture is that learned from squared error and an adversary of this weight."""
    logits = torch.nn.Parameter(torch.zeros(8, 1, 1, 16))
    optimiser = torch.optim.Adam([logits], lr=0.1)
    adversary, given = Adversary(weight, 1e-2, ALONE), torch.ones(8, 1, 16, 16)
    mean = torch.stack([half_planes(1)[0] for _ in range(500)]).mean(dim=0)
    for _ in range(60):
        picture = logits.sigmoid().expand(-1, -1, 16, -1)
        loss = (picture - mean).square().mean() + adversary.judge(picture, half_planes(8), given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        adversary.learn()
    grey = logits.detach().sigmoid()[..., 4:12]
    return float((grey * (1 - grey)).mean())
