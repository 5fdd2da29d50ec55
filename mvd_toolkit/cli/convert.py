"""`mvd convert`: any format to any other, and meshes to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    Fill,
    FormatOption,
    JsonFlag,
    OnExistsOption,
    OutputOption,
    QuietFlag,
    ThreadsOption,
    output,
)

if TYPE_CHECKING:
    from mvd_toolkit.cli._output import Output
    from mvd_toolkit.convert_dataset import ItemOutcome


def convert(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="SRC...", help="Grids, meshes, or folders of them.")
    ],
    out_path: OutputOption = None,
    form: FormatOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(min=1, help="Longest edge of the grid: 256 for a mesh, else its own."),
    ] = None,
    low_rule: Annotated[
        Literal["any", "half", "centre"] | None, typer.Option(help="How a coarser grid is pooled.")
    ] = None,
    fill: Annotated[
        Fill | None,
        typer.Option(help="Fill what no face can see into, or keep the surface; meshes: hull."),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH,...", help="Make a dataset of pairs of meshes: 32:256."),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="T,V,T", help="Shares of train, val and test, for --pairs.")
    ] = "0.8,0.1,0.1",
    threads: ThreadsOption = 0,
    on_exists: OnExistsOption = "error",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Convert voxel files and meshes, or make a training dataset of a folder of meshes.

    A mesh becomes a grid of --resolution, a grid becomes a mesh, in the same place in the world.
    """
    from mvd_toolkit.cli import _files
    from mvd_toolkit.convert_file import ConvertFile

    out = output(ctx)
    if pairs is not None:
        _no_file_options(form, resolution, low_rule, fill)
        _dataset(out, inputs, out_path, pairs, split, threads)
        return
    _files.writable(form)
    destination = _files.destination(out, out_path, inputs)
    items = _files.find(out, inputs, _files.suffixes(reads=True), destination)
    job = ConvertFile(destination, form, resolution, low_rule, fill, on_exists, threads)
    _files.run(out, items, job, single=_files.is_single(inputs))


def _no_file_options(*values: object) -> None:
    from mvd_toolkit.errors import UsageError

    if any(value is not None for value in values):
        raise UsageError("--pairs takes no --format, --resolution, --low-rule or --fill")


def _dataset(
    out: Output, inputs: list[Path], dataset: Path | None, pairs: str, split: str, workers: int
) -> None:
    from mvd_toolkit import batch
    from mvd_toolkit.cli import _files
    from mvd_toolkit.convert_dataset import convert_dataset
    from mvd_toolkit.errors import BatchError, UsageError

    if dataset is None:
        raise UsageError("--pairs: -o says where the dataset goes")
    edges, shares = _edges(pairs), _shares(split)
    meshes = [s.path for s in batch.find_sources(inputs, _files.suffixes("mesh", reads=True))]
    failures: list[str] = []
    with out.progress(len(meshes) * len(edges), "pairs") as progress:

        def tell(outcome: ItemOutcome, done: int, total: int) -> None:
            progress.start(outcome.source.name)
            progress.finish()
            item = {"input": str(outcome.source), "status": outcome.status}
            if outcome.status == "failed":
                item["error"] = outcome.error
                failures.append(f"{outcome.source}: {outcome.error}")
            out.item(item)

        counts = {}
        for low, high in edges:
            report = convert_dataset(
                meshes, dataset, low=low, high=high, split=shares, workers=workers, on_item=tell
            )
            counts[f"{low}:{high}"] = report.counts
    out.summary = {"dataset": str(dataset), "pairs": counts, "failed": len(failures)}
    for name, shapes in counts.items():
        said = ", ".join(f"{count} {part}" for part, count in shapes.items())
        out.say(f"{name}: {said}")
    out.data(str(dataset))
    if failures:
        lines = "\n  ".join(failures)
        raise BatchError(f"{len(failures)} of {len(meshes) * len(edges)} failed:\n  {lines}")
    out.finish()


def _edges(text: str) -> list[tuple[int, int]]:
    """The edges that ``--pairs 32:256,64:512`` names."""
    from mvd_toolkit.errors import UsageError

    try:
        pairs = [tuple(int(edge) for edge in part.split(":")) for part in text.split(",")]
        return [(low, high) for low, high in pairs]
    except ValueError:
        raise UsageError(f"--pairs: expected LOW:HIGH, 32:256 say, found {text!r}") from None


def _shares(text: str) -> list[float]:
    """The shares that ``--split 0.8,0.1,0.1`` names."""
    from mvd_toolkit.errors import UsageError

    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        raise UsageError(f"--split: expected three numbers, found {text!r}") from None
