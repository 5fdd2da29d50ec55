"""Where a batch runs: processes of this machine, a Dask cluster, jobs of Slurm.

All are shaped like `concurrent.futures.Executor`, so any other executor of that shape does too.
`as_ended` feeds one with tasks and yields their futures. A worker that dies takes no item with it:
the item is given to another worker, and only one that keeps killing its workers fails.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mvd_toolkit.errors import UnavailableError, UsageError

T = TypeVar("T")
P = ParamSpec("P")

ATTEMPTS = 2
"""How many processes an item may kill before it counts as failed."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_UNKNOWN_CAPACITY = 64
_POLL_SECONDS = 1.0
_CONNECT_SECONDS = 10


class WorkerDied(Exception):
    """The process that worked on an item ended: a crash, or no memory."""


def core_count() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_each(threads: int, workers: int | Executor | Any) -> int:
    """Threads of each of these workers when the user asked for so many; see `executor_of`.

    0, one a core, is an equal share of the cores for processes of this machine; one process alone,
    and an executor's workers, are left to themselves.
    """
    if threads or workers == 1 or not isinstance(workers, int):
        return threads
    return max(1, core_count() // (workers or core_count()))


class Processes(Executor):
    """So many processes of this machine; a process that dies is replaced and its item made again.

    Processes are spawned, not forked, ignore Ctrl-C (who waits for them decides) and end with the
    process that started them, however it ends.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"workers: expected at least 1, found {workers}")
        self.capacity = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="mvd-worker")
        self._own = threading.local()
        self._pools: set[ProcessPoolExecutor] = set()
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a picklable function in a process; see `concurrent.futures.Executor.submit`.

        The future raises `WorkerDied` when the function killed `ATTEMPTS` processes.
        """
        return self._threads.submit(self._run, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, after the items at hand when ``wait``, else at once."""
        self._ended = not wait
        if not wait:
            for pool in list(self._pools):
                _kill(pool)
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures or not wait)
        for pool in list(self._pools):
            pool.shutdown(wait=wait)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        for _ in range(ATTEMPTS):
            try:
                return self._pool().submit(fn, *args, **kwargs).result()
            except BrokenProcessPool:
                self._pools.discard(self._own.pool)
                del self._own.pool
                if self._ended:
                    break
        raise WorkerDied("its process died (a crash, or no memory)")

    def _pool(self) -> ProcessPoolExecutor:
        """The one process of this thread: whose item died is then never in question."""
        if not hasattr(self._own, "pool"):
            context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
            threads = str(threads_each(0, self.capacity))
            self._own.pool = ProcessPoolExecutor(
                1, mp_context=context, initializer=_begin, initargs=(threads,)
            )
            self._pools.add(self._own.pool)
        pool: ProcessPoolExecutor = self._own.pool
        return pool


def _begin(threads: str) -> None:
    """What a process does before its first item."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _THREADS:
        os.environ.setdefault(name, threads)
    end_with_parent()


def end_with_parent() -> None:
    """Let a worker end when its parent is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()


@contextmanager
def executor_of(workers: int | Executor | Any) -> Iterator[Executor | None]:
    """Who does the work when the user asked for these workers.

    Args:
        workers: so many processes of this machine, 0: one a core, which end with the body; 1: this
            process. Or an executor, or a client of Dask distributed.

    Yields:
        An executor; None: this process. On the way out of an error its processes are killed.
    """
    if not isinstance(workers, int):
        yield of_dask(workers) if hasattr(workers, "get_executor") else workers
        return
    count = workers or core_count()
    if count == 1:
        yield None
        return
    processes = Processes(count)
    try:
        yield processes
    except BaseException:
        processes.shutdown(wait=False)
        raise
    processes.shutdown()


class SlurmJobs(Executor):
    """Jobs of a Slurm cluster, by submitit: each task is a job, so tasks should be long.

    Args:
        jobs: how many parts a batch is cut into.
        folder: on a disk that the nodes share, for submitit's files.
        cluster: "slurm"; None: Slurm where there is one, else processes of this machine.
        **parameters: of submitit, ``slurm_partition`` or ``timeout_min`` for instance.

    Raises:
        UnavailableError: submitit is not installed.
        UsageError: submitit does not know a parameter.
    """

    def __init__(
        self, jobs: int, folder: str | Path, cluster: str | None = None, **parameters: Any
    ) -> None:
        submitit = _needed("submitit", "slurm")
        self.parts = self.capacity = jobs
        self._executor = submitit.AutoExecutor(folder, cluster)
        try:
            self._executor.update_parameters(name="mvd", **parameters)
        except (NameError, TypeError) as error:
            raise UsageError(f"--slurm: {error}") from error
        self._futures: dict[_JobFuture, Any] = {}
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a job; its future can be cancelled while the job runs."""
        job = self._executor.submit(fn, *args, **kwargs)
        future = _JobFuture(job)
        with self._lock:
            if not self._futures:
                threading.Thread(target=self._follow, daemon=True).start()
            self._futures[future] = job
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the jobs, or cancel them."""
        with self._lock:
            futures = list(self._futures)
        for future in futures:
            if cancel_futures or not wait:
                future.cancel()
        if wait:
            concurrent.futures.wait(futures)

    def _follow(self) -> None:
        while True:
            with self._lock:
                for future in [f for f in self._futures if f.done() or f.fetch()]:
                    del self._futures[future]
                if not self._futures:
                    return
            time.sleep(_POLL_SECONDS)


class _JobFuture(Future[Any]):
    """The future of a job, which can be cancelled at any time."""

    def __init__(self, job: Any) -> None:
        super().__init__()
        self._job = job

    def cancel(self) -> bool:
        if super().cancel():
            self.set_running_or_notify_cancel()  # else nobody who waits would hear of it
            with suppress(Exception):
                self._job.cancel(check=False)
        return self.cancelled()

    def fetch(self) -> bool:
        """Take the job's result if it has ended."""
        if not self._job.done():
            return False
        if self.set_running_or_notify_cancel():
            try:
                self.set_result(self._job.result())
            except Exception as error:  # whatever submitit makes of a job that failed
                self.set_exception(WorkerDied(f"its job failed: {_last_line(error)}"))
        return True


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip("- ")]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def dask_executor(cluster: str | int) -> Iterator[Executor]:
    """Workers of Dask distributed: those of a scheduler, or of a cluster on this machine.

    Args:
        cluster: address of a scheduler, ``tcp://host:8786``, whose workers see the same files; or
            how many worker processes to start here.

    Raises:
        UnavailableError: distributed is not installed, or no scheduler answers.
    """
    distributed = _needed("distributed", "distributed")
    if isinstance(cluster, int):
        with (
            distributed.LocalCluster(
                n_workers=cluster, threads_per_worker=1, processes=True, dashboard_address=None
            ) as local,
            distributed.Client(local) as client,
        ):
            yield of_dask(client)
        return
    try:
        client = distributed.Client(cluster, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"Dask scheduler {cluster}: {error}") from error
    with client:
        yield of_dask(client)


def of_dask(client: Any) -> Executor:
    """A Dask client's executor, which knows how many tasks its workers can hold."""
    executor: Any = client.get_executor(pure=False)
    executor.capacity = max(1, 2 * sum(client.nthreads().values()))
    found: Executor = executor
    return found


def _needed(package: str, extra: str) -> Any:
    """A package that comes with an extra, which is loaded by those alone who use it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise UnavailableError(
            f"{package} is not installed: `pip install 'mvd_toolkit[{extra}]'` brings it"
        ) from error


def as_ended(
    executor: Executor,
    function: Callable[[T], Any],
    tasks: Iterable[T],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[T, Future[Any]]]:
    """Run a function on every task; each task with its future, as they end.

    No more tasks are in flight than keep the workers busy. Once ``stopping`` says so, those that
    have not begun are left out.
    """
    waiting = iter(tasks)
    flying: dict[Future[Any], T] = {}
    most = 2 * getattr(executor, "capacity", _UNKNOWN_CAPACITY)
    try:
        while True:
            while not stopping() and len(flying) < most:
                task = next(waiting, None)
                if task is None:
                    break
                flying[executor.submit(function, task)] = task
            if stopping():
                for future in [future for future in flying if future.cancel()]:
                    del flying[future]
            if not flying:
                return
            for future in concurrent.futures.wait(flying, return_when=FIRST_COMPLETED).done:
                yield flying.pop(future), future
    finally:
        for future in flying:
            future.cancel()
