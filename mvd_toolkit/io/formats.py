"""The table of formats, and telling which one a file is of: by its content, then by its suffix."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.io import binvox, meshio_formats, npy, npz, obj, off, ply, stl
from mvd_toolkit.io.format import HEAD_BYTES, Format

FORMATS: Final[tuple[Format, ...]] = (
    binvox.FORMAT,
    npy.FORMAT,
    npz.FORMAT,
    stl.FORMAT,
    ply.FORMAT,
    off.FORMAT,
    *meshio_formats.FORMATS,
    obj.FORMAT,
)
"""Every format, in the order in which a file's content is tried: OBJ has no mark of its own."""


def sniff(path: str | os.PathLike[str]) -> Format:
    """Which format a file is of: what its content says, else what its suffix says.

    The result may differ from what the suffix says: ``sniff(path).fits_suffix(Path(path))`` tells.

    Raises:
        InputError: no such file, nothing in it, or neither content nor suffix is known.
    """
    file = Path(path)
    head, size = _head(file)
    for candidate in FORMATS:
        if candidate.matches(head, size):
            return candidate
    named = format_of_suffix(file)
    if named is None:
        raise InputError(
            f"{path}: expected one of {_names(FORMATS)}, found neither content nor a suffix "
            f"that is known (begins {head[:16]!r})"
        )
    return named


def format_of_suffix(path: str | os.PathLike[str]) -> Format | None:
    """The format that a file's name announces; None for an unknown suffix."""
    return next((known for known in FORMATS if known.fits_suffix(Path(path))), None)


def output_format(
    path: str | os.PathLike[str], name: str | None, kinds: Iterable[Literal["grid", "mesh"]]
) -> Format:
    """The format to write: the one of this name, else the one of the suffix.

    Raises:
        UsageError: it is unknown, cannot be written, or holds none of ``kinds``; those that work
            are listed.
    """
    usable = [known for known in FORMATS if known.writes and known.kind in kinds]
    for known in usable:
        if known.name == name or (name is None and known.fits_suffix(Path(path))):
            return known
    what = f"format {name!r}" if name is not None else f"suffix {Path(path).suffix!r}"
    raise UsageError(f"{path}: {what} cannot be written; expected one of {_names(usable)}")


def _names(formats: Iterable[Format]) -> str:
    return ", ".join(f"{known.name} ({' '.join(known.suffixes)})" for known in formats)


def _head(path: Path) -> tuple[bytes, int]:
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            raise InputError(f"{path}: expected a file, found another kind")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise InputError(f"{path}: expected one of {_names(FORMATS)}, found an empty file")
    return head, size
