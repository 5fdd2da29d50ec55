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
    """One kind of file; what a plugin registers with ``mvd_register_formats``.

    Attributes:
        name: what ``--format`` calls it.
        suffixes: those of its files, lower case, with the dot; the first is the usual one.
        kind: what a file holds: a "grid" of voxels or a "mesh" of triangles.
        keeps: one line on what survives a round trip.
        matches: ``matches(head, size)``: whether a file of ``size`` bytes that begins with ``head``
            (up to `HEAD_BYTES`) is of this format.
        read: ``read(path, limits)`` gives a `VoxelGrid` or `Mesh`; None: cannot be read.
        write: ``write(value, file)`` writes one to an open binary file; None: cannot be written.
        place: whether a file says where in the world its content lies, and how large it is.
        coverage: whether a file can hold the occupied fraction of each voxel.
        unit: what a coordinate of 1 means: "mm", "m", or "" where the format does not say.
        up: which axis the format says is up: "y", "z", or "" where it does not say.
        sure: whether ``matches`` goes by a mark that no other format has; the others come last.
        licence: SPDX name of the licence of its code.
        api: version of this contract.
    """

    name: str
    suffixes: tuple[str, ...]
    kind: Literal["grid", "mesh"]
    keeps: str
    matches: Callable[[bytes, int], bool] = field(repr=False)
    read: Callable[[Path, Limits], Any] | None = field(default=None, repr=False)
    write: Callable[[Any, BinaryIO], None] | None = field(default=None, repr=False)
    place: bool = True
    coverage: bool = False
    unit: Literal["", "mm", "m"] = ""
    up: Literal["", "y", "z"] = ""
    sure: bool = True
    licence: str = "MIT"
    api: int = 1

    @property
    def reads(self) -> bool:
        """Whether files of this format can be read."""
        return self.read is not None

    @property
    def writes(self) -> bool:
        """Whether files of this format can be written."""
        return self.write is not None

    def suffix_of(self, path: Path) -> str | None:
        """The suffix, of those of the format, that the file's name has; None: it has none."""
        name = path.name.lower()
        fitting = [s for s in self.suffixes if name.endswith(s) and len(name) > len(s)]
        return max(fitting, key=len, default=None)

    def fits_suffix(self, path: Path) -> bool:
        """Whether the file's name says that it is of this format."""
        return self.suffix_of(path) is not None
