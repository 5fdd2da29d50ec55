"""What config.json of a reconstructor's model directory holds, checked key by key; no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from mvd_toolkit import __version__
from mvd_toolkit.conventions import INPUT_RULES, LOW_RULES
from mvd_toolkit.errors import InputError
from mvd_toolkit.model_config import check_keys, check_type, without_schema
from mvd_toolkit.views import Frame

SCHEMA: Final = "mvd.reconstructor/1"
_KNOTS: Final = 64  # most of a calibration
_HEAVIEST: Final = 1000


@dataclass(frozen=True)
class ReconstructorConfig:
    """What config.json holds.

    Attributes:
        reconstructor: name of the network's plugin entry.
        options: what it was built with.
        size: edge of the pictures, pixels.
        edge: of the grids, voxels.
        frame: whose axes the grids have.
        rule: low rule of the grids that it learned from.
        threshold: a voxel is occupied when its probability is above it.
        mirror: axis of the grid that a mirrored picture mirrors.
        upscale_rule: the low rule that its grids are upscaled by.
        upscale_threshold: the threshold of the grids that are upscaled.
        calibration: pairs of what the probabilities promise and the IoU that came of it, rising;
            empty: the promise is passed on as it is.
        weight: of its vote, where several vote.
        familiar: distance of features that 99 of 100 pictures of the kind it learned from stay
            below; None: it cannot tell.
        plugin: module of the plugin that gives the reconstructor.
        plugin_version: its version then.
        about: what the card tells besides; any JSON.
        version: of mvd_toolkit that wrote it.
    """

    reconstructor: str
    options: Mapping[str, Any]
    size: int = 128
    edge: int = 32
    frame: Frame = "object"
    rule: str = "any"
    threshold: float = 0.5
    mirror: str = "x"
    upscale_rule: str = "any"
    upscale_threshold: float = 0.5
    calibration: tuple[tuple[float, float], ...] = ()
    weight: float = 1.0
    familiar: float | None = None
    plugin: str = ""
    plugin_version: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    def __post_init__(self) -> None:
        for name, known in (
            ("frame", get_args(Frame)),
            ("rule", LOW_RULES),
            ("mirror", ("x", "y")),
            ("upscale_rule", INPUT_RULES),
        ):
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
        if not (8 <= self.size <= 1024 and 1 <= self.edge <= 256):
            raise InputError(
                "size, edge: expected 8 to 1024 pixels and 1 to 256 voxels, "
                f"found {self.size} and {self.edge}"
            )
        for name in ("threshold", "upscale_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name}: expected a number between 0 and 1")
        if not 0 < self.weight <= _HEAVIEST:
            raise InputError(f"weight: expected above 0 to {_HEAVIEST}, found {self.weight}")
        if self.familiar is not None and not self.familiar > 0:
            raise InputError(f"familiar: expected null or a positive number, found {self.familiar}")
        if len(self.calibration) > _KNOTS or any(len(knot) != 2 for knot in self.calibration):
            raise InputError(f"calibration: expected up to {_KNOTS} pairs of numbers")

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        values = {"schema": SCHEMA, **dataclasses.asdict(self)}
        values["calibration"] = [list(knot) for knot in self.calibration]
        return values

    @classmethod
    def from_dict(cls, values: Any) -> ReconstructorConfig:
        """Read what `to_dict` gives.

        Raises:
            InputError: another schema, an unknown or missing key, a value of another type.
        """
        values = without_schema(values, SCHEMA)
        check_keys(cls, values, "")
        kinds: dict[str, Any] = {
            **dict.fromkeys(("size", "edge"), int),
            **dict.fromkeys(("threshold", "upscale_threshold", "weight"), (int, float)),
            **dict.fromkeys(("options", "about"), dict),
            "familiar": (int, float, type(None)),
            "calibration": list,
        }
        for key, value in values.items():
            check_type(value, kinds.get(key, str), key)
        knots = []
        for knot in values.get("calibration", []):
            check_type(knot, list, "calibration")
            for number in knot:
                check_type(number, (int, float), "calibration")
            knots.append(tuple(float(number) for number in knot))
        return cls(**{**values, "calibration": tuple(knots)})
