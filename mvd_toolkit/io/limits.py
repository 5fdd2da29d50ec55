"""How large an input may be: checked against the header, before anything is allocated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import WORD_BITS, words_per_line

MAX_VOXELS = 2**33
"""Default of ``MVD_MAX_VOXELS``: 1 GiB of packed words, 2048³."""

MAX_FACES = 2**27
"""Default of ``MVD_MAX_FACES``: 3 GiB of triangles."""


@dataclass(frozen=True)
class Limits:
    """What a reader accepts.

    Attributes:
        voxels: voxels of a grid, counted as they are packed: Z rounded up to a multiple of 64.
        faces: triangles of a mesh, and vertices too.
    """

    voxels: int = MAX_VOXELS
    faces: int = MAX_FACES

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits that ``MVD_MAX_VOXELS`` and ``MVD_MAX_FACES`` set, else the defaults.

        Raises:
            UsageError: a variable is no positive whole number.
        """
        return cls(_variable("MVD_MAX_VOXELS", MAX_VOXELS), _variable("MVD_MAX_FACES", MAX_FACES))

    def check_grid(self, path: Path, shape: tuple[int, int, int]) -> None:
        """Raise InputError unless a grid of this shape has voxels, and no more than allowed."""
        x, y, z = shape
        if min(shape) < 1:
            raise InputError(f"{path}: shape: expected three positive numbers, found {shape}")
        voxels = x * y * words_per_line(z) * WORD_BITS
        if voxels > self.voxels:
            raise InputError(
                f"{path}: grid of {x}x{y}x{z}: expected at most {self.voxels} voxels (each line "
                f"along z counted in whole words of {WORD_BITS}), found {voxels}; "
                "MVD_MAX_VOXELS raises the limit"
            )

    def check_mesh(self, path: Path, vertices: int, faces: int) -> None:
        """Raise InputError if a mesh has more vertices or faces than allowed."""
        for name, count in (("vertices", vertices), ("faces", faces)):
            if count > self.faces:
                raise InputError(
                    f"{path}: {name}: expected at most {self.faces}, found {count}; "
                    "MVD_MAX_FACES raises the limit"
                )


def _variable(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"{name}: expected a positive whole number, found {text!r}")
    return int(text)
