"""`upscale_many`: what `mvd upscale` does with many files, from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from mvd_toolkit import io
from mvd_toolkit.batch import Destination, Made, Outcome, run
from mvd_toolkit.executors import executor_of, threads_each
from mvd_toolkit.sidecar import OnExists
from mvd_toolkit.sources import Source, family, find_sources
from mvd_toolkit.upscale_file import UpscaleFile, UpscalerOnDemand
from mvd_toolkit.voxelize import Fill


def upscale_many(
    items: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    *,
    model: str | Path | None = None,
    to: int | None = None,
    format: str | None = None,
    low_rule: str = "auto",
    fill: Fill = "hull",
    keep_parts: bool = False,
    device: str = "cpu",
    on_exists: OnExists = "error",
    threads: int = 0,
    executor: Executor | Any | int | None = None,
    on_outcome: Callable[[Outcome[Source, Made]], None] | None = None,
) -> list[Outcome[Source, Made]]:
    """Upscale voxel files to files, here or on many machines; finished ones are skipped.

    A failure is in its item's outcome and stops no other. Killed and called again, it goes on from
    there: an output is written whole, and its sidecar says that it is finished.

    Args:
        items: files, folders and patterns, as for `mvd upscale`.
        output: a folder that mirrors them; or the file, for a single one; None: beside each.
        model: a model directory or name; None: the one that comes with the package.
        to: longest edge of each result, voxels; see `Upscaler`.
        format: name of the outputs' format; None: that of the input.
        low_rule: as for `Upscaler`.
        fill: as for `Upscaler`.
        keep_parts: as for `Upscaler`.
        device: where the networks run.
        on_exists: "error", "skip" or "overwrite" what exists and is no finished result.
        threads: of each worker; 0: a fair share of the cores of this machine.
        executor: who does the work. None or 1: this process; a number: so many processes, 0: one
            a core; a `concurrent.futures.Executor`, or a client of Dask distributed: its workers,
            which must see the same files. A worker loads the model once.
        on_outcome: called in this process as each item ends.

    Returns:
        An outcome for each file: its ``source``, and its ``result`` or its ``error``.

    Raises:
        InputError: a folder or a pattern holds no voxel file.
        UnavailableError: no such model or device.
        UsageError: ``output`` or ``format`` make no sense.
        Interrupted: SIGINT or SIGTERM came; the items at hand are done.
    """
    named = [items] if isinstance(items, (str, os.PathLike)) else items
    paths = [Path(item).absolute() for item in named]
    forms = io.known_formats()
    destination = Destination.from_option(
        None if output is None else Path(output).absolute(),
        paths,
        [suffix for form in forms if form.writes for suffix in form.suffixes],
    )
    readable = [s for form in forms if form.reads and form.kind == "grid" for s in form.suffixes]
    workers = 1 if executor is None else executor
    with executor_of(workers) as found:
        job = UpscaleFile(
            UpscalerOnDemand(model, device),
            destination,
            to,
            format,
            low_rule,
            fill,
            on_exists,
            threads_each(threads, workers),
            keep_parts=keep_parts,
        )
        sources = find_sources(paths, readable)
        return run(sources, job, on_outcome, executor=found, together=family)
