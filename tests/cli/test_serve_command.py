"""`mvd serve`, run as a program and asked over HTTP, in a browser, and by many at once."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trimesh
from browser import CHROMIUM, Browser

from mvd_toolkit import Upscaler, VoxelGrid, io, load, save
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.voxelize import voxelize

pytest.importorskip("fastapi")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve"), tiny_model, "--max-upload", "1") as running:
        yield running
        assert running.files() == []
        assert running.status()["failed"] == 0


@pytest.fixture(scope="module")
def expected(tiny_model: Path, ball: VoxelGrid) -> VoxelGrid:
    return Upscaler.load(tiny_model)(ball)


def content(value: VoxelGrid | io.Mesh, path: Path) -> bytes:
    (save if isinstance(value, VoxelGrid) else io.save_mesh)(value, path)  # type: ignore[operator]
    return path.read_bytes()


def box() -> io.Mesh:
    cube = trimesh.creation.box((1, 2, 3))
    return io.Mesh(cube.vertices, cube.faces)


@pytest.mark.parametrize("form", ["binvox", "npz", "nrrd", "stl", "glb"])
def test_a_grid_comes_back_as_upscale_makes_it(
    server: Server, ball: VoxelGrid, expected: VoxelGrid, tmp_path: Path, form: str
) -> None:
    answer = server.upscale(
        content(ball, tmp_path / "a.binvox"), name="my ball.binvox", format=form
    )
    assert answer.status == 200
    known = next(known for known in io.known_formats() if known.name == form)
    assert f'filename="my_ball_128{known.suffixes[0]}"' in answer.headers["content-disposition"]
    want = content(expected, tmp_path / f"b{known.suffixes[0]}")
    assert answer.body == want
    facts = json.loads(answer.headers["mvd-facts"])
    assert facts["input_shape"] == [16] * 3
    assert facts["shape"] == [128] * 3


def test_a_mesh_is_voxelized_first(server: Server, tiny_model: Path, tmp_path: Path) -> None:
    body = content(box(), tmp_path / "a.obj")
    answer = server.upscale(body, name="a.obj", format="npz", resolution=12, to=48)
    assert answer.status == 200, answer.error
    (tmp_path / "b.npz").write_bytes(answer.body)
    mesh = box()
    low = voxelize(mesh.vertices, mesh.faces, 12).grid
    assert load(tmp_path / "b.npz") == Upscaler.load(tiny_model)(low, to=48, low_rule="any")


def test_put_does_too_and_the_format_is_that_of_the_upload(
    server: Server, ball: VoxelGrid, expected: VoxelGrid, tmp_path: Path
) -> None:
    answer = server.ask("PUT", "/upscale", content(ball, tmp_path / "a.nrrd"))
    assert answer.body == content(expected, tmp_path / "b.nrrd")


HUGE = b"#binvox 1\ndim 2048 2048 2048\ndata\n\1\xff"
BAD: dict[str, tuple[bytes, dict[str, object], int, str]] = {
    "nothing": (b"", {}, 422, "the upload: expected a grid .* found an empty file"),
    "garbage": (b"\xff" * 999, {"name": "a"}, 422, "a: expected a grid or mesh of a format"),
    "cut off": (b"#binvox 1\ndim 16 16 16\ndata\n\1\xff", {"name": "b"}, 422, "b: .*expected"),
    "huge": (HUGE, {"name": "c"}, 422, "c: grid of 2048x2048x2048: expected at most 2097152 "),
    "long": (b"#binvox 1\ndim 200 1 1\ndata\n\1\xc8", {}, 422, "200x1x1: expected at most 128"),
    "forged npy": (
        b"\x93NUMPY\1\0v\0{'descr':'|u1','fortran_order':False,'shape':(99999,9999,999)}".ljust(
            128
        ),
        {},
        422,
        "expected",
    ),
    "bad size": (HUGE, {"to": 0}, 400, "to: .*greater than or equal to 1"),
    "bad option": (HUGE, {"colour": "red"}, 400, "colour: Extra inputs are not permitted"),
    "bad rule": (HUGE, {"low_rule": "most"}, 400, "low_rule: Input should be 'auto'"),
    "bad format": (HUGE, {"format": "exe"}, 400, "format: expected one of binvox, .*'exe'"),
    "bad length": (HUGE, {"size": "far", "format": "stl"}, 400, "size: expected a length"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said(server: Server, case: str) -> None:
    body, options, status, text = BAD[case]
    answer = server.upscale(body, **options)
    assert answer.status == status
    assert re.search(text, answer.error)
    assert "MVD_MAX" not in answer.error
    assert str(server.folder) not in answer.error


def test_a_size_that_cannot_be_made_names_those_that_can(
    server: Server, ball: VoxelGrid, tmp_path: Path
) -> None:
    answer = server.upscale(content(ball, tmp_path / "a.npy"), to=100)
    assert answer.status == 400
    assert "these work: 1, 2, 4, 8, 16, 32, 64, 128" in answer.error


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "evil.example"}, 421),
        ("GET", "/", {"Host": "127.0.0.1.evil.example:80"}, 421),
        ("GET", "/", {"Host": ""}, 421),
        ("POST", "/upscale", {"Origin": "http://evil.example"}, 403),
        ("POST", "/upscale", {"Origin": "null"}, 403),
        ("POST", "/upscale", {"Origin": "http://localhost:1"}, 403),
        ("PUT", "/view", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("DELETE", "/view", {"Origin": "http://evil.example"}, 403),
        ("POST", "/upscale", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ("POST", "/upscale", {"Content-Length": str(2**40)}, 413),
        ("DELETE", "/upscale", {}, 405),
        ("GET", "/static/../app.py", {}, 404),
        ("GET", "/static/app.py", {}, 404),
        ("GET", "/docs", {}, 404),
    ],
)
def test_strangers_are_refused(
    server: Server, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = server.ask(method, path, b"", headers)
    assert answer.status == status
    assert answer.error
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_its_own_page_and_other_names_of_this_machine_are_not(server: Server) -> None:
    own = f"localhost:{server.port}"
    for host in (own, f"[::1]:{server.port}", "192.168.0.7"):
        assert server.ask("GET", "/", headers={"Host": host}).status == 200
    headers = {"Host": own, "Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}
    assert server.ask("POST", "/upscale", headers=headers).status == 422, "past the guards"


def test_a_body_without_a_length_is_counted(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    connection.request("POST", "/upscale", iter([bytes(1 << 19)] * 3))
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"expected at most 1048576 bytes" in answer.read()
    connection.close()
    wait_until(lambda: not server.files())


def test_the_clients_name_never_touches_the_disk(server: Server) -> None:
    with server.half_upload("..%2F..%2Fevil.binvox"):
        wait_until(server.files)
        (file,) = server.files()
        assert re.fullmatch(r"[0-9a-f]{32}\.binvox", file)
    wait_until(lambda: not server.files())  # the client went away
    assert server.status()["inside"] == 0


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    """A service of little room, little time and little memory, open to everyone."""
    folder = tmp_path_factory.mktemp("cramped")
    room = ("--waiting", "0", "--timeout", "5", "--memory", "1024")
    reach = ("--host", "0.0.0.0", "--allow-host", "voxels.example")
    with serving(folder, tiny_model, *room, *reach) as running:
        yield running
        assert running.files() == []
        running.process.send_signal(signal.SIGINT)
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


def test_many_at_once_good_and_bad(
    server: Server, ball: VoxelGrid, expected: VoxelGrid, tmp_path: Path
) -> None:
    good = content(ball, tmp_path / "a.binvox")
    right = content(expected, tmp_path / "b.npy")
    bad = [case for case in BAD.values() if case[2] == 422]
    asked = [
        (good, {"name": "a.binvox", "format": "npy"}) if i % 2 else bad[i // 2 % len(bad)][:2]
        for i in range(50)
    ]
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda one: server.upscale(one[0], **one[1]), asked))
    for (body, _), answer in zip(asked, answers, strict=True):
        if body == good:
            assert answer.status == 200
            assert answer.body == right
        else:
            assert answer.status == 422
            assert "expected" in answer.error


@needs_chromium
def test_in_a_browser(server: Server, ball: VoxelGrid, expected: VoxelGrid, tmp_path: Path) -> None:
    file = tmp_path / "ball <b>.binvox"
    save(ball, file)
    bad = tmp_path / "bad.stl"
    bad.write_bytes(b"solid")
    with Browser(tmp_path, server.url) as page:
        page.wait("document.getElementById('format').value === 'stl'")
        page.choose("#file", bad)
        page.wait("document.getElementById('said').className === 'wrong'")
        assert "bad.stl" in page.run("document.getElementById('said').textContent")
        page.choose("#file", file)
        page.wait("document.querySelector('.card')?.dataset.ready === 'yes'")
        assert page.run("document.querySelector('.card h3').textContent") == file.name
        captions = page.run("[...document.querySelectorAll('figcaption')].map(f => f.textContent)")
        assert captions == ["input, 16×16×16", "upscaled, 128×128×128"]
        camera = page.run("document.querySelector('.card').dataset.camera")
        shares = page.run(
            "[...document.querySelectorAll('.card canvas')].map(c => {"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return d.filter((v, i) => i % 4 === 3 && v).length * 4 / d.length})"
        )
        assert len(shares) == 2
        assert all(0.05 < share < 0.9 for share in shares)
        x, y = page.run(
            "(r => [r.x + r.width / 4, r.y + r.height / 3])"
            "(document.querySelector('.panels').getBoundingClientRect())"
        )
        page.drag(x, y, (80, 30))
        page.wait(f"document.querySelector('.card').dataset.camera !== '{camera}'")
        page.run("document.querySelector('button.save').click()")
        wait_until((tmp_path / "ball_b_128.stl").exists)
        assert (tmp_path / "ball_b_128.stl").read_bytes() == content(expected, tmp_path / "b.stl")
        assert page.run("mvdErrors") == []
        outside = [
            url for url in page.requests if not url.startswith((server.url, "blob:", "data:"))
        ]
        assert outside == ["about:blank"] or outside == []


def test_a_model_that_cannot_be_loaded_ends_it(mvd: Callable[..., Any], tmp_path: Path) -> None:
    result = mvd("serve", "--port", "0", "-m", tmp_path, "--json")
    assert result.code == 3
    assert "config.json" in result.document["error"]["message"]


def test_a_port_that_is_taken_is_a_usage_error(mvd: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = mvd("serve", "--port", port, "--json")
    assert result.code == 2
    assert f"--port {port}: Address already in use" in result.document["error"]["message"]


def test_without_the_extra_it_says_how_to_get_it(
    mvd: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "mvd_toolkit.serve.run", raising=False)
    monkeypatch.delattr("mvd_toolkit.serve.run", raising=False)
    result = mvd("serve", "--json")
    assert result.code == 5
    assert "pip install 'mvd_toolkit[serve]'" in result.document["error"]["message"]
