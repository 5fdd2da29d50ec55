"""What every predictor must satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.options import parse_options
from mvd_toolkit.specs import PredictorSpec
from mvd_toolkit.testing.declaration import check_declaration
from mvd_toolkit.testing.tiny_dataset import make_tiny_dataset


def check_predictor(
    spec: PredictorSpec, directory: str | Path, options: Mapping[str, Any] | None = None
) -> None:
    """Check that a predictor keeps the contract of `PredictorSpec`.

    Makes a tiny dataset, fits on it, loads what was written, and checks the answer's shape, type
    and range, that it is the same twice, and that it is the same after loading again.

    Args:
        spec: the predictor.
        directory: an empty folder to work in.
        options: those to fit with.

    Raises:
        AssertionError: what is broken.
    """
    import torch

    check_declaration(spec)
    scale = min(spec.scales)
    dataset, run = Path(directory) / "dataset", Path(directory) / "run"
    make_tiny_dataset(dataset, low=8, scale=scale)
    run.mkdir(parents=True, exist_ok=True)
    spec.fit(dataset, run, **parse_options(spec, options or {}))
    low = torch.zeros(2, 8, 8, 8, dtype=torch.bool)
    low[0, 2:6, 2:6, 2:6] = True
    low[1, 1:3, 2:7, 4] = True
    first, again = spec.load(run), spec.load(run)
    answer = first(low)
    edge = 8 * scale
    assert tuple(answer.shape) == (2, FACE_COUNT, edge, edge), (
        f"{spec.name}: expected shape {(2, FACE_COUNT, edge, edge)}, found {tuple(answer.shape)}"
    )
    assert answer.dtype == torch.float32, f"{spec.name}: expected float32, found {answer.dtype}"
    assert bool(torch.isfinite(answer).all()), f"{spec.name}: the answer is not finite"
    if spec.role == "silhouette":
        inside = bool(((answer >= 0) & (answer <= 1)).all())
        assert inside, f"{spec.name}: expected probabilities between 0 and 1"
    assert torch.equal(first(low), answer), f"{spec.name}: two calls differ"
    assert torch.equal(again(low), answer), f"{spec.name}: loaded twice, the answers differ"
