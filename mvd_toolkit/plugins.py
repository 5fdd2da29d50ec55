"""Asking plugins for what they give: backbones, predictors, reconstructors, formats and metrics.

They are loaded at the first question; see `plugin_loading`. ``MVD_PLUGINS`` is a comma-separated
list that adds to the installed plugins and takes from them: ``name.of.a.module`` loads that module
as a plugin, ``-name`` switches off the plugin whose entry point or module is called so.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import entry_points
from typing import Literal, TypeVar

from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.io.format import Format
from mvd_toolkit.plugin_loading import (
    BUILT_IN,
    ENVIRONMENT,
    GROUP,
    PluginRow,
    Registry,
    load_plugins,
)
from mvd_toolkit.specs import BackboneSpec, MetricSpec, PredictorSpec, ReconstructorSpec

Kind = Literal["backbone", "predictor", "reconstructor", "format", "metric"]

Spec = TypeVar("Spec", BackboneSpec, PredictorSpec, ReconstructorSpec, Format, MetricSpec)


def backbones() -> dict[str, BackboneSpec]:
    """All backbones by name."""
    return dict(_registry().backbones)


def backbone(name: str) -> BackboneSpec:
    """The backbone called ``name``.

    Raises:
        UnavailableError: there is none; the message names those there are.
    """
    return _lookup("backbone", name, _registry().backbones)


def predictors() -> dict[str, PredictorSpec]:
    """All predictors that are no backbones, by name."""
    return dict(_registry().predictors)


def predictor(name: str) -> PredictorSpec:
    """The predictor called ``name``.

    Raises:
        UnavailableError: there is none; the message names those there are.
    """
    return _lookup("predictor", name, _registry().predictors)


def reconstructors() -> dict[str, ReconstructorSpec]:
    """All reconstructors by name."""
    return dict(_registry().reconstructors)


def reconstructor(name: str) -> ReconstructorSpec:
    """The reconstructor called ``name``.

    Raises:
        UnavailableError: there is none; the message names those there are.
    """
    return _lookup("reconstructor", name, _registry().reconstructors)


def formats() -> dict[str, Format]:
    """All file formats by name, the package's own first."""
    return dict(_registry().formats)


def metrics() -> dict[str, MetricSpec]:
    """All metrics by name, in the order they were registered."""
    return dict(_registry().metrics)


def metric(name: str) -> MetricSpec:
    """The metric called ``name``.

    Raises:
        UnavailableError: there is none; the message names those there are.
    """
    return _lookup("metric", name, _registry().metrics)


def plugin_report() -> list[PluginRow]:
    """A row for each plugin found, working or not, in order of loading."""
    return list(_registry().rows)


def provider(kind: Kind, name: str) -> PluginRow:
    """The plugin that gives the backbone, predictor, reconstructor … called ``name``.

    Raises:
        UnavailableError: no plugin gives it.
    """
    for row in _registry().rows:
        if row.status == "ok" and name in getattr(row, f"{kind}s"):
            return row
    raise UnavailableError(f"{kind} {name!r}: no plugin gives it")


def reload_plugins() -> None:
    """Forget what is loaded: the next question looks at entry points and ``MVD_PLUGINS`` again."""
    _registry.cache_clear()


@cache
def _registry() -> Registry:
    points = [*BUILT_IN, *entry_points(group=GROUP)]
    return load_plugins(points, os.environ.get(ENVIRONMENT, ""))


def _lookup(kind: str, name: str, known: dict[str, Spec]) -> Spec:
    if name in known:
        return known[name]
    broken = [row.name for row in _registry().rows if row.status == "failed"]
    note = f"; plugins that failed to load: {', '.join(broken)}" if broken else ""
    raise UnavailableError(
        f"no {kind} {name!r}: these are installed: {', '.join(sorted(known)) or 'none'}{note} "
        "(`mvd plugins` says more)"
    )
