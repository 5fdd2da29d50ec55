"""What the command line says: the only place that prints.

Data goes to stdout, talk to stderr. With ``--json`` stdout holds exactly one document

    {"schema": "mvd.upscale/1", "ok": true, "items": [...], "summary": {...}, "warnings": [...]}

and, when the command failed, its ``"error": {"type": ..., "message": ..., "exit_code": ...}``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LINE_INTERVAL = 5.0
"""Seconds between two lines of progress when stderr is no terminal."""


class Output:
    """What one run of `mvd` says.

    Attributes:
        command: names the document's schema.
        json: one JSON document instead of text on stdout.
        quiet: no talk on stderr but errors and warnings.
        debug: errors come with a traceback.
        summary: the document's ``summary``, kept when the command fails after all.
    """

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}
        self.command = "cli"
        self.json = False
        self.quiet = False
        self.debug = False
        self._stdout = sys.stdout
        self._stderr = sys.stderr
        self._items: list[dict[str, Any]] = []
        self._warnings: list[str] = []
        self._live: Any = None

    def mute(self) -> None:
        """Say nothing at all from now on: this process is one of several and not the first."""
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self._stdout = self._stderr = nowhere
        self.quiet = True

    def data(self, text: str) -> None:
        """A line of the result: stdout, unless a JSON document will be there."""
        if not self.json:
            print(text, file=self._stdout, flush=True)

    def table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of the result as aligned columns, headed by the keys of the first."""
        if not rows:
            return
        lines = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            self.data("  ".join(padded).rstrip())

    def facts(self, pairs: Mapping[str, Any]) -> None:
        """Names and values of the result, one a line."""
        width = max(map(len, pairs), default=0)
        for name, value in pairs.items():
            self.data(f"{name.ljust(width)}  {_cell(value)}".rstrip())

    def item(self, item: Mapping[str, Any]) -> None:
        """One element of the document's ``items``."""
        self._items.append(dict(item))

    def say(self, text: str) -> None:
        """Talk."""
        if not self.quiet:
            self._talk(text)

    def warn(self, text: str) -> None:
        """Something the user should know though all went well; it is in the document too."""
        self._warnings.append(text)
        self._talk(f"mvd: note: {text}")

    def finish(self) -> None:
        """The end of a command that did what it was asked to."""
        if self.json:
            self._document(ok=True)

    def fail(self, error: BaseException, kind: str, message: str, exit_code: int) -> None:
        """The end of a command that did not."""
        if self.debug:
            self._talk("".join(traceback.format_exception(error)).rstrip())
        self._talk(f"mvd: error: {message}")
        if self.json:
            failure = {"type": kind, "message": message, "exit_code": exit_code}
            self._document(ok=False, error=failure)

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Progress]:
        """Progress over ``total`` items: a bar on a terminal, else a line every few seconds."""
        if self.quiet:
            yield Progress(total)
        elif self._stderr.isatty():
            from mvd_toolkit.cli._bar import Bar

            with Bar(total, what, self._stderr) as bar:
                self._live = bar
                try:
                    yield bar
                finally:
                    self._live = None
        else:
            yield Lines(total, what, self)

    def _talk(self, text: str) -> None:
        if self._live is not None:
            self._live.print(text)
        else:
            print(text, file=self._stderr, flush=True)

    def _document(self, ok: bool, **members: Any) -> None:
        document = {
            "schema": f"mvd.{self.command}/1",
            "ok": ok,
            "items": self._items,
            "summary": self.summary,
            "warnings": self._warnings,
            **members,
        }
        print(json.dumps(plain(document), allow_nan=False), file=self._stdout, flush=True)


class Progress:
    """How far a command is; this one tells nobody."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._worked = 0
        self._begun = time.monotonic()

    def start(self, name: str) -> None:
        """An item begins."""

    def step(self, step: str, fraction: float) -> None:
        """The item at hand is at ``step``, and ``fraction`` (0 to 1) of it is done."""

    def finish(self, name: str = "", worked: bool = True) -> None:
        """An item is over; ``worked``: it took work and tells how long the others will."""
        self.done += 1
        self._worked += worked

    def pace(self) -> str:
        """Items a second and the time left, of those that took work; empty until one did."""
        spent = time.monotonic() - self._begun
        if not self._worked or spent <= 0:
            return ""
        rate = self._worked / spent
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        return f"{speed}, {_duration((self.total - self.done) / rate)} left"


class Lines(Progress):
    """A plain line every few seconds, for logs."""

    def __init__(self, total: int, what: str, output: Output) -> None:
        super().__init__(total)
        self._what = what
        self._output = output
        self._name = ""
        self._spoken = time.monotonic()

    def start(self, name: str) -> None:
        """An item begins."""
        self._name = name

    def step(self, step: str, fraction: float) -> None:
        """The item at hand is at ``step``."""
        self._speak(f"{self._name}: {step}")

    def finish(self, name: str = "", worked: bool = True) -> None:
        """An item is over."""
        super().finish(name, worked)
        self._speak(name or self._name)

    def _speak(self, text: str) -> None:
        now = time.monotonic()
        if now - self._spoken >= LINE_INTERVAL:
            self._spoken = now
            pace = self.pace()
            said = [f"{self._what} {self.done}/{self.total}", *([pace] if pace else []), text]
            self._output.say(" · ".join(said))


def _duration(seconds: float) -> str:
    """
    >>> _duration(7.4), _duration(90), _duration(7260)
    ('7 s', '2 min', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return " ".join(map(_cell, value))
    return str(value)


def plain(value: Any) -> Any:
    """A value in JSON's own types: paths as text, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
