"""Scores of predictions: of one against its truth, or of methods on a stream of cases.

::

    rows = evaluate(find_items("dataset"), ["nearest", "gaussian", "default"])
    print(markdown(summarise(rows)))
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mvd_toolkit import plugins
from mvd_toolkit.batch import Outcome, run_as_ended
from mvd_toolkit.cases import Case, Item, find_items
from mvd_toolkit.comparison import Comparison, Sampling
from mvd_toolkit.errors import InputError, MVDError, UnavailableError, UsageError
from mvd_toolkit.evaluation_summary import markdown, summarise
from mvd_toolkit.executors import executor_of, threads_each
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.methods import PREDICTION, Method, find_method
from mvd_toolkit.model_config import check_type

__all__ = [
    "Match",
    "Row",
    "ScoreCase",
    "default_metrics",
    "evaluate",
    "find_items",
    "markdown",
    "match_by_name",
    "score",
    "summarise",
]


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
    return score_pair(pair, default_metrics() if metrics is None else metrics)


def score_pair(pair: Comparison, metrics: Iterable[str]) -> dict[str, float]:
    """The named metrics of a comparison; errors as of `score`."""
    scores: dict[str, float] = {}
    for name in metrics:
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
class Row:
    """What one method made of one case.

    Attributes:
        name: the case's.
        method: the method's name.
        category: the case's; empty when unknown.
        low_rule: how the coarse grid was made; empty without one.
        scores: metric -> value; empty when it failed.
        seconds: that the method took, without reading and scoring.
        error: why it failed; empty otherwise.
        exit_code: of that error; 0 when there is none.
    """

    name: str
    method: str = PREDICTION.name
    category: str = ""
    low_rule: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    exit_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """What `to_dict` gave; an undefined score may be null.

        Raises:
            InputError: the values are no row.
        """
        try:
            scores = {k: float("nan" if v is None else v) for k, v in values["scores"].items()}
            for key in ("name", "method", "category", "low_rule", "error"):
                check_type(values.get(key, ""), str, key)
            check_type(values.get("seconds", 0.0), (int, float), "seconds")
            check_type(values.get("exit_code", 0), int, "exit_code")
            return cls(**{**values, "scores": scores})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"expected a row of an evaluation, found {values!r}") from error


def evaluate(
    items: Iterable[Item | Case],
    methods: Sequence[str | Method] = ("nearest", "gaussian", "default"),
    metrics: Sequence[str] | None = None,
    *,
    sampling: Sampling | None = None,
    device: str = "cpu",
    threads: int = 0,
    workers: int | Executor | Any = 1,
) -> Iterator[Row]:
    """Score methods on cases, one after the other: a row for each case and method, as it is done.

    Cases are loaded when it is their turn and let go of afterwards. One that fails is a row with an
    error and stops nothing.

    Args:
        items: of `find_items`, or cases.
        methods: names, see `mvd_toolkit.methods`, or methods of one's own; ignored for a case that
            comes with its prediction.
        metrics: as for `score`.
        sampling: as for `score`.
        device: where networks run.
        threads: of each worker; 0: a fair share of the cores of this machine.
        workers: so many processes, 0: one a core; 1: this one; or an executor or a client of Dask,
            as for `upscale_many`. For all but this process methods are names.

    Raises:
        UsageError: no such method.
        UnavailableError: no such metric.
    """
    job = ScoreCase.of(methods, metrics, sampling, device, threads_each(threads, workers))
    with executor_of(workers) as executor:
        if executor is None:
            outcomes = run_as_ended(items, job)
        else:
            items = list(items)
            outcomes = _in_order(items, run_as_ended(items, job, executor))
        for outcome in outcomes:
            yield from job.rows(outcome)


def _in_order(
    items: Iterable[Item | Case], outcomes: Iterator[Outcome[Item | Case, list[Row]]]
) -> Iterator[Outcome[Item | Case, list[Row]]]:
    """The outcomes in the order of the items: each when those before it are there."""
    ended: dict[int, Outcome[Item | Case, list[Row]]] = {}
    for item in items:
        while id(item) not in ended:
            outcome = next(outcomes)
            ended[id(outcome.source)] = outcome
        yield ended.pop(id(item))


@dataclass(frozen=True)
class ScoreCase:
    """Scores methods on one case: what `batch.run` maps over many. Picklable if the methods are.

    Attributes:
        methods: names, or methods.
        metrics: names.
        sampling: as for `score`.
        device: where networks run.
        threads: 0: one a core.
    """

    methods: tuple[str | Method, ...]
    metrics: tuple[str, ...]
    sampling: Sampling
    device: str = "cpu"
    threads: int = 0

    @classmethod
    def of(
        cls,
        methods: Sequence[str | Method],
        metrics: Sequence[str] | None,
        sampling: Sampling | None,
        device: str,
        threads: int,
    ) -> ScoreCase:
        """With the default metrics and sampling where none are named; arguments as of `evaluate`.

        Raises:
            UsageError: no such method.
            UnavailableError: no such metric.
        """
        names = default_metrics() if metrics is None else list(metrics)
        for name in names:
            plugins.metric(name)
        job = cls(tuple(methods), tuple(names), sampling or Sampling(), device, threads)
        job.found()
        return job

    def found(self) -> list[Method]:
        """The methods; that of a prediction when there are none."""
        return [
            m if isinstance(m, Method) else find_method(m, self.device, self.threads)
            for m in self.methods
        ] or [PREDICTION]

    def __call__(self, item: Item | Case) -> list[Row]:
        """A row for each method, or for the prediction that comes with the case.

        Raises:
            MVDError: the case cannot be loaded.
        """
        case = item if isinstance(item, Case) else item.load()
        methods = self.found() if case.prediction is None else [PREDICTION]
        truth = Comparison(case.truth, case.truth, self.sampling, threads=self.threads)
        return [self._row(case, method, truth) for method in methods]

    def rows(self, outcome: Outcome[Item | Case, list[Row]]) -> list[Row]:
        """What became of a case: its rows, or one with the error for each method."""
        if outcome.result is not None:
            return outcome.result
        item, error = outcome.source, outcome.error
        assert error is not None
        return [_failed(item.name, m.name, item.category, "", error) for m in self.found()]

    def _row(self, case: Case, method: Method, truth: Comparison) -> Row:
        try:
            start = time.perf_counter()
            made = method.make(case)
            seconds = time.perf_counter() - start
            scores = score_pair(truth.against(made), self.metrics)
        except (MVDError, OSError, MemoryError) as error:
            return _failed(case.name, method.name, case.category, case.low_rule, error)
        return Row(case.name, method.name, case.category, case.low_rule, scores, seconds)


def _failed(name: str, method: str, category: str, low_rule: str, error: BaseException) -> Row:
    code = error.exit_code if isinstance(error, MVDError) else InputError.exit_code
    text = str(error) or type(error).__name__
    return Row(name, method, category, low_rule, error=text, exit_code=code)


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
