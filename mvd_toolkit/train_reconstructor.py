"""Training of a reconstructor: ``mvd train DATASET --target reconstruct``, by the loop of `train`.

The run's directory is that of any run. When it ends, the model learns besides what its
probabilities are worth (`calibrate`), where to cut them, and what the pictures that it knows look
like to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from mvd_toolkit import plugins
from mvd_toolkit.directory_lock import only_writer, remove_leftovers
from mvd_toolkit.errors import UsageError
from mvd_toolkit.learner import Learner
from mvd_toolkit.parallel import Parallel, connect
from mvd_toolkit.picture_batches import PictureBatches, mirror_axis, standard_picture
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.reconstructor_model import ReconstructorModel, ReconstructorNetwork
from mvd_toolkit.reconstructor_settings import make_reconstructor_settings
from mvd_toolkit.run_directory import Report, RunDirectory, what_to_train
from mvd_toolkit.training_loop import (
    Progress,
    TrainingRun,
    TrainResult,
    deterministic,
    run_training,
)
from mvd_toolkit.training_settings import Settings
from mvd_toolkit.view_data import ViewDataset

VIEWS: Final = 4
"""Pictures of a shape that validation and calibration look at."""

THRESHOLDS: Final = tuple(round(0.2 + 0.025 * step, 3) for step in range(17))
FAMILIAR_SHARE: Final = 0.99
_FAMILIAR_PICTURES: Final = 4096
_KNOTS: Final = 8
_BATCH: Final = 32

Floats = npt.NDArray[np.float64]


@dataclass
class _Reconstruction:
    """A network, what it learns from and what it is judged by."""

    settings: Settings
    parallel: Parallel
    batches: PictureBatches
    validation: ViewDataset
    learner: Learner
    config: ReconstructorConfig

    def scores(self) -> dict[str, float]:
        """Mean IoU of the validation grids at the plugin's threshold."""
        if not len(self.validation):
            return {}
        threshold = plugins.reconstructor(self.config.reconstructor).threshold
        scores = [
            intersection_over_union(chances > threshold, truth)
            for chances, truth in self._predicted(self.validation)
        ]
        return {"val_iou": float(np.mean(np.concatenate(scores)))}

    def model(self, progress: Progress) -> ReconstructorModel:
        """The averaged network with all that is measured of it."""
        network = self._network
        config = replace(self.config, about=self._about(progress))
        config = replace(config, familiar=self._learn_familiar())
        if len(self.validation):
            chances, truth = (
                np.concatenate(part) for part in zip(*self._predicted(self.validation), strict=True)
            )
            if self.settings.preset != "paper":
                best = best_threshold(chances, truth)
                config = replace(config, threshold=best, upscale_threshold=best)
            config = replace(config, calibration=calibrate(chances, truth, config.threshold))
        built = ReconstructorModel.build(config)
        built.network.load_state_dict(network.state_dict())
        return built

    @property
    def _network(self) -> ReconstructorNetwork:
        assert isinstance(self.learner.average, ReconstructorNetwork)
        return self.learner.average

    def _predicted(
        self, dataset: ViewDataset
    ) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
        """Probabilities (B, N, N, N) and truths of the dataset's first views, batch by batch."""
        for pictures, truth in _standard(dataset, self.config.size):
            with torch.inference_mode():
                chances = self._network(pictures.to(self.parallel.device))
            yield chances.cpu().numpy(), truth

    def _learn_familiar(self) -> float | None:
        """Let the network learn its features of the training pictures; how far is usual."""
        network, device = self._network, self.parallel.device
        if not len(network.centre):
            return None
        training = self.batches.dataset
        features, count = [], 0
        with torch.no_grad():
            for pictures, _ in _standard(training, self.config.size):
                seen = network.network.features(pictures.to(device))  # type: ignore[operator]
                features.append(seen.float())
                count += len(pictures)
                if count >= _FAMILIAR_PICTURES:
                    break
            network.learn_familiar(torch.cat(features))
            known = self.validation if len(self.validation) else training
            distances = [
                distance.cpu().numpy()
                for pictures, _ in _standard(known, self.config.size)
                if (distance := network.distance(pictures.to(device))) is not None
            ]
        return float(np.quantile(np.concatenate(distances), FAMILIAR_SHARE))

    def _about(self, progress: Progress) -> dict[str, Any]:
        training = self.batches.dataset
        about: dict[str, Any] = {
            "training": {
                "preset": self.settings.preset,
                "shapes": len(training),
                "pictures": sum(len(shape.views) for shape in training.shapes),
                "steps": progress.best_step or progress.step,
                "seed": self.settings.seed,
            }
        }
        if progress.best_step:
            count = len(self.validation)
            about["scores"] = {f"mean IoU of {count} validation shapes": progress.best_iou}
        return about


def train_reconstructor(
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
    """Train a network from pictures to coarse grids and write its model.

    Args:
        dataset: a dataset with pictures, or the folder of 3D-R2N2's release; None: the run's, with
            ``resume``.
        run: directory of the run. One that holds the same recipe goes on.
        low: edge of the grids, when the dataset has several.
        high: edge of the fine grids beside them, the same.
        settings: all of them; or else
        options: what `make_reconstructor_settings` takes.
        device: where to train.
        devices: processes on each machine that share a batch; see `parallel`.
        nodes: machines.
        resume: take the settings, and the edges, from the run instead.
        board: write for TensorBoard too.
        report: told what is logged, in the first process.

    Raises:
        UsageError: settings that make no sense, or ``resume`` with settings or without a run.
        InputError: the dataset is malformed, empty or without pictures.
        OutputExistsError: ``run`` holds something else, or another process trains in it.
        UnavailableError: no such device, reconstructor or extra.
        TrainingStopped: SIGINT or SIGTERM; the state is saved.
    """
    directory = RunDirectory(run)
    settings, source, low, high = what_to_train(
        directory,
        (dataset, low, high),
        settings,
        options,
        make_reconstructor_settings,
        resume=resume,
    )
    parallel = connect(device, devices, nodes)
    with deterministic(settings.deterministic):
        parts = _put_together(source, low, high, settings, parallel)
        with only_writer(directory.path) if parallel.first else contextlib.nullcontext():
            if parallel.first:
                directory.claim(settings, parts.batches.dataset)
                remove_leftovers(directory.path, directory.state)
            parallel.wait()
            whole = TrainingRun(
                directory,
                settings,
                parallel,
                parts.batches,
                {"reconstructor": parts.learner},
                parts.scores,
                parts.model,
            )
            return run_training(whole, report, board)


def _put_together(
    dataset: Path, low: int | None, high: int | None, settings: Settings, parallel: Parallel
) -> _Reconstruction:
    (rule,) = settings.rules
    spec = plugins.reconstructor(settings.reconstructor)
    training = ViewDataset(dataset, "train", low, high, rule)
    validation = ViewDataset(dataset, "val", low, high, rule, limit=settings.validate_items)
    config = ReconstructorConfig(
        reconstructor=spec.name,
        options=settings.options["reconstructor"],
        size=spec.size,
        edge=training.low,
        frame=training.frame,
        rule=rule,
        threshold=spec.threshold,
        mirror=mirror_axis(training),
        upscale_rule=rule,
        upscale_threshold=spec.threshold,
    )
    batches = PictureBatches(
        training,
        settings.batch_size,
        spec.size,
        seed=settings.seed,
        augment=settings.augment,
        mirror=mirror_axis(training),
        device=parallel.device,
        part=(parallel.rank, parallel.world),
    )
    torch.manual_seed(settings.seed)
    try:
        network = ReconstructorModel.build(config).network
    except ValueError as error:  # a size that the network cannot have
        raise UsageError(f"reconstructor {spec.name!r}: {error}") from error
    learner = Learner("reconstructor", network, settings, parallel)
    return _Reconstruction(settings, parallel, batches, validation, learner, config)


def _standard(
    dataset: ViewDataset, size: int
) -> Iterator[tuple[torch.Tensor, npt.NDArray[np.bool_]]]:
    """Batches of the first pictures of each shape (B, 3, S, S) and their grids (B, N, N, N)."""
    places = [
        (index, number)
        for number in range(VIEWS)
        for index, shape in enumerate(dataset.shapes)
        if number < len(shape.views)
    ]
    for start in range(0, len(places), _BATCH):
        part = places[start : start + _BATCH]
        pictures = np.stack([standard_picture(dataset, *place, size) for place in part])
        yield torch.from_numpy(pictures), np.stack([dataset.target(*place) for place in part])


def intersection_over_union(
    predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]
) -> Floats:
    """(B,) IoU of grids (B, N, N, N); 1 where both are empty."""
    both = (predicted & truth).sum(axis=(1, 2, 3))
    either = (predicted | truth).sum(axis=(1, 2, 3))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def promised_iou(chances: npt.NDArray[np.float32], threshold: float) -> Floats:
    """(B,) the IoU to expect if the probabilities (B, N, N, N) were right, voxel by voxel."""
    inside = chances > threshold
    hit = np.where(inside, chances, 0).sum(axis=(1, 2, 3), dtype=np.float64)
    missed = np.where(inside, 0, chances).sum(axis=(1, 2, 3), dtype=np.float64)
    return np.asarray(hit / np.maximum(inside.sum(axis=(1, 2, 3)) + missed, 1e-9))


def best_threshold(chances: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> float:
    """The threshold with the highest mean IoU."""
    means = [intersection_over_union(chances > t, truth).mean() for t in THRESHOLDS]
    return THRESHOLDS[int(np.argmax(means))]


def calibrate(
    chances: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_], threshold: float
) -> tuple[tuple[float, float], ...]:
    """What promises are worth: mean promise and mean IoU of eighths of the pictures, rising.

    Where a higher promise brought less, neighbours are averaged (isotonic regression).
    """
    promises = promised_iou(chances, threshold)
    scores = intersection_over_union(chances > threshold, truth)
    order = np.argsort(promises, kind="stable")
    groups: list[list[float]] = []  # promise, IoU, weight
    for part in np.array_split(order, min(_KNOTS, len(order))):
        groups.append([float(promises[part].mean()), float(scores[part].mean()), len(part)])
        while len(groups) > 1 and groups[-2][1] >= groups[-1][1]:
            (p, s, w), (q, t, v) = groups.pop(-2), groups.pop()
            groups.append([(p * w + q * v) / (w + v), (s * w + t * v) / (w + v), w + v])
    return tuple((round(p, 4), round(s, 4)) for p, s, _ in groups)
