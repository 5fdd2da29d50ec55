"""What a plugin may register: the contract that specs and formats are checked against."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, Final

from mvd_toolkit.errors import MVDError
from mvd_toolkit.io.format import Format
from mvd_toolkit.specs import BackboneSpec, MetricSpec, PredictorSpec, ReconstructorSpec

API: Final = 1
"""The version of the plugin contract that this package speaks."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SUFFIX: Final = re.compile(r"(\.[a-z0-9_-]+)+")


class PluginError(MVDError):
    """A plugin breaks the contract; caught while loading and shown in the report."""


def check_spec(spec: Any) -> None:
    """Check what a spec of `specs`, or a `Format`, says of itself.

    Raises:
        PluginError: what breaks the contract.
    """
    where = f"{type(spec).__name__} {getattr(spec, 'name', '')!r}"
    match spec:
        case BackboneSpec() | PredictorSpec():
            _check_api_and_name(spec, where)
            _check_scales(spec, where)
        case ReconstructorSpec():
            _check_api_and_name(spec, where)
            _check_reconstructor(spec, where)
        case MetricSpec():
            _check_api_and_name(spec, where)
            _check_metric(spec, where)
        case Format():
            _check_api_and_name(spec, where)
            _check_format(spec, where)
        case _:
            raise PluginError(
                "expected a BackboneSpec, PredictorSpec, ReconstructorSpec, MetricSpec or Format, "
                f"found {type(spec).__name__}"
            )


def check_suffixes(form: Format, others: Iterable[Format]) -> None:
    """Check that no other format has one of a format's suffixes.

    Raises:
        PluginError: one has.
    """
    for other in others:
        for suffix in set(form.suffixes) & set(other.suffixes):
            raise PluginError(
                f"Format {form.name!r}: the suffix {suffix} is that of format {other.name!r}"
            )


def _check_api_and_name(
    spec: BackboneSpec | PredictorSpec | ReconstructorSpec | Format | MetricSpec, where: str
) -> None:
    if spec.api != API:
        raise PluginError(f"{where}: written for plugin api {spec.api}, this mvd speaks {API}")
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise PluginError(f"{where}: expected a name of a-z, 0-9, _ and -")


def _check_scales(spec: BackboneSpec | PredictorSpec, where: str) -> None:
    if not spec.scales or not all(isinstance(s, int) and s > 1 for s in spec.scales):
        raise PluginError(f"{where}: expected scales above 1, found {spec.scales!r}")
    _check_options(spec.options, where)


def _check_format(form: Format, where: str) -> None:
    if form.kind not in ("grid", "mesh"):
        raise PluginError(f"{where}: expected the kind grid or mesh, found {form.kind!r}")
    wrong = [s for s in form.suffixes if not (isinstance(s, str) and _SUFFIX.fullmatch(s))]
    if wrong or not form.suffixes:
        raise PluginError(
            f"{where}: expected suffixes in lower case with their dot, found {form.suffixes!r}"
        )
    if not callable(form.matches) or not (form.reads or form.writes):
        raise PluginError(f"{where}: expected a matches, and a read or a write")


def _check_metric(spec: MetricSpec, where: str) -> None:
    if not callable(spec.compute):
        raise PluginError(f"{where}: expected compute to be callable, found {spec.compute!r}")
    if spec.better not in ("higher", "lower", "neither"):
        raise PluginError(
            f"{where}: expected better to be higher, lower or neither, found {spec.better!r}"
        )


def _check_reconstructor(spec: ReconstructorSpec, where: str) -> None:
    if not (isinstance(spec.size, int) and 8 <= spec.size <= 1024):
        raise PluginError(f"{where}: expected a size of 8 to 1024 pixels, found {spec.size!r}")
    if not 0 < spec.threshold < 1:
        raise PluginError(f"{where}: expected a threshold in (0, 1), found {spec.threshold!r}")
    _check_options(spec.options, where)


def _check_options(options: Any, where: str) -> None:
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        raise PluginError(f"{where}: expected options to be a dataclass, found {options!r}")
    for option in dataclasses.fields(options):
        if option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING:
            raise PluginError(f"{where}: option {option.name!r} has no default")
