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
    report = "report.html"

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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from mvd_toolkit import io
from mvd_toolkit.augmented_copies import CopyRecipe
from mvd_toolkit.cases import Case, category_of
from mvd_toolkit.conventions import SOFT_RULE
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
from mvd_toolkit.evaluate import evaluate, summarise
from mvd_toolkit.io.atomic import atomic, make_folder
from mvd_toolkit.json_text import parse_json
from mvd_toolkit.methods import Method, fingerprint
from mvd_toolkit.pipeline_recipe import (
    ConvertStage,
    EvaluateStage,
    Stage,
    TrainStage,
    UpscaleStage,
    parse_edges,
    read_recipe,
)
from mvd_toolkit.shape_files import find_shapes

SCHEMA: Final = "mvd.pipeline-state/1"

Tell = Callable[[str, float], None]
"""Told what a stage does, and the fraction of the stage that is behind it."""


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
    pipeline = _read(file)
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


# What is known of the stages


def _read(file: Path) -> _Pipeline:
    recipe = read_recipe(file)
    state_file = file.with_suffix(".state.json")
    return _Pipeline(file.parent, recipe.stages, recipe.training, state_file, _state(state_file))


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
        deciding["methods"] = {text: fingerprint(text) for text in stage.methods}
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
        pairs=parse_edges(stage.pairs),
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
    make_folder(folder)
    upscaler = Upscaler.load(_model(pipeline, stage), stage.device)
    for index, name in enumerate(pairs.ids):
        tell(name, index / len(pairs))
        output = folder / f"{name}.npz"
        if not output.exists():
            low = pairs.low_grid(index, stage.low_rule)
            rule = "auto" if stage.low_rule == SOFT_RULE else stage.low_rule
            fine = upscaler(low, pairs.high, rule, fill="none")
            io.save(fine, output)
    return {"shapes": len(pairs)}


def _evaluate(pipeline: _Pipeline, stage: EvaluateStage, tell: Tell) -> dict[str, Any]:
    upscaled = pipeline.stage(UpscaleStage)
    pairs, folder = _pairs(pipeline, upscaled), pipeline.place(upscaled.to)
    make_folder(pipeline.place(stage.to).parent)
    mine = Method("upscaled", lambda case: io.load(folder / f"{case.name}.npz"))
    methods: list[str | Method] = [*stage.methods, mine]
    items = [
        _PairItem(name, pairs, index, upscaled.low_rule) for index, name in enumerate(pairs.ids)
    ]
    rows = []
    for row in evaluate(items, methods, stage.metrics, device=upscaled.device):
        if row.error:
            raise InputError(f"evaluate: {row.name}, {row.method}: {row.error}")
        rows.append(row)
        tell(row.name, len(rows) / (len(items) * len(methods)))
    summary = summarise(rows)
    means = {
        method: {metric: statistics["mean"] for metric, statistics in of.items()}
        for method, of in summary["methods"].items()
    }
    facts = {"shapes": len(pairs), "mean": means.pop(mine.name), **means}
    scores = {row.name: row.scores for row in rows if row.method == mine.name}
    with atomic(pipeline.place(stage.to), overwrite=True) as file:
        file.write((json.dumps({**facts, "scores": scores}, indent=1) + "\n").encode())
    if stage.report is not None:
        from mvd_toolkit.report import write_report

        recipe = dataclasses.asdict(stage)
        write_report(pipeline.place(stage.report), rows, summary, items, recipe, methods)
    return facts


@dataclass(frozen=True)
class _PairItem:
    """A pair in memory as something to evaluate."""

    name: str
    pairs: PairDataset
    index: int
    low_rule: str

    def __str__(self) -> str:
        return self.name

    @property
    def category(self) -> str:
        return category_of(self.name)

    def load(self) -> Case:
        """The fine grid, and the coarse one of the rule."""
        low = self.pairs.low_grid(self.index, self.low_rule)
        return Case(self.name, self.pairs.high_grid(self.index), self.category, low, self.low_rule)


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


def _one_pair(text: str | None) -> tuple[int | None, int | None]:
    return (None, None) if text is None else parse_edges(text)[0]
