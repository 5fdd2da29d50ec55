"""Model directories without torch: where they lie, what their config says, their hash.

`model` builds the networks of one; what can be decided without them is decided here, in
milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.json_text import parse_json
from mvd_toolkit.model_config import ModelConfig
from mvd_toolkit.specs import MORE_NETWORKS, Role

ROLES: Final[tuple[Role, ...]] = ("silhouette", "depth")
SUBVOXEL, BOUNDARY = MORE_NETWORKS

PACKAGED: Final = Path(__file__).parent / "weights"
"""The models that come with the package, a directory each."""

DEFAULT_NAME: Final = "default"
RECONSTRUCTOR_NAME: Final = "reconstruct"
MAX_TEXT_BYTES: Final = 2**20
"""Largest config.json or README.md that is read."""

CONFIG: Final = "config.json"
UPSCALER: Final = "upscaler"
"""Folder of a reconstructor's directory, of the model that makes its grids fine."""

VOTER: Final = "voter"
"""Folder of a reconstructor's directory, of another one that votes with it."""

_TORCH_NAMES: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}


def packaged_models() -> list[str]:
    """Names of the models that come with the package."""
    if not PACKAGED.is_dir():
        return []
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{CONFIG}"))


def find_reconstructor(model: str | Path | None) -> Path:
    """The directory of a reconstructor's model; None: of the one that comes with the package.

    Raises:
        UnavailableError: there is none.
    """
    return find_model(model, RECONSTRUCTOR_NAME)


def with_voter(reconstructor: Path) -> list[Path]:
    """A reconstructor's directory and, if it holds one, that of the other that votes with it."""
    own = reconstructor / VOTER
    return [reconstructor, own] if (own / CONFIG).is_file() else [reconstructor]


def find_upscaler(model: str | Path | None, reconstructor: Path) -> Path:
    """The directory of the model that makes a reconstructor's grids fine.

    Args:
        model: as for `find_model`; None: the one in the reconstructor's directory, if there is one,
            else the default.
        reconstructor: its directory.

    Raises:
        UnavailableError: there is none.
    """
    own = reconstructor / UPSCALER
    return own if model is None and (own / CONFIG).is_file() else find_model(model)


def find_model(model: str | Path | None, default: str | None = None) -> Path:
    """The directory of a model: see `Model.load`.

    Args:
        model: None, the name of a model that comes with the package, or a path.
        default: the name that None stands for; by default that of the upscaling model.

    Raises:
        UnavailableError: there is none.
    """
    default = default or DEFAULT_NAME
    if model is None:
        if (PACKAGED / default / CONFIG).is_file():
            return PACKAGED / default
        raise UnavailableError(
            f"the default model is not there: expected {PACKAGED / default}; "
            "name one with -m, or train one with `mvd train`"
        )
    text = str(model)
    bare = isinstance(model, str) and os.sep not in text and "/" not in text and text[:1] != "."
    if bare and text in packaged_models():
        return PACKAGED / text
    directory = Path(model)
    of_run = directory / "model"
    if not (directory / CONFIG).exists() and (of_run / CONFIG).is_file():
        raise UnavailableError(f"no model {text!r}: this is a training run, its model is {of_run}")
    if directory.is_dir():
        return directory
    raise UnavailableError(
        f"no model {text!r}: expected a model directory"
        + (f" or one of {', '.join(packaged_models()) or 'no packaged models'}" if bare else "")
    )


def read_config(directory: Path) -> ModelConfig:
    """What config.json of a model directory says.

    Raises:
        InputError: it is missing, malformed or of another schema.
    """
    with naming(directory / CONFIG):
        return ModelConfig.from_dict(read_json(directory / CONFIG))


def directory_hash(directory: Path) -> str:
    """`Model.hash` of the model that is saved here, without building it.

    Raises:
        InputError: a file is missing or malformed.
    """
    config = read_config(directory)
    sections: dict[str, Any] = {role: config.section(role) for role in ROLES}
    sections |= config.more_networks
    return model_hash(
        config, {name: _saved_contents(directory, name, sections[name]) for name in sections}
    )


def model_hash(config: ModelConfig, contents: dict[str, Iterable[tuple[str, bytes]]]) -> str:
    """SHA-256 of what decides a model's answers: kinds, options, fusion and weights.

    Args:
        config: of the model; its card and versions do not count.
        contents: of each network, those of `ROLES`, `SUBVOXEL` and `BOUNDARY`: name and bytes of
            all it is made of, in a fixed order.
    """
    digest = hashlib.sha256()
    deciding = config.to_dict()
    for key in ("about", "version"):
        deciding.pop(key)
    for role in ROLES:
        deciding[role] = {k: v for k, v in deciding[role].items() if k != "plugin_version"}
    digest.update(json.dumps(deciding, sort_keys=True).encode())
    for network, parts in contents.items():
        for name, content in parts:
            digest.update(f"{network}/{name}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def weights_hash(deciding: Mapping[str, Any], contents: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 of settings and of the names and bytes of weights, in a fixed order."""
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode())
    for name, content in contents:
        digest.update(f"{name}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def folder_contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file of a predictor that its plugin loads."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _saved_contents(directory: Path, network: str, section: Any) -> Iterator[tuple[str, bytes]]:
    if section.get("kind") == "plugin":
        yield from folder_contents(directory / network)
        return
    path = directory / f"{network}.safetensors"
    with naming(path), safe_open(path, framework="numpy") as file:
        for name in sorted(file.keys()):
            dtype = file.get_slice(name).get_dtype()
            if dtype not in _TORCH_NAMES:
                raise InputError(
                    f"weight {name!r}: expected one of {', '.join(_TORCH_NAMES)}, found {dtype}"
                )
            array = file.get_tensor(name)
            yield f"{name} torch.{_TORCH_NAMES[dtype]} {array.shape}", array.tobytes()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the path before what went wrong inside.

    Raises:
        InputError: what the body raised about the file, with its path.
    """
    try:
        yield
    except (InputError, SafetensorError, OSError) as error:
        raise InputError(f"{path}: {error}") from error


def read_json(path: Path) -> Any:
    """The value of a small JSON file.

    Raises:
        InputError: it cannot be read, is too large or no JSON.
    """
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise InputError(f"expected at most {MAX_TEXT_BYTES} bytes, found {size}")
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"is no JSON: {error}") from error
