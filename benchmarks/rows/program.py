"""The program as one runs it: how `mvd upscale` spends its time and memory, how soon help comes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mvd_toolkit import io, ops
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.voxelize import voxelize
from rows.measure import THREADS, Row, Settings, Target
from rows.shapes import blob

MVD = "from mvd_toolkit.cli import main; main()"
"""What the `mvd` script does."""

MVD_THEN_PEAK = """
import sys
try:
    from mvd_toolkit.cli import main; main()
finally:
    status = open("/proc/self/status").read().split()
    print(status[status.index("VmHWM:") + 1], "torch" in sys.modules, file=sys.stderr)
"""
"""The same, and at the end its largest resident size, KiB, and whether torch was loaded."""

RUNS = 7


def upscale(settings: Settings) -> Iterator[Row]:
    """mvd upscale 32→256 in process: the share of all but the networks, by the clock"""
    from mvd_toolkit.batch import Destination, Source
    from mvd_toolkit.upscale_file import UpscaleFile, UpscalerOnDemand

    on_demand = UpscalerOnDemand(settings.model)
    model = on_demand.upscaler.model
    networks = [_Stopwatch(m) for m in (model.silhouette, model.depth, model.boundary)]
    shares, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        source = _low_grid(Path(folder), 32)
        destination = Destination(file=Path(folder) / "fine.binvox")
        job = UpscaleFile(on_demand, destination, on_exists="overwrite", threads=THREADS)
        for _ in range(RUNS):
            for network in networks:
                network.seconds = 0.0
            start = time.perf_counter()
            job(Source(source, Path(source.name)))
            seconds.append(time.perf_counter() - start)
            shares.append(1 - sum(network.seconds for network in networks) / seconds[-1])
            (Path(folder) / "fine.binvox").unlink()
    yield Row("mvd upscale, file to file", "32³ → 256³", statistics.median(seconds), "s")
    share = 100 * statistics.median(shares)
    yield Row("… outside the networks", "32³ → 256³", share, "%", target=Target(15, "%"))


class _Stopwatch:
    """How long a module has been running."""

    def __init__(self, module: Any) -> None:
        self.seconds = 0.0
        module.register_forward_pre_hook(self._start)
        module.register_forward_hook(self._stop)

    def _start(self, *_: object) -> None:
        self._since = time.perf_counter()

    def _stop(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since


def help_(settings: Settings) -> Iterator[Row]:
    """mvd --help: seconds on the wall, and whether torch was loaded for it"""
    bare, whole, busy = [], [], []
    for _ in range(RUNS):
        for code, seconds in (("pass", bare), (MVD, whole)):
            start, spent = time.perf_counter(), _children_seconds()
            _python(code, "--help")
            seconds.append(time.perf_counter() - start)
        busy.append(_children_seconds() - spent)
    _, torch_loaded = _python(MVD_THEN_PEAK, "--help").split()[-2:]
    if torch_loaded == "True":
        raise AssertionError("mvd --help loaded torch")
    ours, python = statistics.median(whole), statistics.median(bare)
    yield Row("mvd --help, without torch", "", ours, "s", target=Target(0.5, "s"))
    yield Row("… its CPU time", "", statistics.median(busy), "s")
    yield Row("… a Python that does nothing", "", python, "s")


def _children_seconds() -> float:
    """CPU time of all processes started so far that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def memory(settings: Settings) -> Iterator[Row]:
    """peak resident memory of mvd upscale 64→512 and 128→1024, torch included"""
    yield from _peaks(settings, ((64, 1536), (128, 3072)))


def big(settings: Settings) -> Iterator[Row]:
    """the same of 256→2048, and its time; 1 GiB of it is the packed result"""
    yield from _peaks(settings, ((256, 4096),))


def _peaks(settings: Settings, limits: Iterable[tuple[int, int]]) -> Iterator[Row]:
    """Of a full grid: every pixel of every face is silhouette, and none needs more."""
    for low, limit in limits:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "full.binvox"
            io.save(VoxelGrid.from_dense(np.ones((low,) * 3, bool)), source)
            fine = str(Path(folder) / "fine.binvox")
            model = ["--model", settings.model] if settings.model else []
            start = time.perf_counter()
            call = ("upscale", str(source), "-o", fine, "--to", str(8 * low), *model)
            told = _python(MVD_THEN_PEAK, *call)
            seconds = time.perf_counter() - start
            mebibytes = int(told.split()[-2]) / 1024
            shape = io.load(fine).shape
        if shape != (8 * low,) * 3:
            raise AssertionError(f"expected a grid of {8 * low}³, found {shape}")
        size = f"{low}³ → {8 * low}³"
        yield Row("mvd upscale, peak resident", size, mebibytes, "MiB", target=Target(limit, "MiB"))
        yield Row("… by the clock", size, seconds, "s")


def _low_grid(folder: Path, edge: int) -> Path:
    """A solid of ``edge``³ voxels on disk: most pixels of most faces are silhouette."""
    path = folder / "low.binvox"
    io.save(ops.pool(voxelize(*blob(), 4 * edge).grid, 4), path)
    return path


def _python(code: str, *arguments: str) -> str:
    """Run code in a fresh interpreter: what it says on stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"mvd {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr}")
    return ran.stderr
