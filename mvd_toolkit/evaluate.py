"""Scores of a prediction against the truth, for one pair of grids or two folders of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvd_toolkit import plugins
from mvd_toolkit.comparison import Comparison, Sampling
from mvd_toolkit.errors import MVDError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid


def score(
    pred: VoxelGrid,
    truth: VoxelGrid,
    metrics: Iterable[str] | None = None,
    *,
    sampling: Sampling | None = None,
    threads: int = 0,
) -> dict[str, float]:
    """How good a prediction is.

    Both grids are compared voxel by voxel, wherever they lie in the world; lengths are relative to
    the truth. ``docs/evaluation.md`` says what each metric is and when it is undefined (NaN).

    Args:
        pred: (X, Y, Z) grid.
        truth: grid of the same shape.
        metrics: names of metrics, see `mvd_toolkit.plugins.metrics`; None: the default ones.
        sampling: how many points are drawn from the surfaces, and the seed.
        threads: how many to use, 0 for one a core.

    Returns:
        Metric -> value: ``iou``, ``fscore``, ``chamfer`` and others.

    Raises:
        InputError: the shapes differ.
        UnavailableError: no such metric, or a plugin's failed.

    >>> a = VoxelGrid.from_dense([[[1, 1, 0]]])
    >>> b = VoxelGrid.from_dense([[[0, 1, 0]]])
    >>> score(a, b, ["iou", "precision"])
    {'iou': 0.5, 'precision': 0.5}
    """
    pair = Comparison(pred, truth, sampling, threads=threads)
    scores: dict[str, float] = {}
    for name in default_metrics() if metrics is None else metrics:
        spec = plugins.metric(name)
        try:
            value = spec.compute(pair)
        except MVDError:
            raise
        except Exception as error:
            raise UnavailableError(f"metric {name!r} failed: {error!r}") from error
        if isinstance(value, Mapping):
            scores |= {f"{name}.{which}": float(number) for which, number in value.items()}
        else:
            scores[name] = float(value)
    return scores


def default_metrics() -> list[str]:
    """The metrics that are computed when none are named, in the order of a table's columns."""
    return [name for name, spec in plugins.metrics().items() if spec.default]


@dataclass(frozen=True)
class Match:
    """A prediction and the truth that has its name; the missing one is None.

    Attributes:
        name: what both are called, relative to their folders and without suffix.
        pred: file of the prediction.
        truth: file of the truth.
    """

    name: str
    pred: Path | None
    truth: Path | None


def match_by_name(
    pred: Iterable[Path], truth: Iterable[Path], roots: tuple[Path, Path]
) -> list[Match]:
    """Pair the files of two folders by their path without suffix, sorted by it.

    A prediction may carry its size after the truth's name, as `mvd upscale` writes it:
    ``chair_256.binvox`` matches ``chair.npz`` where no ``chair_256`` is among the truths.

    Raises:
        UsageError: two files of one folder have the same name.
    """
    truths = _by_name(truth, roots[1])
    preds: dict[str, Path] = {}
    for name, path in _by_name(pred, roots[0]).items():
        bare = _without_size(name)
        preds_name = name if name in truths or bare not in truths else bare
        if preds_name in preds:
            raise UsageError(
                f"two predictions for {preds_name}: {preds[preds_name]} and {path}; "
                "keep one of them"
            )
        preds[preds_name] = path
    return [Match(name, preds.get(name), truths.get(name)) for name in sorted({*preds, *truths})]


def means(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over several items; empty for none.

    >>> means([{"iou": 0.5}, {"iou": 1.0}])
    {'iou': 0.75}
    """
    rows = list(scores)
    names = rows[0] if rows else {}
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def _by_name(paths: Iterable[Path], root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in found:
            raise UsageError(
                f"two files called {name} in {root}: {found[name].name} and {path.name}; "
                "keep one of them"
            )
        found[name] = path
    return found


def _without_size(name: str) -> str:
    stem, mark, size = name.rpartition("_")
    return stem if mark and size.isdigit() else name
