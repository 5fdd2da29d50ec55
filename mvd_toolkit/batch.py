"""Many files: a function of one file, mapped.

`Destination` says where the output of each goes, `make_once` makes it unless it is finished, `run`
calls a function for each, here or in the workers of an executor, and keeps going when one fails.
What `run` maps over need be no file: it is anything that a worker can be sent, and ``str`` of it is
what errors call it.
"""

from __future__ import annotations

import functools
import signal
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

from mvd_toolkit import sidecar
from mvd_toolkit.errors import (
    BatchError,
    BugError,
    InputError,
    MVDError,
    OutputExistsError,
    UsageError,
)
from mvd_toolkit.executors import as_ended
from mvd_toolkit.output_lock import clear_lock, only_maker
from mvd_toolkit.sidecar import OnExists, Recipe, Status
from mvd_toolkit.sources import Source as Source
from mvd_toolkit.sources import grouped, is_single

S = TypeVar("S")
T = TypeVar("T")

_TORCH_NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"


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
        single = is_single(inputs)
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


def status_of(output: Path, recipe: Recipe, input_hash: str, on_exists: OnExists) -> Status:
    """`sidecar.status`; what a process left that was killed when it had just finished is cleared.

    Raises:
        OutputExistsError: the output exists, is something else, and ``on_exists`` is "error".
    """
    status = sidecar.status(output, recipe, input_hash, on_exists)
    if status != "made":
        clear_lock(output)
    return status


def make_once(
    output: Path,
    recipe: Recipe,
    input_hash: str,
    on_exists: OnExists,
    make: Callable[[], dict[str, Any]],
) -> Made:
    """Make an output with its sidecar, unless it is finished; no two processes make it at once.

    Args:
        output: the file.
        recipe: how it is made.
        input_hash: `sidecar.file_hash` of what it is made from.
        on_exists: what to do about a file that is something else.
        make: writes the output; returns what its sidecar shall tell. ``notes`` are sentences that
            the user should know.

    Raises:
        OutputExistsError: it exists, is something else, and ``on_exists`` is "error".
    """
    status = status_of(output, recipe, input_hash, on_exists)
    if status != "made":
        return Made(output, status)
    with only_maker(output):
        status = sidecar.status(output, recipe, input_hash, on_exists)
        if status != "made":  # another process made it meanwhile
            return Made(output, status)
        with sidecar.making(output, recipe, input_hash) as facts:
            facts.update(make())
    return Made(output, "made", facts, tuple(facts.get("notes", ())))


@dataclass(frozen=True)
class Outcome(Generic[S, T]):
    """How one item ended: with a result, or with the error that stopped it.

    Attributes:
        source: the item.
        result: what the function returned; None when it failed.
        error: why it failed; None when it did not.
        seconds: wall time.
    """

    source: S
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
    items: Sequence[S],
    function: Callable[[S], T],
    on_outcome: Callable[[Outcome[S, T]], None] | None = None,
    on_signal: Callable[[], None] | None = None,
    executor: Executor | None = None,
    together: Callable[[S], Hashable] | None = None,
) -> list[Outcome[S, T]]:
    """Call ``function`` for every item; a failure is kept and never stops the rest.

    The first SIGINT or SIGTERM lets the items at hand finish; a second SIGINT interrupts them.

    Args:
        items: what to work on; in this process, in this order.
        function: makes the result of one item; raises an `MVDError` when it cannot. Any other
            exception is a bug, and the item's failure all the same: a `BugError`. For an executor
            it is picklable.
        on_outcome: called after each item, in this process.
        on_signal: called when the first signal arrives.
        executor: where the function is called; None: here.
        together: items of which this is equal are given to one worker, in order; None: each is on
            its own. For files it is `sources.family`: their outputs may have one name.

    Returns:
        The outcomes, in the order of ``items``.

    Raises:
        Interrupted: a signal came; the items before it are done.
        MVDError: the error of an `Unready`, which ends the run.
    """
    ended: dict[int, Outcome[S, T]] = {}
    with _signals_wait(on_signal) as stop:
        for outcome in run_as_ended(items, function, executor, together, stop.asked):
            ended[id(outcome.source)] = outcome
            if on_outcome:
                on_outcome(outcome)
        if stop.signal is not None:
            raise Interrupted(stop.signal, len(ended), len(items))
    return [ended[id(item)] for item in items]


def run_as_ended(
    items: Iterable[S],
    function: Callable[[S], T],
    executor: Executor | None = None,
    together: Callable[[S], Hashable] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome[S, T]]:
    """`run` as a stream: the outcomes as they end; no item begins once ``stopping`` says so.

    Without an executor an item is taken when it is that one's turn.
    """
    if executor is None:
        for item in items:
            if stopping():
                return
            yield _attempt(item, function)
        return
    tasks = grouped(items, together) if together else [[item] for item in items]
    parts = getattr(executor, "parts", None)
    if parts is not None:
        tasks = [list(chain(*tasks[part::parts])) for part in range(min(parts, len(tasks)))]
    attempt = functools.partial(_attempt_all, function)
    for task, future in as_ended(executor, attempt, tasks, stopping):
        yield from _outcomes_of(task, future)


def raise_failures(outcomes: Sequence[Outcome[Any, Any]], single: bool) -> None:
    """Raise what a run with failures ends in; return when there are none.

    Args:
        outcomes: of `run`.
        single: the user named one file, whose own error is raised.

    Raises:
        MVDError: the error of the only file.
        BatchError: some of several failed; the text lists them.
    """
    failures = [(str(o.source), o.error) for o in outcomes if o.error is not None]
    if failures and single:
        raise failures[0][1]
    if failures:
        lines = "".join(f"\n  {_naming(name, error)}" for name, error in failures)
        raise BatchError(f"{len(failures)} of {len(outcomes)} failed:{lines}")


def _attempt(item: S, function: Callable[[S], T]) -> Outcome[S, T]:
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
        error = InputError(f"{caught.filename or item}: {caught.strerror or caught}")
    except Exception as caught:  # the rest of the batch is not to suffer from it
        error = _unforeseen(item, caught)
        error.__cause__ = caught
    return Outcome(item, result, error, time.perf_counter() - start)


def _unforeseen(item: object, error: Exception) -> MVDError:
    if isinstance(error, MemoryError) or _TORCH_NO_MEMORY in str(error):
        return InputError(f"{item}: this machine has too little memory for it")
    return BugError(
        f"{item}: this is a bug in mvd_toolkit: {type(error).__name__}: {error}; "
        "please report it with what --debug prints"
    )


def _attempt_all(function: Callable[[S], T], items: Sequence[S]) -> list[Outcome[S, T]]:
    """What a worker does of one task."""
    return [_with_trace(_attempt(item, function)) for item in items]


def _with_trace(outcome: Outcome[S, T]) -> Outcome[S, T]:
    """A bug's trace as a note of its error: pickling keeps notes and loses causes."""
    error = outcome.error
    if error is not None and error.__cause__ is not None:
        error.add_note("".join(traceback.format_exception(error.__cause__)).rstrip())
    return outcome


def _outcomes_of(task: Sequence[S], future: Future[list[Outcome[S, T]]]) -> Iterable[Outcome[S, T]]:
    """What became of a task; when its worker died, each item failed of it."""
    try:
        ended = future.result()
    except CancelledError:
        return []
    except MVDError:
        raise
    except Exception as died:  # each executor has its own for a worker that died
        return [
            Outcome(item, None, InputError(f"{item}: {_first_line(died)}"), 0.0) for item in task
        ]
    return [replace(outcome, source=item) for item, outcome in zip(task, ended, strict=True)]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _naming(name: str, error: MVDError) -> str:
    text = str(error)
    return text if name in text else f"{name}: {text}"


@dataclass
class _Stop:
    signal: int | None = None

    def asked(self) -> bool:
        return self.signal is not None


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
