"""Many files at once: lists, patterns, shards, workers, and kills anywhere."""

from __future__ import annotations

import hashlib
import io as python_io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mvd_toolkit
from mvd_toolkit import VoxelGrid, save
from mvd_toolkit.cli import run

Mvd = Callable[..., Any]

MVD = "from mvd_toolkit.cli import main; main()"
COUNT = 24


@pytest.fixture(scope="session")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Different grids in two folders, the even ones as npy."""
    root = tmp_path_factory.mktemp("grids") / "in"
    generator = np.random.default_rng(0)
    for i in range(COUNT):
        corner = generator.integers(2, 8, 3)
        dense = np.zeros((8, 8, 8), bool)
        dense[tuple(slice(0, end) for end in corner)] = True
        path = root / f"folder{i % 3}" / f"grid{i:02d}.{'binvox' if i % 2 else 'npy'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(VoxelGrid.from_dense(dense), path)
    return root


@pytest.fixture(scope="session")
def converted(grids: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Outputs of one `mvd convert` in one process, by name: their hashes."""
    out = tmp_path_factory.mktemp("converted")
    assert run(["convert", str(grids), "-o", str(out), "--format", "npz", "-q"]) == 0
    return hashes(out)


def hashes(folder: Path) -> dict[str, str]:
    """Every file that is no sidecar or log."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".json", ".jsonl"))
    }


def lines(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_list_on_standard_input(
    mvd: Mvd, grids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grids)
    listed = b"folder0/grid00.npy\nfolder1/grid01.binvox\nmissing.npy\n"
    monkeypatch.setattr("sys.stdin", python_io.TextIOWrapper(python_io.BytesIO(listed)))
    result = mvd("convert", "-", "-o", tmp_path / "out", "--format", "npz", "--json")
    assert result.code == 4
    made = [item.get("output") for item in result.document["items"]]
    assert made == [
        str(tmp_path / "out/folder0/grid00.npz"),
        str(tmp_path / "out/folder1/grid01.npz"),
        None,
    ]


def test_a_list_in_a_file(mvd: Mvd, grids: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_text(f"{grids / 'folder0/grid00.npy'}\n")
    result = mvd("convert", "--files-from", listed, "-o", tmp_path / "out", "--format", "npz")
    assert result.code == 0
    below = (grids / "folder0/grid00.npz").relative_to("/")
    assert result.out == f"{tmp_path / 'out' / below}\n"
    assert mvd("convert", "--files-from", tmp_path / "none", "-o", "x", "--format", "npz").code == 3
    assert mvd("convert", "-", "--files-from", listed, "-o", "x", "--format", "npz").code == 2
    result = mvd("convert", "-o", "x.npz")
    assert result.code == 2
    assert "expected files or folders, - for a list of them, or --files-from" in result.err


def test_a_pattern(mvd: Mvd, grids: Path, tmp_path: Path) -> None:
    pattern = grids / "folder*" / "*.npy"
    result = mvd("convert", pattern, "-o", tmp_path / "out", "--format", "npz", "--json")
    assert len(result.document["items"]) == COUNT // 2
    assert (tmp_path / "out/folder0/grid00.npz").is_file()


def test_shards_make_everything_once(mvd: Mvd, grids: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for i in (1, 2, 3):
        call = ("convert", grids, "-o", out, "--format", "npz", "--shard", f"{i}/3", "--json")
        document = mvd(*call).document
        assert document["summary"]["made"] == document["summary"]["total"] > 0
    assert len(hashes(out)) == COUNT
    told = [line for log in out.glob("batch.*-of-3.jsonl") for line in lines(log)]
    assert len({line["input"] for line in told}) == len(told) == COUNT


def test_workers_give_the_same_files(mvd: Mvd, grids: Path, tmp_path: Path, converted: Any) -> None:
    out = tmp_path / "out"
    call = ("convert", grids, "-o", out, "--format", "npz", "--workers", 2, "--json")
    (out / "folder0").mkdir(parents=True)
    (out / "folder0" / "grid00.npz").write_text("a stranger's")
    result = mvd(*call)
    assert result.code == 4
    message = result.document["error"]["message"]
    assert message.startswith(f"1 of {COUNT} failed:\n  {grids}/folder0/grid00.npy: ")
    assert "grid00.npz: exists and was not made by this command" in message
    (out / "folder0" / "grid00.npz").unlink()
    summary = mvd(*call).document["summary"]
    assert (summary["made"], summary["skipped"]) == (1, COUNT - 1)
    assert hashes(out) == converted


def test_two_outputs_of_one_name_are_refused_by_workers_too(
    mvd: Mvd, grids: Path, tmp_path: Path
) -> None:
    shutil.copytree(grids / "folder0", tmp_path / "in")
    save(VoxelGrid.from_dense(np.ones((4, 4, 4), bool)), tmp_path / "in" / "grid00.npz")
    call = ("convert", tmp_path / "in", "-o", tmp_path / "out", "--format", "mat")
    result = mvd(*call, "--workers", 2, "--on-exists", "overwrite")
    assert result.code == 4
    assert "grid00.mat: is already the output of" in result.err


def test_only_one_kind_of_workers(mvd: Mvd, grids: Path) -> None:
    result = mvd("upscale", grids, "--workers", 2, "--dask", 2)
    assert result.code == 2
    assert "--workers, --dask and --slurm: expected one of them, found more" in result.err
    assert mvd("upscale", grids, "--slurm", "x").code == 2
    assert mvd("upscale", grids, "--slurm", "2,partition").code == 2
    assert mvd("upscale", grids, "--dask", "0").code == 2


def test_dask_with_a_killed_worker_gives_the_same_files(
    grids: Path, tmp_path: Path, tiny_model: Path, dask_client: Any
) -> None:
    """A scheduler and two worker processes; one is killed when a third of the items is made."""
    ended: list[str] = []
    here = mvd_toolkit.upscale_many(grids, tmp_path / "here", model=tiny_model, threads=1)
    assert [outcome.error for outcome in here] == [None] * COUNT
    victim = next(iter(dask_client.run(os.getpid).values()))

    def on_outcome(outcome: Any) -> None:
        ended.append(outcome.source.path.name)
        if len(ended) == COUNT // 3:
            os.kill(victim, signal.SIGKILL)

    outcomes = mvd_toolkit.upscale_many(
        grids,
        tmp_path / "out",
        model=tiny_model,
        threads=1,
        executor=dask_client,
        on_outcome=on_outcome,
    )
    assert victim not in dask_client.run(os.getpid).values()
    assert [outcome.error for outcome in outcomes] == [None] * COUNT
    assert len(set(ended)) == len(ended) == COUNT
    assert hashes(tmp_path / "out") == hashes(tmp_path / "here")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_anywhere_and_run_again(
    grids: Path, tmp_path: Path, converted: Any, workers: str
) -> None:
    """kill -9 after random times until a run comes through: nothing lost, nothing twice."""
    out = tmp_path / "out"
    words = [sys.executable, "-c", MVD, "convert", str(grids), "-o", str(out), "-q"]
    words += ["--format", "npz", "--workers", workers]
    kills = 0
    for attempt in range(4):
        process = subprocess.Popen(words)
        wait_for(lambda: len(list(out.rglob("grid*.npz"))) > attempt * 5, process)  # noqa: B023
        time.sleep(random.Random(attempt).random() * 0.02)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert subprocess.run(words, check=False).returncode == 0
    assert kills >= 2
    assert hashes(out) == converted
    told = lines(out / "batch.jsonl")
    inputs = sorted(str(path) for path in grids.rglob("*.*") if path.is_file())
    assert sorted(line["input"] for line in told) == inputs
    assert {line["status"] for line in told} <= {"made", "skipped"}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
