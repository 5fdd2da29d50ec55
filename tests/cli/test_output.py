"""`_output`: what is printed where."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest

from mvd_toolkit.cli import _output
from mvd_toolkit.cli._output import Output


def test_data_on_stdout_talk_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.data("result")
    out.say("talk")
    out.warn("careful")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == "talk\nmvd: note: careful\n"


def test_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table([{"name": "a", "iou": 0.5}, {"name": "long", "iou": None}])
    assert capsys.readouterr().out == "name  iou\na     0.5\nlong  -\n"


def test_document_is_plain_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.json = True
    out.command = "x"
    out.item({"path": Path("a"), "value": math.nan, "shape": (1, 2)})
    out.finish()
    assert json.loads(capsys.readouterr().out)["items"] == [
        {"path": "a", "value": None, "shape": [1, 2]}
    ]


def test_lines_come_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(_output.time, "monotonic", lambda: now[0])
    out = Output()
    with out.progress(3, "upscale") as progress:
        for second in (1.0, 4.0, 6.0, 7.0, 12.0):
            now[0] = second
            progress.start("a.npy")
            progress.step("networks", 0.5)
        progress.finish()
    assert capsys.readouterr().err.splitlines() == [
        "upscale 0/3 · a.npy: networks",
        "upscale 0/3 · a.npy: networks",
    ]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    out = Output()
    with out.progress(2, "upscale") as progress:
        progress.start("a[b].npy")
        progress.step("networks", 0.5)
        out.say("made [red]a[/red]")
        progress.finish()
    assert "made [red]a[/red]" in terminal.getvalue()
    assert "upscale" in terminal.getvalue()
