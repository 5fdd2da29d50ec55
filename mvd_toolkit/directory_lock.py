"""One writer a directory: a second one is refused, and a killed one holds nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mvd_toolkit.errors import OutputExistsError

if sys.platform != "win32":
    import fcntl

_LEFTOVER: Final = re.compile(r"\..+\.([0-9a-f]{16}|[0-9a-f]{12})\.tmp")
"""What `atomic` and `Model.save` call what they have not finished."""


@contextlib.contextmanager
def only_writer(directory: str | Path) -> Iterator[None]:
    """Hold a directory, made when missing; the lock ends with the process, however that ends.

    A file system that knows no locks is written to without one.

    Raises:
        OutputExistsError: another process is writing there.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputExistsError(
                    f"{directory}: another process is writing there; wait for it or end it"
                ) from error
            except OSError:
                pass  # some network file systems
        yield
    finally:
        os.close(descriptor)


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
