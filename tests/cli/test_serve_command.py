"""`mvd serve`, run as a program and asked over HTTP, in a browser, and by many at once."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trimesh
from browser import CHROMIUM, Browser
from serving import SECONDS, Server, content, serving, wait_until

from mvd_toolkit import Upscaler, VoxelGrid, io, load, save
from mvd_toolkit.voxelize import voxelize

pytest.importorskip("fastapi")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve"), tiny_model, "--max-upload", "1") as running:
        yield running
        assert running.files() == []
        assert running.status()["failed"] == 0


@pytest.fixture(scope="module")
def expected(tiny_model: Path, ball: VoxelGrid) -> VoxelGrid:
    return Upscaler.load(tiny_model)(ball)


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
def test_in_a_browser(server: Server, tiny_model: Path, ball: VoxelGrid, tmp_path: Path) -> None:
    file = tmp_path / "ball <b>.binvox"
    save(ball, file)
    fine = Upscaler.load(tiny_model)(ball, to=64)
    bad = tmp_path / "bad.stl"
    bad.write_bytes(b"solid")
    with Browser(tmp_path, server.url) as page:
        page.wait("document.getElementById('format').value === 'stl'")
        page.choose("#file", bad)
        page.wait("document.getElementById('said').className === 'wrong'")
        assert "bad.stl" in page.run("document.getElementById('said').textContent")
        page.run("document.getElementById('options').elements.to.value = '64'")
        page.choose("#file", file)
        page.wait("document.querySelector('.card')?.dataset.ready === 'yes'")
        assert page.run("document.querySelector('.card h3').textContent") == file.name
        captions = page.run("[...document.querySelectorAll('figcaption')].map(f => f.textContent)")
        assert captions == ["input, 16×16×16", "upscaled, 64×64×64"]
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
        wait_until((tmp_path / "ball_b_64.stl").exists)
        assert (tmp_path / "ball_b_64.stl").read_bytes() == content(fine, tmp_path / "b.stl")
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
