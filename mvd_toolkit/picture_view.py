"""How a grid is looked at for a picture, and the colours of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mvd_toolkit.errors import UsageError
from mvd_toolkit.grid import VoxelGrid

Background = Literal["light", "dark", "none"]
Style = Literal["auto", "smooth", "cubes"]
Up = Literal["x", "y", "z"]

GREY: Final = (196, 200, 205)
OCHRE: Final = (236, 178, 100)


@dataclass(frozen=True)
class View:
    """How a grid is looked at.

    Attributes:
        size: edge of the picture, pixels.
        azimuth: where the eye is, degrees around the vertical.
        elevation: degrees above the horizon, -90 to 90.
        up: the vertical axis.
        background: of the picture; none is transparent and has no floor.
        colour: of the shape, red, green and blue up to 255.
        style: voxels as cubes, or a smooth surface; auto goes by the grid's size.
        samples: of a pixel along each axis, 1 to 8.
        zoom: 1 shows the whole shape from any side.
        heat: what the shape is compared with: colours tell how far from its surface a point is,
            red at 2 % of the grid's longest edge; of the same shape and place.
    """

    size: int = 512
    azimuth: float = -60.0
    elevation: float = 22.0
    up: Up = "z"
    background: Background = "light"
    colour: tuple[int, int, int] = GREY
    style: Style = "auto"
    samples: int = 2
    zoom: float = 1.0
    heat: VoxelGrid | None = None

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("size", self.size, 8, 8192),
            ("elevation", self.elevation, -90, 90),
            ("samples", self.samples, 1, 8),
            ("zoom", self.zoom, 0.01, 100),
        ):
            if not low <= value <= high:
                raise UsageError(f"{name}: expected {low} to {high}, found {value}")
        for name, word, words in (
            ("up", self.up, ("x", "y", "z")),
            ("background", self.background, ("light", "dark", "none")),
            ("style", self.style, ("auto", "smooth", "cubes")),
        ):
            if word not in words:
                raise UsageError(f"{name}: expected one of {', '.join(words)}, found {word!r}")


@dataclass(frozen=True)
class Palette:
    """Colours of a background: of itself and of writing, up to 255; of what lights the shape."""

    paper: tuple[int, int, int]
    ink: tuple[int, int, int]
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]


PALETTES: Final = {
    "light": Palette((251, 250, 247), (70, 70, 72), (0.85, 0.82, 0.76), (0.45, 0.49, 0.56)),
    "dark": Palette((24, 26, 30), (205, 206, 208), (0.80, 0.78, 0.73), (0.36, 0.39, 0.46)),
}
