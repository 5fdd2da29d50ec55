from dataclasses import dataclass
from typing import Literal

import pytest

from mvd_toolkit.errors import UsageError
from mvd_toolkit.options import parse_options
from mvd_toolkit.specs import BackboneSpec


@dataclass(frozen=True)
class Options:
    width: int = 32
    rate: float = 0.5
    norm: Literal["none", "batch"] = "none"
    residual: bool = True
    cap: int | None = None
    dilations: tuple[int, ...] = (1, 2)
    label: str = "x"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: expected at least 1, found {self.width}")


SPEC = BackboneSpec(name="fake", build=lambda *args, **options: None, options=Options)


def test_defaults_are_complete():
    assert parse_options(SPEC, {}) == {
        "width": 32,
        "rate": 0.5,
        "norm": "none",
        "residual": True,
        "cap": None,
        "dilations": (1, 2),
        "label": "x",
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("width", "64", 64),
        ("width", 64, 64),
        ("rate", "1e-3", 1e-3),
        ("rate", 1, 1.0),
        ("norm", "batch", "batch"),
        ("residual", "no", False),
        ("residual", "TRUE", True),
        ("cap", "none", None),
        ("cap", None, None),
        ("cap", "7", 7),
        ("dilations", "1, 2,4", (1, 2, 4)),
        ("dilations", [3], (3,)),
        ("label", "12", "12"),
    ],
)
def test_values_are_typed(name, text, value):
    parsed = parse_options(SPEC, {name: text})[name]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("width", "wide", "expected a whole number, found 'wide'"),
        ("width", 1.5, "expected a whole number, found 1.5"),
        ("width", True, "expected a whole number, found True"),
        ("width", None, "expected a whole number, found None"),
        ("rate", "fast", "expected a number, found 'fast'"),
        ("norm", "layer", "expected one of none, batch, found 'layer'"),
        ("residual", "maybe", "expected true or false, found 'maybe'"),
        ("cap", "x", "expected a whole number or none, found 'x'"),
        ("dilations", "1,x", "expected a comma-separated list of a whole number, found '1,x'"),
        ("width", "0", "width: expected at least 1, found 0"),
    ],
)
def test_wrong_values_name_the_expected_type(name, value, expected):
    with pytest.raises(UsageError) as caught:
        parse_options(SPEC, {name: value})
    assert expected in str(caught.value)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UsageError, match="fake has no option 'wdth': it has width, rate, norm"):
        parse_options(SPEC, {"wdth": "64"})
