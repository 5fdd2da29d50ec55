"""A running `mvd serve`, to be asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mvd_toolkit import VoxelGrid, io, save

PROGRAM = "from mvd_toolkit.cli import main; main()"
SECONDS = 60.0


@dataclass
class Answer:
    """What one request gave."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        document = json.loads(self.body)
        assert document["schema"] == "mvd.serve/1"
        assert document["ok"] is False
        return str(document["error"]["message"])


@dataclass
class Server:
    """A running `mvd serve`."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            said = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, said, answer.read())
        finally:
            connection.close()

    def upscale(self, body: bytes, **options: object) -> Answer:
        return self.ask("POST", f"/upscale?{urlencode(options)}", body)

    def status(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.ask("GET", "/status").body)["summary"]
        return summary

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def files(self) -> list[str]:
        """What lies in the folder that uploads pass through."""
        (inside,) = self.folder.glob("mvd-serve-*")
        return sorted(path.name for path in inside.iterdir())

    @contextmanager
    def half_upload(self, name: str = "a.binvox") -> Iterator[socket.socket]:
        """A client that has sent half of its file and is not going on."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as client:
            head = (
                f"POST /upscale?name={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
            )
            client.sendall(f"{head}\r\n#binvox 1\n".encode())
            wait_until(lambda: self.status()["inside"] > 0)
            yield client


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def serving(folder: Path, model: Path, *options: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", "--port", "0", "-m", str(model), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
        # Who started the tests in the background may have had SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        yield Server(process, int(said.rsplit(":", 1)[1].strip("/\n")), folder)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=SECONDS)


def content(value: VoxelGrid | io.Mesh, path: Path) -> bytes:
    (save if isinstance(value, VoxelGrid) else io.save_mesh)(value, path)  # type: ignore[operator]
    return path.read_bytes()
