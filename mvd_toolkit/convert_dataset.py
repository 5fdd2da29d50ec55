"""From a folder of meshes to a dataset of pairs: several processes, resumable, failures listed.

Each mesh is an item of its own. A finished item is a file under its final name, so that the same
command after a kill at any moment does what is missing and nothing twice. An item's id is its
file's stem and the hash of its content: the same mesh keeps its id wherever it is moved.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mvd_toolkit.data import (
    DEFAULT_FRACTIONS,
    SPLITS,
    check_fractions,
    read_description,
    split_of,
    write_description,
)
from mvd_toolkit.errors import InputError, MVDError, UsageError
from mvd_toolkit.pair_file import pair_file_name, write_pair

_ID_LENGTH = 80


@dataclass(frozen=True)
class ItemOutcome:
    """How one mesh ended.

    Attributes:
        source: the mesh.
        status: "made"; "skipped", it was there already; "duplicate", another mesh of the same
            name has the same content; "failed".
        error: why it failed.
    """

    source: Path
    status: Literal["made", "skipped", "duplicate", "failed"]
    error: str = ""


@dataclass
class ConvertReport:
    """What `convert_dataset` did.

    Attributes:
        dataset: the directory.
        outcomes: one a mesh, in the order they ended.
        counts: pairs in the dataset now, by split.
    """

    dataset: Path
    outcomes: list[ItemOutcome] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def with_status(self, status: str) -> list[ItemOutcome]:
        """The outcomes of that status."""
        return [outcome for outcome in self.outcomes if outcome.status == status]


@dataclass(frozen=True)
class _Item:
    """What a worker needs to make one pair."""

    source: Path
    name: str
    sha256: str
    dataset: Path
    low: int
    high: int
    fractions: tuple[float, ...]
    split: str | None


def convert_dataset(
    meshes: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    low: int = 32,
    high: int = 256,
    split: Sequence[float] = DEFAULT_FRACTIONS,
    workers: int | None = None,
    on_item: Callable[[ItemOutcome, int, int], None] | None = None,
) -> ConvertReport:
    """Make a dataset of pairs from meshes.

    Args:
        meshes: a folder, searched below for every format that is read, or the files.
        out: the dataset's directory; one that is there is completed.
        low: edge of the low grids, voxels.
        high: edge of the fine grids, a multiple of ``low``.
        split: shares of train, val and test; see `split_of`.
        workers: processes; 0 or None: one a core; 1: this one.
        on_item: told each outcome, how many are done and how many there are.

    Returns:
        What became of each mesh; a failure is listed and never stops the rest.

    Raises:
        UsageError: the edges or shares make no sense, or the dataset has other shares.
        InputError: there is no mesh.
    """
    out = Path(out)
    check_fractions(split)
    if low < 1 or high % low or not low < high <= 2048:
        raise UsageError(
            f"pairs {low}:{high}: expected a low edge of at least 1 and a high one that is a "
            "multiple of it, at most 2048"
        )
    _check_dataset(out, split)
    sources = _sources(meshes)
    report = ConvertReport(out)

    def done(outcome: ItemOutcome) -> None:
        report.outcomes.append(outcome)
        if on_item:
            on_item(outcome, len(report.outcomes), len(sources))

    write_description(out, low, high, fractions=split)
    items = list(_unfinished(sources, out, low, high, tuple(split), done))
    count = _worker_count(workers, len(items))
    for outcome in map(_convert, items) if count == 1 else _convert_in_processes(items, count):
        done(outcome)
    failures = [
        {"source": str(outcome.source), "error": outcome.error}
        for outcome in report.with_status("failed")
    ]
    description = write_description(out, low, high, fractions=split, failures=failures)
    report.counts = dict(description["counts"][f"{low}:{high}"])
    return report


def _sources(meshes: str | Path | Iterable[str | Path]) -> list[Path]:
    if not isinstance(meshes, (str, Path)):
        return [Path(mesh) for mesh in meshes]
    folder = Path(meshes)
    if not folder.is_dir():
        return [folder]
    suffixes = _mesh_suffixes()
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if not found:
        raise InputError(f"{folder}: expected meshes ({', '.join(sorted(suffixes))}), found none")
    return found


def _mesh_suffixes() -> set[str]:
    from mvd_toolkit import io

    return {
        suffix
        for form in io.FORMATS
        if form.kind == "mesh" and form.reads
        for suffix in form.suffixes
    }


def _check_dataset(out: Path, split: Sequence[float]) -> None:
    """Refuse to go on with a dataset that was split otherwise: pairs would be in wrong splits."""
    if not (out / "dataset.json").exists():
        return
    before = read_description(out)["split"]
    if list(before) != list(split):
        raise UsageError(f"{out}: was split {before}, expected the same, found {list(split)}")


def _unfinished(
    sources: Sequence[Path],
    out: Path,
    low: int,
    high: int,
    fractions: tuple[float, ...],
    done: Callable[[ItemOutcome], None],
) -> Iterator[_Item]:
    """The items to make; the others are told to ``done``."""
    taken: set[str] = set()
    splits = _known_splits(out)
    for source in sources:
        try:
            sha256 = _file_hash(source)
        except OSError as error:
            done(ItemOutcome(source, "failed", f"{source}: {error.strerror}"))
            continue
        name = item_id(source, sha256)
        file_name = pair_file_name(name, low, high)
        if name in taken:
            done(ItemOutcome(source, "duplicate"))
        elif any((out / part / file_name).exists() for part in SPLITS):
            done(ItemOutcome(source, "skipped"))
        else:
            yield _Item(source, name, sha256, out, low, high, fractions, splits.get(name))
        taken.add(name)


def _known_splits(out: Path) -> dict[str, str]:
    """The split of every shape that is there at some edge: at another it goes to the same."""
    return {
        path.stem.rsplit("_", 2)[0]: part for part in SPLITS for path in (out / part).glob("*.npz")
    }


def item_id(source: Path, sha256: str) -> str:
    """The id of a mesh: its stem, made safe for any file system, and eight digits of its hash."""
    stem = re.sub(r"[^A-Za-z0-9.-]+", "-", source.stem).strip("-.") or "mesh"
    return f"{stem[:_ID_LENGTH]}-{sha256[:8]}"


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _worker_count(workers: int | None, items: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(workers or cores or 1, items))


def _convert(item: _Item) -> ItemOutcome:
    """Make one pair, in whatever process; never raises for what the mesh does."""
    from mvd_toolkit import io
    from mvd_toolkit.voxelize import make_pair

    try:
        mesh = io.load_mesh(item.source)
        pair = make_pair(mesh.vertices, mesh.faces, item.low, item.high // item.low, threads=1)
        split = item.split or split_of(pair.low, item.fractions)
        write_pair(item.dataset / split, item.name, pair, source_sha256=item.sha256)
    except MVDError as error:
        return ItemOutcome(item.source, "failed", str(error))
    except (MemoryError, RecursionError) as error:
        return ItemOutcome(item.source, "failed", f"{item.source}: {type(error).__name__}")
    return ItemOutcome(item.source, "made")


def _convert_in_processes(items: Sequence[_Item], workers: int) -> Iterator[ItemOutcome]:
    """Make pairs in ``workers`` processes; yields outcomes as they end.

    A mesh that kills its process (out of memory, a crash in a parser) breaks the pool and all that
    is in flight: those few are made again one by one, so that only the culprit fails.
    """
    waiting = list(reversed(items))
    while waiting:
        suspects: list[_Item] = []
        with _pool(workers) as pool:
            flying: dict[Future[ItemOutcome], _Item] = {}
            while (waiting or flying) and not suspects:
                while waiting and len(flying) < 2 * workers and not suspects:
                    item = waiting.pop()
                    try:
                        flying[pool.submit(_convert, item)] = item
                    except BrokenProcessPool:
                        suspects.append(item)
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    item = flying.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        suspects.append(item)
            suspects += flying.values()
        for item in suspects:
            yield _convert_alone(item)


def _convert_alone(item: _Item) -> ItemOutcome:
    with _pool(1) as pool:
        try:
            return pool.submit(_convert, item).result()
        except BrokenProcessPool:
            return ItemOutcome(
                item.source, "failed", f"{item.source}: its process died (a crash, or no memory)"
            )


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
