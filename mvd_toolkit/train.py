"""Training: both predictors on a dataset of pairs, in one readable loop.

::

    RUN/
      run.json         the recipe: settings, dataset, versions
      metrics.jsonl    a line every few steps, a line every validation
      curves.svg       a picture of it
      state/           last.pt (all it takes to go on), best.pt (averaged weights)
      model/           the model directory, written at the end

The same command goes on with a run that was stopped or killed; on a CPU the result is the same as
without the stop. Several processes share each batch (`parallel`); the first alone writes.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
import torch

from mvd_toolkit import ops, plugins
from mvd_toolkit.conventions import INPUT_RULES
from mvd_toolkit.data import PairDataset
from mvd_toolkit.directory_lock import only_writer, remove_leftovers
from mvd_toolkit.errors import MVDError, UsageError
from mvd_toolkit.learner import Learner
from mvd_toolkit.model import ExternalPredictor, Model, Predictor, predictor_class
from mvd_toolkit.model_config import Fusion
from mvd_toolkit.model_directory import ROLES
from mvd_toolkit.parallel import Parallel, connect
from mvd_toolkit.predictors import SilhouettePredictor
from mvd_toolkit.run_directory import Log, NoLog, Report, RunDirectory, tensorboard
from mvd_toolkit.specs import Role
from mvd_toolkit.training_batches import Batch, Batches
from mvd_toolkit.training_settings import Settings, is_backbone, make_settings
from mvd_toolkit.upscale import Upscaler

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
class _Progress:
    """Where a run is."""

    step: int = 0
    seconds: float = 0.0
    best_iou: float = -1.0
    best_step: int = 0


@dataclass
class _Run:
    """A run's parts, put together once."""

    directory: RunDirectory
    settings: Settings
    parallel: Parallel
    batches: Batches
    validation: PairDataset
    scale: int
    learners: dict[Role, Learner]
    external: dict[Role, Predictor]
    progress: _Progress = field(default_factory=_Progress)

    def model(self) -> Model:
        """The averaged predictors as they are now."""
        predictors = {role: learner.averaged for role, learner in self.learners.items()}
        predictors |= self.external
        return Model.from_predictors(
            predictors["silhouette"],
            predictors["depth"],
            scale=self.scale,
            rules=tuple(rule for rule in INPUT_RULES if self.settings.rules.get(rule)),
            fusion=_fusion(self.settings.kind, self.scale),
            about=_about(self),
        )


def train(
    dataset: str | Path | None,
    run: str | Path,
    *,
    low: int | None = None,
    high: int | None = None,
    settings: Settings | None = None,
    device: str | torch.device = "cpu",
    devices: int = 1,
    nodes: int = 1,
    resume: bool = False,
    board: bool = False,
    report: Report | None = None,
    **options: Any,
) -> TrainResult:
    """Train a silhouette and a depth predictor and write their model.

    Args:
        dataset: directory of pairs; None: the run's, with ``resume``.
        run: directory of the run. One that holds the same recipe goes on.
        low: edge of the low grids, when the dataset has several.
        high: edge of the fine grids, the same.
        settings: all of them; or else
        options: what `make_settings` takes: preset, backbone, silhouette, depth, options, epochs,
            steps or minutes, batch_size, lr, seed …
        device: where to train.
        devices: processes on each machine that share a batch; see `parallel`.
        nodes: machines.
        resume: take the settings, and the edges, from the run instead.
        board: write for TensorBoard too.
        report: told what is logged, in the first process.

    Raises:
        UsageError: settings that make no sense, or ``resume`` with settings or without a run.
        InputError: the dataset is malformed or empty.
        OutputExistsError: ``run`` holds something else, or another process trains in it.
        UnavailableError: no such device, backbone, predictor or extra.
        TrainingStopped: SIGINT or SIGTERM; the state is saved.
    """
    directory = RunDirectory(run)
    if resume:
        settings = _resumed(directory, settings, options)
        dataset, low, high = directory.pairs(dataset, low, high)
    elif settings is None:
        settings = make_settings(**options)
    elif options:
        raise UsageError("train: expected settings or single options, found both")
    if dataset is None:
        raise UsageError("train: expected a dataset, found none; a run that goes on has its own")
    parallel = connect(device, devices, nodes)
    with _deterministic(settings.deterministic):
        data = _read(Path(dataset), low, high, settings, parallel)
        with only_writer(directory.path) if parallel.first else contextlib.nullcontext():
            parts = _prepare(data, directory, settings, parallel)
            _restore(parts)
            log: Log = NoLog()
            if parallel.first:
                step = parts.progress.step
                log = Log(directory, step, report, tensorboard(directory, step) if board else None)
            with _Signals() as stop, contextlib.closing(log):
                _loop(parts, log, stop)
            return _finish(parts)


def _loop(run: _Run, log: Log, stop: _Signals) -> None:
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


def _gets_no_better(run: _Run, every: int) -> bool:
    """Whether the last ``patience`` validations brought no better IoU."""
    patience, progress = run.settings.patience, run.progress
    return (
        patience is not None
        and progress.best_step > 0
        and progress.step - progress.best_step >= patience * every
    )


def _step(run: _Run, batch: Batch, rate: float) -> dict[str, float]:
    """One step of each predictor; figures for the log."""
    figures = {"lr": rate}
    for role, learner in run.learners.items():
        mine = learner.step(batch, run.progress.step, rate)
        figures |= {f"{role}_{name}": value for name, value in mine.items()}
    return figures


def _fraction(run: _Run) -> float:
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


def _validate(run: _Run) -> dict[str, float]:
    """Mean IoU of upscaled validation shapes; keeps the best weights."""
    figures = _scores(run) if run.parallel.first else {}
    (mean,) = run.parallel.share(figures.get("val_iou", -1.0))
    if mean > run.progress.best_iou:
        run.progress.best_iou, run.progress.best_step = mean, run.progress.step
        if run.parallel.first:
            averages: dict[str, Any] = {
                role: learner.average.state_dict() for role, learner in run.learners.items()
            }
            run.directory.save_state("best", averages)
    return figures


def _scores(run: _Run) -> dict[str, float]:
    """Mean IoU of the validation shapes upscaled by the averaged weights, in all and by rule."""
    if not len(run.validation):
        return {}
    upscaler = Upscaler(run.model(), run.parallel.device)
    scores: dict[str, list[float]] = {}
    for index, rule in enumerate(_validation_rules(run.settings, len(run.validation))):
        fine = upscaler(run.validation.low_grid(index, rule), low_rule=rule, fill="none")
        truth = run.validation.high_grid(index)
        scores.setdefault(rule, []).append(float(ops.iou(fine, truth)))
    mean = float(np.mean([score for part in scores.values() for score in part]))
    by_rule = {f"val_iou_{rule}": float(np.mean(part)) for rule, part in sorted(scores.items())}
    return {"val_iou": mean, **by_rule}


def _validation_rules(settings: Settings, count: int) -> list[str]:
    """A fixed rule for each validation shape, in the proportions of training."""
    rules = [rule for rule in INPUT_RULES if settings.rules.get(rule)]
    total = sum(settings.rules[rule] for rule in rules)
    owed = dict.fromkeys(rules, 0.0)
    chosen = []
    for _ in range(count):
        for rule in rules:
            owed[rule] += settings.rules[rule] / total
        best = max(rules, key=lambda rule: owed[rule])
        owed[best] -= 1
        chosen.append(best)
    return chosen


# Putting a run together


def _resumed(run: RunDirectory, settings: Settings | None, options: dict[str, Any]) -> Settings:
    """The settings of the run that goes on."""
    if settings is not None or any(value is not None for value in options.values()):
        raise UsageError("resume: takes its settings from the run, found others")
    recipe = run.recipe()
    if recipe is None:
        raise UsageError(f"resume: {run.path / 'run.json'} is not there")
    return Settings.from_dict(recipe["settings"])


@dataclass(frozen=True)
class _Data:
    """What a run learns from and is judged by."""

    directory: Path
    batches: Batches
    validation: PairDataset


def _read(
    dataset: Path, low: int | None, high: int | None, settings: Settings, parallel: Parallel
) -> _Data:
    training = PairDataset(dataset, "train", low, high)
    batches = Batches(
        training,
        settings.batch_size,
        seed=settings.seed,
        rules=settings.rules,
        augment=settings.augment,
        device=parallel.device,
        part=(parallel.rank, parallel.world),
    )
    validation = PairDataset(dataset, "val", low, high, limit=settings.validate_items)
    return _Data(dataset, batches, validation)


def _prepare(data: _Data, run: RunDirectory, settings: Settings, parallel: Parallel) -> _Run:
    training = data.batches.dataset
    if parallel.first:
        run.claim(settings, training)
        remove_leftovers(run.path, run.state)
    parallel.wait()
    torch.manual_seed(settings.seed)
    learners: dict[Role, Learner] = {}
    external: dict[Role, Predictor] = {}
    for role in ROLES:
        if is_backbone(settings.name(role), role):
            predictor = _predictor(settings, role, training.scale)
            learners[role] = Learner(role, predictor, settings, parallel)
        elif parallel.world > 1:
            raise UsageError(f"{settings.name(role)} trains by itself, in one process")
        else:
            external[role] = _fit_external(settings, role, data.directory, run)
    return _Run(
        run,
        settings,
        parallel,
        data.batches,
        data.validation,
        training.scale,
        learners,
        external,
    )


def _predictor(settings: Settings, role: Role, scale: int) -> torch.nn.Module:
    name = settings.name(role)
    known = plugins.backbone(name).scales
    if scale not in known:
        raise UsageError(f"backbone {name!r} knows scales {known}, the dataset has {scale}")
    config = {"backbone": name, "scale": scale, **settings.options.get(role, {})}
    kind = settings.kind
    if role == "depth" and settings.depth_head != "distribution":
        kind, config["domain"] = "regression", settings.depth_head
    predictor = predictor_class(kind, role).from_config(config)
    if isinstance(predictor, SilhouettePredictor):
        predictor.weighting = settings.silhouette_weights
    assert isinstance(predictor, torch.nn.Module)
    return predictor


def _fit_external(settings: Settings, role: Role, dataset: Path, run: RunDirectory) -> Predictor:
    """Let a plugin train its own predictor, once; a half-done one is done again."""
    name = settings.name(role)
    place = run.state / role
    if not place.exists():
        partial = place.with_name(f"{role}.{uuid.uuid4().hex[:12]}.tmp")
        partial.mkdir(parents=True)
        options = settings.options.get(role, {}).get("options", {})
        plugins.predictor(name).fit(dataset, partial, **options)
        os.rename(partial, place)
    return ExternalPredictor(name, place)


# Going on, and ending


def _checkpoint(run: _Run) -> None:
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


def _restore(run: _Run) -> None:
    """Go on from the last checkpoint, if there is one."""
    state = run.directory.load_state("last")
    if state is None:
        return
    run.progress = _Progress(**{k: state[k] for k in ("step", "seconds", "best_iou", "best_step")})
    for role, learner in run.learners.items():
        learner.load_state_dict(state["learners"][role])
    torch.set_rng_state(state["rng"])
    if run.parallel.device.type == "cuda" and state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], run.parallel.device)


def _finish(run: _Run) -> TrainResult:
    """Write the model of the best weights."""
    best = run.directory.load_state("best") if run.progress.best_step else None
    if best is not None:
        for role, learner in run.learners.items():
            learner.average.load_state_dict(best[role])
    if run.parallel.first:
        run.model().save(run.directory.model, overwrite=True)
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


def _fusion(kind: str, scale: int) -> Fusion:
    """How predictions of this kind are fused; measured in docs/experiments.md.

    The paper's depths are means and want smoothing; view predictors tell a quantile of a
    distribution in which background counts, so silhouettes only have a say where they are sure.
    """
    if kind == "paper":
        return Fusion(smooth_threshold=1.5 * scale)
    return Fusion(silhouette_threshold=0.4, smooth_threshold=3 / 8 * scale, structure_votes=1)


def _about(run: _Run) -> dict[str, Any]:
    """What the model's card tells of its training."""
    progress = run.progress
    about: dict[str, Any] = {
        "training": {
            "preset": run.settings.preset,
            "shapes": len(run.batches.dataset),
            "edges": f"{run.batches.dataset.low} to {run.batches.dataset.high}",
            "steps": progress.best_step or progress.step,
            "seed": run.settings.seed,
        }
    }
    if progress.best_step:
        about["scores"] = {
            f"mean IoU of {len(run.validation)} validation shapes": progress.best_iou
        }
    return about


@contextlib.contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
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
