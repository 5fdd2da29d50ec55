"""The directory of a training run: its recipe, its log and its state, each written atomically."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from mvd_toolkit import __version__
from mvd_toolkit.curves import draw_curves
from mvd_toolkit.errors import InputError, OutputExistsError, UnavailableError, UsageError
from mvd_toolkit.io.atomic import atomic, make_folder, writing
from mvd_toolkit.json_text import parse_json
from mvd_toolkit.training_settings import Settings

SCHEMA: Final = "mvd.run/1"

Report = Callable[[Mapping[str, Any], float], None]
"""Told each line of metrics.jsonl, and the fraction of the run that is done."""


class Dataset(Protocol):
    """What a run learns from, as far as its recipe tells of it."""

    directory: Path
    low: int
    high: int

    def __len__(self) -> int:
        """Shapes or pairs."""

    @property
    def fingerprint(self) -> str:
        """Another one, another dataset."""


class RunDirectory:
    """``run.json``, ``metrics.jsonl``, ``curves.svg``, ``state/`` and ``model/``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state = self.path / "state"
        self.model = self.path / "model"

    def claim(self, settings: Settings, dataset: Dataset) -> None:
        """Write run.json, or check that the one there holds the same recipe.

        Raises:
            OutputExistsError: the directory holds another run, or something else.
            UsageError: it cannot be made.
        """
        deciding = {"settings": settings.to_dict(), "dataset_sha256": dataset.fingerprint}
        before = self.recipe()
        if before is not None:
            known = {**before, "settings": Settings.from_dict(before["settings"]).to_dict()}
            for key, value in deciding.items():
                if known.get(key) != value:
                    raise OutputExistsError(
                        f"{self.path}: holds another run: {_difference(known.get(key), value)}"
                    )
            make_folder(self.state)
            return
        if self.path.is_dir() and any(self.path.iterdir()):
            raise OutputExistsError(f"{self.path}: exists and holds no run")
        make_folder(self.path)
        recipe = {
            "schema": SCHEMA,
            "version": __version__,
            "dataset": str(dataset.directory.resolve()),
            "edges": [dataset.low, dataset.high],
            "shapes": len(dataset),
            **deciding,
            "environment": {"torch": torch.__version__, "python": platform.python_version()},
        }
        with atomic(self.path / "run.json", overwrite=True) as file:
            file.write(json.dumps(recipe, indent=1).encode() + b"\n")
        make_folder(self.state)  # last: a run that was cut off here is one with a recipe

    def recipe(self) -> dict[str, Any] | None:
        """The content of run.json; None when there is none.

        Raises:
            InputError: it is no recipe.
        """
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            recipe = parse_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        if not isinstance(recipe, dict) or recipe.get("schema") != SCHEMA:
            raise InputError(f"{path}: expected schema {SCHEMA!r}")
        return recipe

    def pairs(
        self, dataset: str | Path | None, low: int | None, high: int | None
    ) -> tuple[Path | None, int | None, int | None]:
        """Dataset and edges of the pairs that the run learns from, where they are not told."""
        recipe = self.recipe() or {}
        known = recipe.get("dataset")
        edges = recipe.get("edges", (None, None))
        place = dataset if dataset is not None else known
        return Path(place) if place else None, low or edges[0], high or edges[1]

    def save_state(self, name: str, state: Mapping[str, Any]) -> None:
        """Write ``state/<name>.pt``: tensors, numbers, text, and dicts and lists of them."""
        with atomic(self.state / f"{name}.pt", overwrite=True) as file:
            torch.save(dict(state), file)

    def load_state(self, name: str) -> dict[str, Any] | None:
        """What `save_state` wrote; None when there is none. Nothing in it is executed.

        Raises:
            InputError: the file is malformed.
        """
        path = self.state / f"{name}.pt"
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a malformed file
            raise InputError(f"{path}: is no training state: {error}") from error
        if not isinstance(state, dict):
            raise InputError(f"{path}: is no training state")
        return state


def resumed_settings(
    run: RunDirectory, settings: Settings | None, options: dict[str, Any]
) -> Settings:
    """The settings of the run that goes on.

    Raises:
        UsageError: there is no run, or others are given.
    """
    if settings is not None or any(value is not None for value in options.values()):
        raise UsageError("resume: takes its settings from the run, found others")
    recipe = run.recipe()
    if recipe is None:
        raise UsageError(f"resume: {run.path / 'run.json'} is not there")
    return Settings.from_dict(recipe["settings"])


def what_to_train(
    directory: RunDirectory,
    pairs: tuple[str | Path | None, int | None, int | None],
    settings: Settings | None,
    options: dict[str, Any],
    make: Callable[..., Settings],
    *,
    resume: bool,
) -> tuple[Settings, Path, int | None, int | None]:
    """Settings of a run, its dataset, and the edges of its low and fine grids.

    Args:
        directory: of the run.
        pairs: dataset and edges as the caller names them.
        settings: all of them; None: ``options`` are.
        options: what ``make`` takes.
        make: makes settings from options.
        resume: take from the run what is not told.

    Raises:
        UsageError: settings and options, no dataset, or ``resume`` with settings or without a run.
    """
    if resume:
        settings = resumed_settings(directory, settings, options)
        pairs = directory.pairs(*pairs)
    elif settings is None:
        settings = make(**options)
    elif options:
        raise UsageError("train: expected settings or single options, found both")
    dataset, low, high = pairs
    if dataset is None:
        raise UsageError("train: expected a dataset, found none; a run that goes on has its own")
    return settings, Path(dataset), low, high


class Log:
    """metrics.jsonl: a JSON object a line, with the step and the seconds of training.

    ``curves.svg`` is a picture of it. A board, if there is one, is told each number too.
    """

    def __init__(
        self, run: RunDirectory, step: int, report: Report | None, board: Board | None = None
    ) -> None:
        """Open a log that goes on after ``step``: later lines, of a killed run, are dropped."""
        self._path = run.path / "metrics.jsonl"
        self._picture = run.path / "curves.svg"
        self._report = report
        self._board = board
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if _is_until(line, step)]
        if kept != lines:
            with atomic(self._path, overwrite=True) as file:
                file.write("".join(f"{line}\n" for line in kept).encode())

    def write(self, step: int, seconds: float, done: float, values: Mapping[str, Any]) -> None:
        """Write a line; nothing for no values."""
        if not values:
            return
        line = {"step": step, "seconds": round(seconds, 3), **values}
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if self._report:
            self._report(line, done)

    def draw(self) -> None:
        """Draw the picture of the lines so far."""
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        with atomic(self._picture, overwrite=True) as file:
            file.write(draw_curves([json.loads(line) for line in lines]).encode())

    def close(self) -> None:
        """Let the board write what it holds back."""
        if self._board:
            self._board.close()


class NoLog(Log):
    """Writes nothing: of a process that is not the first."""

    def __init__(self) -> None:
        pass

    def write(self, step: int, seconds: float, done: float, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def draw(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Board(Protocol):
    """TensorBoard's ``SummaryWriter``, as far as it is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """A number of a step."""

    def close(self) -> None:
        """Write all of it."""


def tensorboard(run: RunDirectory, step: int) -> Board:
    """A board that writes ``RUN/tensorboard/``; of a run that goes on, later steps are dropped.

    Raises:
        UnavailableError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UnavailableError(
            "TensorBoard is not installed: pip install 'mvd_toolkit[tensorboard]'"
        ) from error
    board: Board = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1)
    return board


def _is_until(line: str, step: int) -> bool:
    try:
        return bool(parse_json(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False  # cut off by a kill


def _difference(before: Any, now: Any) -> str:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return "its dataset was another"
    name = next(n for n in {**before, **now} if before.get(n) != now.get(n))
    return f"{name} was {before.get(name)!r}, expected the same, found {now.get(name)!r}"
