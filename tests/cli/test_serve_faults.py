"""`mvd serve` when it is full, and when a file takes too long, too much, or its worker down."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from serving import SECONDS, Server, content, serving, wait_until

from mvd_toolkit import VoxelGrid, io
from mvd_toolkit.errors import UnavailableError

pytest.importorskip("fastapi")


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    """A service of little room, little time and little memory, open to everyone."""
    folder = tmp_path_factory.mktemp("cramped")
    room = ("--waiting", "0", "--timeout", "5", "--memory", "1024")
    reach = ("--host", "0.0.0.0", "--allow-host", "voxels.example")
    with serving(folder, tiny_model, *room, *reach) as running:
        yield running
        assert running.files() == []
        wait_until(lambda: len(running.workers()) == 1)
        os.kill(running.workers()[0], signal.SIGSTOP)
        with ThreadPoolExecutor() as threads:
            threads.submit(running.upscale, b"#binvox 1\n")
            wait_until(lambda: running.status()["inside"] == 1)
            running.process.send_signal(signal.SIGINT)  # with a file at work that never ends
            _, said = running.process.communicate(timeout=SECONDS)
        assert running.process.returncode == 130
        assert "everyone who reaches this machine can use the service" in said
        assert list(folder.iterdir()) == []


def test_a_full_house_says_when_to_come_back(
    cramped: Server, tmp_path: Path, ball: VoxelGrid
) -> None:
    body = content(ball, tmp_path / "a.binvox")
    with cramped.half_upload():
        answer = cramped.upscale(body)
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert "busy" in answer.error
    wait_until(lambda: cramped.status()["inside"] == 0)
    assert cramped.upscale(body).status == 200
    assert cramped.status()["turned_away"] == 1


def test_a_file_that_takes_too_long_ends_its_worker_alone(
    cramped: Server, tmp_path: Path, ball: VoxelGrid
) -> None:
    body = content(ball, tmp_path / "a.binvox")
    restarts = cramped.status()["restarts"]
    (first,) = cramped.workers()
    os.kill(first, signal.SIGSTOP)  # as if it hung
    with ThreadPoolExecutor() as threads:
        hanging = threads.submit(cramped.upscale, body, name="slow.binvox")
        wait_until(lambda: cramped.status()["inside"] == 1)
        os.kill(first, signal.SIGKILL)  # as if the machine had no memory left
        assert hanging.result().status == 500
    wait_until(lambda: cramped.workers() not in ([], [first]))
    (second,) = cramped.workers()
    wait_until(lambda: cramped.upscale(body).status == 200)
    os.kill(second, signal.SIGSTOP)
    with cramped.half_upload() as late:
        assert b" 408 " in late.recv(1 << 16).split(b"\r\n")[0]
    wait_until(lambda: cramped.status()["inside"] == 0)
    answer = cramped.upscale(body, name="slow.binvox")
    assert answer.status == 422
    assert "slow.binvox" in answer.error
    assert "takes longer than the 5 s" in answer.error
    assert cramped.upscale(body).status in (200, 422), "the service goes on"
    assert cramped.status()["restarts"] - restarts >= 2


def test_a_worker_has_bounds(cramped: Server) -> None:
    wait_until(cramped.workers)
    (worker,) = cramped.workers()

    def bounded() -> bool:
        limits = Path(f"/proc/{worker}/limits").read_text()
        bounds = {"address space": 1 << 30, "file size": 1 << 30, "core file size": 0}
        return all(re.search(rf"Max {name} +{n} +{n} ", limits) for name, n in bounds.items())

    wait_until(bounded)


@pytest.mark.parametrize(
    ("error", "status", "words", "retires"),
    [
        (MemoryError(), 413, "big.npy: takes more memory than this service gives", True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 413, "more memory", True),
        (OSError(errno.EFBIG, "File too large"), 413, "the result: expected at most 99 byt", False),
        (OSError(errno.ENOSPC, "No space left on device"), 507, "No space left", False),
        (UnavailableError("the weights are damaged"), 501, "the weights are damaged", False),
        (ZeroDivisionError("surprise"), 500, "this is a bug", True),
    ],
)
def test_what_goes_wrong_in_a_worker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Path,
    ball_file: Path,
    error: Exception,
    status: int,
    words: str,
    retires: bool,
) -> None:
    from mvd_toolkit.serve.settings import Settings
    from mvd_toolkit.serve.worker import Job, Service

    def fail(value: object, file: object) -> None:
        raise error

    form = replace(next(known for known in io.known_formats() if known.name == "npy"), write=fail)
    monkeypatch.setattr(Service, "_format", lambda *asked: form)
    monkeypatch.setattr(io, "output_format", lambda *asked: form)
    service = Service(Settings(model=str(tiny_model), max_result=99))
    answer = service.answer(Job(str(ball_file), str(tmp_path / "result"), "big.npy"))
    assert answer["status"] == status
    assert words in answer["error"]["message"]
    assert bool(answer.get("retire")) is retires
    assert "surprise" not in answer["error"]["message"]
    assert str(tmp_path) not in answer["error"]["message"]


def test_a_name_that_is_allowed_is_answered_to(cramped: Server) -> None:
    for host, status in (("voxels.example", 200), ("Voxels.Example:80", 200), ("other", 421)):
        assert cramped.ask("GET", "/", headers={"Host": host}).status == status
