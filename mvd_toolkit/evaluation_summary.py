"""What many rows of an evaluation say together: means with their intervals, tables, best, worst."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from mvd_toolkit import plugins

if TYPE_CHECKING:
    from mvd_toolkit.evaluate import Row

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
EXTREMES: Final = 5
"""How many of the best and of the worst are named."""

_DRAWN: Final = 2**20  # values of a bootstrap in memory at a time


def summarise(rows: Iterable[Row]) -> dict[str, Any]:
    """What an evaluation gave, JSON-able.

    Returns:
        ``count`` and ``failed``: rows scored and not; ``low_rules``; ``metrics`` in order;
        ``methods``: method -> metric -> ``mean``, ``low`` and ``high`` (the 95 % bootstrap interval
        over the items), ``median``, ``count`` of items where it is defined; ``categories``: the
        same for each category; ``seconds``: mean time of each method; ``worst`` and ``best``: the
        items of each method by the first metric.
    """
    done = list(rows)
    good = [row for row in done if not row.error]
    metrics = list(dict.fromkeys(name for row in good for name in row.scores))
    by_method = _group(good, "method")
    categories = {name: part for name, part in sorted(_group(good, "category").items()) if name}
    return {
        "count": len(good),
        "failed": len(done) - len(good),
        "low_rules": sorted({row.low_rule for row in good if row.low_rule}),
        "metrics": metrics,
        "methods": {name: _statistics(part, metrics) for name, part in by_method.items()},
        "categories": {
            category: {n: _statistics(part, metrics) for n, part in _group(rows_, "method").items()}
            for category, rows_ in categories.items()
        },
        "seconds": {
            name: float(np.mean([row.seconds for row in part])) for name, part in by_method.items()
        },
        "worst": {name: _named(part, metrics, 1) for name, part in by_method.items()},
        "best": {name: _named(part, metrics, -1) for name, part in by_method.items()},
    }


def bootstrap(
    values: Sequence[float], resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean; the same values give the same interval.

    >>> bootstrap([1.0, 1.0])
    (1.0, 1.0)
    """
    data = np.asarray(values, np.float64)
    rng = np.random.default_rng(0)
    rows = max(1, _DRAWN // len(data))
    means = [
        data[rng.integers(len(data), size=(min(rows, resamples - done), len(data)))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def markdown(summary: Mapping[str, Any], metrics: Sequence[str] | None = None) -> str:
    """A table of the methods' means, each with its interval's half width, for a paper.

    Args:
        summary: of `summarise`.
        metrics: the columns; by default all.
    """
    names = list(metrics or summary["metrics"])
    rules = ", ".join(summary["low_rules"]) or "none"
    lines = ["| method | low rule | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 2)]
    for method, statistics in summary["methods"].items():
        cells = [_cell(statistics.get(name)) for name in names]
        lines.append(f"| {method} | {rules} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def comma_separated(rows: Iterable[Row]) -> str:
    """The rows as CSV, a column each metric; undefined scores are empty."""
    done = list(rows)
    metrics = list(dict.fromkeys(name for row in done for name in row.scores))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "category", "method", "low_rule", *metrics, "seconds", "error"])
    for row in done:
        scores = [row.scores.get(name, math.nan) for name in metrics]
        cells = ["" if math.isnan(value) else repr(value) for value in scores]
        head = [row.name, row.category, row.method, row.low_rule]
        writer.writerow([*head, *cells, f"{row.seconds:.4f}", row.error])
    return text.getvalue()


def _group(rows: Iterable[Row], attribute: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(getattr(row, attribute), []).append(row)
    return groups


def _statistics(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, dict[str, float | int]]:
    found: dict[str, dict[str, float | int]] = {}
    for name in metrics:
        values = [row.scores[name] for row in rows if math.isfinite(row.scores.get(name, math.nan))]
        if values:
            low, high = bootstrap(values)
            found[name] = {
                "mean": float(np.mean(values)),
                "low": low,
                "high": high,
                "median": float(np.median(values)),
                "count": len(values),
            }
    return found


def worst_first(rows: Iterable[Row], metric: str) -> list[Row]:
    """Rows by a metric, the worst first; those in which it is undefined are left out."""
    sign = -1 if better(metric) == "lower" else 1
    defined = [row for row in rows if math.isfinite(row.scores.get(metric, math.nan))]
    return sorted(defined, key=lambda row: (sign * row.scores[metric], row.name))


def better(metric: str) -> Literal["higher", "lower", "neither"]:
    """Which values of a metric are the better ones; neither, too, where it is not installed."""
    known = plugins.metrics().get(metric.partition(".")[0])
    return known.better if known else "neither"


def _named(rows: Sequence[Row], metrics: Sequence[str], step: int) -> list[dict[str, Any]]:
    """The first of the rows, worst first, or with ``step`` -1 the last, best first."""
    if not metrics:
        return []
    extreme = worst_first(rows, metrics[0])[::step][:EXTREMES]
    return [{"name": row.name, metrics[0]: row.scores[metrics[0]]} for row in extreme]


def _cell(statistics: Mapping[str, float] | None) -> str:
    if statistics is None:
        return "–"
    half = (statistics["high"] - statistics["low"]) / 2
    digits = 3 if abs(statistics["mean"]) >= 0.1 else 4
    return f"{statistics['mean']:.{digits}f} ± {half:.{digits}f}"
