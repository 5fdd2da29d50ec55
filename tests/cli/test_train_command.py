"""`mvd train`, and the chain convert → train → upscale."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Mvd = Callable[..., Any]

TETRAHEDRA = [
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n",
    "v 0 0 0\nv 2 0 0\nv 0 1 0\nv 1 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n",
]


@pytest.fixture
def dataset(mvd: Mvd, tmp_path: Path) -> Path:
    """Two shapes, 8 to 64."""
    for number, text in enumerate(TETRAHEDRA):
        (tmp_path / f"{number}.obj").write_text(text)
    place = tmp_path / "data"
    args = ("--pairs", "8:64", "--split", "1,0,0", "--threads", 1)
    assert mvd("convert", tmp_path, "-o", place, *args).code == 0
    return place


def test_convert_train_upscale(mvd: Mvd, dataset: Path, ball_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = ("--steps", 2, "--batch-size", 2, "--set", "width=8", "--set", "blocks=1")
    result = mvd("train", dataset, "-o", run, *args, "--threads", 1, "--json")
    assert result.code == 0
    assert result.document["summary"]["steps"] == 2
    assert result.document["summary"]["model"] == str(run / "model")
    assert mvd("upscale", ball_file, "-m", run / "model").code == 0
    assert ball_file.with_name("ball_128.binvox").is_file()


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("--set", "width"), 2, "--set: expected NAME=VALUE, found 'width'"),
        (("--set", "with=8"), 2, "no option 'with'"),
        (("--pairs", "8"), 2, "--pairs: expected LOW:HIGH"),
        (("--steps", 1, "--minutes", 1), 2, "expected one of epochs, steps, minutes"),
        (("--backbone", "swin"), 5, "no backbone 'swin'"),
        (("--device", "warp"), 5, "device 'warp' cannot be used"),
        (("--low-rule", "most"), 2, "expected some of any, half, centre"),
        (("--resume", "elsewhere"), 2, "--resume elsewhere goes on there, not in"),
    ],
)
def test_settings_that_make_no_sense(
    mvd: Mvd, dataset: Path, tmp_path: Path, args: tuple[object, ...], code: int, text: str
) -> None:
    result = mvd("train", dataset, "-o", tmp_path / "run", *args)
    assert result.code == code
    assert text in result.err


def test_resume_goes_on_with_a_run_by_its_own_settings(
    mvd: Mvd, dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert mvd("train", "--resume", run).code == 2
    args = ("--steps", 2, "--batch-size", 2, "--set", "width=8", "--low-rule", "any=1,half=1")
    assert mvd("train", dataset, "-o", run, *args, "--threads", 1).code == 0
    shutil.rmtree(run / "model")
    result = mvd("train", "--resume", run, "--json")
    assert result.document["summary"]["steps"] == 2
    assert (run / "model" / "config.json").is_file()
    assert mvd("train", dataset).err.count("-o says where the run goes") == 1


def test_sigterm_leaves_a_checkpoint_and_ends_with_143(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = "import torch; torch.set_num_threads(1); from mvd_toolkit.cli import main; main()"
    args = [
        "train",
        str(dataset),
        "-o",
        str(run),
        "--set",
        "width=8",
        "--batch-size",
        "2",
        "--json",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args, "--steps", "100000"], stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.terminate()
    document, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert (run / "state" / "last.pt").is_file()
    assert json.loads(document)["error"]["exit_code"] == 143


def test_no_dataset(mvd: Mvd, tmp_path: Path) -> None:
    assert mvd("train", tmp_path, "-o", tmp_path / "run").code == 3
