"""The progress bar of a terminal, by rich; loaded only there."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from mvd_toolkit.cli._output import Progress


class Bar(Progress):
    """A bar over items, with the step of the one at hand."""

    def __init__(self, total: int, what: str, stream: TextIO) -> None:
        super().__init__(total)
        self._console = Console(file=stream)
        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
            TextColumn("{task.fields[item]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task = self._rich.add_task(what, total=total, item="", pace="")
        self._name = ""

    def __enter__(self) -> Bar:
        self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rich.stop()

    def start(self, name: str) -> None:
        """An item begins."""
        self._name = name
        self._rich.update(self._task, item=name)

    def step(self, step: str, fraction: float) -> None:
        """The item at hand is at ``step``."""
        self._rich.update(self._task, completed=self.done + fraction, item=f"{self._name}: {step}")

    def finish(self, name: str = "", worked: bool = True) -> None:
        """An item is over."""
        super().finish(name, worked)
        self._rich.update(self._task, completed=self.done, item=name, pace=self.pace())

    def print(self, text: str) -> None:
        """A line of talk above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
