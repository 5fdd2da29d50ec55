"""``batch.jsonl``: a line an item, whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mvd_toolkit.batch_log import BatchLog

MADE = {"input": "a.npy", "output": "out/a_8.npy", "status": "made"}
SKIPPED = {**MADE, "status": "skipped"}
FAILED = {"input": "b.npy", "status": "failed", "error": {"message": "is broken"}}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, *items: dict[str, Any]) -> None:
    with BatchLog(path) as log:
        for item in items:
            log.add(item)


def test_an_item_that_is_done_has_one_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "batch.jsonl"
    write(path, MADE, FAILED)
    write(path, SKIPPED, FAILED)
    assert lines(path) == [MADE, FAILED, FAILED]


def test_what_a_kill_left_untold_is_told(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    write(path, SKIPPED)
    write(path, SKIPPED)
    assert lines(path) == [SKIPPED]


def test_half_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    write(path, MADE)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole + whole[:size])
        write(path, FAILED)
        assert lines(path) == [MADE, FAILED]


def test_lines_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_text("hello\n[1]\n")
    write(path, MADE)
    assert path.read_text() == "hello\n[1]\n" + json.dumps(MADE) + "\n"
