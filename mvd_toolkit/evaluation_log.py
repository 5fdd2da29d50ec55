"""Rows of an evaluation on disk, a JSON object a line: what was done is not done again.

The first line is the recipe; another recipe, another file. A line is written whole and flushed, so
a kill at any moment loses the cases in hand and no other. Several files with one recipe, from
machines that each did a shard, are merged by reading them together.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from mvd_toolkit.errors import InputError, OutputExistsError
from mvd_toolkit.evaluate import Row
from mvd_toolkit.io.atomic import atomic, check_target, make_folder, writing
from mvd_toolkit.json_text import parse_json

SCHEMA: Final = "mvd.rows/1"


class EvaluationLog:
    """Appends rows to a file and knows which are there.

    Args:
        path: the file.
        recipe: what decides the rows.
        subject: what they are of and where it is, which decides nothing; `read_subject` gives it.
        overwrite: replace what is there, rather than go on with it.

    Attributes:
        rows: of each case and method the last, of those that succeeded the first.

    Raises:
        OutputExistsError: the file holds rows of another recipe, or something else.
        UsageError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        recipe: Mapping[str, Any],
        *,
        subject: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self.rows: dict[tuple[str, str], Row] = {}
        head = {"schema": SCHEMA, "recipe": recipe, "subject": subject}
        check_target(path, overwrite=True)
        if path.exists() and not overwrite:
            self._go_on(json.loads(json.dumps(recipe)))
        else:
            make_folder(path.parent)
            with atomic(path, overwrite=overwrite) as file:
                file.write(_line(head).encode())
        with writing(path):
            self._file: IO[str] = path.open("a", encoding="utf-8")

    def _go_on(self, recipe: Mapping[str, Any]) -> None:
        """Take the rows that are there; half a line that a kill left is cut off."""
        what_else = "--on-exists overwrite replaces it, or -o names another file"
        try:
            head, rows, size = _read(self.path)
        except InputError as error:
            raise OutputExistsError(f"{error}; {what_else}") from error
        if head["recipe"] != recipe:
            raise OutputExistsError(f"{self.path}: holds rows of another evaluation; {what_else}")
        for row in rows:
            self._keep(row)
        with writing(self.path):
            os.truncate(self.path, size)

    def add(self, row: Row) -> None:
        """Write a row, unless a run that was killed had written it."""
        if self._keep(row):
            with writing(self.path):
                self._file.write(_line(_plain(row)))
                self._file.flush()

    def is_done(self, name: str, methods: Iterable[str]) -> bool:
        """Whether there is a row without error for a case and each method."""
        return all(self._is_good(name, method) for method in methods)

    def _is_good(self, name: str, method: str) -> bool:
        row = self.rows.get((name, method))
        return row is not None and not row.error

    def _keep(self, row: Row) -> bool:
        """Whether a row tells more than what is there."""
        fresh = not self._is_good(row.name, row.method)
        if fresh:
            self.rows[row.name, row.method] = row
        return fresh

    def __enter__(self) -> EvaluationLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing(self.path):
            self._file.close()


def read_rows(paths: Iterable[Path]) -> tuple[dict[str, Any], list[Row]]:
    """The recipe and the rows of logs of one evaluation; of a case's repeats the last good one.

    Raises:
        InputError: a file is no log, or their recipes differ.
    """
    recipe: dict[str, Any] | None = None
    rows: dict[tuple[str, str], Row] = {}
    first = None
    for path in paths:
        head, found, _ = _read(path)
        if recipe is not None and head["recipe"] != recipe:
            raise InputError(f"{path}: holds rows of another evaluation than {first}")
        recipe, first = head["recipe"], first or path
        for row in found:
            key = (row.name, row.method)
            if key not in rows or not row.error:
                rows[key] = row
    return recipe or {}, list(rows.values())


def read_subject(path: Path) -> Any:
    """What the rows of a log are of, as its writer told it; None when it did not.

    Raises:
        InputError: the file is no log.
    """
    return _read(path)[0].get("subject")


def _read(path: Path) -> tuple[dict[str, Any], list[Row], int]:
    """The first line, the rows and the size of the whole lines."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    size = content.rfind(b"\n") + 1
    lines = content[:size].decode("utf-8", "replace").splitlines()
    try:
        documents = [parse_json(line) for line in lines]
        if not documents or documents[0].get("schema") != SCHEMA:
            raise ValueError("its first line is no recipe")
        if not isinstance(documents[0].get("recipe"), dict):
            raise ValueError("its first line holds no recipe")
        return documents[0], [Row.from_dict(line) for line in documents[1:]], size
    except (ValueError, KeyError, AttributeError, InputError) as error:
        raise InputError(f"{path}: is no log of an evaluation: {error}") from error


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, allow_nan=False) + "\n"


def _plain(row: Row) -> dict[str, Any]:
    values = row.to_dict()
    values["scores"] = {k: v if math.isfinite(v) else None for k, v in row.scores.items()}
    return values
