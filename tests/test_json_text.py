"""JSON that somebody else wrote: nested too deeply, or not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, save, sidecar
from mvd_toolkit.data import SCHEMA, PairDataset, read_description
from mvd_toolkit.errors import InputError
from mvd_toolkit.evaluation_log import read_rows
from mvd_toolkit.json_text import parse_json
from mvd_toolkit.pipeline import read_recipe

DEEP = "[" * 100_000


def test_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)
    assert parse_json(b'{"a": [1]}') == {"a": [1]}


def test_files_that_nest_too_deeply(tmp_path: Path) -> None:
    for name in ("dataset.json", "rows.jsonl", "recipe.toml"):
        (tmp_path / name).write_text(f"a = {DEEP}\n" if name == "recipe.toml" else f"{DEEP}\n")
    with pytest.raises(InputError, match=r"dataset\.json: is no JSON: nested too deeply"):
        read_description(tmp_path)
    with pytest.raises(InputError, match=r"rows\.jsonl: is no log"):
        read_rows([tmp_path / "rows.jsonl"])
    with pytest.raises(InputError, match=r"recipe\.toml: is no TOML"):
        read_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize("place", [DEEP, "1e400", "[1, 2]", "[1, 2, null]", f"[{10**400}, 1, 1]"])
def test_a_sidecar_of_no_use_is_left_alone(tmp_path: Path, place: str) -> None:
    grid = VoxelGrid.from_dense(np.ones((2, 3, 4)))
    save(grid, tmp_path / "a.npy")
    known = {
        "schema": sidecar.SCHEMA,
        "output_sha256": sidecar.file_hash(tmp_path / "a.npy"),
        "shape": [2, 3, 4],
        "spacing": [1, 1, 1],
    }
    text = json.dumps(known)[:-1] + f', "origin": {place}}}'
    sidecar.sidecar_path(tmp_path / "a.npy").write_text(text)
    assert sidecar.load_grid(tmp_path / "a.npy") == grid


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "pairs: expected a list of two edges each"),
        ({"pairs": 7}, "pairs: expected"),
        ({"pairs": [[4, 8, 16]]}, "pairs: expected"),
        ({"pairs": [[4, 9]]}, "the fine one a multiple"),
        ({"pairs": [[0, 8]]}, "pairs: expected"),
        ({"pairs": [[True, 8]]}, "pairs: expected"),
        ({"pairs": [[1, 10**12]]}, "at most 2048"),
        ({"pairs": [[4, 8]], "left_out": [{"why": "x"}]}, "left_out: expected a list of objects"),
    ],
)
def test_a_description_that_is_none(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"schema": SCHEMA, **change}))
    with pytest.raises(InputError, match=message):
        PairDataset(tmp_path, "train")
