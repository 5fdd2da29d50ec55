"""The training loop: steps, validations, checkpoints and signals, whatever it is that learns.

`train` puts a run of the two predictors together, `train_reconstructor` one of a reconstructor.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import torch

from mvd_toolkit.errors import MVDError
from mvd_toolkit.learner import Learner
from mvd_toolkit.parallel import Parallel
from mvd_toolkit.run_directory import Log, NoLog, Report, RunDirectory, tensorboard
from mvd_toolkit.training_settings import Settings

LOG_EVERY: Final = 20
"""Steps between lines of metrics.jsonl; the first and the last step have one too."""

CHECKPOINT_SECONDS: Final = 300.0
"""Longest time between two checkpoints."""


class TrainingStopped(MVDError):
    """A signal ended training between two steps; ``exit_code`` is 128 + its number."""

    def __init__(self, number: int, run: Path, step: int) -> None:
        super().__init__(
            f"stopped after step {step}: the state is in {run}; the same command goes on from there"
        )
        self.exit_code = 128 + number


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        run: its directory.
        model: the model directory that it wrote.
        steps: how many it took in all.
        best_iou: mean validation IoU of the saved weights; None without validation shapes.
        best_step: the step they are from.
        seconds: of training, in all.
    """

    run: Path
    model: Path
    steps: int
    best_iou: float | None
    best_step: int
    seconds: float


@dataclass
class Progress:
    """Where a run is."""

    step: int = 0
    seconds: float = 0.0
    best_iou: float = -1.0
    best_step: int = 0


class Saved(Protocol):
    """What training ends in."""

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write it as a directory."""


class Drawn(Protocol):
    """The batches of a run, a function of the step."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every item has come up."""

    def iterate(self, start: int = 0) -> Iterator[Any]:
        """Batches from a step on, without end; each has ``loss_arguments``."""


@dataclass
class TrainingRun:
    """A run's parts, put together once.

    Attributes:
        directory: where it writes.
        settings: what decides it.
        parallel: the processes that share it.
        batches: what it learns from.
        learners: what learns, by name.
        scores: figures of the averaged weights on the validation items; ``val_iou`` decides which
            are the best, without it none are.
        model: what the averaged weights make.
        progress: where it is.
    """

    directory: RunDirectory
    settings: Settings
    parallel: Parallel
    batches: Drawn
    learners: Mapping[str, Learner]
    scores: Callable[[], dict[str, float]]
    model: Callable[[Progress], Saved]
    progress: Progress = field(default_factory=Progress)


def run_training(
    run: TrainingRun, report: Report | None = None, board: bool = False
) -> TrainResult:
    """Train from the last checkpoint, or from the start, to the end, and write the model.

    Args:
        run: put together; its directory is claimed.
        report: told what is logged, in the first process.
        board: write for TensorBoard too.

    Raises:
        TrainingStopped: SIGINT or SIGTERM; the state is saved.
        UnavailableError: TensorBoard is asked for and not there.
    """
    _restore(run)
    log: Log = NoLog()
    if run.parallel.first:
        step = run.progress.step
        written = tensorboard(run.directory, step) if board else None
        log = Log(run.directory, step, report, written)
    with _Signals() as stop, contextlib.closing(log):
        _loop(run, log, stop)
    return _finish(run)


def _loop(run: TrainingRun, log: Log, stop: _Signals) -> None:
    """Steps until the run's length is reached, it gets no better, or a signal comes."""
    settings, progress, parallel = run.settings, run.progress, run.parallel
    every = settings.validate_every or max(100, run.batches.steps_per_epoch)
    started = time.monotonic() - progress.seconds
    saved = time.monotonic()
    for batch in run.batches.iterate(progress.step):
        done = _fraction(run)
        if done >= 1 or _gets_no_better(run, every):
            break
        rate = _rate(settings, progress.step, done)
        figures = _step(run, batch, rate)
        progress.step += 1
        progress.seconds, unsaved = parallel.share(
            time.monotonic() - started, time.monotonic() - saved
        )
        done = _fraction(run)
        if progress.step % LOG_EVERY == 0 or progress.step == 1 or done >= 1:
            log.write(progress.step, progress.seconds, done, figures)
        validates = progress.step % every == 0 or done >= 1
        if validates:
            log.write(progress.step, progress.seconds, done, _validate(run))
            log.draw()
        signalled = parallel.any(stop.number)
        if validates or signalled or unsaved > CHECKPOINT_SECONDS:
            _checkpoint(run)
            saved = time.monotonic()
        if signalled and done < 1:
            raise TrainingStopped(signalled, run.directory.path, progress.step)


def _gets_no_better(run: TrainingRun, every: int) -> bool:
    """Whether the last ``patience`` validations brought no better IoU."""
    patience, progress = run.settings.patience, run.progress
    return (
        patience is not None
        and progress.best_step > 0
        and progress.step - progress.best_step >= patience * every
    )


def _step(run: TrainingRun, batch: Any, rate: float) -> dict[str, float]:
    """One step of each predictor; figures for the log."""
    figures = {"lr": rate}
    for role, learner in run.learners.items():
        mine = learner.step(batch, run.progress.step, rate)
        figures |= {f"{role}_{name}": value for name, value in mine.items()}
    return figures


def _fraction(run: TrainingRun) -> float:
    """How much of the run is done, 0 to 1."""
    settings, progress = run.settings, run.progress
    if settings.unit == "minutes":
        return min(1.0, progress.seconds / max(60 * settings.length, 1e-9))
    steps = settings.length * (run.batches.steps_per_epoch if settings.unit == "epochs" else 1)
    return min(1.0, progress.step / max(1, round(steps)))


def _rate(settings: Settings, step: int, done: float) -> float:
    """The learning rate: a linear rise of ``warmup`` steps or 5 % of the run, then the schedule."""
    rise = min(1.0, max((step + 1) / max(1, settings.warmup), 20 * done))
    if settings.schedule == "constant":
        return settings.lr * rise
    return settings.lr * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def _validate(run: TrainingRun) -> dict[str, float]:
    """Mean IoU of upscaled validation shapes; keeps the best weights."""
    figures = run.scores() if run.parallel.first else {}
    (mean,) = run.parallel.share(figures.get("val_iou", -1.0))
    if mean > run.progress.best_iou:
        run.progress.best_iou, run.progress.best_step = mean, run.progress.step
        if run.parallel.first:
            averages: dict[str, Any] = {
                role: learner.average.state_dict() for role, learner in run.learners.items()
            }
            run.directory.save_state("best", averages)
    return figures


def _checkpoint(run: TrainingRun) -> None:
    if not run.parallel.first:
        return
    progress, device = run.progress, run.parallel.device
    state = {
        "step": progress.step,
        "seconds": progress.seconds,
        "best_iou": progress.best_iou,
        "best_step": progress.best_step,
        "learners": {role: learner.state_dict() for role, learner in run.learners.items()},
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }
    run.directory.save_state("last", state)


def _restore(run: TrainingRun) -> None:
    """Go on from the last checkpoint, if there is one."""
    state = run.directory.load_state("last")
    if state is None:
        return
    run.progress = Progress(**{k: state[k] for k in ("step", "seconds", "best_iou", "best_step")})
    for role, learner in run.learners.items():
        learner.load_state_dict(state["learners"][role])
    torch.set_rng_state(state["rng"])
    if run.parallel.device.type == "cuda" and state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], run.parallel.device)


def _finish(run: TrainingRun) -> TrainResult:
    """Write the model of the best weights."""
    best = run.directory.load_state("best") if run.progress.best_step else None
    if best is not None:
        for role, learner in run.learners.items():
            learner.average.load_state_dict(best[role])
    if run.parallel.first:
        run.model(run.progress).save(run.directory.model, overwrite=True)
    run.parallel.wait()
    progress = run.progress
    return TrainResult(
        run=run.directory.path,
        model=run.directory.model,
        steps=progress.step,
        best_iou=progress.best_iou if progress.best_step else None,
        best_step=progress.best_step or progress.step,
        seconds=progress.seconds,
    )


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, torch uses no algorithm whose result may differ between runs."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


class _Signals:
    """Notes SIGINT and SIGTERM; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
