"""One writer a directory: a second one is refused, and a killed one holds nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mvd_toolkit.errors import OutputExistsError

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def only_writer(directory: str | Path) -> Iterator[None]:
    """Hold a directory for oneself; the lock ends with the process, however that ends.

    What a killed writer left half written, hidden ``.*.tmp`` files here and one level below, is
    removed.

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
        for pattern in (".*.tmp", "*/.*.tmp"):
            for leftover in directory.glob(pattern):
                leftover.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)
