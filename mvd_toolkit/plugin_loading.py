"""Loading plugins, each on its own.

One that cannot be imported, breaks the contract or takes a name that is taken adds nothing and
becomes a row with an error; the others work. What a plugin registers counts only when all of it is
right. The package's own plugins load first, then installed ones by name, then those of
``MVD_PLUGINS`` in order: the first to register a name keeps it.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, Final, Literal

import pluggy

from mvd_toolkit import hookspecs
from mvd_toolkit.io.format import Format
from mvd_toolkit.plugin_contract import PluginError, check_spec, check_suffixes
from mvd_toolkit.specs import BackboneSpec, MetricSpec, PredictorSpec, ReconstructorSpec

GROUP: Final = "mvd_toolkit"
"""The entry-point group."""

ENVIRONMENT: Final = "MVD_PLUGINS"
"""The variable that adds plugins and takes them away; see `plugins`."""

_OWN_DISTRIBUTION: Final = "mvd_toolkit"

BUILT_IN: Final = (
    EntryPoint("formats", "mvd_toolkit.io.builtin", GROUP),
    EntryPoint("metrics", "mvd_toolkit.metrics", GROUP),
)
"""The package's own formats and metrics: plugins like any other, but no installation can lose
them."""

_GIVEN: Final[Mapping[str, type]] = {
    "backbones": BackboneSpec,
    "predictors": PredictorSpec,
    "reconstructors": ReconstructorSpec,
    "formats": Format,
    "metrics": MetricSpec,
}
"""What a plugin may give: fields of `PluginRow` and `Registry`, and the ends of hooks' names."""


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
    return point not in BUILT_IN, not _is_own(point), point.name, point.value


def _is_own(point: EntryPoint) -> bool:
    if point.dist is None:
        return point in BUILT_IN
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
        _check_marked(plugin, manager)
        manager.register(plugin, name=row.name)
        manager.check_pending()
        found = _ask(plugin, manager, registry)
    except (Exception, SystemExit) as error:
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
        return dataclasses.replace(row, status="failed", error=_reason(error))
    names: dict[str, Any] = {}
    for given in _GIVEN:
        specs = getattr(found, given)
        getattr(registry, given).update(specs)
        names[given] = tuple(specs)
    return dataclasses.replace(row, **names)


def _check_marked(plugin: Any, manager: pluggy.PluginManager) -> None:
    """A function that has a hook's name and lacks the mark would never be called."""
    for given in _GIVEN:
        name = f"mvd_register_{given}"
        if hasattr(plugin, name) and manager.parse_hookimpl_opts(plugin, name) is None:
            raise PluginError(f"{name}: expected it to be marked with @hookimpl")


def _ask(plugin: Any, manager: pluggy.PluginManager, registry: Registry) -> Registry:
    """What this one plugin registers, checked against the contract and the names taken."""
    found = Registry()
    others = [other for other in manager.get_plugins() if other is not plugin]
    for given, kind in _GIVEN.items():
        register = _register(kind, getattr(registry, given), getattr(found, given))
        manager.subset_hook_caller(f"mvd_register_{given}", others)(register=register)
    return found


def _register(
    kind: type[Any],
    taken: dict[str, Any],
    mine: dict[str, Any],
) -> Callable[[Any], None]:
    def register(spec: Any) -> None:
        if not isinstance(spec, kind):
            raise PluginError(f"expected a {kind.__name__}, found a {type(spec).__name__}")
        check_spec(spec)
        if spec.name in taken or spec.name in mine:
            raise PluginError(f"{kind.__name__} {spec.name!r}: the name is taken")
        if isinstance(spec, Format):
            check_suffixes(spec, [*taken.values(), *mine.values()])
        mine[spec.name] = spec

    return register


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
