"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mvd_toolkit.errors import OutputExistsError, UsageError

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing to a full disk, over a quota or over a limit ends in."""


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that it appears complete, or stays as it was.

    The bytes go to a hidden file in the same folder, are flushed to the disk and renamed when the
    block ends; when it raises, the hidden file is removed. Links are followed.

    >>> with atomic(folder / "a.bin") as file:
    ...     _ = file.write(b"all of it")

    Raises:
        OutputExistsError: the file exists (or came up meanwhile) and ``overwrite`` is false.
        UsageError: the folder is missing or not writable, the disk is full, or ``path`` is no
            ordinary file.
    """
    target = Path(os.path.realpath(path))
    check_target(path, overwrite=overwrite)
    temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with writing(path), open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, target, overwrite)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of a file that it cannot be opened for writing, or has found no room.

    The error of a write does not name the file, so one for want of room is taken to be its.

    Raises:
        UsageError: the file is barred, or the disk is full.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and os.fspath(error.filename) == os.fspath(path)
        if not named and (error.errno not in _NO_ROOM or error.filename is not None):
            raise
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        UsageError: something else is in the place of one of them, or none can be made there.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        for part in (place, *place.parents):
            if os.path.lexists(part) and not os.path.isdir(part):
                found = "a file" if os.path.exists(part) else "a link to nothing"
                raise UsageError(f"{part}: expected a folder to write to, found {found}") from error
        raise UsageError(f"{place}: the folder cannot be made: {error.strerror}") from error


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise what `atomic` would raise about an output that is in the way, before any work is done.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        UsageError: ``path`` is a folder, a device or a pipe.
    """
    target = Path(os.path.realpath(path))
    if not target.exists():
        return
    if not target.is_file():
        raise UsageError(f"{path}: expected an ordinary file to write, found another kind")
    if not overwrite:
        raise OutputExistsError(f"{path}: already exists")


def leftovers(path: str | os.PathLike[str]) -> list[Path]:
    """The hidden files of killed writers of ``path``, or of one that is writing it now."""
    target = Path(os.path.realpath(path))
    return list(target.parent.glob(f"{glob.escape(_prefix(target))}????????.tmp"))


def _prefix(target: Path) -> str:
    """What the names of a file's hidden ones begin with, and no other file's."""
    name_hash = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
    return f".{target.name[:40]}.{name_hash}"


def _publish(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
        return
    # Unlike a rename, a link never replaces what another process has written in the meantime.
    try:
        os.link(temporary, target)
    except FileExistsError as error:
        raise OutputExistsError(f"{target}: already exists") from error
    except OSError:  # a file system without hard links
        check_target(target)
        os.replace(temporary, target)
    else:
        os.unlink(temporary)
