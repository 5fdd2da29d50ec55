"""`mvd models`: the default model, or those in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mvd_toolkit.model import Model


def models(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Look here; default: what comes with mvd."),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List models, with what each can do; one that cannot be loaded says why, and the exit code
    is then 5.
    """
    from mvd_toolkit.errors import InputError, MVDError, UnavailableError
    from mvd_toolkit.model_directory import PACKAGED

    out = output(ctx)
    root = PACKAGED if folder is None else folder
    found = _model_directories(root)
    if folder is not None and not found:
        raise InputError(f"{folder}: expected folders with a config.json, found none")
    rows, broken = [], []
    for directory in found:
        name = directory.relative_to(root).as_posix()
        try:
            rows.append(_load(name, directory))
        except MVDError as error:
            out.warn(f"{directory}: {error}")
            broken.append(name)
    for row in rows:
        out.item(row)
    out.table(rows)
    if broken:
        raise UnavailableError(
            f"{len(broken)} of {len(found)} models cannot be loaded: {', '.join(broken)}"
        )
    out.finish()


def _model_directories(root: Path) -> list[Path]:
    """The folders with a config, but for those of predictors that keep files of their own."""
    from mvd_toolkit.model_directory import CONFIG, ROLES

    found = {path.parent for path in root.glob(f"**/{CONFIG}")}
    return sorted(d for d in found if d.name not in ROLES or d.parent not in found)


def _load(name: str, directory: Path) -> dict[str, Any]:
    """The row of a model of either kind, which is loaded whole.

    Raises:
        MVDError: it cannot be loaded.
    """
    from mvd_toolkit.model import Model
    from mvd_toolkit.model_directory import CONFIG, naming, read_json
    from mvd_toolkit.reconstructor_config import SCHEMA
    from mvd_toolkit.reconstructor_model import ReconstructorModel

    with naming(directory / CONFIG):
        config = read_json(directory / CONFIG)
    if not (isinstance(config, dict) and config.get("schema") == SCHEMA):
        return _row(name, directory, Model.load(directory))
    model = ReconstructorModel.load(directory)
    return {
        "name": directory.name if name == "." else name,
        "path": str(directory),
        "scale": None,
        "rules": [model.config.rule],
        "silhouette": None,
        "depth": None,
        "reconstructor": model.config.reconstructor,
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "bytes": sum(file.stat().st_size for file in directory.glob("*.safetensors")),
    }


def _row(name: str, directory: Path, model: Model) -> dict[str, Any]:
    return {
        "name": directory.name if name == "." else name,
        "path": str(directory),
        "scale": model.config.scale,
        "rules": list(model.config.rules),
        "silhouette": _kind(model.config.silhouette),
        "depth": _kind(model.config.depth),
        "reconstructor": None,
        "parameters": sum(w.numel() for network in model.modules() for w in network.parameters()),
        "bytes": sum(file.stat().st_size for file in directory.glob("*.safetensors")),
    }


def _kind(section: Mapping[str, Any]) -> Any:
    """The backbone or predictor that a section of config.json names."""
    return section.get("backbone") or section.get("predictor")
