"""The speed benchmark runs: its rows compare equal results before they time them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed.py"
OF_NUMPY = ["extract", "dense", "project", "smooth", "carve", "pack", "pool", "upsample", "dilate"]


def speed(*arguments: str) -> str:
    siblings = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}  # it imports its own
    ran = subprocess.run(
        [sys.executable, str(SPEED), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=siblings,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_rows_against_numpy(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    table = speed("--size", "64", "--seconds", "0", "--only", *OF_NUMPY, "iou", "--json", str(path))
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 14
    assert all(row["ours"] > 0 and row["ratio"] > 0 for row in rows)
    aimed = [row for row in rows if row["target"]]
    assert len(aimed) == 6
    assert f"{sum(row['holds'] for row in aimed)} targets hold" in table


@pytest.mark.parametrize(("name", "package"), [("largest", "scipy"), ("binvox", "trimesh")])
def test_rows_against_a_package(name: str, package: str) -> None:
    pytest.importorskip(package)
    assert package in speed("--size", "64", "--seconds", "0", "--only", name)


def test_every_bench_is_described() -> None:
    for line in speed("--list").splitlines():
        name, _, described = line.partition(" ")
        assert name, line
        assert described.strip(), line
