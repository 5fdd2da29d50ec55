"""From shapes to scores by one recipe: convert, train, upscale, evaluate.

A recipe is a TOML file with a table a stage; paths are relative to it::

    [convert]
    shapes = ["meshes"]
    to = "dataset"
    pairs = "32:256"
    copies = 2

    [train]
    to = "run"
    minutes = 60
    set = { width = 48 }

    [upscale]
    to = "fine"            # the low grids of the test split, upscaled by the model of the run

    [evaluate]
    to = "scores.json"

A stage has a *key*: the hash of its table and of what it reads. A stage that ended under the same
key, and whose output is there, is skipped; what another recipe made before is kept under another
name. Keys are kept beside the recipe, in ``<recipe>.state.json``, written before a stage begins and
when it has ended: the same command after a kill at any moment goes on in the stage that was cut
off, which itself goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from mvd_toolkit import io
from mvd_toolkit.augmented_copies import Axis, CopyRecipe, Turn
from mvd_toolkit.convert_dataset import convert_dataset
from mvd_toolkit.data import PairDataset, read_description
from mvd_toolkit.directory_lock import only_writer
from mvd_toolkit.errors import (
    BatchError,
    InputError,
    OutputExistsError,
    ThresholdError,
    UsageError,
)
from mvd_toolkit.evaluate import score
from mvd_toolkit.io.atomic import atomic
from mvd_toolkit.json_text import parse_json
from mvd_toolkit.ops import upsample_nearest
from mvd_toolkit.options import parse_options
from mvd_toolkit.shape_files import find_shapes

SCHEMA: Final = "mvd.pipeline-state/1"

Split = Literal["train", "val", "test"]
Tell = Callable[[str, float], None]
"""Told what a stage does, and the fraction of the stage that is behind it."""


@dataclass(frozen=True)
class ConvertStage:
    """Table ``convert``: a dataset of pairs; see `convert_dataset`.

    Attributes:
        shapes: files and folders.
        to: the dataset.
        pairs: edges, ``32:256`` or several.
        split: shares of train, val and test.
        copies: of each training mesh.
        turn: of the copies.
        up: the vertical of the meshes.
        seed: of the copies.
        workers: processes; 0: one a core.
    """

    name: ClassVar[str] = "convert"
    shapes: tuple[str, ...] = ()
    to: str = "dataset"
    pairs: str = "32:256"
    split: tuple[float, ...] = (0.8, 0.1, 0.1)
    copies: int = 0
    turn: Turn = "none"
    up: Axis | None = None
    seed: int = 0
    workers: int = 0


@dataclass(frozen=True)
class TrainStage:
    """Table ``train``: a run; its other keys are those of `make_settings`.

    Attributes:
        to: the run.
        dataset: by default the one of ``convert``.
        pairs: which edges, when the dataset has several.
        device: where to train.
    """

    name: ClassVar[str] = "train"
    to: str = "run"
    dataset: str | None = None
    pairs: str | None = None
    device: str = "cpu"
    preset: str | None = None
    backbone: str | None = None
    silhouette: str | None = None
    depth: str | None = None
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    low_rule: str | None = None
    patience: int | None = None
    precision: str | None = None


@dataclass(frozen=True)
class UpscaleStage:
    """Table ``upscale``: the low grids of a split, upscaled.

    Attributes:
        to: folder of the results, ``<id>.npz``.
        model: by default that of ``train``.
        dataset: by default the one before.
        pairs: which edges, when the dataset has several.
        split: whose low grids.
        low_rule: which of them.
        limit: so many at most.
        device: where the networks run.
    """

    name: ClassVar[str] = "upscale"
    to: str = "fine"
    model: str | None = None
    dataset: str | None = None
    pairs: str | None = None
    split: Split = "test"
    low_rule: Literal["any", "half", "centre"] = "any"
    limit: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class EvaluateStage:
    """Table ``evaluate``: scores of what ``upscale`` made against the fine grids of the pairs.

    Attributes:
        to: the scores, JSON: of each shape and their means, beside those of nearest neighbour.
        fail_under: lowest mean IoU that is good enough.
    """

    name: ClassVar[str] = "evaluate"
    to: str = "scores.json"
    fail_under: float | None = None


STAGES: Final = (ConvertStage, TrainStage, UpscaleStage, EvaluateStage)
Stage = ConvertStage | TrainStage | UpscaleStage | EvaluateStage


@dataclass(frozen=True)
class StageOutcome:
    """How one stage ended.

    Attributes:
        stage: its name.
        status: "made", or "skipped" when nothing that it depends on changed.
        output: file or folder.
        seconds: wall time.
        facts: what it has to tell, JSON-able.
    """

    stage: str
    status: Literal["made", "skipped"]
    output: Path
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Pipeline:
    """A recipe, where its paths start, and what its stages said before."""

    root: Path
    stages: list[Stage]
    training: Mapping[str, Any]
    state_file: Path
    state: dict[str, Any]

    def place(self, text: str) -> Path:
        return self.root / text

    def stage(self, kind: type[Any]) -> Any:
        """The stage of this kind; None when the recipe has none."""
        return next((stage for stage in self.stages if isinstance(stage, kind)), None)

    def note(self, name: str, **entry: Any) -> None:
        """Keep what is known of a stage."""
        self.state[name] = entry
        with atomic(self.state_file, overwrite=True) as file:
            document = {"schema": SCHEMA, "stages": self.state}
            file.write((json.dumps(document, indent=1) + "\n").encode())


def run_pipeline(
    recipe: str | Path,
    *,
    on_stage: Callable[[StageOutcome], None] | None = None,
    tell: Tell | None = None,
) -> list[StageOutcome]:
    """Run the stages of a recipe that are not done.

    Args:
        recipe: the TOML file.
        on_stage: called after each stage.
        tell: told what a stage is doing.

    Raises:
        InputError: the recipe cannot be read.
        UsageError: it has an unknown table or key, or a value that makes no sense.
        OutputExistsError: another process runs a pipeline in this folder.
        ThresholdError: the scores are below ``fail_under``; they are written.
        MVDError: what a stage raises.
    """
    file = Path(recipe)
    pipeline = read_recipe(file)
    outcomes = []
    with only_writer(pipeline.root):
        for stage in pipeline.stages:
            outcome = _run_stage(pipeline, stage, _telling(stage, tell))
            outcomes.append(outcome)
            if on_stage:
                on_stage(outcome)
            _check_threshold(stage, outcome.facts)
    return outcomes


def _telling(stage: Stage, tell: Tell | None) -> Tell:
    """Tells what a stage does with its name before it."""
    return lambda what, done: tell(f"{stage.name}, {what}", done) if tell else None


def _run_stage(pipeline: _Pipeline, stage: Stage, tell: Tell) -> StageOutcome:
    """Run one stage, or see that it is done."""
    key, output = _key(pipeline, stage), pipeline.place(stage.to)
    before = pipeline.state.get(stage.name, {})
    if before.get("key") == key and before.get("done") and output.exists():
        return StageOutcome(stage.name, "skipped", output, facts=before["facts"])
    if not before and output.exists() and isinstance(stage, (UpscaleStage, EvaluateStage)):
        raise OutputExistsError(f"{output}: exists and is not of this pipeline")
    if before.get("key") not in (None, key) and not isinstance(stage, ConvertStage):
        _move_aside(output, before["key"])
    pipeline.note(stage.name, key=key, done=False)
    start = time.monotonic()
    facts = _RUN[stage.name](pipeline, stage, tell)
    pipeline.note(stage.name, key=key, done=True, facts=facts)
    return StageOutcome(stage.name, "made", output, time.monotonic() - start, facts)


def _move_aside(output: Path, key: str) -> None:
    """Keep what an earlier recipe made under another name; nothing is deleted."""
    if output.exists():
        kept = output.with_name(f"{output.name}.{key[:8]}")
        number = 1
        while kept.exists():
            number += 1
            kept = output.with_name(f"{output.name}.{key[:8]}-{number}")
        output.rename(kept)


# Reading a recipe


def read_recipe(file: Path) -> _Pipeline:
    """Read and check a recipe, and what is known of its stages.

    Raises:
        InputError: it cannot be read, or is no TOML.
        UsageError: it has an unknown table or key, or a value that makes no sense.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file}: is no TOML: {error}") from error
    known = {kind.name: kind for kind in STAGES}
    for name, table in tables.items():
        if name not in known or not isinstance(table, dict):
            raise UsageError(f"{file}: expected tables {', '.join(known)}, found {name!r}")
    tables = {name: dict(table) for name, table in tables.items()}
    training = tables.get("train", {}).pop("set", {})
    stages = [_stage(file, known[name], tables[name]) for name in known if name in tables]
    if not stages:
        raise UsageError(f"{file}: expected tables {', '.join(known)}, found none")
    if "convert" in tables and not tables["convert"].get("shapes"):
        raise UsageError(f"{file}: convert: shapes says where the meshes are")
    if "evaluate" in tables and "upscale" not in tables:
        raise UsageError(f"{file}: evaluate: expected a table upscale, whose results it scores")
    state_file = file.with_suffix(".state.json")
    return _Pipeline(file.parent, stages, training, state_file, _state(state_file))


@dataclass(frozen=True)
class _Table:
    """A stage's table, for messages."""

    name: str
    options: type


def _stage(file: Path, kind: type[Any], table: Mapping[str, Any]) -> Any:
    try:
        return kind(**parse_options(_Table(f"{file}: {kind.name}", kind), table))
    except TypeError as error:
        raise UsageError(f"{file}: {kind.name}: {error}") from error


def _state(file: Path) -> dict[str, Any]:
    """What is known of the stages; nothing when the file is missing or broken."""
    try:
        document = parse_json(file.read_bytes())
        stages = document["stages"] if document["schema"] == SCHEMA else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return stages if isinstance(stages, dict) else {}


# Keys


def _key(pipeline: _Pipeline, stage: Stage) -> str:
    """The hash of all that decides a stage's output."""
    deciding: dict[str, Any] = {"stage": dataclasses.asdict(stage)}
    for beside in ("workers", "device", "fail_under"):
        deciding["stage"].pop(beside, None)
    if isinstance(stage, ConvertStage):
        deciding["files"] = _files(pipeline.place(shape) for shape in stage.shapes)
    elif isinstance(stage, TrainStage):
        deciding["set"] = dict(pipeline.training)
        deciding["dataset"] = read_description(_dataset(pipeline, stage))["hashes"]
    elif isinstance(stage, UpscaleStage):
        deciding["dataset"] = read_description(_dataset(pipeline, stage))["hashes"]
        deciding["model"] = _files([_model(pipeline, stage)])
    else:
        upscaled = pipeline.stage(UpscaleStage)
        deciding["upscaled"] = dataclasses.asdict(upscaled)
        deciding["files"] = _files([pipeline.place(upscaled.to)])
    text = json.dumps(deciding, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _files(places: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of every file, in order."""
    found = []
    for place in places:
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for file in files:
            try:
                status = file.stat()
            except OSError as error:
                raise InputError(f"{file}: {error.strerror}") from error
            name = file.relative_to(place.parent).as_posix()
            found.append((name, status.st_size, status.st_mtime_ns))
    return found


def _dataset(pipeline: _Pipeline, stage: TrainStage | UpscaleStage) -> Path:
    """The dataset that a stage reads: its own, or that of the stages before."""
    named: list[str | None] = [stage.dataset]
    if isinstance(stage, UpscaleStage) and (training := pipeline.stage(TrainStage)):
        named.append(training.dataset)
    if convert := pipeline.stage(ConvertStage):
        named.append(convert.to)
    for name in named:
        if name is not None:
            return pipeline.place(name)
    raise UsageError(f"{stage.name}: dataset says which pairs, as there is no table convert")


def _model(pipeline: _Pipeline, stage: UpscaleStage) -> Path:
    training = pipeline.stage(TrainStage)
    if stage.model is None and training is None:
        raise UsageError("upscale: model says which, as there is no table train")
    return pipeline.place(stage.model or f"{training.to}/model")


# The stages


def _convert(pipeline: _Pipeline, stage: ConvertStage, tell: Tell) -> dict[str, Any]:
    report = convert_dataset(
        find_shapes([pipeline.place(shape) for shape in stage.shapes], stage.up),
        pipeline.place(stage.to),
        pairs=_edges(stage.pairs),
        split=stage.split,
        copies=CopyRecipe(stage.copies, stage.turn, seed=stage.seed),
        workers=stage.workers,
        on_item=lambda outcome, done, total: tell(outcome.source.name, done / total),
    )
    if not any(sum(parts.values()) for parts in report.counts.values()):
        failed = report.with_status("failed")
        reason = f": {failed[0].why}" if failed else ""
        raise BatchError(f"convert: none of {len(report.outcomes)} shapes gave a pair{reason}")
    return {"pairs": report.counts, "failed": len(report.with_status("failed"))}


def _train(pipeline: _Pipeline, stage: TrainStage, tell: Tell) -> dict[str, Any]:
    from mvd_toolkit.train import train
    from mvd_toolkit.training_settings import parse_rules

    options = dataclasses.asdict(stage)
    for own in ("to", "dataset", "pairs", "device", "low_rule"):
        options.pop(own)
    low, high = _one_pair(stage.pairs)
    result = train(
        _dataset(pipeline, stage),
        pipeline.place(stage.to),
        low=low,
        high=high,
        device=stage.device,
        options=pipeline.training,
        rules=parse_rules(stage.low_rule) if stage.low_rule else None,
        report=lambda line, done: tell(f"step {line['step']}", done),
        **options,
    )
    return {"steps": result.steps, "best_iou": result.best_iou, "best_step": result.best_step}


def _upscale(pipeline: _Pipeline, stage: UpscaleStage, tell: Tell) -> dict[str, Any]:
    from mvd_toolkit.upscale import Upscaler

    pairs, folder = _pairs(pipeline, stage), pipeline.place(stage.to)
    folder.mkdir(parents=True, exist_ok=True)
    upscaler = Upscaler.load(_model(pipeline, stage), stage.device)
    for index, name in enumerate(pairs.ids):
        tell(name, index / len(pairs))
        output = folder / f"{name}.npz"
        if not output.exists():
            low = pairs.low_grid(index, stage.low_rule)
            fine = upscaler(low, pairs.high, stage.low_rule, fill="none")
            io.save(fine, output)
    return {"shapes": len(pairs)}


def _evaluate(pipeline: _Pipeline, stage: EvaluateStage, tell: Tell) -> dict[str, Any]:
    upscaled = pipeline.stage(UpscaleStage)
    pairs, folder = _pairs(pipeline, upscaled), pipeline.place(upscaled.to)
    scores, nearest = {}, {}
    for index, name in enumerate(pairs.ids):
        tell(name, index / len(pairs))
        truth, low = pairs.high_grid(index), pairs.low_grid(index, upscaled.low_rule)
        scores[name] = score(io.load(folder / f"{name}.npz"), truth, ["iou"])
        nearest[name] = score(upsample_nearest(low, pairs.scale), truth, ["iou"])
    facts = {"shapes": len(pairs), "mean": _means(scores), "nearest": _means(nearest)}
    with atomic(pipeline.place(stage.to), overwrite=True) as file:
        file.write((json.dumps({**facts, "scores": scores}, indent=1) + "\n").encode())
    return facts


_RUN: Final[Mapping[str, Callable[[_Pipeline, Any, Tell], dict[str, Any]]]] = {
    "convert": _convert,
    "train": _train,
    "upscale": _upscale,
    "evaluate": _evaluate,
}


def _check_threshold(stage: Stage, facts: Mapping[str, Any]) -> None:
    if not isinstance(stage, EvaluateStage) or stage.fail_under is None:
        return
    reached = facts["mean"].get("iou", 0.0)
    if reached < stage.fail_under:
        raise ThresholdError(f"mean IoU: expected at least {stage.fail_under}, found {reached:.4f}")


def _pairs(pipeline: _Pipeline, stage: UpscaleStage) -> PairDataset:
    low, high = _one_pair(stage.pairs)
    pairs = PairDataset(_dataset(pipeline, stage), stage.split, low, high, limit=stage.limit)
    if not len(pairs):
        raise InputError(
            f"upscale: no shape is in split {stage.split}; convert more, or name another split"
        )
    return pairs


def _means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the shapes."""
    names = next(iter(scores.values()))
    return {name: sum(row[name] for row in scores.values()) / len(scores) for name in names}


def _edges(text: str) -> list[tuple[int, int]]:
    """The edges that ``32:256,64:512`` names."""
    try:
        return [(int(a), int(b)) for a, b in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise UsageError(f"pairs: expected LOW:HIGH, 32:256 say, found {text!r}") from None


def _one_pair(text: str | None) -> tuple[int | None, int | None]:
    return (None, None) if text is None else _edges(text)[0]
