"""From shapes to a dataset of pairs, here or on many machines; what is left out is listed.

Each shape is an item of its own, which `ConvertShape` makes pairs of: the same command after a kill
at any moment does what is missing, nothing twice, and ends with the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mvd_toolkit import batch
from mvd_toolkit.augmented_copies import Axis, CopyRecipe
from mvd_toolkit.batch import Outcome
from mvd_toolkit.convert_shape import ConvertShape, ShapePairs
from mvd_toolkit.data import DEFAULT_FRACTIONS, SPLITS, write_description
from mvd_toolkit.dataset_recipe import Edges, PairRecipe, agree
from mvd_toolkit.directory_lock import only_writer, remove_leftovers, writer_beside_others
from mvd_toolkit.errors import MVDError, OutputExistsError
from mvd_toolkit.executors import core_count, executor_of, threads_each
from mvd_toolkit.output_lock import only_maker
from mvd_toolkit.shape_files import ShapeFile, family, find_shapes
from mvd_toolkit.sources import Shard
from mvd_toolkit.views import ViewRecipe


@dataclass(frozen=True)
class ItemOutcome:
    """How one shape ended.

    Attributes:
        source: its file.
        status: "made"; "skipped", it was there already; "duplicate", another shape of the same
            name has the same content; "coarse", a voxel file that is no fine grid; "failed".
        why: why there is no pair of it; empty when there is.
        error: that nobody foresaw, or that ended its worker.
    """

    source: Path
    status: Literal["made", "skipped", "duplicate", "coarse", "failed"]
    why: str = ""
    error: MVDError | None = None


@dataclass
class ConvertReport:
    """What `convert_dataset` did.

    Attributes:
        dataset: the directory.
        outcomes: one a shape, in the order they ended.
        counts: pairs in the dataset now, ``{"32:256": {"train": …, "val": …, "test": …}}``.
    """

    dataset: Path
    outcomes: list[ItemOutcome] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def with_status(self, status: str) -> list[ItemOutcome]:
        """The outcomes of that status."""
        return [outcome for outcome in self.outcomes if outcome.status == status]


def convert_dataset(
    shapes: str | Path | Iterable[str | Path | ShapeFile],
    out: str | Path,
    *,
    pairs: Sequence[Edges] = ((32, 256),),
    split: Sequence[float] = DEFAULT_FRACTIONS,
    copies: CopyRecipe | None = None,
    views: ViewRecipe | None = None,
    up: Axis | None = None,
    shard: Shard | None = None,
    workers: int | Executor | Any | None = None,
    threads: int = 0,
    on_item: Callable[[ItemOutcome, int, int], None] | None = None,
    on_signal: Callable[[], None] | None = None,
) -> ConvertReport:
    """Make a dataset of pairs from meshes or fine voxel files.

    Args:
        shapes: files, folders in one of the layouts of `shape_files`, or what it found in them.
        out: the dataset's directory; one that is there is completed.
        pairs: edges of the low grids and of the fine ones, multiples of them.
        split: shares of train, val and test; see `split_of`. Every copy and every edge of a shape
            is in the same.
        copies: how to make more of the training meshes; a dataset that is there may get more.
        views: which pictures are made of each mesh; None: none. Copies have none.
        up: vertical of all the shapes; by default that of their layout.
        shard: the part of the shapes to convert; the others may be made in the same directory at
            the same time. None: all.
        workers: so many processes, 0 or None: one a core; 1: this one; or an executor or a client
            of Dask, as for `upscale_many`.
        threads: of each worker; 0: a fair share of the cores of this machine.
        on_item: told each outcome, how many are done and how many there are.
        on_signal: called when the first SIGINT or SIGTERM arrives; the shapes at hand are finished.

    Returns:
        What became of each shape; a failure is listed and never stops the rest.

    Raises:
        UsageError: the edges or shares make no sense, or the dataset was made by another recipe.
        UnavailableError: pictures are asked for and cannot be made here.
        InputError: there is no shape.
        OutputExistsError: another process is writing there.
        Interrupted: SIGINT or SIGTERM came.
    """
    out = Path(out)
    wanted = PairRecipe(tuple(pairs), tuple(split), copies or CopyRecipe(), views)
    found = find_shapes([shapes] if isinstance(shapes, (str, Path)) else shapes, up)
    if shard is not None:
        found = [shape for shape in found if shard.holds(family(shape))]
    if views:
        _check_renderer()
    if workers is None:
        workers = max(1, min(core_count(), len(found)))
    with (writer_beside_others if shard else only_writer)(out):
        with only_maker(out / "dataset.json"):
            recipe, description = agree(wanted, out)
            write_description(out, pairs, recipe=description)
        job = ConvertShape(out, recipe, threads_each(threads, workers))
        report = _run(job, found, workers, on_item, on_signal)
        left_out = [
            {"source": str(outcome.source), "status": outcome.status, "why": outcome.why}
            for outcome in report.outcomes
            if outcome.why
        ]
        with only_maker(out / "dataset.json"):
            description = write_description(out, pairs, left_out=left_out, told=map(str, found))
    with suppress(OutputExistsError), only_writer(out):  # unless another shard is still at work
        remove_leftovers(out, *(out / part for part in SPLITS))
    report.counts = {f"{a}:{b}": description["counts"][f"{a}:{b}"] for a, b in pairs}
    return report


def _check_renderer() -> None:
    from mvd_toolkit.mesh_renderer import check_available

    check_available()


def _run(
    job: ConvertShape,
    shapes: Sequence[ShapeFile],
    workers: int | Executor | Any,
    on_item: Callable[[ItemOutcome, int, int], None] | None,
    on_signal: Callable[[], None] | None,
) -> ConvertReport:
    report = ConvertReport(job.dataset)
    ids: dict[str, Path] = {}

    def tell(outcome: Outcome[ShapeFile, ShapePairs]) -> None:
        item = _item_outcome(outcome, ids)
        report.outcomes.append(item)
        if on_item:
            on_item(item, len(report.outcomes), len(shapes))

    with executor_of(workers) as executor:
        batch.run(shapes, job, tell, on_signal, executor, together=family)
    return report


def _item_outcome(outcome: Outcome[ShapeFile, ShapePairs], ids: dict[str, Path]) -> ItemOutcome:
    """How a shape ended; ``ids`` are those of the shapes before, with their files."""
    path, made = outcome.source.path, outcome.result
    if made is None:
        return ItemOutcome(path, "failed", str(outcome.error), outcome.error)
    first = ids.setdefault(made.id, path)
    if first != path:
        return ItemOutcome(path, "duplicate", f"the same as {first}")
    return ItemOutcome(path, made.status, made.why)
