"""Lengths with units, and meshes scaled to one: for printing."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.mesh import Mesh

MILLIMETRES: Final = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
"""How long each unit is."""


def parse_length(text: str) -> float:
    """A length in millimetres.

    >>> parse_length("80mm"), parse_length("2 in")
    (80.0, 50.8)

    Raises:
        UsageError: no positive number with a unit of `MILLIMETRES`.
    """
    found = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(mm|cm|m|in)", text.strip())
    length = float(found[1]) * MILLIMETRES[found[2]] if found else 0.0
    if not 0 < length < math.inf:
        raise UsageError(
            f"expected a length above 0 in {', '.join(MILLIMETRES)}, as in 80mm, found {text!r}"
        )
    return length


def scaled_to(mesh: Mesh, length: float, form: Format) -> tuple[Mesh, float]:
    """A mesh whose longest side along an axis has this length, and what it was multiplied with.

    The origin of the world stays where it is.

    Args:
        mesh: the mesh.
        length: millimetres.
        form: the format that the mesh is for: its unit counts; where it has none, millimetres.

    Raises:
        InputError: the mesh has no extent, or one that is not finite.
    """
    used = mesh.vertices[np.unique(mesh.faces)]
    longest = float(np.ptp(used, axis=0).max()) if len(used) else 0.0
    if not 0 < longest < math.inf:
        raise InputError(f"--size: expected a mesh with a finite extent, found {longest}")
    factor = length / MILLIMETRES[form.unit or "mm"] / longest
    return Mesh(mesh.vertices * factor, mesh.faces, mesh.report), factor
