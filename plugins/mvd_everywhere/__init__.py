"""Predictor `everywhere`: a silhouette that takes nothing away.

The depths of a view predictor are distributions in which background counts as the farthest depth,
so they carve holes and outlines by themselves. ``--silhouette everywhere`` leaves all of it to
them: there is no network to train, to ship or to run for the silhouettes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mvd_toolkit import PredictorSpec, hookimpl

if TYPE_CHECKING:
    import torch

CONFIG: Final = "config.json"
_FACES: Final = 6


@dataclass(frozen=True)
class EverywhereOptions:
    """Options of ``fit``.

    Attributes:
        low: edge of the low grids, where the dataset has several.
        high: edge of the fine ones.
    """

    low: int | None = None
    high: int | None = None


def fit(dataset: Path, run: Path, **options: Any) -> None:
    """Write ``config.json``, the scale of the dataset's pairs, under ``run``."""
    from mvd_toolkit.data import edges_of

    known = EverywhereOptions(**options)
    low, high = edges_of(dataset, known.low, known.high)
    (Path(run) / CONFIG).write_text(json.dumps({"scale": high // low}) + "\n")


def load(directory: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """A callable from low grids (B, N, N, N) bool to ones (B, 6, sN, sN) float32."""
    import torch

    scale = int(json.loads((Path(directory) / CONFIG).read_text())["scale"])

    def everywhere(low: torch.Tensor) -> torch.Tensor:
        fine = scale * low.shape[-1]
        return torch.ones(1, device=low.device).expand(len(low), _FACES, fine, fine)

    return everywhere


@hookimpl
def mvd_register_predictors(register: Callable[[PredictorSpec], None]) -> None:
    """Register the predictor."""
    register(
        PredictorSpec(
            name="everywhere",
            role="silhouette",
            fit=fit,
            load=load,
            options=EverywhereOptions,
            description="a silhouette that takes nothing away: depths alone carve",
        )
    )
