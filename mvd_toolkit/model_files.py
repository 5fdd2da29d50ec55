"""The files of a model directory, whatever kind of model: weights in half precision, written whole.

Reading believes nothing: names and shapes of weights are compared with what the config builds
before anything is allocated; no pickle is read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mvd_toolkit.errors import InputError, OutputExistsError
from mvd_toolkit.io.atomic import make_folder, writing
from mvd_toolkit.model_directory import CONFIG, naming, read_json

CARD: Final = "README.md"


def read_weights(
    path: Path, expected: Mapping[str, torch.Tensor], needs: str
) -> dict[str, torch.Tensor]:
    """The weights of a safetensors file, float32.

    Args:
        path: the file.
        expected: the state that the config builds; on the meta device it costs nothing.
        needs: what to call the plugin that builds it.

    Raises:
        InputError: the file is missing, malformed, does not fit or holds numbers that are none.
    """
    with naming(path):
        _check_shapes(path, expected, needs)
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in load_file(path).items()
        }
        damaged = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
        if damaged:
            raise InputError(f"{damaged[0]} is not finite")
    return state


def half_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state as saved: parameters in half precision, buffers as they are."""
    parameters = dict(module.named_parameters())
    state = {}
    for name, tensor in module.state_dict().items():
        tensor = tensor.detach().cpu().contiguous().clone()
        if name in parameters and tensor.is_floating_point():
            tensor = tensor.half()
        if not torch.isfinite(tensor).all():
            raise InputError(f"weight {name!r} is not finite in half precision")
        state[name] = tensor
    return state


@contextlib.contextmanager
def new_directory(directory: str | Path, schema: str, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write a model into, which takes the name of ``directory`` when the block ends.

    Args:
        directory: what it will be called.
        schema: that of the model's config.json.
        overwrite: replace a model of that schema. What is no such model is never replaced.

    Raises:
        OutputExistsError: the directory exists and may not be replaced.
        UsageError: no folder can be made there.
    """
    target = Path(directory)
    _check_target(target, schema, overwrite)
    make_folder(target.parent)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        make_folder(temporary)
        yield temporary
        _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_target(target: Path, schema: str, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise OutputExistsError(f"{target} exists")
    try:
        is_model = read_json(target / CONFIG).get("schema") == schema
    except (InputError, AttributeError):
        is_model = False
    if not is_model:
        raise OutputExistsError(f"{target} exists and is no model directory")


def _swap(temporary: Path, target: Path) -> None:
    """Put the new directory in place of the old one, if any."""
    old = temporary.with_suffix(".old")
    if target.exists():
        os.rename(target, old)
    os.rename(temporary, target)
    _fsync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with writing(path):
        path.write_bytes(content)
        _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_shapes(path: Path, expected: Mapping[str, torch.Tensor], needs: str) -> None:
    """Compare the file's header with what the config builds, before weights are read."""
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    for name, tensor in expected.items():
        if name not in found:
            raise InputError(f"weight {name!r} is missing ({needs})")
        if found[name] != tuple(tensor.shape):
            raise InputError(
                f"weight {name!r}: expected shape {tuple(tensor.shape)} as config.json and "
                f"{needs} say, found {found[name]}"
            )
    extra = sorted(set(found) - set(expected))
    if extra:
        raise InputError(f"weight {extra[0]!r} is not part of the network ({needs})")
