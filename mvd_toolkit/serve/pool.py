"""The workers: one job at a time each, ended when it takes too long, replaced when it is gone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict
from typing import Any, Final

from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.serve.settings import Settings
from mvd_toolkit.serve.worker import Job

START_SECONDS: Final = 120.0
"""How long a worker may take to load its model."""

ANSWER_BYTES: Final = 1 << 20
"""Longest line that is read from a worker."""

RECENT: Final = 32
"""Jobs that the mean time of a job is taken over."""


class Worker:
    """A process that upscales. It is started, asked, and killed; it is never trusted.

    It is no process of asyncio's: waiting for one of those may never end when its start was
    cancelled (CPython 3.11), and the service would not either.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: asyncio.BaseTransport | None = None
        self._answers = asyncio.StreamReader(limit=ANSWER_BYTES)

    async def start(self) -> None:
        """Start it and wait until its model is loaded.

        Raises:
            UnavailableError: it cannot be; the text says why.
        """
        settings = self._settings
        threads = {"OMP_NUM_THREADS": str(settings.threads)} if settings.threads else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mvd_toolkit.serve.worker"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
            start_new_session=True,  # a Ctrl-C is for the service, which ends its workers itself
        )
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._answers), self._process.stdout
        )
        said = await self._exchange(settings.to_dict(), START_SECONDS)
        if not said.get("ready"):
            raise UnavailableError(str(said.get("error", "the worker process ended at its start")))

    async def ask(self, job: Job) -> dict[str, Any]:
        """Have a job done: what the worker answers, or an answer on its behalf.

        ``retire`` in it says that the process is gone or is not to be used again.
        """
        said = await self._exchange(asdict(job), self._settings.timeout)
        if "ok" in said:
            return said
        self.kill()  # before its files are removed
        if said.get("late"):
            limit = f"the {self._settings.timeout:g} s that this service gives to one file"
            return _failure(422, "InputError", f"{job.own_name}: takes longer than {limit}")
        return _failure(500, "MVDError", f"{job.own_name}: the worker process died of it")

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._pipe is not None:
            self._pipe.close()

    async def _exchange(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a line and read one; without a line that can be read, what is known of why not."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            # A job is far shorter than what a pipe holds: this never waits.
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            line = await asyncio.wait_for(self._answers.readline(), seconds)
            said = json.loads(line)
        except TimeoutError:
            return {"late": True}
        except (OSError, ValueError):  # it died, or what it said is no line of JSON
            return {}
        return said if isinstance(said, dict) else {}


class Pool:
    """As many workers as there are to be, and the queue of those who wait for one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.inside = 0
        self.counts = {"done": 0, "refused": 0, "failed": 0, "turned_away": 0, "restarts": 0}
        self._stopping = False
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._workers: set[Worker] = set()
        self._restarts: set[asyncio.Task[None]] = set()
        self._seconds: deque[float] = deque(maxlen=RECENT)

    async def start(self) -> None:
        """Start the workers; the first one alone, as the others would fail as it does.

        Raises:
            UnavailableError: they cannot be started.
        """
        for _ in range(self.settings.workers):
            await self._add()

    def stop(self) -> None:
        """End all workers, and start none from now on."""
        self._stopping = True
        for task in self._restarts:
            task.cancel()
        for worker in list(self._workers):
            worker.kill()

    def enter(self) -> bool:
        """Take a place inside, if there is one; `leave` gives it back."""
        if self.inside >= self.settings.capacity:
            self.counts["turned_away"] += 1
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.inside -= 1

    @property
    def retry_after(self) -> int:
        """Whole seconds after which a place may be free."""
        mean = sum(self._seconds) / len(self._seconds) if self._seconds else 1.0
        return max(1, min(120, round(mean * self.inside / self.settings.workers / 2)))

    async def run(self, job: Job) -> dict[str, Any]:
        """Wait for a worker and have it do the job."""
        worker = await self._idle.get()
        start = time.perf_counter()
        gone = True  # also when whoever waits for this is cancelled
        try:
            answer = await worker.ask(job)
            gone = bool(answer.get("retire"))
        finally:
            self._seconds.append(time.perf_counter() - start)
            if gone:
                self._replace(worker)
            else:
                self._idle.put_nowait(worker)
        self._count(answer)
        return answer

    def _count(self, answer: dict[str, Any]) -> None:
        if answer.get("ok"):
            self.counts["done"] += 1
        else:
            self.counts["refused" if answer.get("status", 500) < 500 else "failed"] += 1

    async def _add(self) -> None:
        worker = Worker(self.settings)
        self._workers.add(worker)
        try:
            await worker.start()
        except BaseException:
            worker.kill()
            self._workers.discard(worker)
            raise
        self._idle.put_nowait(worker)

    def _replace(self, worker: Worker) -> None:
        """Kill a worker and start another, without keeping anyone waiting."""
        worker.kill()
        self._workers.discard(worker)
        if self._stopping:
            return
        self.counts["restarts"] += 1
        task = asyncio.create_task(self._renew())
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _renew(self) -> None:
        pause = 1.0
        while True:  # a machine short of memory for a while is no reason to end
            try:
                return await self._add()
            except (UnavailableError, OSError) as error:
                print(f"mvd serve: a worker does not start: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(pause)
                pause = min(60.0, 2 * pause)


def _failure(status: int, kind: str, message: str) -> dict[str, Any]:
    error = {"type": kind, "message": message}
    return {"ok": False, "status": status, "error": error, "retire": True}
