"""`mvd pipeline`: its document, its exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Mvd = Callable[..., Any]


def test_document(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[convert]\nshapes = ['{ball_file.name}']\npairs = '4:16'\nworkers = 1\n")
    result = mvd("pipeline", recipe, "--json")
    assert result.code == 0
    (stage,) = result.document["items"]
    assert (stage["stage"], stage["status"]) == ("convert", "made")
    assert sum(stage["pairs"]["4:16"].values()) == 1
    again = mvd("pipeline", recipe, "--json").document
    assert again["summary"]["skipped"] == 1


def test_exit_codes(mvd: Mvd, tmp_path: Path) -> None:
    assert mvd("pipeline", tmp_path / "none.toml").code == 3
    (tmp_path / "bad.toml").write_text("[convert]\nshape = 1\n")
    result = mvd("pipeline", tmp_path / "bad.toml")
    assert result.code == 2
    assert "convert has no option 'shape'" in result.err
