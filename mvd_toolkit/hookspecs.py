"""The hooks a plugin may implement (pluggy project ``mvd``).

A plugin is a module, found by an entry point of the group ``mvd_toolkit`` or named in
``MVD_PLUGINS``. It marks functions of these names with ``hookimpl``::

    from mvd_toolkit import BackboneSpec, hookimpl

    @hookimpl
    def mvd_register_backbones(register):
        register(BackboneSpec(name="mine", build=build))

Hooks are called once, when plugins load; the module must import no torch at its top.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from mvd_toolkit.io.format import Format
from mvd_toolkit.specs import BackboneSpec, MetricSpec, PredictorSpec, ReconstructorSpec

hookspec = pluggy.HookspecMarker("mvd")
hookimpl = pluggy.HookimplMarker("mvd")


@hookspec
def mvd_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Call ``register(spec)`` for each 2-D network the plugin has."""


@hookspec
def mvd_register_predictors(register: Callable[[PredictorSpec], None]) -> None:
    """Call ``register(spec)`` for each predictor that is no backbone."""


@hookspec
def mvd_register_reconstructors(register: Callable[[ReconstructorSpec], None]) -> None:
    """Call ``register(spec)`` for each network that makes a coarse grid of a picture."""


@hookspec
def mvd_register_formats(register: Callable[[Format], None]) -> None:
    """Call ``register(format)`` for each kind of file the plugin reads or writes."""


@hookspec
def mvd_register_metrics(register: Callable[[MetricSpec], None]) -> None:
    """Call ``register(spec)`` for each score of a prediction against its truth."""
