"""The formats there are, and telling which one a file is of: by its content, then by its suffix.

All come through the hook ``mvd_register_formats``: those of `builtin` first, then those of plugins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.io.format import HEAD_BYTES, Format

_NOT_READ: Final = {
    b"<Xdmf": "XDMF, which keeps its numbers in other files; `meshio convert` makes VTU of it",
    b"\x89HDF\r\n": "HDF5, which says nothing of voxels; save the array as npy",
    b"/data.pkl": "what torch.save writes, which is never unpickled; save an array as npy",
    b" BDV": "OpenVDB, for which there is no wheel; a plugin can read it",
}
"""Marks of files that are known, and why they are not read."""

_EXPECTED: Final = "expected a grid or mesh of a format that `mvd formats` lists"


def known_formats() -> tuple[Format, ...]:
    """Every format, in the order in which a file's content is tried."""
    from mvd_toolkit import plugins

    return tuple(sorted(plugins.formats().values(), key=lambda known: not known.sure))


def sniff(path: str | os.PathLike[str]) -> Format:
    """Which format a file is of: what its content says, else what its suffix says.

    The result may differ from what the suffix says: ``sniff(path).fits_suffix(Path(path))`` tells.

    Raises:
        InputError: no such file, nothing in it, or neither content nor suffix is known.
    """
    file = Path(path)
    head, size = _head(file)
    for candidate in known_formats():
        if _matches(candidate, head, size):
            return candidate
    for mark, what in _NOT_READ.items():
        if mark in head:
            raise InputError(f"{path}: {_EXPECTED}, found {what}")
    named = format_of_suffix(file)
    if named is None:
        raise InputError(
            f"{path}: {_EXPECTED}, found neither content nor a suffix that is known (begins "
            f"{head[:16]!r})"
        )
    return named


def format_of_suffix(path: str | os.PathLike[str]) -> Format | None:
    """The format that a file's name announces; None for an unknown suffix."""
    return next((known for known in known_formats() if known.fits_suffix(Path(path))), None)


def stem(path: str | os.PathLike[str]) -> str:
    """A file's name without the suffix of its format: ``a`` of ``a.nii.gz``."""
    file = Path(path)
    named = format_of_suffix(file)
    suffix = named.suffix_of(file) if named else None
    return file.name[: -len(suffix)] if suffix else file.stem


def output_format(
    path: str | os.PathLike[str], name: str | None, kinds: Iterable[Literal["grid", "mesh"]]
) -> Format:
    """The format to write: the one of this name, else the one of the suffix.

    Raises:
        UsageError: it is unknown, cannot be written, or holds none of ``kinds``; those that work
            are listed.
    """
    usable = [known for known in known_formats() if known.writes and known.kind in kinds]
    for known in usable:
        if known.name == name or (name is None and known.fits_suffix(Path(path))):
            return known
    what = f"format {name!r}" if name is not None else f"suffix {Path(path).suffix!r}"
    raise UsageError(f"{path}: {what} cannot be written; expected one of {_names(usable)}")


def _matches(candidate: Format, head: bytes, size: int) -> bool:
    try:
        return candidate.matches(head, size)
    except Exception:  # a plugin's: a file of another format must not suffer from it
        return False


def _names(formats: Iterable[Format]) -> str:
    return ", ".join(f"{known.name} ({' '.join(known.suffixes)})" for known in formats)


def _head(path: Path) -> tuple[bytes, int]:
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            found = "a folder" if path.is_dir() else "another kind"
            raise InputError(f"{path}: expected a file, found {found}")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise InputError(f"{path}: {_EXPECTED}, found an empty file")
    return head, size
