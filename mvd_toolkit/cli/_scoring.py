"""What `mvd evaluate` scores, by which methods, and the run over many cases."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mvd_toolkit import __version__, batch
from mvd_toolkit.batch import Outcome
from mvd_toolkit.cases import (
    CATEGORY,
    Case,
    Item,
    MatchedFiles,
    category_of,
    find_items,
    sample_items,
)
from mvd_toolkit.cli import _files
from mvd_toolkit.cli._output import Output
from mvd_toolkit.cli._pairs import parse_edges
from mvd_toolkit.cli._workers import STOPPING, Workers
from mvd_toolkit.comparison import Sampling
from mvd_toolkit.errors import InputError, MVDError, UsageError
from mvd_toolkit.evaluate import Row, ScoreCase, default_metrics, match_by_name
from mvd_toolkit.evaluation_log import EvaluationLog, read_subject
from mvd_toolkit.methods import find_method, fingerprint
from mvd_toolkit.model_config import check_type
from mvd_toolkit.shape_files import listed_shapes
from mvd_toolkit.sources import STDIN, Shard, find_sources

BASELINES = ("nearest", "gaussian")
"""What a model is compared with when no methods are named."""


@dataclass(frozen=True)
class Subject:
    """What the user named to be scored.

    Attributes:
        named: two files or folders; or a dataset, a folder of shapes, or a list of them (``-``).
        files_from: ``--files-from``.
        split: of a dataset.
        pairs: ``--pairs``.
        low_rule: which coarse grids.
        category: ``--category``.
        resolution: longest edge that two meshes are voxelized at.
    """

    named: Sequence[Path]
    files_from: str | None
    split: str
    pairs: str | None
    low_rule: str
    category: str | None
    resolution: int

    @property
    def has_list(self) -> bool:
        """Whether a list is among what was named."""
        return STDIN in self.named

    @property
    def for_methods(self) -> bool:
        """Whether methods are to make the predictions."""
        return len(self.named) == 1 or self.has_list

    @property
    def is_folder(self) -> bool:
        """Whether more than one case may come of it, were there but one now."""
        return self.has_list or self.named[0].is_dir()

    def items(self, limit: int | None, shard: str | None) -> list[Item]:
        """What to score: files as given, folders matched by name, a dataset's pairs, shapes.

        Raises:
            InputError: nothing is there.
            UsageError: what is named makes no sense.
        """
        part = Shard.parse(shard) if shard else None
        items = self._items()
        if limit is not None:
            items = sample_items(items, limit)
        return [item for item in items if part is None or part.holds(item.name)]

    @property
    def sources(self) -> list[str]:
        """What the named files and folders are called."""
        listed = Path(self.files_from or STDIN)
        return [(listed if path == STDIN else path).name for path in self.named]

    @property
    def choice(self) -> dict[str, Any]:
        """What decides the cases of these sources."""
        if not self.for_methods:
            return {"resolution": self.resolution}
        return {"split": self.split, "pairs": self.pairs or "", "low_rule": self.low_rule}

    def to_dict(self) -> dict[str, Any] | None:
        """JSON-able, with whole paths; None when a list on standard input is part of it."""
        if self.has_list and self.files_from in (None, str(STDIN)):
            return None
        named = [str(path if path == STDIN else path.resolve()) for path in self.named]
        listed = self.files_from and str(Path(self.files_from).resolve())
        return {**asdict(self), "named": named, "files_from": listed}

    @classmethod
    def from_dict(cls, values: Any) -> Subject:
        """What `to_dict` gave.

        Raises:
            InputError: it is no such thing.
        """
        try:
            for name in ("split", "low_rule"):
                check_type(values[name], str, name)
            for name in ("files_from", "pairs", "category"):
                check_type(values[name], (str, type(None)), name)
            return cls(**{**values, "named": [Path(name) for name in values["named"]]})
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"expected what the rows are of, found {values!r}") from error

    def _items(self) -> list[Item]:
        paths, listed = _files.split_list(self.named, self.files_from)
        for path in paths:
            if not path.exists():
                raise InputError(f"{path}: no such file or folder")
        pattern = self.category or CATEGORY
        if not self.for_methods:
            if len(paths) != 2:
                raise UsageError(f"expected PRED TRUTH or a DATASET, found {len(paths)} paths")
            return _matched(paths[0], paths[1], pattern, self.resolution)
        edges = parse_edges(self.pairs) if self.pairs else [None]
        if len(edges) != 1:
            raise UsageError(f"--pairs: expected one LOW:HIGH, found {self.pairs!r}")
        return find_items(
            [*paths, *listed_shapes(listed)] if self.has_list else paths[0],
            split=self.split,
            edges=edges[0],
            low_rule=self.low_rule,
            category=pattern,
        )


def _matched(pred: Path, truth: Path, pattern: str, resolution: int) -> list[Item]:
    if pred.is_dir() != truth.is_dir():
        raise UsageError(
            f"PRED and TRUTH: expected two files or two folders, found {pred} and {truth}"
        )
    if pred.is_file():
        return [MatchedFiles(pred.name, "", pred, truth, resolution)]
    known = _files.suffixes(reads=True)
    matches = match_by_name(
        [source.path for source in find_sources([pred], known)],
        [source.path for source in find_sources([truth], known)],
        (pred, truth),
    )
    return [
        MatchedFiles(m.name, category_of(m.name, pattern), m.pred, m.truth, resolution)
        for m in matches
    ]


def methods_of(models: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
    """The methods that ``-m`` and ``--method`` name; baselines and the model by default.

    Raises:
        UsageError: there is no such method, or two have one name.
    """
    texts = [name if name in ("default", "paper") else f"model:{name}" for name in models]
    texts = [*(named or BASELINES), *(texts or ([] if named else ["default"]))]
    labels = [find_method(text).name for text in texts]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise UsageError(
            f"two methods are called {min(twice)}: give one another name, as in "
            "--method other=model:PATH"
        )
    return tuple(texts)


def found_again(log: Path, recipe: Mapping[str, Any]) -> tuple[list[Item], tuple[str, ...]]:
    """The items and methods of an earlier run's rows, for a report that shows them.

    Args:
        log: of that run.
        recipe: of these rows.

    Raises:
        InputError: the shapes or the methods are not where they were, or are others.
    """
    subject = read_subject(log)
    if subject is None:
        raise InputError(f"{log}: does not say where they are")
    try:
        items = Subject.from_dict(subject).items(None, None)
        methods = {text: fingerprint(text) for text in recipe.get("methods", {})}
    except MVDError as error:
        raise InputError(f"{log}: {error}") from error
    if methods != recipe.get("methods", {}):
        raise InputError(f"{log}: a model has changed since")
    return items, tuple(methods)


@dataclass(frozen=True)
class Scoring:
    """How cases are scored.

    Attributes:
        metrics: by name; none: the default ones.
        sampling: of the surfaces.
        device: where networks run.
        threads: of each worker.
        methods: by name; none: the predictions that come with the cases.
    """

    metrics: tuple[str, ...]
    sampling: Sampling
    device: str
    threads: int
    methods: tuple[str, ...] = ()

    def recipe(self, subject: Subject) -> dict[str, Any]:
        """What decides the rows; machines and processes do not."""
        return {
            "version": __version__,
            "sources": subject.sources,
            "methods": {text: fingerprint(text) for text in self.methods},
            "metrics": list(self.metrics or default_metrics()),
            "points": self.sampling.points,
            "seed": self.sampling.seed,
            **subject.choice,
        }

    def run(
        self,
        out: Output,
        workers: Workers,
        items: Sequence[Item],
        recipe: Mapping[str, Any],
        subject: Subject,
        log_path: Path | None,
        overwrite: bool,
    ) -> list[Row]:
        """Score every item that the log does not hold already; all rows, in the items' order.

        Raises:
            Interrupted: a signal came; the items before it are in the log.
        """
        job = ScoreCase.of(
            self.methods, self.metrics or None, self.sampling, self.device, self.threads
        )
        names = [method.name for method in job.found()]
        with contextlib.ExitStack() as stack:
            log = None
            if log_path is not None:
                log = stack.enter_context(
                    EvaluationLog(log_path, recipe, subject=subject.to_dict(), overwrite=overwrite)
                )
            left: list[Item | Case] = [
                item for item in items if not (log and log.is_done(item.name, names))
            ]
            if len(left) < len(items):
                out.say(f"{len(items) - len(left)} of {len(items)} are in {log_path} already")
            rows = log.rows if log else {}
            executor = stack.enter_context(workers.executor())
            progress = stack.enter_context(out.progress(len(left), "evaluate"))

            def tell(outcome: Outcome[Item | Case, list[Row]]) -> None:
                for row in job.rows(outcome):
                    if log:
                        log.add(row)
                    else:
                        rows[row.name, row.method] = row
                _files.say_trace(out, outcome.error)
                progress.finish(outcome.source.name)

            def attempt(item: Item | Case) -> list[Row]:
                progress.start(item.name)
                return job(item)

            function: Any = attempt if executor is None else job
            batch.run(left, function, tell, lambda: out.say(STOPPING), executor)
        return [rows[i.name, name] for i in items for name in names if (i.name, name) in rows]
