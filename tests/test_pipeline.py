"""`run_pipeline`: from shapes to scores; what is done is skipped, what was cut off goes on."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, io
from mvd_toolkit.errors import InputError, OutputExistsError, ThresholdError, UsageError
from mvd_toolkit.pipeline import run_pipeline

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = """
[convert]
shapes = ["shapes"]
to = "dataset"
pairs = "8:32"
split = [0.5, 0.25, 0.25]
workers = 1

[train]
to = "run"
steps = 6
batch_size = 4
set = { width = 8, blocks = 1, "train.validate_every" = 3 }

[upscale]
to = "fine"

[evaluate]
to = "scores.json"
methods = ["nearest", "sdf"]
metrics = ["iou", "recall"]
report = "report.html"
"""


def write_shapes(folder: Path, first: int = 0, last: int = 12) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, last):
        draw = np.random.default_rng(index)
        dense = np.zeros((32, 32, 32), bool)
        a, b = draw.integers(1, 12, 3), draw.integers(16, 31, 3)
        dense[a[0] : b[0], a[1] : b[1], a[2] : b[2]] = True
        io.save(VoxelGrid.from_dense(dense), folder / f"box-{index:02d}.npz")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_shapes(tmp_path / "shapes")
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE)
    return file


def statuses(file: Path) -> dict[str, str]:
    return {outcome.stage: outcome.status for outcome in run_pipeline(file)}


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_from_an_empty_folder_to_scores_and_then_nothing_is_left_to_do(recipe: Path) -> None:
    assert set(statuses(recipe).values()) == {"made"}
    scores = json.loads((recipe.parent / "scores.json").read_text())
    names = {path.stem for path in (recipe.parent / "fine").iterdir()}
    assert set(scores["scores"]) == names
    assert len(names) == scores["shapes"] >= 1
    mean = sum(row["iou"] for row in scores["scores"].values()) / scores["shapes"]
    assert scores["mean"]["iou"] == pytest.approx(mean)
    assert 0.5 < scores["nearest"]["iou"] < 1
    assert scores["nearest"]["recall"] == 1
    assert 0 < scores["sdf"]["iou"] < 1
    page = (recipe.parent / "report.html").read_text(encoding="utf-8")
    assert page.count('<section class="card"') == len(names)
    assert "upscaled, IoU" in page
    before = {p: p.stat().st_mtime_ns for p in recipe.parent.rglob("*") if p.is_file()}
    assert set(statuses(recipe).values()) == {"skipped"}
    assert {p: p.stat().st_mtime_ns for p in recipe.parent.rglob("*") if p.is_file()} == before


def test_a_change_makes_what_depends_on_it_and_keeps_what_was_there(recipe: Path) -> None:
    statuses(recipe)
    change(recipe, "steps = 6", "steps = 5")
    assert statuses(recipe) == {
        "convert": "skipped", "train": "made", "upscale": "made", "evaluate": "made"
    }  # fmt: skip
    kept = [path.name for path in recipe.parent.iterdir() if path.name.startswith("run.")]
    assert len(kept) == 1
    assert (recipe.parent / kept[0] / "model" / "config.json").is_file()
    (recipe.parent / "scores.json").unlink()
    assert list(statuses(recipe).values()) == ["skipped"] * 3 + ["made"]
    write_shapes(recipe.parent / "shapes", 12, 13)
    assert statuses(recipe)["convert"] == "made"


PROGRAM = "import sys, torch; torch.set_num_threads(1); "
PROGRAM += "from mvd_toolkit.pipeline import run_pipeline; run_pipeline(sys.argv[1])"


def test_killed_at_any_moment_the_same_command_ends_with_the_same_files(
    recipe: Path, tmp_path: Path
) -> None:
    statuses(recipe)
    other = tmp_path / "other" / "recipe.toml"
    write_shapes(other.parent / "shapes")
    other.write_text(RECIPE)
    moments = random.Random(1)
    kills = 0
    for landmark in ("dataset/train", "run/state/best.pt", "fine"):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(other)])
        until = time.monotonic() + 120
        while not (other.parent / landmark).exists() and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(moments.random() * 0.05)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    statuses(other)
    for part in ("dataset/dataset.json", "run/model/depth.safetensors", "scores.json"):
        found, expected = (root / part for root in (other.parent, recipe.parent))
        assert _text(found) == _text(expected), part
    assert not list(other.parent.glob("run.*"))


def _text(path: Path) -> bytes:
    """A file's content, without the folder it lies in."""
    return path.read_bytes().replace(str(path.parent.parent).encode(), b"")


def test_scores_below_the_threshold_are_told_each_time(recipe: Path) -> None:
    change(recipe, 'to = "scores.json"', 'to = "scores.json"\nfail_under = 0.999')
    for _ in range(2):
        told: list[str] = []
        with pytest.raises(ThresholdError, match=r"mean IoU: expected at least 0\.999, found 0\."):
            run_pipeline(recipe, on_stage=lambda outcome, told=told: told.append(outcome.stage))
        assert told == ["convert", "train", "upscale", "evaluate"]
    assert (recipe.parent / "scores.json").is_file()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[fry]\na = 1", UsageError, "expected tables convert, train, upscale, evaluate, found"),
        ("[convert", InputError, "is no TOML"),
        ("", UsageError, "found none"),
        ("[convert]\nto = 'x'", UsageError, "shapes says where the meshes are"),
        ("[train]\nepoch = 3", UsageError, "train has no option 'epoch': it has .*epochs"),
        ("[train]\nsteps = 'x'", UsageError, "'steps' of .*expected a whole number or none"),
        ("[train]\nsteps = 3", UsageError, "train: dataset says which pairs"),
        ("[evaluate]", UsageError, "expected a table upscale"),
        (
            "[upscale]\n[evaluate]\nmetrics = ['recall']\nfail_under = 0.5",
            UsageError,
            "fail_under is of iou",
        ),
        ("[convert]\nshapes = ['none']", InputError, "none"),
        ("[upscale]\ndataset = 'd'", InputError, "dataset.json"),
    ],
)
def test_a_recipe_that_makes_no_sense(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(error, match=message):
        run_pipeline(tmp_path / "recipe.toml")


def test_a_strangers_folder_is_not_written_into(recipe: Path) -> None:
    (recipe.parent / "fine").mkdir()
    with pytest.raises(OutputExistsError, match="fine: exists and is not of this pipeline"):
        run_pipeline(recipe)
