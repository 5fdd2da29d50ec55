"""Workers: what is in flight, what becomes of the items of one that dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mvd_toolkit.batch import Interrupted, Source, Unready, run
from mvd_toolkit.errors import BugError, InputError, UnavailableError, UsageError
from mvd_toolkit.executors import Processes, SlurmJobs, as_ended, of_dask, threads_each


def items(count: int, folder: Path | None = None) -> list[Source]:
    names = [Path(f"{i}.npy") for i in range(count)]
    return [Source((folder or Path()) / name, name) for name in names]


def number(source: Source) -> int:
    return int(source.path.stem)


def troubled(source: Source) -> int:
    """1 is broken, 2 is a bug, every other one is its own number."""
    if number(source) == 1:
        raise InputError("1.npy: is broken")
    if number(source) == 2:
        raise ZeroDivisionError("nobody thought of this")
    return number(source)


def kill_once(source: Source) -> int:
    """The first worker that gets item 1 dies of it."""
    scar = source.path.parent / "scar"
    if number(source) == 1 and not scar.exists():
        scar.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number(source)


def kill_always(source: Source) -> int:
    if number(source) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number(source)


def not_ready(source: Source) -> int:
    raise Unready(UnavailableError("no such device"))


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with Processes(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask(dask_client: Any) -> Executor:
    return of_dask(dask_client)


@pytest.fixture(params=["processes", "dask"])
def executor(request: pytest.FixtureRequest) -> Executor:
    chosen: Executor = request.getfixturevalue(request.param)
    return chosen


def test_failures_are_those_of_their_items(executor: Executor) -> None:
    outcomes = run(items(5), troubled, executor=executor)
    assert [outcome.result for outcome in outcomes] == [0, None, None, 3, 4]
    assert [outcome.source for outcome in outcomes] == items(5)
    assert str(outcomes[1].error) == "1.npy: is broken"
    error = outcomes[2].error
    assert isinstance(error, BugError)
    assert "in troubled" in error.__notes__[0]


def test_a_killed_worker_loses_no_item(executor: Executor, tmp_path: Path) -> None:
    outcomes = run(items(8, tmp_path), kill_once, executor=executor)
    assert [outcome.result for outcome in outcomes] == list(range(8))
    assert (tmp_path / "scar").exists()


def test_an_item_that_kills_its_workers_fails_alone(processes: Executor) -> None:
    outcomes = run(items(5), kill_always, executor=processes)
    assert [outcome.result for outcome in outcomes] == [0, None, 2, 3, 4]
    assert str(outcomes[1].error) == "1.npy: its process died (a crash, or no memory)"


def test_what_every_item_needs_ends_the_run(executor: Executor) -> None:
    with pytest.raises(UnavailableError, match="no such device"):
        run(items(3), not_ready, executor=executor)


def test_any_executor_will_do() -> None:
    with ThreadPoolExecutor(2) as threads:
        assert [o.result for o in run(items(5), number, executor=threads)] == list(range(5))


def interrupt(source: Source) -> int:
    if number(source) == 1:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.2)
    return number(source)


def test_a_signal_lets_the_items_at_hand_finish() -> None:
    ended: list[int | None] = []
    with Processes(1) as executor, pytest.raises(Interrupted) as caught:
        run(items(50), interrupt, lambda outcome: ended.append(outcome.result), executor=executor)
    assert ended in ([0, 1], [0, 1, 2])  # 2 may have begun before the signal was heard
    assert str(caught.value).startswith(f"interrupted: {len(ended)} of 50 done")


def test_no_more_is_in_flight_than_keeps_workers_busy() -> None:
    begun: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(100):
            begun.append(task)
            yield task

    with ThreadPoolExecutor(2) as threads:
        threads.capacity = 2  # type: ignore[attr-defined]
        ended = as_ended(threads, abs, tasks())
        first, _ = next(ended)
        assert len(begun) == 4
        assert sorted([first, *(future.result() for _, future in ended)]) == list(range(100))


def test_threads_are_shared_by_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvd_toolkit.executors.core_count", lambda: 8)
    assert [threads_each(0, n) for n in (1, 2, 3, 16)] == [0, 4, 2, 1]
    assert threads_each(3, 16) == 3
    with pytest.raises(UsageError, match="workers: expected at least 1, found 0"):
        Processes(0)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """Jobs by submitit's executor of local processes."""
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # they find this module by it
    return SlurmJobs(2, tmp_path, "local", timeout_min=5)


def test_each_slurm_job_does_its_part(jobs: Executor, tmp_path: Path) -> None:
    outcomes = run(items(5), troubled, executor=jobs)
    assert [outcome.result for outcome in outcomes] == [0, None, None, 3, 4]
    assert len(list(tmp_path.glob("*_result.pkl"))) == 2


def test_a_slurm_job_that_dies_fails_its_items(jobs: Executor) -> None:
    outcomes = run(items(4), kill_always, executor=jobs)
    assert [outcome.result for outcome in outcomes] == [0, None, 2, None]
    assert "1.npy: its job failed" in str(outcomes[1].error)


def test_a_parameter_that_submitit_does_not_know(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(UsageError, match=r"--slurm: .*warp"):
        SlurmJobs(2, tmp_path, "local", warp=9)
