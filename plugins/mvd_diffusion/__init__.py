"""Predictor `diffusion`: samples of depth in place of their mean, by a small denoiser.

A `PredictorSpec`: it trains and loads by itself. ``mvd train DATASET -o RUN --depth diffusion``
takes it for the depths beside a backbone for the silhouettes. Another sample of the same model:
change ``seed`` in its ``depth/config.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvd_toolkit import PredictorSpec, hookimpl


@dataclass(frozen=True)
class DiffusionOptions:
    """Options of the training.

    Attributes:
        steps: of training.
        batch_size: faces in a step.
        lr: learning rate, falling to 0.
        width: channels of the denoiser.
        blocks: residual blocks of it.
        sampling: steps of denoising when predicting.
        seed: of the weights, the order of shapes, and the sample that is drawn.
        low: edge of the low grids, where the dataset has several.
        high: edge of the fine ones.
    """

    steps: int = 4000
    batch_size: int = 24
    lr: float = 1e-3
    width: int = 64
    blocks: int = 6
    sampling: int = 8
    seed: int = 0
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "width", "blocks", "sampling"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.blocks > 64:
            raise ValueError(f"blocks: expected at most 64, found {self.blocks}")


def fit(dataset: Path, run: Path, **options: Any) -> None:
    """Train on a dataset of pairs and write ``config.json`` and weights under ``run``."""
    from mvd_diffusion.training import train

    train(Path(dataset), Path(run), DiffusionOptions(**options))


def load(directory: Path) -> Callable[[Any], Any]:
    """A callable from low grids (B, N, N, N) bool to depths (B, 6, sN, sN) float32."""
    from mvd_diffusion.sampler import Sampler

    return Sampler.load(Path(directory))


@hookimpl
def mvd_register_predictors(register: Callable[[PredictorSpec], None]) -> None:
    """Register the predictor."""
    register(
        PredictorSpec(
            name="diffusion",
            role="depth",
            fit=fit,
            load=load,
            options=DiffusionOptions,
            scales=(2, 4, 8),
            description="samples of depth by a small conditional denoiser",
        )
    )
