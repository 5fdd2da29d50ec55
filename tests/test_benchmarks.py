"""The benchmarks run; the rows of speed compare equal results before they time them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from viewed_shapes import make_tiny_views

from mvd_toolkit.picture_batches import standard_picture
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.reconstructor_model import ReconstructorModel
from mvd_toolkit.train_reconstructor import best_threshold, calibrate
from mvd_toolkit.view_data import ViewDataset

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
OF_NUMPY = ["extract", "dense", "project", "smooth", "carve", "pack", "pool", "upsample", "dilate"]


def speed(*arguments: str) -> str:
    return run("speed.py", *arguments)


def run(name: str, *arguments: str) -> str:
    siblings = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}  # it imports its own
    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=siblings,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_rows_against_numpy(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    table = speed(
        "--size", "64", "--seconds", "0", "--only", *OF_NUMPY, "iou", "soft", "--json", str(path)
    )
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 16
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


def test_the_best_gaussian_is_found(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    cube = "\n".join(f"v {x} {y} {z}" for x in (0, 1) for y in (0, 1) for z in (0, 1))
    (tmp_path / "cube.obj").write_text(f"{cube}\nf 1 2 4 3\nf 5 7 8 6\n")
    table = run("tune_gaussian.py", str(tmp_path), "--low", "8", "--scale", "4").splitlines()
    rows = [[float(cell) for cell in line.split("|")[1:-1]] for line in table[4:]]
    assert [row[0] for row in rows] == [2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0]
    assert all(0 <= threshold < 1 and 0.1 < iou < 1 for _, threshold, iou in rows)
    assert rows[0][2] == max(row[2] for row in rows)  # an axis-aligned box wants little blur


def test_runs_are_compared(tmp_path: Path) -> None:
    for name, ious in (("ours", (0.5, 0.7)), ("theirs", (0.4, 0.3))):
        lines = [{"step": 9, "seconds": 60.0, "loss": 1.0}]
        lines += [
            {"step": 10 * (i + 1), "seconds": 60.0 * (i + 1), "val_iou": iou}
            for i, iou in enumerate(ious)
        ]
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    picture = tmp_path / "curves.svg"
    table = run(
        "compare_runs.py", *(str(tmp_path / n) for n in ("ours", "theirs")), "-o", str(picture)
    )
    assert table.splitlines()[2:] == [
        "| ours | 20 | 2.0 | 0.7000 | 0.7000 |",
        "| theirs | 20 | 2.0 | 0.3000 | 0.4000 |",
    ]
    assert picture.read_text().count("<polyline") == 2


def test_a_vote_is_tuned(tmp_path: Path) -> None:
    dataset = make_tiny_views(tmp_path / "data", count=8, views=2)
    config = ReconstructorConfig("residual", {"width": 8, "blocks": 1, "latent": 16}, edge=16)
    torch.manual_seed(0)
    models = [ReconstructorModel.build(config) for _ in range(2)]
    models[0].save(tmp_path / "first")
    models[1].save(tmp_path / "second")
    shutil.copytree(tmp_path / "second", tmp_path / "first" / "voter")
    told = run(
        "tune_vote.py", str(dataset), "--split", "train", "-m", str(tmp_path / "first")
    ).split("\n", 1)

    views = ViewDataset(dataset, "train")
    places = [(index, view) for index in range(len(views)) for view in range(2)]
    pictures = torch.from_numpy(np.stack([standard_picture(views, *at, 128) for at in places]))
    with torch.inference_mode():
        chances = np.mean([model.network(pictures).numpy() for model in models], axis=0)
    truth = np.stack([views.target(*at) for at in places])
    threshold = best_threshold(chances, truth)
    assert told[0].startswith(f"{len(places)} pictures of {len(views)} shapes")
    found = json.loads(told[1])
    assert found["threshold"] == threshold
    assert np.allclose(found["calibration"], calibrate(chances, truth, threshold), atol=1e-3)
