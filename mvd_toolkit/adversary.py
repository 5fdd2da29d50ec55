"""An adversary: a network that learns to tell predicted pictures from true ones.

The field's way to sharp detail (arXiv 1611.07004): beside its own loss a predictor is asked to make
pictures that the adversary takes for true ones. Its pictures are silhouettes or depth offsets,
judged patch by patch together with the coarse silhouette they were made from; hinge loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn

from mvd_toolkit.parallel import Parallel

_WIDTHS: Final = (24, 48, 48)


class PatchCritic(nn.Module):
    """(M, 2, H, W), a picture and what it was made from, to a verdict on each patch."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 2
        for width in _WIDTHS:
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, picture: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """Above 0 where a patch of ``picture`` (M, 1, H, W) looks true."""
        verdict: torch.Tensor = self.layers(torch.cat([picture, given], dim=1))
        return verdict


class Adversary:
    """A critic, its optimiser, and the pictures that it saw last.

    Attributes:
        weight: what the adversarial loss counts in a predictor's loss.
    """

    def __init__(self, weight: float, lr: float, parallel: Parallel) -> None:
        self.weight = weight
        self._critic = PatchCritic().to(parallel.device)
        self._optimiser = torch.optim.Adam(self._critic.parameters(), lr=lr, betas=(0.5, 0.9))
        self._parallel = parallel
        self._seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def judge(
        self, predicted: torch.Tensor, true: torch.Tensor, given: torch.Tensor
    ) -> torch.Tensor:
        """What a predictor's loss gains for pictures that do not look true.

        Args:
            predicted: (M, 1, H, W), 0 to 1; gradients flow into it.
            true: the same of the truth.
            given: the same of what the predictor saw.
        """
        self._seen = (predicted.detach(), true, given)
        self._critic.requires_grad_(False)
        verdict: torch.Tensor = -self._critic(predicted, given).mean()
        self._critic.requires_grad_(True)
        return self.weight * verdict

    def learn(self) -> dict[str, float]:
        """Take one step on the pictures judged last; figures for the log."""
        assert self._seen is not None
        predicted, true, given = self._seen
        self._optimiser.zero_grad(set_to_none=True)
        on_true, on_predicted = self._critic(true, given), self._critic(predicted, given)
        loss = F.relu(1 - on_true).mean() + F.relu(1 + on_predicted).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self._parallel.average_gradients(self._critic.parameters())
        self._optimiser.step()
        return {"critic_loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on."""
        return {"critic": self._critic.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._critic.load_state_dict(state["critic"])
        self._optimiser.load_state_dict(state["optimiser"])
