"""`mvd evaluate` and `mvd convert --pairs` as batches: lists, shards, workers, and kills."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, save
from mvd_toolkit.cases import find_items
from mvd_toolkit.cli import run
from mvd_toolkit.evaluate import evaluate

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for workers in /proc")

Mvd = Callable[..., Any]

MVD = "from mvd_toolkit.cli import main; main()"
COUNT = 12
SCORED = ("--pairs", "8:32", "--method", "nearest", "--method", "sdf", "--metric", "iou")
PAIRS = ("--pairs", "8:32,16:32", "--split", ".5,.25,.25")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Different boxes as fine grids; one twice, and one file that is broken."""
    root = tmp_path_factory.mktemp("shapes") / "in"
    generator = np.random.default_rng(0)
    for i in range(COUNT):
        dense = np.zeros((32, 32, 32), bool)
        dense[tuple(slice(2, end) for end in generator.integers(8, 30, 3))] = True
        path = root / f"folder{i % 3}" / f"box_{i:02d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(VoxelGrid.from_dense(dense), path)
    (root / "box_00.npz").write_bytes((root / "folder0" / "box_00.npz").read_bytes())
    (root / "broken.npz").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def whole(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both commands make of the shapes in one process: ``dataset`` and ``rows.csv``."""
    out = tmp_path_factory.mktemp("whole")
    pairs = ("convert", str(shapes), "-o", str(out / "dataset"), *PAIRS, "--workers", "1", "-q")
    assert run(list(pairs)) == 4
    scores = ("evaluate", str(shapes), *SCORED, "--csv", str(out / "rows.csv"), "-q")
    assert run(list(scores)) == 4
    return out


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def scores(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV, but for their times."""
    with table.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def logged(log: Path) -> list[tuple[str, str]]:
    """Case and method of each row that is no failure."""
    rows = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    return sorted((row["name"], row["method"]) for row in rows if not row["error"])


def start(*words: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MVD, *map(str, words), "-q"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that work for a command."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [int(pid) for children in tasks for pid in children.read_text().split()]
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def kill_a_worker(process: subprocess.Popen[bytes], made: Callable[[], bool]) -> None:
    """SIGKILL to a worker of a command as soon as something is made."""
    wait_for(made, process)
    victim = workers_of(process)[0]
    os.kill(victim, signal.SIGKILL)
    assert process.poll() is None


def test_a_dataset_though_a_worker_is_killed(shapes: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    process = start("convert", shapes, "-o", out, *PAIRS, "--workers", 2)
    kill_a_worker(process, lambda: any(out.glob("*/*.npz")))
    assert process.wait(120) == 4
    assert content(out) == content(whole / "dataset")


def test_scores_though_a_worker_is_killed(shapes: Path, whole: Path, tmp_path: Path) -> None:
    log, table = tmp_path / "rows.jsonl", tmp_path / "rows.csv"
    process = start("evaluate", shapes, *SCORED, "-o", log, "--csv", table, "--workers", 2)
    kill_a_worker(process, lambda: log.exists() and len(log.read_bytes().splitlines()) > 1)
    assert process.wait(120) == 4
    assert scores(table) == scores(whole / "rows.csv")
    assert len(logged(log)) == len(set(logged(log)))


def test_scores_though_the_command_is_killed(shapes: Path, whole: Path, tmp_path: Path) -> None:
    """kill -9, and the same command again: no row is lost or written twice."""
    log, table = tmp_path / "rows.jsonl", tmp_path / "rows.csv"
    words = ("evaluate", shapes, *SCORED, "-o", log, "--csv", table, "--workers", 2)
    process = start(*words)
    wait_for(lambda: log.exists() and len(logged(log)) >= 5, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:4]) + lines[4][:50])  # of the second case one row, and a half
    assert start(*words).wait(120) == 4
    assert scores(table) == scores(whole / "rows.csv")
    assert len(logged(log)) == len(set(logged(log))) == 2 * (COUNT + 1)


def test_scores_by_dask_though_a_worker_is_killed(
    shapes: Path, whole: Path, dask_client: Any
) -> None:
    victim = next(iter(dask_client.run(os.getpid).values()))
    rows = []
    items = find_items(shapes, edges=(8, 32))
    for row in evaluate(items, ["nearest", "sdf"], ["iou"], workers=dask_client):
        rows.append(row)
        if len(rows) == COUNT:
            os.kill(victim, signal.SIGKILL)
    table = scores(whole / "rows.csv")
    assert [(row.name, row.method, row.error) for row in rows] == [
        (row["name"], row["method"], row["error"]) for row in table
    ]
    assert [str(row.scores.get("iou", "")) for row in rows] == [row["iou"] for row in table]


def test_a_dataset_by_dask(
    mvd: Mvd, shapes: Path, whole: Path, dask_client: Any, tmp_path: Path
) -> None:
    out = tmp_path / "dataset"
    address = dask_client.scheduler.address
    assert mvd("convert", shapes, "-o", out, *PAIRS, "--dask", address).code == 4
    assert content(out) == content(whole / "dataset")


def test_shards_of_a_dataset_are_the_whole(
    mvd: Mvd, shapes: Path, whole: Path, tmp_path: Path
) -> None:
    """Three shards in one folder, two of them at the same time."""
    out = tmp_path / "dataset"
    call = ("convert", shapes, "-o", out, *PAIRS, "--workers", 1)
    both = [start(*call, "--shard", f"{i}/3") for i in (1, 2)]
    assert {process.wait(120) for process in both} <= {0, 4}
    last = mvd(*call, "--shard", "3/3", "--json").document["summary"]
    assert 0 < last["made"] + last["failed"] < COUNT
    assert content(out) == content(whole / "dataset")
    again = mvd(*call, "--json").document["summary"]
    assert (again["made"], again["skipped"], again["duplicate"]) == (0, COUNT, 1)


def test_lists_of_shapes(mvd: Mvd, shapes: Path, whole: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_text("".join(f"{path}\n" for path in sorted(shapes.rglob("*.npz"))))
    out = tmp_path / "dataset"
    assert mvd("convert", "--files-from", listed, "-o", out, *PAIRS).code == 4
    assert content(out) == content(whole / "dataset")
    result = mvd("evaluate", "--files-from", listed, *SCORED, "--json")
    assert result.code == 4
    found = [item["scores"].get("iou") for item in result.document["items"]]
    assert [str(iou or "") for iou in found] == [r["iou"] for r in scores(whole / "rows.csv")]


def test_a_list_names_shapes_that_are_missing(mvd: Mvd, shapes: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_text(f"{shapes / 'box_00.npz'}\n{shapes / 'gone.npz'}\n")
    for words in (("evaluate", *SCORED), ("convert", "-o", tmp_path / "dataset", *PAIRS)):
        result = mvd(*words, "--files-from", listed)
        assert result.code == 4
        assert f"{shapes / 'gone.npz'}: no such file" in result.err.lower()
