"""What a model directory's config.json holds, checked key by key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mvd_toolkit import __version__
from mvd_toolkit.conventions import INPUT_RULES, LOW_RULES
from mvd_toolkit.errors import InputError
from mvd_toolkit.ops import MAX_WINDOW
from mvd_toolkit.specs import MORE_NETWORKS, Role

SCHEMA: Final = "mvd.model/1"

_TAKEN_BY: Final = {
    "mvd.model": "mvd upscale -m",
    "mvd.reconstructor": "mvd reconstruct -m",
}
"""The command that takes a model of a kind, by its schema without the version."""


@dataclass(frozen=True)
class Fusion:
    """How six silhouettes and depths become voxels; see docs/method.md.

    Attributes:
        silhouette_threshold: a pixel is silhouette when its probability is above it.
        smooth_threshold: depths that differ by less, in fine voxels, are averaged over a window;
            None: no smoothing.
        smooth_window: edge of that window, pixels, odd.
        structure_votes: how many faces must see background on a voxel's line to delete it.
        keep_coverage: fill of each coarse voxel exactly the fraction that its coverage tells;
            else coverage is a hint to the networks, as the chances of a predicted grid are.
    """

    silhouette_threshold: float = 0.5
    smooth_threshold: float | None = None
    smooth_window: int = 7
    structure_votes: int = 2
    keep_coverage: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.silhouette_threshold < 1:
            raise InputError(
                "fusion.silhouette_threshold: expected a number between 0 and 1, "
                f"found {self.silhouette_threshold!r}"
            )
        if self.smooth_threshold is not None and not self.smooth_threshold > 0:
            raise InputError(
                "fusion.smooth_threshold: expected null or a positive number, "
                f"found {self.smooth_threshold!r}"
            )
        if self.smooth_window not in range(1, MAX_WINDOW + 1, 2):
            raise InputError(
                f"fusion.smooth_window: expected an odd number from 1 to {MAX_WINDOW}, "
                f"found {self.smooth_window!r}"
            )
        if self.structure_votes not in range(1, 7):
            raise InputError(
                f"fusion.structure_votes: expected 1 to 6, found {self.structure_votes!r}"
            )


@dataclass(frozen=True)
class ModelConfig:
    """What config.json holds.

    Attributes:
        scale: fine edge / coarse edge.
        silhouette: what builds the silhouette predictor: its kind, backbone, options, plugin.
        depth: the same for the depth predictor.
        rules: the low rules it was trained for.
        fusion: how the predictions become voxels.
        subvoxel: the options of the network that fills by fractions; None: there is none.
        boundary: those of the network that has a say on what was carved.
        about: what the card tells besides: data, licence, credit, scores; any JSON.
        version: version of mvd_toolkit that wrote it.
    """

    scale: int
    silhouette: Mapping[str, Any]
    depth: Mapping[str, Any]
    rules: tuple[str, ...] = LOW_RULES
    fusion: Fusion = field(default_factory=Fusion)
    subvoxel: Mapping[str, Any] | None = None
    boundary: Mapping[str, Any] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    def __post_init__(self) -> None:
        if self.scale not in (2, 4, 8):
            raise InputError(f"scale: expected 2, 4 or 8, found {self.scale!r}")
        if not self.rules or not set(self.rules) <= set(INPUT_RULES):
            raise InputError(
                f"rules: expected some of {', '.join(INPUT_RULES)}, found {list(self.rules)!r}"
            )

    def section(self, role: Role) -> Mapping[str, Any]:
        """What builds the predictor of that role."""
        return self.silhouette if role == "silhouette" else self.depth

    @property
    def more_networks(self) -> dict[str, Mapping[str, Any]]:
        """The options of the networks beside the two predictors, by name."""
        sections = {name: getattr(self, name) for name in MORE_NETWORKS}
        return {name: options for name, options in sections.items() if options is not None}

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        values = {"schema": SCHEMA, **dataclasses.asdict(self)}
        values["rules"] = list(self.rules)
        for name in MORE_NETWORKS:
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Any) -> ModelConfig:
        """Read what `to_dict` gives.

        Raises:
            InputError: another schema, an unknown or missing key, a value of another type.
        """
        values = without_schema(values, SCHEMA)
        check_keys(cls, values, "")
        check_type(values["scale"], int, "scale")
        for key in ("silhouette", "depth", "fusion", "about", *MORE_NETWORKS):
            check_type(values.get(key, {}), dict, key)
        rules = values.get("rules", list(LOW_RULES))
        check_type(rules, list, "rules")
        fusion = values.get("fusion", {})
        check_keys(Fusion, fusion, "fusion.")
        for key, kind in (
            ("silhouette_threshold", (int, float)),
            ("smooth_threshold", (int, float, type(None))),
            ("smooth_window", int),
            ("structure_votes", int),
            ("keep_coverage", bool),
        ):
            if key in fusion:
                check_type(fusion[key], kind, f"fusion.{key}")
        return cls(**{**values, "rules": tuple(map(str, rules)), "fusion": Fusion(**fusion)})


def without_schema(values: Any, schema: str) -> dict[str, Any]:
    """The other keys of a document of a schema.

    Raises:
        InputError: it is none of that schema.
    """
    if not isinstance(values, dict) or values.get("schema") != schema:
        found = values.get("schema") if isinstance(values, dict) else type(values).__name__
        takes = _TAKEN_BY.get(str(found).partition("/")[0])
        hint = f", which `{takes}` takes" if takes else ""
        raise InputError(f"schema: expected {schema!r}, found {found!r}{hint}")
    return {key: value for key, value in values.items() if key != "schema"}


def check_keys(cls: Any, values: Mapping[str, Any], prefix: str) -> None:
    """Check that the keys are the fields of a dataclass, with all that have no default.

    Raises:
        InputError: one is unknown or missing.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise InputError(f"unknown key {prefix + key!r}: expected {', '.join(fields)}")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise InputError(f"key {prefix + name!r} is missing")


def check_type(value: Any, kinds: Any, name: str) -> None:
    """Check that a value is of a type, or of one of several.

    Raises:
        InputError: it is not.
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
        raise InputError(f"{name}: expected {expected}, found {value!r}")
