"""Options from text or JSON, typed and checked by the dataclass that declares them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from mvd_toolkit.errors import UsageError

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class HasOptions(Protocol):
    """A spec: it has a name and a dataclass of options."""

    @property
    def name(self) -> str:
        """What the spec is called."""

    @property
    def options(self) -> type:
        """The dataclass."""


def parse_options(spec: HasOptions, values: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a backbone or predictor, typed: ``values`` where given, defaults elsewhere.

    Args:
        spec: whose options.
        values: option name to value: text, as ``--set width=64`` gives it, or what JSON holds.
            Known types are bool, int, float, str, ``Literal``, ``X | None`` (text "none") and
            ``tuple[X, ...]`` (text "1,2,3").

    Raises:
        UsageError: an unknown name (the message lists the known ones), a value of another type, or
            one that the dataclass refuses with a ValueError.
    """
    hints = typing.get_type_hints(spec.options)
    known = [option.name for option in dataclasses.fields(spec.options) if option.init]
    parsed = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                f"{spec.name} has no option {name!r}: it has {', '.join(known) or 'none'}"
            )
        try:
            parsed[name] = _convert(hints[name], value)
        except (ValueError, TypeError):
            raise UsageError(
                f"option {name!r} of {spec.name}: expected {_describe(hints[name])}, "
                f"found {value!r}"
            ) from None
    try:
        options = spec.options(**parsed)
    except ValueError as error:
        raise UsageError(f"options of {spec.name}: {error}") from error
    return {name: getattr(options, name) for name in known}


def _convert(hint: Any, value: Any) -> Any:
    """``value`` as ``hint``; ValueError when it is none."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _literal(args, value)
    if origin in (typing.Union, types.UnionType):
        return _union(args, value)
    if origin is tuple:
        return _tuple(args, value)
    if hint is bool:
        return _bool(value)
    if hint is int and not isinstance(value, (bool, float)):
        return int(value)
    if hint is float and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, str):
        return value
    raise ValueError(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise ValueError(value)


def _literal(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if value == choice or (isinstance(value, str) and value == str(choice)):
            return choice
    raise ValueError(value)


def _union(kinds: tuple[Any, ...], value: Any) -> Any:
    if type(None) in kinds and (value is None or value == "none"):
        return None
    for kind in kinds:
        if kind is not type(None):
            try:
                return _convert(kind, value)
            except (ValueError, TypeError):
                continue
    raise ValueError(value)


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        raise ValueError(value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_convert(kinds[0], part) for part in value)
    if len(kinds) != len(value):
        raise ValueError(value)
    return tuple(_convert(kind, part) for kind, part in zip(kinds, value, strict=True))


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if arg is type(None) else _describe(arg) for arg in args)
    if origin is tuple:
        return f"a comma-separated list of {_describe(args[0])}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(
        hint, str(hint)
    )
