"""`mvd convert --pairs`: a folder of shapes becomes a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mvd_toolkit.augmented_copies import Axis, CopyRecipe
from mvd_toolkit.cli import _files
from mvd_toolkit.cli._output import Output
from mvd_toolkit.cli._workers import STOPPING, Workers
from mvd_toolkit.convert_dataset import ItemOutcome, convert_dataset
from mvd_toolkit.errors import BatchError, UsageError
from mvd_toolkit.shape_files import ShapeFile, family, find_shapes, listed_shapes
from mvd_toolkit.sources import Shard
from mvd_toolkit.views import Frame, ViewRecipe


def convert(
    out: Output,
    shapes: Sequence[ShapeFile],
    dataset: Path | None,
    pairs: str,
    split: str,
    copies: CopyRecipe,
    views: ViewRecipe | None,
    shard: str | None,
    workers: Workers,
    threads: int,
) -> None:
    """Make or complete the dataset, tell each shape and the summary.

    Args:
        out: is told.
        shapes: what to make pairs of.
        dataset: ``-o``.
        pairs: ``--pairs``.
        split: ``--split``.
        copies: how copies are made.
        views: which pictures are made.
        shard: ``--shard``.
        workers: who works on them.
        threads: of each worker.

    Raises:
        UsageError: the options make no sense.
        BatchError: some shapes failed; the others are done.
    """
    if dataset is None:
        raise UsageError("--pairs: -o says where the dataset goes")
    part = Shard.parse(shard) if shard else None
    statuses = Counter(made=0, skipped=0, duplicate=0, coarse=0, failed=0)
    failures: list[str] = []
    count = sum(part is None or part.holds(family(shape)) for shape in shapes)
    with workers.executor() as executor, out.progress(count, "pairs") as progress:

        def tell(outcome: ItemOutcome, done: int, total: int) -> None:
            progress.finish(outcome.source.name, worked=outcome.status in ("made", "failed"))
            statuses[outcome.status] += 1
            item = {"input": str(outcome.source), "status": outcome.status}
            out.item(item | ({"why": outcome.why} if outcome.why else {}))
            if outcome.status == "failed":
                failures.append(f"{outcome.source}: {outcome.why}")
            _files.say_trace(out, outcome.error)

        report = convert_dataset(
            shapes,
            dataset,
            pairs=parse_edges(pairs),
            split=_shares(split),
            copies=copies,
            views=views,
            shard=part,
            workers=executor or 1,
            threads=threads,
            on_item=tell,
            on_signal=lambda: out.say(STOPPING),
        )
    out.summary = {"dataset": str(dataset), "pairs": report.counts, **statuses}
    out.say(", ".join(f"{count} {status}" for status, count in statuses.items() if count))
    for name, parts in report.counts.items():
        out.say(f"{name}: " + ", ".join(f"{count} {part}" for part, count in parts.items()))
    out.data(str(dataset))
    if failures:
        lines = "\n  ".join(failures)
        raise BatchError(f"{len(failures)} of {len(report.outcomes)} failed:\n  {lines}")
    out.finish()


def find(named: Sequence[Path], files_from: str | None, up: Axis | None) -> list[ShapeFile]:
    """The shapes that the user named, those of a list among them.

    Raises:
        InputError: there is none.
    """
    paths, listed = _files.split_list(named, files_from)
    return find_shapes([*paths, *listed_shapes(listed)], up)


def parse_edges(text: str) -> list[tuple[int, int]]:
    """The edges that ``32:256,64:512`` names.

    Raises:
        UsageError: it names none.
    """
    try:
        pairs = [tuple(int(edge) for edge in part.split(":")) for part in text.split(",")]
        return [(low, high) for low, high in pairs]
    except ValueError:
        raise UsageError(f"--pairs: expected LOW:HIGH, 32:256 say, found {text!r}") from None


def view_recipe(
    count: int | None, size: int | None, frame: Frame | None, seed: int
) -> ViewRecipe | None:
    """Which pictures are asked for; None: none.

    Raises:
        UsageError: ``--image`` or ``--frame`` without ``--views``.
    """
    if count is None:
        if (size, frame) != (None, None):
            raise UsageError("--image and --frame are for --views")
        return None
    return ViewRecipe(count, size or ViewRecipe.size, frame or ViewRecipe.frame, seed)


def _shares(text: str) -> list[float]:
    """The shares that ``--split 0.8,0.1,0.1`` names."""
    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        raise UsageError(f"--split: expected three numbers, found {text!r}") from None
