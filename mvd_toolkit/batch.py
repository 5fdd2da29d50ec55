"""Many files: a function of one file, mapped.

`find_sources` turns what the user named into files, each with its place below the folder it was
found in; `Destination` says where the output of each goes; `run` calls a function for each and
keeps going when one fails.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

from mvd_toolkit.errors import (
    BatchError,
    BugError,
    InputError,
    MVDError,
    OutputExistsError,
    UsageError,
)
from mvd_toolkit.sidecar import Status

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A file to work on.

    Attributes:
        path: where it is.
        relative: where it lies below the folder the user named; its bare name when the user named
            the file itself. Output trees mirror it.
    """

    path: Path
    relative: Path


def find_sources(
    inputs: Sequence[Path],
    suffixes: Iterable[str],
    exclude: Callable[[Path], bool] = lambda file: False,
) -> list[Source]:
    """The files that the user's arguments stand for, in order, none twice.

    A file is taken whatever its suffix; of a folder, every file below it that has one of
    ``suffixes`` and that ``exclude`` does not refuse, sorted. With several folders each keeps its
    own name as the first part of ``relative``, so that their trees do not mix. A path that does
    not exist is left to the function that reads it.

    Raises:
        InputError: a folder holds no such file.
    """
    wanted = tuple(sorted({suffix.lower() for suffix in suffixes}))
    several = sum(path.is_dir() for path in inputs) > 1
    found: dict[Path, Source] = {}
    for path in inputs:
        if not path.is_dir():
            found.setdefault(path.resolve(), Source(path, Path(path.name)))
            continue
        known = (file for file in sorted(path.rglob("*")) if file.name.lower().endswith(wanted))
        inside = [file for file in known if not file.is_dir() and not exclude(file)]
        if not inside:
            raise InputError(f"{path}: expected files ending in {' '.join(wanted)}, found none")
        for file in inside:
            relative = file.relative_to(path)
            if several:
                relative = path.resolve().name / relative
            found.setdefault(file.resolve(), Source(file, relative))
    return list(found.values())


@dataclass
class Destination:
    """Where outputs go: one file, a folder that mirrors the inputs' tree, or beside each input.

    Attributes:
        file: the one output; None for the other two.
        folder: the root of the tree; None: beside each input.
    """

    file: Path | None = None
    folder: Path | None = None
    _taken: dict[Path, Path] = field(default_factory=dict, repr=False)

    @classmethod
    def from_option(
        cls, output: Path | None, inputs: Sequence[Path], suffixes: Iterable[str]
    ) -> Destination:
        """What ``-o`` means: a file when its suffix is known and one file came in, else a folder.

        Raises:
            UsageError: it would have to be a folder and is a file.
        """
        if output is None:
            return cls()
        single = len(inputs) == 1 and not inputs[0].is_dir()
        known = output.name.lower().endswith(tuple(suffixes))
        if single and known and not output.is_dir():
            return cls(file=output)
        if output.exists() and not output.is_dir():
            raise UsageError(
                f"-o {output}: expected a folder for "
                f"{'a suffix that no format has' if single else 'several inputs'}, found a file"
            )
        return cls(folder=output)

    def may_hold(self, file: Path) -> bool:
        """Whether ``file`` lies where outputs of this run may lie."""
        if self.file is not None:
            return file.resolve() == self.file.resolve()
        return self.folder is None or self.folder.resolve() in file.resolve().parents

    def path(self, source: Source, name: str) -> Path:
        """The output of ``source``, called ``name`` unless the user named the file.

        Raises:
            UsageError: it is the input itself.
            OutputExistsError: another input of this run has the same output.
        """
        if self.file is not None:
            output = self.file
        elif self.folder is not None:
            output = self.folder / source.relative.parent / name
        else:
            output = source.path.parent / name
        place = output.resolve()
        if place == source.path.resolve():
            raise UsageError(f"{output}: is the input; -o names another place")
        other = self._taken.setdefault(place, source.path)
        if other != source.path:
            raise OutputExistsError(
                f"{output}: is already the output of {other}; give one of the inputs another name"
            )
        return output


@dataclass(frozen=True)
class Made:
    """A file's output and how it came to be.

    Attributes:
        output: the file.
        status: whether it was made, skipped or kept.
        facts: what a report shows, JSON-able; empty unless made.
        notes: what the user should know, a sentence each.
    """

    output: Path
    status: Status
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How one item ended: with a result, or with the error that stopped it.

    Attributes:
        source: the item.
        result: what the function returned; None when it failed.
        error: why it failed; None when it did not.
        seconds: wall time.
    """

    source: Source
    result: T | None
    error: MVDError | None
    seconds: float


class Unready(Exception):
    """Raised by a function that no item can be made without what ``error`` says is missing."""

    def __init__(self, error: MVDError) -> None:
        super().__init__(str(error))
        self.error = error


class Interrupted(MVDError):
    """SIGINT or SIGTERM ended a run between two items; ``exit_code`` is 128 + its number."""

    def __init__(self, number: int, done: int, total: int) -> None:
        super().__init__(
            f"interrupted: {done} of {total} done; the same command goes on from there"
        )
        self.exit_code = 128 + number


def run(
    items: Sequence[Source],
    function: Callable[[Source], T],
    on_outcome: Callable[[Outcome[T]], None] | None = None,
    on_signal: Callable[[], None] | None = None,
) -> list[Outcome[T]]:
    """Call ``function`` for every item; a failure is kept and never stops the rest.

    The first SIGINT or SIGTERM lets the item at hand finish; a second SIGINT interrupts it.

    Args:
        items: what to work on, in this order.
        function: makes the result of one item; raises an `MVDError` when it cannot. Any other
            exception is a bug, and the item's failure all the same: a `BugError`.
        on_outcome: called after each item.
        on_signal: called when the first signal arrives.

    Raises:
        Interrupted: a signal came; the items before it are done.
        MVDError: the error of an `Unready`, which ends the run.
    """
    outcomes: list[Outcome[T]] = []
    with _signals_wait(on_signal) as stop:
        for item in items:
            outcome = _attempt(item, function)
            outcomes.append(outcome)
            if on_outcome:
                on_outcome(outcome)
            if stop.signal is not None:
                raise Interrupted(stop.signal, len(outcomes), len(items))
    return outcomes


def raise_failures(outcomes: Sequence[Outcome[Any]], single: bool) -> None:
    """Raise what a run with failures ends in; return when there are none.

    Args:
        outcomes: of `run`.
        single: the user named one file, whose own error is raised.

    Raises:
        MVDError: the error of the only file.
        BatchError: some of several failed; the text lists them.
    """
    failures = [(o.source.path, o.error) for o in outcomes if o.error is not None]
    if failures and single:
        raise failures[0][1]
    if failures:
        lines = "".join(f"\n  {_naming(path, error)}" for path, error in failures)
        raise BatchError(f"{len(failures)} of {len(outcomes)} failed:{lines}")


def _attempt(item: Source, function: Callable[[Source], T]) -> Outcome[T]:
    start = time.perf_counter()
    result: T | None = None
    error: MVDError | None = None
    try:
        result = function(item)
    except MVDError as caught:
        error = caught
    except Unready as caught:
        raise caught.error from caught.error.__cause__
    except OSError as caught:
        error = InputError(f"{caught.filename or item.path}: {caught.strerror or caught}")
    except MemoryError:
        error = InputError(f"{item.path}: this machine has too little memory for it")
    except Exception as caught:  # the rest of the batch is not to suffer from it
        error = BugError(
            f"{item.path}: this is a bug in mvd_toolkit: {type(caught).__name__}: {caught}; "
            "please report it with what --debug prints"
        )
        error.__cause__ = caught
    return Outcome(item, result, error, time.perf_counter() - start)


def _naming(path: Path, error: MVDError) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"


@dataclass
class _Stop:
    signal: int | None = None


@contextmanager
def _signals_wait(on_signal: Callable[[], None] | None) -> Iterator[_Stop]:
    """Remembers SIGINT and SIGTERM instead of acting on them; a second SIGINT interrupts."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def remember(number: int, frame: FrameType | None) -> None:
        if stop.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.signal = number
        if on_signal:
            on_signal()

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
