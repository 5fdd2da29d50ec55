"""One maker an output: a second process waits, and finds it finished."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mvd_toolkit.errors import UsageError
from mvd_toolkit.io.atomic import leftovers, make_folder
from mvd_toolkit.sidecar import sidecar_path

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def only_maker(output: Path) -> Iterator[None]:
    """Hold an output while it is looked at and made; its folder is made when missing.

    The lock is a hidden empty file beside the output that is gone afterwards, and ends with the
    process, however that ends. One that a killed process left says that what it had not finished
    is to be removed. A file system that knows no locks is written to without one.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    make_folder(output.parent)
    lock = _lock_of(output)
    killed = os.path.exists(lock)
    descriptor = _hold(lock)
    try:
        if killed:
            for path in (output, sidecar_path(output)):
                for leftover in leftovers(path):
                    leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def clear_lock(output: Path) -> None:
    """Remove the lock of a process that was killed when it had just made the output, if any."""
    if os.path.exists(_lock_of(output)):
        with contextlib.suppress(UsageError), only_maker(output):
            pass


def _lock_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.lock")


def _hold(lock: Path) -> int:
    """Open and lock a file that is at its place also when the lock is had."""
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UsageError(f"{lock.parent}: cannot be written to: {error.strerror}") from error
        with contextlib.suppress(OSError):  # some network file systems know no locks
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # who held it before has removed it
