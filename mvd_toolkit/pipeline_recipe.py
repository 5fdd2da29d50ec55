"""The tables of a recipe: what each stage of `pipeline` is told, and how a TOML file tells it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from mvd_toolkit.augmented_copies import Axis, Turn
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.options import parse_options

Split = Literal["train", "val", "test"]


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
    low_rule: Literal["any", "half", "centre", "soft"] = "any"
    limit: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class EvaluateStage:
    """Table ``evaluate``: scores of what ``upscale`` made against the fine grids of the pairs.

    Attributes:
        to: the scores, JSON: of each shape and their means, beside those of the other methods.
        methods: what to compare with, as `mvd evaluate --method` names them.
        metrics: which scores.
        report: a page to look at.
        fail_under: lowest mean IoU that is good enough.
    """

    name: ClassVar[str] = "evaluate"
    to: str = "scores.json"
    methods: tuple[str, ...] = ("nearest",)
    metrics: tuple[str, ...] = ("iou",)
    report: str | None = None
    fail_under: float | None = None


STAGES: Final = (ConvertStage, TrainStage, UpscaleStage, EvaluateStage)
Stage = ConvertStage | TrainStage | UpscaleStage | EvaluateStage


@dataclass(frozen=True)
class Recipe:
    """What a recipe says.

    Attributes:
        stages: in the order in which they run.
        training: table ``train.set``.
    """

    stages: list[Stage]
    training: Mapping[str, Any]


def read_recipe(file: Path) -> Recipe:
    """Read a recipe.

    Raises:
        InputError: it cannot be read.
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
    scored = next((stage for stage in stages if isinstance(stage, EvaluateStage)), None)
    if scored and scored.fail_under is not None and "iou" not in scored.metrics:
        raise UsageError(f"{file}: evaluate: fail_under is of iou, which metrics does not name")
    return Recipe(stages, training)


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


def parse_edges(text: str) -> list[tuple[int, int]]:
    """The edges that ``32:256,64:512`` names."""
    try:
        return [(int(a), int(b)) for a, b in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise UsageError(f"pairs: expected LOW:HIGH, 32:256 say, found {text!r}") from None
