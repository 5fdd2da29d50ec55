"""Training: a model's networks on a dataset of pairs, in one readable loop.

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
import dataclasses
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch

from mvd_toolkit import ops, plugins
from mvd_toolkit.boundary import BoundaryPredictor
from mvd_toolkit.conventions import INPUT_RULES
from mvd_toolkit.data import PairDataset, Pairs
from mvd_toolkit.directory_lock import only_writer, remove_leftovers
from mvd_toolkit.errors import UsageError
from mvd_toolkit.io.atomic import make_folder
from mvd_toolkit.learner import Learner
from mvd_toolkit.model import ExternalPredictor, Model, Predictor, predictor_class
from mvd_toolkit.model_config import Fusion
from mvd_toolkit.model_directory import BOUNDARY, ROLES, SUBVOXEL
from mvd_toolkit.parallel import Parallel, connect
from mvd_toolkit.predictors import SilhouettePredictor
from mvd_toolkit.run_directory import Report, RunDirectory, what_to_train
from mvd_toolkit.specs import Role
from mvd_toolkit.subvoxel import SubvoxelNetwork, SubvoxelPredictor
from mvd_toolkit.training_batches import Batches
from mvd_toolkit.training_loop import (
    Progress,
    TrainingRun,
    TrainingStopped,
    TrainResult,
    deterministic,
    run_training,
)
from mvd_toolkit.training_settings import Settings, is_backbone, make_settings
from mvd_toolkit.upscale import Upscaler

__all__ = ["TrainResult", "TrainingStopped", "train"]


@dataclass
class _Predictors:
    """What learns, what it learns from and what it is judged by."""

    settings: Settings
    parallel: Parallel
    batches: Batches
    validation: Pairs
    learners: dict[str, Learner]
    external: dict[str, Predictor]

    @property
    def scale(self) -> int:
        """Fine edge / low edge."""
        return self.batches.dataset.scale

    def model(self, progress: Progress) -> Model:
        """The averaged predictors as they are now."""
        predictors = {name: learner.averaged for name, learner in self.learners.items()}
        predictors |= self.external
        return Model.from_predictors(
            predictors["silhouette"],
            predictors["depth"],
            scale=self.scale,
            rules=tuple(rule for rule in INPUT_RULES if self.settings.rules.get(rule)),
            fusion=_fusion(self.settings, self.scale),
            about=_about(self, progress),
            subvoxel=cast(SubvoxelPredictor | None, predictors.get(SUBVOXEL)),
            boundary=cast(BoundaryPredictor | None, predictors.get(BOUNDARY)),
        )

    def scores(self) -> dict[str, float]:
        """Mean IoU of the validation shapes upscaled by the averaged weights, by rule too."""
        if not len(self.validation):
            return {}
        upscaler = Upscaler(self.model(Progress()), self.parallel.device)
        scores: dict[str, list[float]] = {}
        for index, rule in enumerate(_validation_rules(self.settings, len(self.validation))):
            fine = upscaler(self.validation.low_grid(index, rule), low_rule=rule, fill="none")
            truth = self.validation.high_grid(index)
            scores.setdefault(rule, []).append(float(ops.iou(fine, truth)))
        mean = float(np.mean([score for part in scores.values() for score in part]))
        by_rule = {f"val_iou_{rule}": float(np.mean(part)) for rule, part in sorted(scores.items())}
        return {"val_iou": mean, **by_rule}


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
    settings, source, low, high = what_to_train(
        directory, (dataset, low, high), settings, options, make_settings, resume=resume
    )
    parallel = connect(device, devices, nodes)
    with deterministic(settings.deterministic):
        data = _read(source, low, high, settings, parallel)
        with only_writer(directory.path) if parallel.first else contextlib.nullcontext():
            parts = _prepare(data, directory, settings, parallel)
            return run_training(parts, report, board)


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


@dataclass(frozen=True)
class _Data:
    """What a run learns from and is judged by."""

    directory: Path
    batches: Batches
    validation: Pairs


def _read(
    dataset: Path, low: int | None, high: int | None, settings: Settings, parallel: Parallel
) -> _Data:
    training = _pairs(dataset, "train", low, high, settings, parallel)
    batches = Batches(
        training,
        settings.batch_size,
        seed=settings.seed,
        rules=settings.rules,
        augment=settings.augment,
        device=parallel.device,
        part=(parallel.rank, parallel.world),
    )
    validation = _pairs(
        dataset, "val", low, high, settings, parallel, limit=settings.validate_items
    )
    return _Data(dataset, batches, validation)


def _pairs(
    dataset: Path,
    split: str,
    low: int | None,
    high: int | None,
    settings: Settings,
    parallel: Parallel,
    limit: int | None = None,
) -> Pairs:
    if settings.predicted_by is None:
        return PairDataset(dataset, split, low, high, limit=limit)
    from mvd_toolkit.predicted_pairs import PredictedPairs

    return PredictedPairs(
        dataset,
        split,
        settings.predicted_by,
        low,
        high,
        limit=limit,
        seed=settings.seed,
        device=parallel.device,
    )


def _prepare(data: _Data, run: RunDirectory, settings: Settings, parallel: Parallel) -> TrainingRun:
    training = data.batches.dataset
    if parallel.first:
        run.claim(settings, training)
        remove_leftovers(run.path, run.state)
    parallel.wait()
    torch.manual_seed(settings.seed)
    start = None if settings.start is None else Model.load(settings.start)
    learners: dict[str, Learner] = {}
    external: dict[str, Predictor] = {}
    for role in ROLES:
        if is_backbone(settings.name(role), role):
            predictor = _predictor(settings, role, training.scale)
            if start is not None:
                _learn_on(predictor, start, role)
            learners[role] = Learner(role, predictor, settings, parallel)
        elif parallel.world > 1:
            raise UsageError(f"{settings.name(role)} trains by itself, in one process")
        else:
            external[role] = _fit_external(settings, role, data.directory, run)
    alone = dataclasses.replace(settings, adversarial=0.0)
    for name in settings.more_networks:
        network = _more_network(settings, name, training.scale, start)
        learners[name] = Learner(name, network, alone, parallel)
    parts = _Predictors(settings, parallel, data.batches, data.validation, learners, external)
    return TrainingRun(
        run,
        settings,
        parallel,
        data.batches,
        learners,
        parts.scores,
        parts.model,
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


_MORE: Final[dict[str, type[SubvoxelNetwork]]] = {
    SUBVOXEL: SubvoxelPredictor,
    BOUNDARY: BoundaryPredictor,
}


def _more_network(
    settings: Settings, name: str, scale: int, start: Model | None
) -> SubvoxelNetwork:
    """A network beside the predictors, with the weights of the model to start from, if any."""
    network = _MORE[name].from_config(settings.options[name], scale)
    known = getattr(start, name, None)
    if known is not None:
        _take_weights(network, known, name)
    return network


def _learn_on(predictor: torch.nn.Module, start: Model, role: Role) -> None:
    """Give a predictor the weights of another model's, if it is the same backbone."""
    backbone = start.config.section(role).get("backbone")  # None: a plugin's own predictor
    if backbone != predictor.config()["backbone"]:  # type: ignore[operator]
        return
    known = start.silhouette if role == "silhouette" else start.depth
    assert isinstance(known, torch.nn.Module)
    _take_weights(predictor, known, role)


def _take_weights(network: torch.nn.Module, known: torch.nn.Module, name: str) -> None:
    try:
        network.load_state_dict(known.state_dict())
    except RuntimeError as error:
        raise UsageError(
            f"start: the {name} network has another scale or other options than the model's, "
            f"which it was to start from: {error}"
        ) from error


def _fit_external(settings: Settings, role: Role, dataset: Path, run: RunDirectory) -> Predictor:
    """Let a plugin train its own predictor, once; a half-done one is done again."""
    name = settings.name(role)
    place = run.state / role
    if not place.exists():
        partial = place.with_name(f"{role}.{uuid.uuid4().hex[:12]}.tmp")
        make_folder(partial)
        options = settings.options.get(role, {}).get("options", {})
        plugins.predictor(name).fit(dataset, partial, **options)
        os.rename(partial, place)
    return ExternalPredictor(name, place)


def _fusion(settings: Settings, scale: int) -> Fusion:
    """How predictions are fused; measured in docs/experiments.md.

    The paper's depths are means and want smoothing; view predictors tell a quantile of a
    distribution in which background counts, so silhouettes only have a say where they are sure.
    Chances of predicted grids promise no fractions.
    """
    if settings.kind == "paper":
        return Fusion(smooth_threshold=1.5 * scale)
    return Fusion(
        silhouette_threshold=0.4,
        smooth_threshold=3 / 8 * scale,
        structure_votes=1,
        keep_coverage=settings.predicted_by is None,
    )


def _about(run: _Predictors, progress: Progress) -> dict[str, Any]:
    """What the model's card tells of its training."""
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
