"""Finding, loading and asking plugins.

Each plugin is loaded on its own: one that cannot be imported, breaks the contract or takes a name
that is taken adds nothing and becomes a row with an error in `plugin_report`; the others work.
What a plugin registers counts only when all of it is right.

``MVD_PLUGINS`` is a comma-separated list that adds to the installed plugins and takes from them:
``name.of.a.module`` loads that module as a plugin, ``-name`` switches off the plugin whose entry
point or module is called so. The package's own plugins load first, then installed ones by name,
then those of ``MVD_PLUGINS`` in order: the first to register a name keeps it.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final, Literal, TypeVar

import pluggy

from mvd_toolkit import hookspecs
from mvd_toolkit.errors import MVDError, UnavailableError
from mvd_toolkit.io.format import Format
from mvd_toolkit.specs import BackboneSpec, MetricSpec, PredictorSpec, ReconstructorSpec

GROUP: Final = "mvd_toolkit"
"""The entry-point group."""

ENVIRONMENT: Final = "MVD_PLUGINS"

API: Final = 1
"""The version of the plugin contract that this package speaks."""

_OWN_DISTRIBUTION: Final = "mvd_toolkit"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SUFFIX: Final = re.compile(r"(\.[a-z0-9_-]+)+")

_BUILT_IN: Final = (
    EntryPoint("formats", "mvd_toolkit.io.builtin", GROUP),
    EntryPoint("metrics", "mvd_toolkit.metrics", GROUP),
)
"""The package's own formats and metrics: plugins like any other, but no installation can lose
them."""

Kind = Literal["backbone", "predictor", "reconstructor", "format", "metric"]

Spec = TypeVar("Spec", BackboneSpec, PredictorSpec, ReconstructorSpec, Format, MetricSpec)


class PluginError(MVDError):
    """A plugin breaks the contract; caught while loading and shown in the report."""


@dataclass(frozen=True)
class PluginRow:
    """One plugin, as ``mvd plugins`` lists it.

    Attributes:
        name: entry point's name, or the module's for one from ``MVD_PLUGINS``.
        module: the module it is.
        distribution: what pip calls the package it came with; empty for a bare module.
        version: that package's version, else the module's ``__version__``, else empty.
        status: "ok", "failed", or "off" when ``MVD_PLUGINS`` switches it off.
        backbones: names of the backbones it gives.
        predictors: names of the predictors it gives.
        reconstructors: names of the reconstructors it gives.
        formats: names of the file formats it gives.
        metrics: names of the metrics it gives.
        error: why it failed; empty otherwise.
    """

    name: str
    module: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "failed", "off"] = "ok"
    backbones: tuple[str, ...] = ()
    predictors: tuple[str, ...] = ()
    reconstructors: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    error: str = ""


@dataclass
class Registry:
    """What all plugins gave: specs by name, and a row for each plugin, in order of loading."""

    backbones: dict[str, BackboneSpec] = field(default_factory=dict)
    predictors: dict[str, PredictorSpec] = field(default_factory=dict)
    reconstructors: dict[str, ReconstructorSpec] = field(default_factory=dict)
    formats: dict[str, Format] = field(default_factory=dict)
    metrics: dict[str, MetricSpec] = field(default_factory=dict)
    rows: list[PluginRow] = field(default_factory=list)


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
        given = {
            "backbone": row.backbones,
            "predictor": row.predictors,
            "reconstructor": row.reconstructors,
            "format": row.formats,
            "metric": row.metrics,
        }
        if row.status == "ok" and name in given[kind]:
            return row
    raise UnavailableError(f"{kind} {name!r}: no plugin gives it")


def reload_plugins() -> None:
    """Forget what is loaded: the next question looks at entry points and ``MVD_PLUGINS`` again."""
    _registry.cache_clear()


@cache
def _registry() -> Registry:
    points = [*_BUILT_IN, *entry_points(group=GROUP)]
    return load_plugins(points, os.environ.get(ENVIRONMENT, ""))


def load_plugins(points: Iterable[EntryPoint], extra: str = "") -> Registry:
    """Load plugins from entry points and a value of ``MVD_PLUGINS``, each on its own.

    Never raises for what a plugin does; see the rows of the result.
    """
    added, removed = _parse_extra(extra)
    registry = Registry()
    manager = pluggy.PluginManager("mvd")
    manager.add_hookspecs(hookspecs)
    for candidate in [*map(_installed, sorted(points, key=_order)), *map(_named, added)]:
        names = {candidate.row.name, candidate.row.module} & removed
        if names:
            removed -= names
            registry.rows.append(dataclasses.replace(candidate.row, status="off"))
        else:
            registry.rows.append(_load(candidate, manager, registry))
    registry.rows += [
        PluginRow(name, "", status="failed", error=f"{ENVIRONMENT} switches it off: not installed")
        for name in sorted(removed)
    ]
    return registry


@dataclass(frozen=True)
class _Candidate:
    row: PluginRow
    load: Callable[[], Any]


def _parse_extra(extra: str) -> tuple[list[str], set[str]]:
    entries = [entry for entry in map(str.strip, extra.split(",")) if entry]
    added = list(dict.fromkeys(entry for entry in entries if not entry.startswith("-")))
    return added, {entry[1:].strip() for entry in entries if entry.startswith("-")}


def _order(point: EntryPoint) -> tuple[bool, bool, str, str]:
    return point not in _BUILT_IN, not _is_own(point), point.name, point.value


def _is_own(point: EntryPoint) -> bool:
    if point.dist is None:
        return point in _BUILT_IN
    return point.dist.name.replace("-", "_") == _OWN_DISTRIBUTION


def _installed(point: EntryPoint) -> _Candidate:
    distribution, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return _Candidate(PluginRow(point.name, point.module, distribution, version), point.load)


def _named(module: str) -> _Candidate:
    return _Candidate(PluginRow(module, module), lambda: importlib.import_module(module))


def _load(candidate: _Candidate, manager: pluggy.PluginManager, registry: Registry) -> PluginRow:
    row = candidate.row
    plugin = None
    try:
        plugin = candidate.load()
        if not row.version and isinstance(plugin, ModuleType):
            row = dataclasses.replace(row, version=str(getattr(plugin, "__version__", "")))
        manager.register(plugin, name=row.name)
        manager.check_pending()
        found = _ask(plugin, manager, registry)
    except (Exception, SystemExit) as error:
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
        return dataclasses.replace(row, status="failed", error=_reason(error))
    registry.backbones.update(found.backbones)
    registry.predictors.update(found.predictors)
    registry.reconstructors.update(found.reconstructors)
    registry.formats.update(found.formats)
    registry.metrics.update(found.metrics)
    return dataclasses.replace(
        row,
        backbones=tuple(found.backbones),
        predictors=tuple(found.predictors),
        reconstructors=tuple(found.reconstructors),
        formats=tuple(found.formats),
        metrics=tuple(found.metrics),
    )


def _ask(plugin: Any, manager: pluggy.PluginManager, registry: Registry) -> Registry:
    """What this one plugin registers, checked against the contract and the names taken."""
    found = Registry()
    others = [other for other in manager.get_plugins() if other is not plugin]
    for hook, kind, taken, mine in (
        ("mvd_register_backbones", BackboneSpec, registry.backbones, found.backbones),
        ("mvd_register_predictors", PredictorSpec, registry.predictors, found.predictors),
        (
            "mvd_register_reconstructors",
            ReconstructorSpec,
            registry.reconstructors,
            found.reconstructors,
        ),
        ("mvd_register_formats", Format, registry.formats, found.formats),
        ("mvd_register_metrics", MetricSpec, registry.metrics, found.metrics),
    ):
        register = _register(kind, taken, mine)
        manager.subset_hook_caller(hook, others)(register=register)
    return found


def _register(
    kind: type[Any],
    taken: dict[str, Any],
    mine: dict[str, Any],
) -> Callable[[Any], None]:
    def register(spec: Any) -> None:
        if kind is Format:
            check_format(spec)
        else:
            check_spec(spec)
        if not isinstance(spec, kind):
            raise PluginError(f"expected a {kind.__name__}, found a {type(spec).__name__}")
        if spec.name in taken or spec.name in mine:
            raise PluginError(f"{kind.__name__} {spec.name!r}: the name is taken")
        if isinstance(spec, Format):
            _check_suffixes(spec, [*taken.values(), *mine.values()])
        mine[spec.name] = spec

    return register


def check_format(form: Any) -> None:
    """Check what a `Format` says of itself.

    Raises:
        PluginError: what breaks the contract.
    """
    if not isinstance(form, Format):
        raise PluginError(f"expected a Format, found {type(form).__name__}")
    where = f"Format {form.name!r}"
    _check_api_and_name(form, where)
    if form.kind not in ("grid", "mesh"):
        raise PluginError(f"{where}: expected the kind grid or mesh, found {form.kind!r}")
    wrong = [s for s in form.suffixes if not (isinstance(s, str) and _SUFFIX.fullmatch(s))]
    if wrong or not form.suffixes:
        raise PluginError(
            f"{where}: expected suffixes in lower case with their dot, found {form.suffixes!r}"
        )
    if not callable(form.matches) or not (form.reads or form.writes):
        raise PluginError(f"{where}: expected a matches, and a read or a write")


def _check_suffixes(form: Format, others: Iterable[Format]) -> None:
    for other in others:
        for suffix in set(form.suffixes) & set(other.suffixes):
            raise PluginError(
                f"Format {form.name!r}: the suffix {suffix} is that of format {other.name!r}"
            )


def check_spec(spec: Any) -> None:
    """Check what a spec of `specs` says of itself.

    Raises:
        PluginError: what breaks the contract.
    """
    kinds = (BackboneSpec, PredictorSpec, ReconstructorSpec, MetricSpec)
    if not isinstance(spec, kinds):
        raise PluginError(
            f"expected a BackboneSpec, PredictorSpec, ReconstructorSpec or MetricSpec, "
            f"found {type(spec).__name__}"
        )
    where = f"{type(spec).__name__} {spec.name!r}"
    _check_api_and_name(spec, where)
    if isinstance(spec, MetricSpec):
        _check_metric(spec, where)
        return
    if isinstance(spec, ReconstructorSpec):
        _check_reconstructor(spec, where)
        return
    if not spec.scales or not all(isinstance(s, int) and s > 1 for s in spec.scales):
        raise PluginError(f"{where}: expected scales above 1, found {spec.scales!r}")
    _check_options(spec.options, where)


def _check_api_and_name(
    spec: BackboneSpec | PredictorSpec | ReconstructorSpec | Format | MetricSpec, where: str
) -> None:
    if spec.api != API:
        raise PluginError(f"{where}: written for plugin api {spec.api}, this mvd speaks {API}")
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise PluginError(f"{where}: expected a name of a-z, 0-9, _ and -")


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


def _lookup(kind: str, name: str, known: dict[str, Spec]) -> Spec:
    if name in known:
        return known[name]
    broken = [row.name for row in _registry().rows if row.status == "failed"]
    note = f"; plugins that failed to load: {', '.join(broken)}" if broken else ""
    raise UnavailableError(
        f"no {kind} {name!r}: these are installed: {', '.join(sorted(known)) or 'none'}{note} "
        "(`mvd plugins` says more)"
    )


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
