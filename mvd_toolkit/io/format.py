"""`Format`: what the toolkit knows about one kind of file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from mvd_toolkit.io.limits import Limits

HEAD_BYTES = 4096
"""How much of a file `Format.matches` gets to see."""


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: what ``--format`` calls it.
        suffixes: those of its files, lower case, with the dot; the first is the usual one.
        kind: what a file holds: a "grid" of voxels or a "mesh" of triangles.
        keeps: one line on what survives a round trip.
        matches: ``matches(head, size)``: whether a file of ``size`` bytes that begins with ``head``
            (up to `HEAD_BYTES`) is of this format.
        read: ``read(path, limits)`` gives a `VoxelGrid` or `Mesh`; None: cannot be read.
        write: ``write(value, file)`` writes one to an open binary file; None: cannot be written.
    """

    name: str
    suffixes: tuple[str, ...]
    kind: Literal["grid", "mesh"]
    keeps: str
    matches: Callable[[bytes, int], bool] = field(repr=False)
    read: Callable[[Path, Limits], Any] | None = field(default=None, repr=False)
    write: Callable[[Any, BinaryIO], None] | None = field(default=None, repr=False)

    @property
    def reads(self) -> bool:
        """Whether files of this format can be read."""
        return self.read is not None

    @property
    def writes(self) -> bool:
        """Whether files of this format can be written."""
        return self.write is not None

    def fits_suffix(self, path: Path) -> bool:
        """Whether the file's name says that it is of this format."""
        return path.suffix.lower() in self.suffixes
