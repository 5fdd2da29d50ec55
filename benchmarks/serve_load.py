"""50 files at once to `mvd serve`, good and bad mixed, round after round.

Each good one must come back exactly as `mvd.Upscaler` makes it, each bad one with a 4xx that says
why, and memory must stay flat:

    python benchmarks/serve_load.py --rounds 20
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from mvd_toolkit import Upscaler, load, save
from mvd_toolkit.voxelize import voxelize

EXAMPLES = Path(__file__).parent.parent / "examples"
PROGRAM = "from mvd_toolkit.cli import main; main()"
AT_ONCE = 50


@dataclass(frozen=True)
class Case:
    """A file to send and what must come back: the bytes, or words of the error."""

    name: str
    body: bytes
    query: str
    right: bytes | None
    words: str = ""


def good_cases(folder: Path) -> list[Case]:
    up = Upscaler.load()
    cases = []
    for path in sorted(EXAMPLES.glob("*_32.binvox")):
        for suffix in (".npz", ".stl"):
            result = folder / f"{path.stem}{suffix}"
            save(up(load(path), threads=1), result)
            query = urlencode({"name": path.name, "format": suffix[1:]})
            cases.append(Case(path.name, path.read_bytes(), query, result.read_bytes()))
    from mvd_toolkit import io

    mesh = io.load_mesh(EXAMPLES / "mug.stl")
    low = voxelize(mesh.vertices, mesh.faces, 32).grid
    save(up(low, low_rule="any", threads=1), folder / "mesh.nrrd")
    query = urlencode({"name": "mug.stl", "format": "nrrd"})
    body = (EXAMPLES / "mug.stl").read_bytes()
    return [*cases, Case("mug.stl", body, query, (folder / "mesh.nrrd").read_bytes())]


def bad_cases() -> list[Case]:
    whole = (EXAMPLES / "chair_32.binvox").read_bytes()
    forged = {"descr": "|u1", "fortran_order": False, "shape": (100_000, 100_000, 100)}
    npy = b"\x93NUMPY\1\0" + struct.pack("<H", 100) + repr(forged).encode().ljust(99) + b"\n"
    files = {
        "empty.npy": (b"", {}, "empty file"),
        "noise.vox": (bytes(range(256)) * 64, {}, "expected"),
        "cut.binvox": (whole[: len(whole) // 2], {}, "expected"),
        "huge.binvox": (b"#binvox 1\ndim 2048 2048 2048\ndata\n\1\xff", {}, "expected at most"),
        "forged.npy": (npy, {}, "expected"),
        "many.stl": (bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50), {}, "expected"),
        "deep.gltf": (b'{"asset":' + b"[" * 100_000, {}, "expected|JSON"),
        "chair.binvox": (whole, {"to": 100}, "these work"),
        "again.binvox": (whole, {"format": "exe"}, "expected one of"),
    }
    return [
        Case(name, body, urlencode({"name": name, **options}), None, words)
        for name, (body, options, words) in files.items()
    ]


def ask(port: int, case: Case) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", f"/upscale?{case.query}", case.body)
    answer = connection.getresponse()
    said = answer.status, answer.read()
    connection.close()
    return said


def check(case: Case, status: int, body: bytes) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if case.right is not None:
        return "" if status == 200 and body == case.right else f"{case.name}: {status}, not equal"
    message = json.loads(body)["error"]["message"]
    fine = 400 <= status < 500 and re.search(case.words, message)
    return "" if fine else f"{case.name}: {status} {message}"


def memory(pid: int) -> float:
    """Resident memory of a process, MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        good, bad = good_cases(Path(folder)), bad_cases()
    service = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", "--port", "0", "-q"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert service.stdout is not None
    port = int(service.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text
    wrong: list[str] = []
    print("round  good  bad  wrong  seconds  slowest  service MiB  worker MiB")
    for number in range(rounds):
        sent = [
            good[(number + i) % len(good)] if i % 2 else bad[(number + i // 2) % len(bad)]
            for i in range(AT_ONCE)
        ]
        start = time.perf_counter()

        def timed(case: Case, start: float = start) -> tuple[str, float]:
            return check(case, *ask(port, case)), time.perf_counter() - start

        with ThreadPoolExecutor(AT_ONCE) as threads:
            answers = list(threads.map(timed, sent))
        wrong += [text for text, _ in answers if text]
        workers = sum(memory(int(pid)) for pid in children().split())
        print(
            f"{number + 1:5}  {AT_ONCE // 2:4}  {AT_ONCE // 2:3}  {len(wrong):5}  "
            f"{time.perf_counter() - start:7.1f}  {max(seconds for _, seconds in answers):7.1f}  "
            f"{memory(service.pid):11.0f}  {workers:10.0f}",
            flush=True,
        )
    service.terminate()
    service.wait()
    for text in wrong:
        print(text, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
