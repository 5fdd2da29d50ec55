"""``batch.jsonl``: how each item of a batch ended, a JSON object a line.

A line is written whole and flushed when its item ends, so that a kill at any moment loses none but
that of the item in hand; the next run goes on in the same file. An item that was made has one line,
however often the command is run again; one that failed has a line for each time it did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mvd_toolkit.io.atomic import make_folder, writing
from mvd_toolkit.json_text import parse_json

NAME = "batch.jsonl"
_ENDED = ("made", "skipped")


class BatchLog:
    """Appends outcomes to a file.

    Args:
        path: the file; made with its folder when there is something to write. Half a line that a
            kill left is cut off, lines that are no JSON stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._told: set[tuple[Any, Any] | None] = set()

    def add(self, item: Mapping[str, Any]) -> None:
        """Write how an item ended, unless an earlier run has written that it is done.

        Args:
            item: an element of the command's JSON document: ``input``, ``status``, ``output``.
        """
        if self._file is None:
            self._file = self._open()
        key = (item["input"], item.get("output"))
        if item["status"] == "skipped" and key in self._told:
            return
        if item["status"] in _ENDED:
            self._told.add(key)
        with writing(self._path):
            self._file.write(json.dumps(item).encode() + b"\n")
            self._file.flush()

    def _open(self) -> IO[bytes]:
        make_folder(self._path.parent)
        with writing(self._path):
            file = self._path.open("a+b")
        file.seek(0)
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
        self._told = {_key(line) for line in content.splitlines()}
        return file

    def __enter__(self) -> BatchLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with writing(self._path):
                self._file.close()


def _key(line: bytes) -> tuple[Any, Any] | None:
    """Input and output of an item that is done; None of any other line."""
    try:
        item = parse_json(line)
        return (item["input"], item.get("output")) if item["status"] in _ENDED else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
