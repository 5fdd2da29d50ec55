"""From shapes to a dataset of pairs: several processes, resumable, what is left out is listed.

Each shape is an item of its own. A finished pair is a file under its final name, and what it holds
is a function of the shape's file and the dataset's recipe: the same command after a kill at any
moment does what is missing, nothing twice, and ends with the same files. A shape's id is its name
and the hash of its content: the same mesh keeps its id wherever it is moved.
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
from typing import Any, Final, Literal

import numpy as np

from mvd_toolkit.augmented_copies import Axis, CopyRecipe
from mvd_toolkit.data import (
    DEFAULT_FRACTIONS,
    SPLITS,
    check_fractions,
    read_description,
    split_of,
    write_description,
)
from mvd_toolkit.directory_lock import only_writer, remove_leftovers
from mvd_toolkit.errors import InputError, MVDError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import pair_file_name, write_pair
from mvd_toolkit.shape_files import ShapeFile, find_shapes
from mvd_toolkit.views import SUFFIX as VIEWS_SUFFIX
from mvd_toolkit.views import ViewRecipe, write_views
from mvd_toolkit.voxelize import Pair

Edges = tuple[int, int]
"""The edges of the low and of the fine grids of a pair, voxels."""

LARGEST_EDGE: Final = 2048
_ID_LENGTH: Final = 80


@dataclass(frozen=True)
class ItemOutcome:
    """How one shape ended.

    Attributes:
        source: its file.
        status: "made"; "skipped", it was there already; "duplicate", another shape of the same
            name has the same content; "coarse", a voxel file that is no fine grid; "failed".
        why: why there is no pair of it; empty when there is.
    """

    source: Path
    status: Literal["made", "skipped", "duplicate", "coarse", "failed"]
    why: str = ""


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


@dataclass(frozen=True)
class _Item:
    """What a worker needs to make the pairs of one shape."""

    shape: ShapeFile
    name: str
    sha256: str
    dataset: Path
    pairs: tuple[Edges, ...]
    fractions: tuple[float, ...]
    split_by: Edges
    copies: CopyRecipe
    views: ViewRecipe | None


def convert_dataset(
    shapes: str | Path | Iterable[str | Path | ShapeFile],
    out: str | Path,
    *,
    pairs: Sequence[Edges] = ((32, 256),),
    split: Sequence[float] = DEFAULT_FRACTIONS,
    copies: CopyRecipe | None = None,
    views: ViewRecipe | None = None,
    up: Axis | None = None,
    workers: int | None = None,
    on_item: Callable[[ItemOutcome, int, int], None] | None = None,
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
        workers: processes; 0 or None: one a core; 1: this one.
        on_item: told each outcome, how many are done and how many there are.

    Returns:
        What became of each shape; a failure is listed and never stops the rest.

    Raises:
        UsageError: the edges or shares make no sense, or the dataset was made by another recipe.
        UnavailableError: pictures are asked for and cannot be made here.
        InputError: there is no shape.
        OutputExistsError: another process is writing there.
    """
    out = Path(out)
    copies = copies or CopyRecipe()
    check_fractions(split)
    for edges in pairs:
        _check_edges(edges)
    found = find_shapes([shapes] if isinstance(shapes, (str, Path)) else shapes, up)
    if views:
        _check_renderer()
    with only_writer(out):
        recipe, split_by = _recipe(out, split, min(pairs), copies, views)
        remove_leftovers(out, *(out / part for part in SPLITS))
        write_description(out, pairs, recipe=recipe)
        finished = _Finished(out, tuple(pairs), copies.count, views is not None)
        report = ConvertReport(out)

        def done(outcome: ItemOutcome) -> None:
            report.outcomes.append(outcome)
            if on_item:
                on_item(outcome, len(report.outcomes), len(found))

        def item(shape: ShapeFile, name: str, sha256: str) -> _Item:
            edges, shares = tuple(pairs), tuple(split)
            return _Item(shape, name, sha256, out, edges, shares, split_by, copies, views)

        items = (item(*todo) for todo in _unfinished(found, finished, done))
        for outcome in _convert_all(items, _worker_count(workers, len(found))):
            done(outcome)
        left_out = [
            {"source": str(outcome.source), "status": outcome.status, "why": outcome.why}
            for outcome in report.outcomes
            if outcome.why
        ]
        description = write_description(out, pairs, left_out=left_out, told=map(_path, found))
    report.counts = {f"{a}:{b}": description["counts"][f"{a}:{b}"] for a, b in pairs}
    return report


def _path(shape: ShapeFile) -> str:
    return str(shape.path)


def _check_renderer() -> None:
    from mvd_toolkit.mesh_renderer import check_available

    check_available()


def _check_edges(edges: Edges) -> None:
    low, high = edges
    if low < 1 or high % low or not low < high <= LARGEST_EDGE:
        raise UsageError(
            f"pairs {low}:{high}: expected a low edge of at least 1 and a high one that is a "
            f"multiple of it, at most {LARGEST_EDGE}"
        )


def _recipe(
    out: Path,
    split: Sequence[float],
    split_by: Edges,
    copies: CopyRecipe,
    views: ViewRecipe | None,
) -> tuple[dict[str, Any], Edges]:
    """What decides the dataset's content, and the edges whose low grid decides the split.

    Raises:
        UsageError: a dataset is there and was made by another.
    """
    recipe: dict[str, Any] = {
        "split": list(split),
        "split_by": list(split_by),
        "copies": copies.to_dict(),
    }
    if views:
        recipe["views"] = views.to_dict()
    if not (out / "dataset.json").exists():
        return recipe, split_by
    before = read_description(out)
    recipe["split_by"] = before.get("split_by", recipe["split_by"])
    if list(before["split"]) != list(split):
        raise UsageError(
            f"{out}: was split {before['split']}, expected the same, found {list(split)}"
        )
    old = before.get("copies", recipe["copies"])
    both = copies.count and old["count"]
    for key in ("turn", "smallest", "seed") if both else ():
        if old[key] != recipe["copies"][key]:
            raise UsageError(
                f"{out}: its copies have {key} {old[key]!r}, expected the same, "
                f"found {recipe['copies'][key]!r}"
            )
    if old["count"] > copies.count:
        recipe["copies"] = old
    if "views" in before:
        if views and before["views"] != views.to_dict():
            raise UsageError(
                f"{out}: its views were made by {before['views']}, expected the same, "
                f"found {views.to_dict()}"
            )
        recipe["views"] = before["views"]
    low, high = recipe["split_by"]
    return recipe, (low, high)


class _Finished:
    """Which pairs were there when the conversion began."""

    def __init__(self, out: Path, pairs: Sequence[Edges], copies: int, views: bool) -> None:
        self._pairs, self._copies = pairs, copies
        seen = {path.name for part in SPLITS for path in (out / part).glob(f"*{VIEWS_SUFFIX}")}
        self._views = seen if views else None
        self._files = {path.name: part for part in SPLITS for path in (out / part).glob("*.npz")}

    def has(self, name: str) -> bool:
        """Whether all the pairs of a shape are."""
        plain = [pair_file_name(name, *edges) for edges in self._pairs]
        parts = {self._files.get(file) for file in plain}
        if None in parts or (self._views is not None and name + VIEWS_SUFFIX not in self._views):
            return False
        numbers = range(1, self._copies + 1) if parts == {"train"} else ()
        return all(
            pair_file_name(copy_name(name, number), *edges) in self._files
            for number in numbers
            for edges in self._pairs
        )


def _unfinished(
    shapes: Sequence[ShapeFile], finished: _Finished, done: Callable[[ItemOutcome], None]
) -> Iterator[tuple[ShapeFile, str, str]]:
    """The shapes to convert, with id and hash; the others are told to ``done``."""
    taken: dict[str, Path] = {}
    for shape in shapes:
        try:
            sha256 = _file_hash(shape.path)
        except OSError as error:
            done(ItemOutcome(shape.path, "failed", f"{shape.path}: {error.strerror}"))
            continue
        name = shape_id(shape.name, sha256)
        if name in taken:
            done(ItemOutcome(shape.path, "duplicate", f"the same as {taken[name]}"))
        elif finished.has(name):
            done(ItemOutcome(shape.path, "skipped"))
        else:
            yield shape, name, sha256
        taken.setdefault(name, shape.path)


def shape_id(name: str, sha256: str) -> str:
    """The id of a shape: its name, made safe for any file system, and eight digits of its hash."""
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "shape"
    return f"{safe[:_ID_LENGTH]}-{sha256[:8]}"


def copy_name(name: str, number: int) -> str:
    """The id of a shape's copy; number 0 is the shape itself."""
    return f"{name}+{number}" if number else name


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


# One shape


def _convert(item: _Item) -> ItemOutcome:
    """Make the pairs of one shape, in whatever process; never raises for what the shape does."""
    path = item.shape.path
    try:
        make = _pair_maker(item)
        if make is None:
            return ItemOutcome(path, "coarse", "a coarse grid: pairs are made of fine ones")
        first = make(item.split_by, 0)
        assert first is not None
        split = split_of(first.low, item.fractions)
        for number in range(item.copies.count + 1 if split == "train" else 1):
            for edges in item.pairs:
                name = copy_name(item.name, number)
                file = item.dataset / split / pair_file_name(name, *edges)
                same = number == 0 and edges == item.split_by
                pair = None if file.exists() else first if same else make(edges, number)
                if pair is not None:
                    write_pair(file.parent, name, pair, source_sha256=item.sha256)
        if item.views:
            _make_views(item, item.views, item.dataset / split / (item.name + VIEWS_SUFFIX))
    except MVDError as error:
        return ItemOutcome(path, "failed", str(error))
    except (MemoryError, RecursionError) as error:
        return ItemOutcome(path, "failed", f"{path}: {type(error).__name__}")
    return ItemOutcome(path, "made")


def _pair_maker(item: _Item) -> Callable[[Edges, int], Pair | None] | None:
    """Reads the shape; makes its pair of some edges, as it is (0) or a copy of it.

    None for a voxel file that is coarser than every fine edge; copies of a voxel file are None.
    """
    from mvd_toolkit import io
    from mvd_toolkit.voxelize import make_pair, pair_of

    if io.sniff(item.shape.path).kind == "grid":
        grid = io.load(item.shape.path)
        if max(grid.shape) < min(high for _, high in item.pairs):
            return None

        def of_grid(edges: Edges, number: int) -> Pair | None:
            low, high = edges
            if number:
                return None
            return pair_of(_fine(grid, high, item.shape.path), high // low, threads=1)

        return of_grid
    mesh = io.load_mesh(item.shape.path)

    def of_mesh(edges: Edges, number: int) -> Pair | None:
        low, high = edges
        vertices, placement = mesh.vertices, None
        if number:
            rotation, placement = item.copies.draw(item.sha256, number, item.shape.up)
            with np.errstate(invalid="ignore", over="ignore"):
                vertices = vertices @ rotation.T
        return make_pair(vertices, mesh.faces, low, high // low, placement=placement, threads=1)

    return of_mesh


def _make_views(item: _Item, recipe: ViewRecipe, file: Path) -> None:
    """Write the pictures of a shape, if they are not there.

    Raises:
        InputError: it is no mesh.
    """
    from mvd_toolkit import io
    from mvd_toolkit.mesh_renderer import make_views

    if file.exists():
        return
    shape = item.shape
    if io.sniff(shape.path).kind == "grid":
        raise InputError(f"{shape.path}: expected a mesh to make pictures of, found a grid")
    mesh = io.load_mesh(shape.path)
    write_views(file, make_views(mesh, shape.up, recipe, item.sha256, item.split_by))


def _fine(grid: VoxelGrid, edge: int, path: Path) -> VoxelGrid:
    """A voxel file's grid as a cube of ``edge`` voxels: padded at the far ends, then any-pooled."""
    from mvd_toolkit import ops

    longest = max(grid.shape)
    if longest % edge:
        raise InputError(f"{path}: expected an edge that {edge} divides, found {longest}")
    if len(set(grid.shape)) > 1:
        dense = np.pad(grid.dense(), [(0, longest - n) for n in grid.shape])
        grid = VoxelGrid.from_dense(dense, grid.origin, grid.spacing)
    return grid if longest == edge else ops.pool(grid, longest // edge, "any", threads=1)


# Many of them


def _convert_all(items: Iterable[_Item], workers: int) -> Iterator[ItemOutcome]:
    return map(_convert, items) if workers == 1 else _convert_in_processes(items, workers)


def _worker_count(workers: int | None, items: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(workers or cores or 1, items))


def _convert_in_processes(items: Iterable[_Item], workers: int) -> Iterator[ItemOutcome]:
    """Make pairs in ``workers`` processes; yields outcomes as they end.

    A shape that kills its process (out of memory, a crash in a parser) breaks the pool and all that
    is in flight: those few are made again one by one, so that only the culprit fails.
    """
    waiting = iter(items)
    suspects: list[_Item] = []
    more = True
    while more:
        with _pool(workers) as pool:
            flying: dict[Future[ItemOutcome], _Item] = {}
            while not suspects and (more or flying):
                while more and not suspects and len(flying) < 2 * workers:
                    item = next(waiting, None)
                    if item is None:
                        more = False
                    elif not _submit(pool, item, flying):
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
        suspects.clear()


def _submit(
    pool: ProcessPoolExecutor, item: _Item, flying: dict[Future[ItemOutcome], _Item]
) -> bool:
    """Whether the pool took the item; a broken one does not."""
    try:
        flying[pool.submit(_convert, item)] = item
    except BrokenProcessPool:
        return False
    return True


def _convert_alone(item: _Item) -> ItemOutcome:
    path = item.shape.path
    with _pool(1) as pool:
        try:
            return pool.submit(_convert, item).result()
        except BrokenProcessPool:
            return ItemOutcome(path, "failed", f"{path}: its process died (a crash, or no memory)")


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
