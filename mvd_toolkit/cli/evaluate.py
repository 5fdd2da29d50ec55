"""`mvd evaluate`: predictions against truths, or methods on a dataset."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    DeviceOption,
    JsonFlag,
    QuietFlag,
    ThreadsOption,
    output,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mvd_toolkit.cases import Item
    from mvd_toolkit.cli._output import Output
    from mvd_toolkit.evaluate import Row

BASELINES = ("nearest", "gaussian")
"""What a model is compared with when no methods are named."""


def evaluate(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PRED TRUTH | DATASET",
            help="Two grids or meshes, two folders of them, or what is to be upscaled and scored: "
            "a dataset of pairs, or a folder of meshes.",
        ),
    ],
    models: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="A model directory or name; repeat.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="nearest, gaussian:sigma=3, sdf, oracle, default …; repeat."),
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="iou, fscore, chamfer …; repeat.")
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=1, help="Samples of each surface; papers draw 2466.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    split: Annotated[str, typer.Option(help="Of the dataset: train, val, test.")] = "test",
    pairs: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Edges of the grids: 32:256.")
    ] = None,
    low_rule: Annotated[
        Literal["any", "half", "centre", "soft"], typer.Option(help="Which coarse grids.")
    ] = "any",
    resolution: Annotated[
        int, typer.Option(min=8, max=2048, help="Longest edge that two meshes are voxelized at.")
    ] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="So many items, the same ones.")] = None,
    share: Annotated[
        str | None, typer.Option(metavar="I/N", help="Every N-th item from the I-th: 1/4.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Group 1: the category in an item's name.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="PATHs are rows of earlier runs (-o): one table of all.")
    ] = False,
    rows_path: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Rows, JSON lines; a stopped run goes on from there."),
    ] = None,
    on_exists: Annotated[
        Literal["error", "overwrite"], typer.Option(help="When -o holds another evaluation.")
    ] = "error",
    csv: Annotated[Path | None, typer.Option(help="Write the rows as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page to look at, one file.")] = None,
    cards: Annotated[int, typer.Option(min=0, help="Items shown in the report.")] = 8,
    up: Annotated[Literal["x", "y", "z"], typer.Option(help="The vertical, in the report.")] = "z",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=VALUE", help="Exit 7 when the mean is worse: iou=0.8."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Score predictions against truths, or methods on a dataset.

    Folders are matched by name; chair_256.binvox is a prediction of chair.npz too. On a dataset the
    model is compared with nearest and the tuned Gaussian unless methods are named.
    """
    from mvd_toolkit.comparison import DEFAULT_POINTS, Sampling

    out = output(ctx)
    run = Run(
        metrics=tuple(metrics or ()),
        sampling=Sampling(points or DEFAULT_POINTS, seed),
        device=device,
        threads=threads if threads or workers == 1 else 1,
        workers=workers,
        resolution=resolution,
    )
    limits = _limits(fail_under or [])
    items: list[Item] = []
    if merge:
        from mvd_toolkit.evaluation_log import read_rows

        recipe, rows = read_rows(paths)
    else:
        items = _items(paths, split, pairs, low_rule, category, resolution)
        items = _share(items, limit, share)
        if len(paths) == 1:
            run = replace(run, methods=_methods(models or [], methods or []))
        recipe = run.recipe([p.name for p in paths], split, pairs, low_rule)
        rows = _run(out, run, items, recipe, rows_path, on_exists == "overwrite")
    _tell(out, rows, csv, markdown)
    if report is not None:
        from mvd_toolkit.report import write_report

        shown = write_report(
            report, rows, out.summary, items, recipe, run.methods, cards=cards, up=up, device=device
        )
        out.say(f"{report}: {shown} items to look at")
    _raise_failures(rows, single=len(rows) == 1 and not paths[0].is_dir())
    _check_limits(limits, out.summary["methods"])
    out.finish()


@dataclass(frozen=True)
class Run:
    """What is run on each item, and how."""

    metrics: tuple[str, ...]
    sampling: Any
    device: str
    threads: int
    workers: int
    resolution: int = 256
    methods: tuple[str, ...] = field(default=())

    def recipe(
        self, sources: Sequence[str], split: str, pairs: str | None, low_rule: str
    ) -> dict[str, Any]:
        """What decides the rows; machines and processes do not."""
        from mvd_toolkit import __version__
        from mvd_toolkit.evaluate import default_metrics
        from mvd_toolkit.methods import fingerprint

        on_dataset = {"split": split, "pairs": pairs or "", "low_rule": low_rule}
        return {
            "version": __version__,
            "sources": list(sources),
            "methods": {text: fingerprint(text) for text in self.methods},
            "metrics": list(self.metrics or default_metrics()),
            "points": self.sampling.points,
            "seed": self.sampling.seed,
            **(on_dataset if self.methods else {"resolution": self.resolution}),
        }


def _methods(models: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
    from mvd_toolkit.methods import find_method

    texts = [name if name in ("default", "paper") else f"model:{name}" for name in models]
    texts = [*(named or BASELINES), *(texts or ([] if named else ["default"]))]
    labels = [find_method(text).name for text in texts]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        from mvd_toolkit.errors import UsageError

        raise UsageError(
            f"two methods are called {min(twice)}: give one another name, as in "
            "--method other=model:PATH"
        )
    return tuple(texts)


def _items(
    paths: Sequence[Path],
    split: str,
    pairs: str | None,
    low_rule: str,
    category: str | None,
    resolution: int,
) -> list[Item]:
    """What to score: files as given, folders matched by name, a dataset's pairs, shapes."""
    from mvd_toolkit.cases import CATEGORY, find_items
    from mvd_toolkit.cli._pairs import parse_edges
    from mvd_toolkit.errors import InputError, UsageError

    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    pattern = category or CATEGORY
    if len(paths) == 2:
        return _matched(paths[0], paths[1], pattern, resolution)
    if len(paths) > 2:
        raise UsageError(f"expected PRED TRUTH or a DATASET, found {len(paths)} paths")
    edges = parse_edges(pairs) if pairs else [None]
    if len(edges) != 1:
        raise UsageError(f"--pairs: expected one LOW:HIGH, found {pairs!r}")
    found = find_items(paths[0], split=split, edges=edges[0], low_rule=low_rule, category=pattern)
    return found


def _matched(pred: Path, truth: Path, pattern: str, resolution: int) -> list[Item]:
    from mvd_toolkit.cases import MatchedFiles, category_of
    from mvd_toolkit.cli._files import suffixes
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.evaluate import match_by_name
    from mvd_toolkit.sources import find_sources

    if pred.is_dir() != truth.is_dir():
        raise UsageError(
            f"PRED and TRUTH: expected two files or two folders, found {pred} and {truth}"
        )
    if pred.is_file():
        return [MatchedFiles(pred.name, "", pred, truth, resolution)]
    known = suffixes(reads=True)
    matches = match_by_name(
        [source.path for source in find_sources([pred], known)],
        [source.path for source in find_sources([truth], known)],
        (pred, truth),
    )
    return [
        MatchedFiles(m.name, category_of(m.name, pattern), m.pred, m.truth, resolution)
        for m in matches
    ]


def _share(items: list[Item], limit: int | None, share: str | None) -> list[Item]:
    from mvd_toolkit.cases import sample_items
    from mvd_toolkit.errors import UsageError

    if limit is not None:
        items = sample_items(items, limit)
    if share is None:
        return items
    first, _, count = share.partition("/")
    if not (first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
        raise UsageError(f"--share: expected I/N, 1/4 say, found {share!r}")
    return list(itertools.islice(items, int(first) - 1, None, int(count)))


def _run(
    out: Output,
    run: Run,
    items: Sequence[Item],
    recipe: Mapping[str, Any],
    log_path: Path | None,
    overwrite: bool,
) -> list[Row]:
    """Score every item that the log does not hold already; all rows, in the items' order."""
    import contextlib

    from mvd_toolkit.evaluate import evaluate
    from mvd_toolkit.evaluation_log import EvaluationLog
    from mvd_toolkit.methods import PREDICTION, find_method

    names = [find_method(text).name for text in run.methods] or [PREDICTION.name]
    with contextlib.ExitStack() as stack:
        log = None
        if log_path is not None:
            log = stack.enter_context(EvaluationLog(log_path, recipe, overwrite=overwrite))
        left = [item for item in items if not (log and log.is_done(item.name, names))]
        if len(left) < len(items):
            out.say(f"{len(items) - len(left)} of {len(items)} are in {log_path} already")
        rows = {(row.name, row.method): row for row in (log.rows if log else [])}
        progress = stack.enter_context(out.progress(len(left) * len(names), "evaluate"))
        for row in evaluate(
            left,
            run.methods,
            run.metrics or None,
            sampling=run.sampling,
            device=run.device,
            threads=run.threads,
            workers=run.workers,
        ):
            progress.start(f"{row.name} {row.method}")
            progress.finish()
            rows[row.name, row.method] = row
            if log:
                log.add(row)
    return [rows[item.name, name] for item in items for name in names if (item.name, name) in rows]


def _tell(out: Output, rows: Sequence[Row], csv: Path | None, markdown: Path | None) -> None:
    """Tables, files and the document."""
    from mvd_toolkit import evaluation_summary as tables
    from mvd_toolkit.io import atomic

    for row in rows:
        item = row.to_dict()
        out.item({k: v for k, v in item.items() if k not in ("error", "exit_code") or row.error})
    out.summary = summary = tables.summarise(rows)
    single = len(rows) == 1
    if single and not rows[0].error:
        out.facts(rows[0].scores)
    elif not single:
        if len(summary["methods"]) == 1:
            out.table([{"name": r.name, **r.scores} for r in rows if not r.error])
        categories = summary["categories"] if len(summary["categories"]) > 1 else {}
        for title, statistics in (("", summary["methods"]), *categories.items()):
            if title:
                out.data("")
            rule = {"low rule": ", ".join(summary["low_rules"])} if summary["low_rules"] else {}
            out.table(
                [
                    {title or "mean": name, **rule}
                    | {metric: _mean(of, metric) for metric in summary["metrics"]}
                    for name, of in statistics.items()
                ]
            )
    texts = ((csv, tables.comma_separated(rows)), (markdown, tables.markdown(summary)))
    for path, text in texts:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path, overwrite=True) as file:
                file.write(text.encode())


def _mean(statistics: Mapping[str, Mapping[str, float]], metric: str) -> float | None:
    return statistics[metric]["mean"] if metric in statistics else None


def _limits(texts: list[str]) -> dict[str, float]:
    """What ``--fail-under`` asks for: metric and worst mean."""
    from mvd_toolkit import plugins
    from mvd_toolkit.errors import UsageError

    limits = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits[name] = float(value)
        except ValueError:
            raise UsageError(f"--fail-under: expected METRIC=VALUE, found {text!r}") from None
        if limits[name] != limits[name]:
            raise UsageError(f"--fail-under: expected a number, found {text!r}")
        known = plugins.metrics()
        if name not in known:
            raise UsageError(
                f"--fail-under: expected a metric of {', '.join(known)}, found {name!r}"
            )
    return limits


def _check_limits(limits: Mapping[str, float], methods: Mapping[str, Any]) -> None:
    """Compare the means of what is evaluated: the prediction, or the last method named."""
    from mvd_toolkit import plugins
    from mvd_toolkit.errors import ThresholdError, UsageError

    for name, limit in limits.items():
        statistics = methods[list(methods)[-1]] if methods else {}
        if name not in statistics:
            raise UsageError(f"--fail-under: {name} was not computed; --metric {name} does")
        mean = statistics[name]["mean"]
        if plugins.metric(name).better == "lower":
            if not mean <= limit:
                raise ThresholdError(f"{name}: expected at most {limit:g}, found {mean:.6g}")
        elif not mean >= limit:
            raise ThresholdError(f"{name}: expected at least {limit:g}, found {mean:.6g}")


def _raise_failures(rows: Sequence[Row], single: bool) -> None:
    from mvd_toolkit.errors import BatchError, MVDError

    failed = [row for row in rows if row.error]
    if failed and single:
        kinds = {kind.exit_code: kind for kind in MVDError.__subclasses__()}
        raise kinds.get(failed[0].exit_code, MVDError)(failed[0].error)
    if failed:
        lines = "".join(f"\n  {row.name}, {row.method}: {row.error}" for row in failed[:20])
        more = f"\n  and {len(failed) - 20} more" if len(failed) > 20 else ""
        raise BatchError(f"{len(failed)} of {len(rows)} failed:{lines}{more}")
