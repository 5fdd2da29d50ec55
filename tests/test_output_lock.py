"""One maker an output: others wait, and what a killed one left is cleared away."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mvd_toolkit.batch import make_once
from mvd_toolkit.errors import UsageError
from mvd_toolkit.io import atomic
from mvd_toolkit.output_lock import only_maker
from mvd_toolkit.sidecar import Recipe, sidecar_path

RECIPE = Recipe("upscale", {"size": 256})
INPUT = "00" * 32


def test_the_second_maker_waits_and_finds_it_finished(tmp_path: Path) -> None:
    output = tmp_path / "new" / "a.npy"
    made: list[str] = []

    def make() -> dict[str, object]:
        made.append("made")
        time.sleep(0.2)
        output.write_text("content")
        return {}

    statuses: list[str] = []

    def maker() -> None:
        statuses.append(make_once(output, RECIPE, INPUT, "error", make).status)

    threads = [threading.Thread(target=maker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["made"]
    assert sorted(statuses) == ["made", "skipped", "skipped", "skipped"]
    assert sorted(output.parent.iterdir()) == [output, sidecar_path(output)]


KILLED = """
import os, signal, sys
from pathlib import Path
from mvd_toolkit import sidecar
from mvd_toolkit.io import atomic
from mvd_toolkit.output_lock import only_maker
output = Path(sys.argv[1])
with only_maker(output), sidecar.making(output, sidecar.Recipe("upscale"), "00" * 32):
    with atomic(output) as file:
        file.write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.npy", "a [1]*?.npy", "long" * 30 + ".npy"])
def test_what_a_killed_maker_left_is_removed(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    ended = subprocess.run([sys.executable, "-c", KILLED, str(output)], check=False)
    assert ended.returncode == -signal.SIGKILL
    left = sorted(path.suffix for path in tmp_path.iterdir())
    assert left == [".json", ".lock", ".tmp"]
    neighbour = output.with_name(f"{output.name}.npy")
    with atomic(neighbour) as file:
        file.write(b"in the making")
        with only_maker(output):
            pass
    assert sorted(tmp_path.iterdir()) == sorted([sidecar_path(output), neighbour])


def test_the_lock_of_a_maker_killed_when_it_had_finished_is_removed(tmp_path: Path) -> None:
    output = tmp_path / "a.npy"

    def make() -> dict[str, object]:
        output.write_text("content")
        return {}

    make_once(output, RECIPE, INPUT, "error", make)
    (tmp_path / ".a.npy.lock").touch()
    assert make_once(output, RECIPE, INPUT, "error", make).status == "skipped"
    assert sorted(tmp_path.iterdir()) == [output, sidecar_path(output)]


def test_a_name_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="cannot be written to: File name too long"),
        only_maker(tmp_path / ("x" * 254)),
    ):
        pass
