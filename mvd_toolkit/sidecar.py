"""``<output>.mvd.json``: how an output was made, so that the same command can be run again.

A sidecar is written twice: before the output, as a claim ("finished": false), and after it, with
the output's hash. An output whose sidecar holds the same recipe, the same input and the output's
own hash is finished and is skipped; a claim of the same recipe and input is what a killed run left
behind, and is made again; anything else is a stranger's file and stays as it is.

What the output's format cannot say is in its sidecar: `load_grid` takes the place of a grid and
its extent from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mvd_toolkit import __version__
from mvd_toolkit.errors import InputError, OutputExistsError, UsageError
from mvd_toolkit.json_text import parse_json

if TYPE_CHECKING:
    from mvd_toolkit.grid import VoxelGrid

SUFFIX = ".mvd.json"
SCHEMA = "mvd.sidecar/1"

OnExists = Literal["error", "skip", "overwrite"]

_NO_PLACE = (InputError, KeyError, TypeError, ValueError, OverflowError)
"""What numbers of a sidecar that are no place make `VoxelGrid` raise."""

Status = Literal["made", "skipped", "kept"]
"""Of an output: "skipped" when it was finished already; "kept" when something else is there and was
to be left alone."""


@dataclass(frozen=True)
class Recipe:
    """What, apart from the input's bytes, decides an output's bytes.

    Attributes:
        command: the stage, ``upscale`` for instance.
        options: JSON-able; a model stands in it by its hash.
        version: of mvd_toolkit.
    """

    command: str
    options: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    @property
    def hash(self) -> str:
        """SHA-256 of the recipe, in hex."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sidecar_path(output: Path) -> Path:
    """Where the sidecar of ``output`` lies: beside it."""
    return output.with_name(output.name + SUFFIX)


def read(output: Path) -> dict[str, Any] | None:
    """The sidecar of ``output``; None when there is none, or it is not one of ours."""
    try:
        document = parse_json(sidecar_path(output).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return None
    return document


def load_grid(path: Path) -> VoxelGrid:
    """Read a grid; what its format does not keep of place and extent comes from its sidecar.

    A sidecar that is not of this very file counts for nothing.

    Raises:
        InputError: as for `mvd_toolkit.io.load`.
    """
    from mvd_toolkit import io

    grid = io.load(path)
    document = read(path)
    if document is None or document.get("output_sha256") != file_hash(path):
        return grid
    if document.get("shape") != list(grid.shape):
        return grid
    if not io.sniff(path).place:
        with suppress(*_NO_PLACE):
            grid = replace(grid, origin=document["origin"], spacing=document["spacing"])
    if grid.extent is None:
        with suppress(*_NO_PLACE):
            grid = replace(grid, extent=document["extent"])
    return grid


def grid_facts(grid: VoxelGrid) -> dict[str, Any]:
    """What a sidecar says of the grid in its output; `load_grid` takes what it needs from there."""
    facts: dict[str, Any] = {
        "shape": list(grid.shape),
        "occupied": grid.count(),
        "origin": list(grid.origin),
        "spacing": list(grid.spacing),
    }
    if grid.extent is not None:
        facts["extent"] = [list(corner) for corner in grid.extent]
    return facts


def status(output: Path, recipe: Recipe, input_hash: str, on_exists: OnExists) -> Status:
    """What becomes of ``output``: it is to be made, or skipped, as it is finished, or kept.

    Args:
        output: the file to make.
        recipe: how it would be made.
        input_hash: `file_hash` of what it would be made from.
        on_exists: what to do about a file that is something else.

    Raises:
        OutputExistsError: it exists, is something else, and ``on_exists`` is "error".
        UsageError: ``on_exists`` is none of the three.
    """
    if on_exists not in get_args(OnExists):
        raise UsageError(
            f"on-exists: expected {', '.join(get_args(OnExists))}, found {on_exists!r}"
        )
    if not output.exists():
        return "made"
    document = read(output)
    same = _is_of(document, recipe, input_hash)
    if document is not None and same and not document.get("finished"):
        return "made"
    if _is_finished(output, recipe, input_hash):
        return "skipped"
    if on_exists == "error":
        raise OutputExistsError(
            f"{output}: exists{_what_it_is(document, same)}; "
            "--on-exists overwrite replaces it, --on-exists skip keeps it"
        )
    return "made" if on_exists == "overwrite" else "kept"


def _is_finished(output: Path, recipe: Recipe, input_hash: str) -> bool:
    """Whether ``output`` is what this recipe made of this input, complete and unchanged."""
    document = read(output)
    return (
        document is not None
        and _is_of(document, recipe, input_hash)
        and bool(document.get("finished"))
        and output.is_file()
        and document.get("output_sha256") == file_hash(output)
    )


def _is_of(document: dict[str, Any] | None, recipe: Recipe, input_hash: str) -> bool:
    return document is not None and (
        document.get("recipe_hash") == recipe.hash and document.get("input_sha256") == input_hash
    )


def _what_it_is(document: dict[str, Any] | None, same: bool) -> str:
    if document is None:
        return " and was not made by this command"
    if same:
        return " and was changed since it was made"
    return " and was made from another input or with other options"


@contextmanager
def making(output: Path, recipe: Recipe, input_hash: str) -> Iterator[dict[str, Any]]:
    """Claim ``output``, let the body make it, then write its sidecar.

    Yields a dict for anything else worth keeping: transform, device, seconds. The folder of
    ``output`` is made when it is missing. An error in the body takes the claim back: the sidecar
    is then what it was before.
    """
    from mvd_toolkit.io.atomic import make_folder

    make_folder(output.parent)
    before = read(output)
    known = {
        "schema": SCHEMA,
        "recipe_hash": recipe.hash,
        "input_sha256": input_hash,
        **asdict(recipe),
    }
    facts: dict[str, Any] = {}
    _write(output, {**known, "finished": False})
    try:
        yield facts
    except BaseException:
        if before is None:
            sidecar_path(output).unlink(missing_ok=True)
        else:
            _write(output, before)
        raise
    _write(output, {**known, "finished": True, "output_sha256": file_hash(output), **facts})


def _write(output: Path, document: dict[str, Any]) -> None:
    from mvd_toolkit.io import atomic

    with atomic(sidecar_path(output), overwrite=True) as file:
        file.write((json.dumps(document, indent=1) + "\n").encode())
