"""What the training of a reconstructor is told: presets, options, and the length of the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from mvd_toolkit import plugins
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import UsageError
from mvd_toolkit.options import parse_options
from mvd_toolkit.training_settings import (
    Settings,
    check_settings,
    run_length,
    take_training_options,
)

_BASE: Final = Settings(
    kind="reconstruct",
    silhouette="",
    depth="",
    reconstructor="residual",
    batch_size=32,
    lr=2e-3,
    length=100,
    rules={"any": 1.0},
    validate_items=200,
)

PRESETS: Final[Mapping[str, Settings]] = {
    "default": _BASE,
    "paper": dataclasses.replace(
        _BASE,
        preset="paper",
        reconstructor="autoencoder",
        lr=1e-3,
        schedule="constant",
        warmup=0,
        weight_decay=0.0,
        clip=None,
        ema=None,
        augment=False,
        length=1500,
    ),
}
"""``--preset``: "paper" has length, rate and batch size of the authors' code; AdamW stands
for their RMSProp."""


def make_reconstructor_settings(
    preset: str | None = None,
    *,
    reconstructor: str | None = None,
    options: Mapping[str, Any] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    **changes: Any,
) -> Settings:
    """Settings from a preset and what is changed of it.

    Args:
        preset: "default" or "paper".
        reconstructor: name of the network.
        options: ``--set`` values: those of the network, and ``train.`` ones.
        epochs: length of the run.
        steps: the same, in steps.
        minutes: the same, in minutes of training.
        changes: other fields of `Settings`; None leaves the preset's.

    Raises:
        UsageError: an unknown preset, field or option, two lengths, or a value out of range.
        UnavailableError: an unknown reconstructor.
    """
    preset = preset or "default"
    if preset not in PRESETS:
        raise UsageError(f"preset: expected one of {', '.join(PRESETS)}, found {preset!r}")
    base = PRESETS[preset]
    given = dict(options or {})
    changes = {name: value for name, value in changes.items() if value is not None}
    for name in ("backbone", "silhouette", "depth"):
        if name in changes:
            raise UsageError(f"--{name}: a reconstructor has none; --reconstructor names it")
    changes = take_training_options(given) | changes
    unknown = set(changes) - {f.name for f in dataclasses.fields(Settings)}
    if unknown:
        raise UsageError(f"training has no setting {sorted(unknown)[0]!r}")
    name = reconstructor or base.reconstructor
    settings = dataclasses.replace(
        base,
        reconstructor=name,
        options={"reconstructor": parse_options(plugins.reconstructor(name), given)},
        **run_length(epochs, steps, minutes),
        **changes,
    )
    check_settings(settings)
    if len(settings.rules) != 1 or next(iter(settings.rules)) not in LOW_RULES:
        expected = ", ".join(LOW_RULES)
        raise UsageError(f"low rules: expected one of {expected}, found {list(settings.rules)}")
    return settings
