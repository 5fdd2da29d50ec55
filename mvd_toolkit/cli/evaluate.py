"""`mvd evaluate`: predictions against truths, or methods on a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvd_toolkit.cli._options import (
    DaskOption,
    DebugFlag,
    DeviceOption,
    FilesFromOption,
    JsonFlag,
    QuietFlag,
    ShardOption,
    SlurmOption,
    ThreadsOption,
    WorkersOption,
    output,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mvd_toolkit.cases import Item
    from mvd_toolkit.cli._output import Output
    from mvd_toolkit.evaluate import Row


def evaluate(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PRED TRUTH | DATASET",
            help="Two grids or meshes, two folders of them, or what is to be upscaled and scored: "
            "a dataset of pairs, or a folder of meshes; -: a list of them on stdin.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", help="A model to score, a directory or name; repeat."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="nearest, gaussian:sigma=3, sdf, oracle, default …; repeat."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="iou, fscore, chamfer …; repeat; `mvd plugins` lists them."),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(min=1, help="Samples of each surface. Default: 30000; papers draw 2466."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 0,
    split: Annotated[str, typer.Option(help="Part of the dataset: train, val, test.")] = "test",
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Edges of the coarse and the fine grids. Default: the dataset's; 32:256.",
        ),
    ] = None,
    low_rule: Annotated[
        Literal["any", "half", "centre", "soft"],
        typer.Option(help="How the coarse grids are made."),
    ] = "any",
    resolution: Annotated[
        int, typer.Option(min=8, max=2048, help="Longest edge that two meshes are voxelized at.")
    ] = 256,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Score so many items, always the same ones. Default: all."),
    ] = None,
    files_from: FilesFromOption = None,
    shard: ShardOption = None,
    category: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="What of an item's name is its category: the first group."
        ),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="PATHs are rows of earlier runs (-o): one table of all.")
    ] = False,
    rows_path: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Rows, JSON lines; a stopped run goes on from there."),
    ] = None,
    on_exists: Annotated[
        Literal["error", "overwrite"],
        typer.Option(help="When -o holds another evaluation, or another file is there."),
    ] = "error",
    csv: Annotated[Path | None, typer.Option(help="Write the rows as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page to look at, one file.")] = None,
    cards: Annotated[int, typer.Option(min=0, help="Items that the report shows in 3-D.")] = 8,
    up: Annotated[
        Literal["x", "y", "z"], typer.Option(help="The vertical axis in the report.")
    ] = "z",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=VALUE", help="Exit 7 when the mean is worse: iou=0.8."),
    ] = None,
    workers: WorkersOption = 1,
    dask: DaskOption = None,
    slurm: SlurmOption = None,
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
    from mvd_toolkit.cli import _files
    from mvd_toolkit.cli._scoring import Scoring, Subject, found_again, methods_of
    from mvd_toolkit.cli._workers import Workers
    from mvd_toolkit.comparison import DEFAULT_POINTS, Sampling
    from mvd_toolkit.errors import InputError, UsageError

    out = output(ctx)
    named = _files.named(paths, files_from)
    who = Workers(workers, dask, slurm)
    scoring = Scoring(
        metrics=tuple(metrics or ()),
        sampling=Sampling(points or DEFAULT_POINTS, seed),
        device=device,
        threads=who.threads(threads),
    )
    subject = Subject(named, files_from, split, pairs, low_rule, category, resolution)
    if merge and rows_path is not None:
        raise UsageError("-o: expected no place for new rows, as --merge makes none; found one")
    _check_pattern(category)
    limits = _limits(fail_under or [])
    _check_places(
        named, {"-o": rows_path, "--csv": csv, "--markdown": markdown, "--report": report}
    )
    items: list[Item] = []
    if merge:
        from mvd_toolkit.evaluation_log import read_rows

        recipe, rows = read_rows(named)
        if report is not None and cards:
            try:
                items, texts = found_again(named[0], recipe)
                scoring = replace(scoring, methods=texts)
            except InputError as error:
                out.warn(f"{report}: shows no shapes, which are not to be found again: {error}")
    else:
        items = subject.items(limit, shard)
        if subject.for_methods:
            scoring = replace(scoring, methods=methods_of(models or [], methods or []))
        recipe = scoring.recipe(subject)
        rows = scoring.run(out, who, items, recipe, subject, rows_path, on_exists == "overwrite")
    _tell(out, rows, csv, markdown)
    if report is not None:
        from mvd_toolkit.report import write_report

        shown = write_report(
            report,
            rows,
            out.summary,
            items,
            recipe,
            scoring.methods,
            cards=cards,
            up=up,
            device=device,
        )
        out.say(f"{report}: {shown} items to look at")
    _raise_failures(rows, single=len(rows) == 1 and not subject.is_folder)
    _check_limits(limits, out.summary["methods"])
    out.finish()


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
            with atomic(path, overwrite=True) as file:
                file.write(text.encode())


def _check_pattern(category: str | None) -> None:
    import re

    from mvd_toolkit.errors import UsageError

    try:
        re.compile(category or "")
    except re.error as error:
        raise UsageError(
            f"--category: expected a regular expression, found {category!r}: {error}"
        ) from None


def _check_places(named: Sequence[Path], places: Mapping[str, Path | None]) -> None:
    """Refuse what cannot be written to before hours of work, not after."""
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.io.atomic import check_target, make_folder

    taken = {path.resolve(): "an input" for path in named}
    for option, path in places.items():
        if path is None:
            continue
        other = taken.setdefault(path.resolve(), option)
        if other != option:
            raise UsageError(f"{option} {path}: expected a file of its own, found that of {other}")
        check_target(path, overwrite=True)
        make_folder(path.parent)


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
