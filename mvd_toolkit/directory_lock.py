"""One writer a directory: a second one is refused, and a killed one holds nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mvd_toolkit.errors import OutputExistsError
from mvd_toolkit.io.atomic import make_folder

if sys.platform != "win32":
    import fcntl

_LEFTOVER: Final = re.compile(r"\..+\.([0-9a-f]{16}|[0-9a-f]{12})\.tmp")
"""What `atomic` and `Model.save` call what they have not finished."""

_CLEARING_SECONDS: Final = 5.0
"""For how long a writer beside others waits for one that is alone for a moment, to clear up."""


@contextlib.contextmanager
def only_writer(directory: str | Path) -> Iterator[None]:
    """Hold a directory, made when missing; the lock ends with the process, however that ends.

    A file system that knows no locks is written to without one.

    Raises:
        OutputExistsError: another process is writing there.
        UsageError: the directory cannot be made.
    """
    with _held(Path(directory), alone=True):
        yield


@contextlib.contextmanager
def writer_beside_others(directory: str | Path) -> Iterator[None]:
    """`only_writer` for one of several that write different files: it bars only those alone.

    Raises:
        OutputExistsError: a process is writing there that has to be the only one.
        UsageError: the directory cannot be made.
    """
    with _held(Path(directory), alone=False):
        yield


@contextlib.contextmanager
def _held(directory: Path, alone: bool) -> Iterator[None]:
    make_folder(directory)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if sys.platform != "win32":
            how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            until = time.monotonic() + (0 if alone else _CLEARING_SECONDS)
            while not _locked(descriptor, how):
                if time.monotonic() >= until:
                    raise OutputExistsError(
                        f"{directory}: another process is writing there; wait for it or end it"
                    )
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Whether the lock could be had."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # some network file systems
    return True


def remove_leftovers(*folders: Path) -> None:
    """Remove what a killed writer had not finished in these folders; call it as the only writer."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            if not _LEFTOVER.fullmatch(path.name):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
