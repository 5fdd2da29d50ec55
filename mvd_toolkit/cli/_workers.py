"""Who works on a batch: what ``--workers``, ``--dask`` and ``--slurm`` say."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvd_toolkit import executors
from mvd_toolkit.errors import UsageError

SLURM_FOLDER = Path("mvd_slurm")
"""Where submitit keeps its files, below the folder the command is run in."""

STOPPING = "stopping after the items at hand; Ctrl-C again: now"
"""What is said when the first signal arrives."""


@dataclass(frozen=True)
class Workers:
    """This process, several of them, or those of a cluster.

    Attributes:
        processes: of this machine; 0: one a core.
        dask: a scheduler's address, or how many workers to start here.
        slurm: how many jobs, and submitit's parameters.

    Raises:
        UsageError: more than one of them is asked for, or one makes no sense.
    """

    processes: int = 1
    dask: str | None = None
    slurm: str | None = None

    def __post_init__(self) -> None:
        asked = [self.processes != 1, self.dask is not None, self.slurm is not None]
        if sum(asked) > 1:
            raise UsageError("--workers, --dask and --slurm: expected one of them, found more")
        if self.slurm is not None:
            _slurm(self.slurm)
        if self.dask is not None and _number(self.dask) == 0:
            raise UsageError("--dask: expected an address or a number of workers, found 0")

    @property
    def elsewhere(self) -> bool:
        """Whether other processes than this one do the work."""
        return self._count != 1 or self.dask is not None or self.slurm is not None

    @property
    def _count(self) -> int:
        return self.processes or executors.core_count()

    def threads(self, asked: int) -> int:
        """Threads of one worker when the user asked for so many; see `executors.threads_each`."""
        here = _number(self.dask) if self.dask is not None else self._count
        return executors.threads_each(asked, here or 1)

    @contextmanager
    def executor(self) -> Iterator[Executor | None]:
        """Where the items are worked on; None: in this process.

        On the way out of an error the items at hand are given up.

        Raises:
            UnavailableError: an extra is not installed, or no scheduler answers.
        """
        if self.dask is not None:
            with executors.dask_executor(_number(self.dask) or self.dask) as executor:
                yield executor
        elif self.slurm is not None:
            jobs, parameters = _slurm(self.slurm)
            yield executors.SlurmJobs(jobs, SLURM_FOLDER, **parameters)
        else:
            with executors.executor_of(self.processes) as here:
                yield here


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _slurm(text: str) -> tuple[int, dict[str, Any]]:
    """The number of jobs and the parameters of ``16,slurm_partition=gpu,timeout_min=60``."""
    count, *pairs = text.split(",")
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--slurm: expected NAME=VALUE, found {pair!r}")
        parameters[name] = int(value) if value.isdecimal() else value
    if not _number(count):
        raise UsageError(f"--slurm: expected a number of jobs first, found {text!r}")
    return int(count), parameters
