"""A thousand grids, kills in the middle, and the same files whoever makes them.

    python benchmarks/thousand.py FOLDER [--count 1000] [--workers 2]

Makes grids of 32³ by the generator of `examples/`, each a turned and stretched chair, lamp, rocket
or mug. Then upscales them twice: by `mvd upscale --workers`, killed with SIGKILL when half is made
and run again; and by workers of a Dask scheduler, one of which is killed when half is made. Fails
unless both give the same files, each told once in its ``batch.jsonl``. A folder that is there
already is gone on with.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import mvd_toolkit as mvd
from mvd_toolkit.voxelize import voxelize

EXAMPLES = Path(__file__).parent.parent / "examples"
MVD = [sys.executable, "-c", "from mvd_toolkit.cli import main; main()"]
FINER = 2  # grids are voxelized at 64³ and pooled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to work")
    parser.add_argument("--count", type=int, default=1000, help="how many grids")
    parser.add_argument("--workers", type=int, default=2, help="processes of each run")
    args = parser.parse_args()
    low = args.folder / "low"
    make_grids(low, args.count)
    print("| by | killed | seconds | a grid |\n|---|---|---|---|", flush=True)
    killed_and_run_again(low, args.folder / "processes", args.count, args.workers)
    by_dask(low, args.folder / "dask", args.count, args.workers)
    processes, dask = (hashes(args.folder / name) for name in ("processes", "dask"))
    if len(processes) != args.count or processes != dask:
        raise SystemExit(f"{len(processes)} and {len(dask)} files, which are not the same")
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(dask.items()))
    print(f"\n{len(dask)} files each, the same: {hashlib.sha256(text.encode()).hexdigest()}")


def make_grids(folder: Path, count: int) -> None:
    """Write ``count`` different grids of 32³."""
    sys.path.insert(0, str(EXAMPLES))
    import make_examples

    generator = np.random.default_rng(0)
    names = list(make_examples.SHAPES)
    for i in range(count):
        name = names[i % len(names)]
        angle, stretch = generator.uniform(0, 2 * np.pi), generator.uniform(0.6, 1.4, 3)
        path = folder / name / f"{name}_{i:04d}.binvox"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        vertices, faces = make_examples.mesh(name)
        cos, sin = np.cos(angle), np.sin(angle)
        vertices = vertices @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) * stretch
        fine = voxelize(vertices, faces, 32 * FINER, margin=FINER, threads=1).grid
        mvd.save(mvd.pool(fine, FINER), path)


def killed_and_run_again(low: Path, out: Path, count: int, workers: int) -> None:
    """`mvd upscale --workers`, killed when half is made, and the same command again."""
    command = [*MVD, "upscale", str(low), "-o", str(out), "--low-rule", "any", "-q"]
    command += ["--workers", str(workers), "--threads", "1"]
    start = time.perf_counter()
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: made(out) >= count // 2 or first.poll() is not None)
    first.kill()
    killed = first.wait() == -signal.SIGKILL
    at = made(out)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    tell(f"{workers} processes", f"the command, at {at}" if killed else "no", start, count)
    check_log(out, count)


def by_dask(low: Path, out: Path, count: int, workers: int) -> None:
    """`mvd upscale --dask`, with a worker killed when half is made."""
    with dask_cluster(workers) as (address, processes):
        start = time.perf_counter()
        command = [*MVD, "upscale", str(low.absolute()), "-o", str(out.absolute())]
        command += ["--low-rule", "any", "-q", "--dask", address, "--threads", "1"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(lambda: made(out) >= count // 2 or run.poll() is not None)
        killed = run.poll() is None
        os.kill(processes[0].pid, signal.SIGKILL)
        at = made(out)
        if run.wait():
            raise SystemExit(f"mvd upscale --dask ended with {run.returncode}")
    tell(f"{workers} Dask workers", f"a worker, at {at}" if killed else "no", start, count)
    check_log(out, count)


@contextlib.contextmanager
def dask_cluster(workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers, processes of their own that nobody restarts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [*dask, "scheduler", "--host", address, "--no-dashboard"]
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    processes = [subprocess.Popen(scheduler, **quiet)]  # type: ignore[call-overload]
    try:
        for _ in range(workers):
            processes.append(subprocess.Popen(worker, **quiet))  # type: ignore[call-overload]
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=120)
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def made(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*_256.binvox"))


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.2)


def tell(who: str, killed: str, start: float, count: int) -> None:
    seconds = time.perf_counter() - start
    print(f"| {who} | {killed} | {seconds:.0f} | {seconds / count:.2f} s |", flush=True)


def check_log(out: Path, count: int) -> None:
    """Every input is told once."""
    lines = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    inputs = {line["input"] for line in lines}
    if len(lines) != count or len(inputs) != count:
        raise SystemExit(f"{out}: {len(lines)} lines about {len(inputs)} inputs")


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*_256.binvox")
    }


if __name__ == "__main__":
    main()
