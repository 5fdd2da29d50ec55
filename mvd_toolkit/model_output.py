"""A file that a model makes of another one: what upscaling and reconstructing files share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mvd_toolkit import io, sidecar
from mvd_toolkit.batch import Made, Unready, make_once, status_of
from mvd_toolkit.errors import MVDError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.meshing import Meshing
from mvd_toolkit.sidecar import OnExists, Recipe

M = TypeVar("M")

_loading = threading.Lock()


class FineGrid(Protocol):
    """What a model gave: a grid, the wall time of its steps, and notes for the caller."""

    @property
    def grid(self) -> VoxelGrid:
        """The fine grid."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Of each step."""

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence each."""


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Load models one at a time; what goes wrong is no fault of the file at hand.

    Raises:
        Unready: a model cannot be loaded.
    """
    try:
        with _loading:
            yield
    except MVDError as error:
        raise Unready(error) from error


def make_with(
    load: Callable[[], M],
    make: Callable[[M], dict[str, Any]],
    source: Path,
    output: Path,
    recipe: Recipe,
    on_exists: OnExists,
) -> Made:
    """`batch.make_once`, with a model that is not loaded where the output is finished.

    Args:
        load: gives the model.
        make: writes the output; returns what its sidecar shall tell.
        source: what the output is made of.
        output: the file.
        recipe: how it is made.
        on_exists: what to do about a file in the way.

    Raises:
        OutputExistsError: it exists, is something else, and ``on_exists`` is "error".
    """
    input_hash = sidecar.file_hash(source)
    status = status_of(output, recipe, input_hash, on_exists)
    if status != "made":
        return Made(output, status)
    model = load()
    return make_once(output, recipe, input_hash, on_exists, lambda: make(model))


def save_fine(
    made: FineGrid, output: Path, form: io.Format, meshing: Meshing, threads: int, start: float
) -> dict[str, Any]:
    """Write what a model gave; what the sidecar of every such file tells.

    Args:
        made: the grid.
        output: the file.
        form: its format.
        meshing: how a surface is made when that is one of meshes.
        threads: 0: one a core.
        start: when the model was asked, by `time.perf_counter`.
    """
    save_start = time.perf_counter()
    saved = meshing.save(made.grid, output, form, threads)
    end = time.perf_counter()
    return {
        **sidecar.grid_facts(made.grid),
        "seconds": {**made.seconds, "save": end - save_start, "total": end - start},
        **saved,
        "notes": [*made.notes, *saved["notes"]],
    }
