"""One network while it is trained: its optimiser and the moving average of its weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch

from mvd_toolkit.adversary import Adversary
from mvd_toolkit.model import Predictor
from mvd_toolkit.parallel import Parallel
from mvd_toolkit.training_settings import Settings


class Learnable(Protocol):
    """A batch that a network learns from."""

    def loss_arguments(self, faces: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the network's ``loss`` takes; ``faces`` of each shape are looked at."""


class Learner:
    """A predictor, its optimiser, and its averaged twin, which is what is validated and saved.

    Attributes:
        name: what it is called in logs: silhouette, depth, subvoxel, boundary, reconstructor.
        predictor: the network that takes steps.
        average: the exponential moving average of its weights, in eval mode; without averaging,
            a copy of the weights themselves.
    """

    def __init__(
        self, name: str, predictor: torch.nn.Module, settings: Settings, parallel: Parallel
    ) -> None:
        device = parallel.device
        self.name = name
        self.predictor = predictor.to(device).train()
        self.average = copy.deepcopy(predictor).eval().requires_grad_(False)
        self._settings = settings
        self._optimiser = torch.optim.AdamW(
            self.predictor.parameters(),
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self._adversary = (
            Adversary(settings.adversarial, settings.lr, parallel) if settings.adversarial else None
        )
        self._autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=_uses_bf16(settings.precision, device)
        )
        self._parallel = parallel
        self._loss = parallel.setup(self.predictor, self._optimiser)

    def step(self, batch: Learnable, step: int, rate: float) -> dict[str, float]:
        """Take one step at a learning rate; figures for the log.

        A gradient that is not finite is skipped, and told as ``skipped`` 1.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        more: dict[str, Any] = {"judge": self._adversary.judge} if self._adversary else {}
        arguments, named = batch.loss_arguments(self._settings.faces)
        with self._autocast:
            loss, figures = self._loss(*arguments, **named, **more)
        weight = self._parallel.weight(figures.pop("pixels", 1.0))
        self._parallel.backward(weight * loss)
        limit = self._settings.clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.predictor.parameters(), limit)
        finite = bool(torch.isfinite(norm))
        if finite:
            self._optimiser.step()
        if self._adversary:
            figures |= self._adversary.learn()
        self._follow(step)
        return {**figures, "gradient": float(norm), "skipped": float(not finite)}

    @property
    def averaged(self) -> Predictor:
        """The averaged predictor, for a model."""
        return cast(Predictor, self.average)

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on."""
        return {
            "predictor": self.predictor.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            **({"adversary": self._adversary.state_dict()} if self._adversary else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.predictor.load_state_dict(state["predictor"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._adversary:
            self._adversary.load_state_dict(state["adversary"])

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average towards the weights: fast at first, then with the set decay."""
        decay = min(self._settings.ema, (1 + step) / (10 + step)) if self._settings.ema else 0.0
        mine, theirs = self.average.state_dict(), self.predictor.state_dict()
        for name, value in theirs.items():
            if value.is_floating_point():
                mine[name].lerp_(value, 1 - decay)
            else:
                mine[name].copy_(value)


def _uses_bf16(precision: str, device: torch.device) -> bool:
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bf16"
