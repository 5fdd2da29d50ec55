"""Folders of empty files."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".npy", ".binvox")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root
