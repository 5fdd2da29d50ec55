"""The readable beginning of a file, for people."""

from __future__ import annotations

import re
from pathlib import Path

from mvd_toolkit.io.format import HEAD_BYTES

MAX_LINES = 12
MAX_LINE = 100

_READABLE = re.compile(rb"[\t\r\n\x20-\x7e]{8,}")
_PADDING = re.compile(" {8,}")
"""Of a field of fixed length: what follows may be numbers."""


def header_lines(path: Path) -> list[str]:
    """The first lines of text of a file, a few of them, cut short; none of a file without any.

    Args:
        path: the file; its first `HEAD_BYTES` are looked at.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = _READABLE.search(head, 0)
    if found is None or found.start() > 16:  # a mark and a length may come before the text
        return []
    lines = [_PADDING.split(line)[0].rstrip() for line in found[0].decode("ascii").splitlines()]
    return [line[:MAX_LINE] for line in lines if line][:MAX_LINES]
