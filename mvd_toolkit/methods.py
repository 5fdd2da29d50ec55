"""Methods of upscaling by name: baselines, models, ablations; one interface for all of them.

=====================================  ==========================================================
``nearest``                            each coarse voxel as a block
``gaussian[:sigma=2.5,threshold=.87]`` nearest, blurred, cut
``trilinear[:threshold=.5]``           interpolated, cut
``sdf[:offset=0]``                     signed distances interpolated, cut
``soft-rank``                          coverage interpolated, the covered number kept
``soft-swap``                          the same, its voxels moved to where others are
``oracle``                             carving with the true depth maps: the ceiling
``default``                            the model that comes with the package
``paper[:PATH]``                       the paper's networks, as `mvd train --preset paper` has them
``model:PATH``                         a model directory
``silhouette-only[:PATH]``             of a model, its silhouettes alone
``depth-only[:PATH]``                  of a model, its depths alone
=====================================  ==========================================================

``LABEL=METHOD`` calls it otherwise in the tables: ``ours=model:run/model``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import baselines, ops
from mvd_toolkit.cases import Case
from mvd_toolkit.conventions import SOFT_RULE
from mvd_toolkit.errors import UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid

if TYPE_CHECKING:
    from mvd_toolkit.upscale import Upscaler


@dataclass(frozen=True)
class Method:
    """Something that makes a fine grid for a case.

    Attributes:
        name: what tables call it.
        make: a case to the fine grid, of the truth's shape.
        is_baseline: it needs no network.
    """

    name: str
    make: Callable[[Case], VoxelGrid]
    is_baseline: bool = False


PREDICTION: Final = Method("prediction", lambda case: case.prediction or case.input)
"""The prediction that came with the case."""

_BASELINES: Final[dict[str, tuple[Callable[..., VoxelGrid], dict[str, float]]]] = {
    "nearest": (lambda case: baselines.nearest(case.input, case.scale), {}),
    "gaussian": (
        lambda case, **options: baselines.gaussian(case.input, case.scale, **options),
        {"sigma": 2.5, "threshold": 0.87},
    ),
    "trilinear": (
        lambda case, **options: baselines.trilinear(case.input, case.scale, **options),
        {"threshold": 0.5},
    ),
    "sdf": (
        lambda case, **options: baselines.sdf(case.input, case.scale, **options),
        {"offset": 0.0},
    ),
    "soft-rank": (lambda case: baselines.soft_rank(case.input, case.scale), {}),
    "soft-swap": (lambda case: baselines.soft_swap(case.input, case.scale), {}),
    "oracle": (
        lambda case: baselines.oracle(case.input, case.scale, case.odms, case.low_rule),
        {},
    ),
}
METHODS: Final = (
    *_BASELINES,
    "default",
    "paper:PATH",
    "silhouette-only",
    "depth-only",
    "model:PATH",
)
"""The names `find_method` knows."""


def find_method(text: str, device: str = "cpu", threads: int = 0) -> Method:
    """The method that a text names; models are loaded when they are first used.

    Args:
        text: as in the module's table.
        device: where networks run.
        threads: how many threads to use, 0 for one a core.

    Raises:
        UsageError: no such method or option; those there are are named.
        UnavailableError: the paper's method, without its weights.

    >>> find_method("smooth=gaussian:sigma=3").name
    'smooth'
    """
    label, spec = _split_label(text)
    kind, _, rest = spec.partition(":")
    if kind in _BASELINES:
        make, known = _BASELINES[kind]
        return Method(label, partial(make, **_options(kind, rest, known)), is_baseline=True)
    load = partial(_upscaler, device=device)
    if kind == "default" and not rest:
        return Method(label, lambda case: _upscale(load(None), case, threads))
    if kind == "paper" and not rest:
        raise UnavailableError(
            "paper: its authors published no weights and none come with the package; train them "
            "with `mvd train DATASET -o RUN --preset paper` and name them paper:RUN/model"
        )
    if kind in ("model", "paper") and rest:
        return Method(label, lambda case: _upscale(load(rest), case, threads))
    if kind in ("silhouette-only", "depth-only"):
        return Method(label, lambda case: _ablate(load(rest or None), case, kind))
    raise UsageError(f"method: expected one of {', '.join(METHODS)}, found {text!r}")


def fingerprint(text: str) -> str:
    """What a method depends on but for its text: the hash of a model's files; empty for others.

    Raises:
        UnavailableError: there is no such model.
    """
    kind, _, rest = _split_label(text)[1].partition(":")
    if kind in _BASELINES:
        return ""
    from mvd_toolkit.model_directory import find_model

    digest = hashlib.sha256()
    for path in sorted(find_model(rest or None).rglob("*")):
        if path.suffix in (".json", ".safetensors"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _split_label(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([^:=]+)=(.+)", text)
    if match:
        return match[1], match[2]
    kind, _, rest = text.partition(":")
    if kind == "paper":
        return kind, text
    return (Path(rest).name or rest if kind == "model" else text), text


def _options(kind: str, text: str, known: Mapping[str, float]) -> dict[str, float]:
    options = dict(known)
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            options[name] = float(value)
        except ValueError:
            raise UsageError(f"{kind}: expected NAME=NUMBER, found {part!r}") from None
        if name not in known:
            there = ", ".join(known) or "none"
            raise UsageError(f"{kind}: expected an option of {there}, found {name!r}")
    return options


@cache
def _upscaler(model: str | None, device: str) -> Upscaler:
    from mvd_toolkit.upscale import Upscaler

    return Upscaler.load(model, device)


def _upscale(upscaler: Upscaler, case: Case, threads: int) -> VoxelGrid:
    target = max(case.truth.shape)
    rule = "auto" if case.low_rule in ("", SOFT_RULE) else case.low_rule
    return upscaler(case.input, target, rule, threads=threads)


def _ablate(upscaler: Upscaler, case: Case, which: str) -> VoxelGrid:
    """The paper's ablations: one network alone, the other's answer from the coarse grid."""
    import torch

    rule = "any" if case.low_rule in ("", SOFT_RULE) else case.low_rule
    low, scale = ops.hull(case.input), case.scale
    if scale != upscaler.scale:
        raise UsageError(f"{which}: expected scale {upscaler.scale}, found {scale}")
    edge = max(case.truth.shape)
    with torch.inference_mode():
        dense = low.to_torch(upscaler.device)[None]
        if which == "silhouette-only":
            inside = upscaler.model.silhouette(dense, rule)[0].cpu().numpy() > 0.5
            odms = np.where(inside, 0, edge)
        else:
            depth = np.rint(upscaler.model.depth(dense, rule)[0].cpu().numpy())
            odms = np.where(_coarse_silhouette(low, scale), np.clip(depth, 0, edge - 1), edge)
    base = low if rule == "any" else ops.dilate(low)
    return ops.carve(base, odms.astype(np.uint16), scale)


def _coarse_silhouette(low: VoxelGrid, scale: int) -> npt.NDArray[np.bool_]:
    """(6, N, N) the coarse silhouettes, each pixel as a block."""
    odms = ops.extract_odms(low)
    inside: npt.NDArray[np.bool_] = odms < odms.shape[-1]
    return inside.repeat(scale, axis=1).repeat(scale, axis=2)
