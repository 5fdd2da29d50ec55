"""Lengths, and meshes scaled to one."""

import numpy as np
import pytest

from mvd_toolkit import io
from mvd_toolkit.errors import InputError, UsageError

FORMATS = {known.name: known for known in io.known_formats()}


@pytest.mark.parametrize(
    ("text", "millimetres"),
    [("80mm", 80), ("8cm", 80), ("0.08m", 80), ("1in", 25.4), (" 2.5 mm ", 2.5), (".5cm", 5)],
)
def test_lengths(text: str, millimetres: float) -> None:
    assert io.parse_length(text) == pytest.approx(millimetres)


@pytest.mark.parametrize(
    "text", ["80", "mm", "0mm", "-1mm", "80 miles", "1e3mm", "nanmm", "", "1٣mm"]
)
def test_no_lengths(text: str) -> None:
    with pytest.raises(UsageError, match="expected a length above 0 in mm, cm, m, in"):
        io.parse_length(text)


@pytest.mark.parametrize(
    ("name", "longest"), [("stl", 80), ("3mf", 80), ("glb", 0.08), ("obj", 80)]
)
def test_the_longest_side_is_so_long(name: str, longest: float) -> None:
    # A vertex that no triangle uses has no size.
    vertices = np.array([[1, 1, 1], [3, 1, 1], [1, 5, 2], [99, 99, 99.0]])
    scaled, factor = io.scaled_to(io.Mesh(vertices, [[0, 1, 2]]), 80, FORMATS[name])
    assert np.ptp(scaled.vertices[:3], axis=0).max() == pytest.approx(longest)
    assert factor == pytest.approx(longest / 4)
    assert np.allclose(scaled.vertices, vertices * factor)


@pytest.mark.parametrize(
    "vertices", [np.ones((3, 3)), np.full((3, 3), np.nan), np.diag([np.inf] * 3)]
)
def test_no_extent(vertices: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected a mesh with a finite extent"):
        io.scaled_to(io.Mesh(vertices, [[0, 1, 2]]), 80, FORMATS["stl"])
