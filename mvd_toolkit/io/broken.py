"""What a standard library's parser trips over is a broken input."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mvd_toolkit.errors import InputError

BROKEN_ZIP: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression or a zip version that Python lacks
    RuntimeError,  # encrypted
    OverflowError,
    ValueError,
)
"""What `zipfile` raises for an archive that is broken, or that it cannot read."""


@contextlib.contextmanager
def reading(path: Path, expected: str, broken: tuple[type[Exception], ...]) -> Iterator[None]:
    """Take errors inside for what they say of a file.

    Args:
        path: what is read.
        expected: what it should be, with its article.
        broken: the errors.

    Raises:
        InputError: instead of one of ``broken``.
    """
    try:
        yield
    except InputError:
        raise
    except broken as error:
        cause = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise InputError(f"{path}: expected {expected}, found: {cause}") from error
