"""Timing by turns, targets and the table's rows."""

from __future__ import annotations

import contextlib
import gc
import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

ROUNDS = (5, 200)
"""Fewest and most rounds of a comparison."""

THREADS = 1
"""What every operation here is told to use."""


@dataclass(frozen=True)
class Settings:
    """What the command line asks for.

    Attributes:
        sizes: edges of the fine grids, voxels.
        seconds: about how long a comparison is repeated.
        model: model directory or name; None for the default.
    """

    sizes: Sequence[int]
    seconds: float
    model: str | None


@dataclass(frozen=True)
class Target:
    """What a row must reach: its ratio, or ours where there is no peer."""

    limit: float
    unit: str = "×"
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}".replace(" ×", "×")

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def faster(times: float) -> Target:
    """The peer takes at least ``times`` as long as we do."""
    return Target(times, at_least=True)


def within(times: float) -> Target:
    """We take at most ``times`` as long as the peer, which does the least that is possible."""
    return Target(times)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what is measured.
        size: of the input.
        ours: in ``unit``.
        unit: ms, s, MiB or %.
        peer: whom it is compared with; empty for a plain limit.
        theirs: the peer's figure, in ``unit``.
        ratio: how many times faster we are; against a floor, how many times slower.
        target: what must be reached, if anything.
    """

    what: str
    size: str
    ours: float
    unit: str = "ms"
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    target: Target | None = None

    HEADER: ClassVar[str] = (
        "| what | size | ours | peer | ratio | target | holds |\n|---|---|---|---|---|---|---|"
    )

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.target.met_by(self.ours if self.ratio is None else self.ratio)

    def __str__(self) -> str:
        peer = "" if self.theirs is None else f"{self.peer}: {figure(self.theirs)} {self.unit}"
        ratio = "" if self.ratio is None else f"{figure(self.ratio)}×"
        target = "" if self.target is None else str(self.target)
        holds = {True: "yes", False: "**no**", None: ""}[self.holds]
        ours = f"{figure(self.ours)} {self.unit}"
        return f"| {self.what} | {self.size} | {ours} | {peer} | {ratio} | {target} | {holds} |"


def figure(value: float) -> str:
    """Three digits, no exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


class MissingPeer(Exception):
    """A package to compare with is not installed."""


def peer(module: str) -> ModuleType:
    """Import a peer.

    Raises:
        MissingPeer: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0].removesuffix("modules")
        raise MissingPeer(
            f"{package} is not installed (`pip install mvd_toolkit[bench]`)"
        ) from error


def medians(
    settings: Settings,
    *functions: Callable[[], Any],
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """The median seconds of each function, called by turns until the time is used up."""
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + settings.seconds
    with _collecting_only_between() as collect:
        while len(times[0]) < ROUNDS[0] or (
            len(times[0]) < ROUNDS[1] and time.perf_counter() < end
        ):
            for function, seconds in zip(functions, times, strict=True):
                start = clock()
                function()
                seconds.append(clock() - start)
                collect()  # some peers leave grids in cycles: the next call may have their memory
    return [statistics.median(seconds) for seconds in times]


@contextlib.contextmanager
def _collecting_only_between() -> Iterator[Callable[[], int]]:
    """Turns the garbage collector off and gives the call that runs it on what is new."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()


def compare(
    settings: Settings,
    what: str,
    size: int,
    ours: Callable[[Any], Any],
    peer: str,
    theirs: Callable[[Any], Any],
    inputs: Sequence[Any],
    target: Target | None = None,
) -> Row:
    """Ours against a peer on every input; the row holds the mean over the inputs."""
    fast, slow = medians(settings, lambda: _each(ours, inputs), lambda: _each(theirs, inputs))
    ratio = slow / fast if target is None or target.at_least else fast / slow
    mean = 1e3 / len(inputs)
    return Row(what, f"{size}³", fast * mean, "ms", peer, slow * mean, ratio, target)


def _each(function: Callable[[Any], Any], inputs: Sequence[Any]) -> None:
    for item in inputs:
        function(item)  # a result is freed before the next, as it would be in use


def same(ours: Any, theirs: Any) -> None:
    """Stop a comparison of two different answers."""
    import numpy as np

    if not np.array_equal(ours, theirs):
        raise AssertionError(
            "the two ways do not give the same result: the comparison means nothing"
        )
