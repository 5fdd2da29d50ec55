"""`mvd evaluate`: predictions against truths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mvd_toolkit.batch import Outcome


def evaluate(
    ctx: typer.Context,
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="A grid, or a folder of them.")],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="The true grid, or a folder of them.")
    ],
    fail_under: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=VALUE", help="Exit 7 when the mean is below: iou=0.8."),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Score predictions against truths: IoU, each and in the mean.

    Folders are matched by name; chair_256.binvox is a prediction of chair.npz too.
    """
    from mvd_toolkit import batch
    from mvd_toolkit.evaluate import means

    out = output(ctx)
    limits = _limits(fail_under or [])
    pairs = _pairs(pred, truth)
    rows: list[dict[str, Any]] = []

    def tell(outcome: Outcome[dict[str, float]]) -> None:
        progress.finish()
        row: dict[str, Any] = {"name": outcome.source.relative.as_posix()}
        if outcome.error is None:
            rows.append(row | (outcome.result or {}))
            out.item(rows[-1])
        else:
            error = {"type": type(outcome.error).__name__, "message": str(outcome.error)}
            out.item(row | {"error": error})

    with out.progress(len(pairs), "evaluate") as progress:
        outcomes = batch.run(list(pairs), lambda source: _score(*pairs[source]), tell)
    scores = [o.result for o in outcomes if o.result is not None]
    out.summary = {"count": len(scores), "failed": len(pairs) - len(scores), "mean": means(scores)}
    out.table(rows)
    if len(scores) > 1:
        out.facts({f"mean {name}": value for name, value in out.summary["mean"].items()})
    batch.raise_failures(outcomes, single=pred.is_file())
    _check_limits(limits, out.summary["mean"])
    out.finish()


def _pairs(pred: Path, truth: Path) -> dict[Any, tuple[Path | None, Path | None]]:
    """What to score, by its place: files as given, folders matched by name."""
    from mvd_toolkit.batch import Source, find_sources
    from mvd_toolkit.cli._files import suffixes
    from mvd_toolkit.errors import InputError, UsageError
    from mvd_toolkit.evaluate import match_by_name

    for path in (pred, truth):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if pred.is_dir() != truth.is_dir():
        raise UsageError(
            f"PRED and TRUTH: expected two files or two folders, found {pred} and {truth}"
        )
    if pred.is_file():
        return {Source(pred, Path(pred.name)): (pred, truth)}
    known = suffixes("grid", reads=True)
    matches = match_by_name(
        [source.path for source in find_sources([pred], known)],
        [source.path for source in find_sources([truth], known)],
        (pred, truth),
    )
    return {
        Source(match.pred or match.truth or pred, Path(match.name)): (match.pred, match.truth)
        for match in matches
    }


def _score(pred: Path | None, truth: Path | None) -> dict[str, float]:
    from mvd_toolkit.errors import InputError
    from mvd_toolkit.evaluate import score
    from mvd_toolkit.io import load

    if pred is None:
        raise InputError(f"{truth}: no prediction has its name")
    if truth is None:
        raise InputError(f"{pred}: no truth has its name")
    try:
        return score(load(pred), load(truth), ["iou"])
    except InputError as error:
        if str(pred) in str(error) or str(truth) in str(error):
            raise
        raise InputError(f"{pred} against {truth}: {error}") from error


def _limits(texts: list[str]) -> dict[str, float]:
    """What ``--fail-under`` asks for: metric and least mean."""
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
        if name != "iou":
            raise UsageError(f"--fail-under: expected a metric of iou, found {name!r}")
    return limits


def _check_limits(limits: Mapping[str, float], mean: Mapping[str, float]) -> None:
    from mvd_toolkit.errors import ThresholdError

    for name, limit in limits.items():
        if not mean[name] >= limit:
            raise ThresholdError(f"{name}: expected at least {limit:g}, found {mean[name]:.6g}")
