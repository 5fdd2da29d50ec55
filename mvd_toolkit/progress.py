"""How far a run of several steps is, and how long each of them takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction, 0 to 1, of the whole that is behind it."""


class StepClock:
    """Times the steps of one run and tells how far it is.

    Attributes:
        seconds: wall time of each step so far.
    """

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextlib.contextmanager
    def __call__(self, step: str, behind: float) -> Iterator[None]:
        """Time ``step``, which begins when the fraction ``behind`` of the whole is done."""
        if self._progress:
            self._progress(step, behind)
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def done(self) -> None:
        """Tell that the whole is done."""
        if self._progress:
            self._progress("done", 1.0)
