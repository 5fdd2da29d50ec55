"""Scores of reconstruction in the paper's form: the coarse grid against the same grid upscaled.

    python benchmarks/reconstruct.py DATASET --split test --views 2 --points 2466
    python benchmarks/reconstruct.py DATASET -m run/model --ensemble --rule half:0.4 --rule soft

``DATASET`` is one with pictures, made by ``mvd convert --pairs --views``. For each picture the
coarse grid is predicted and compared at the fine edge with the truth, once as it is (each voxel a
block) and once upscaled. ``--categories FILE`` is a CSV whose columns ``name`` and ``category`` say
which shapes are what; a name is the beginning of an id. Prints a Markdown table; ``-o`` keeps a
JSON line a picture, and pictures that are there already are not done again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvd_toolkit import ops, score
from mvd_toolkit.comparison import Sampling
from mvd_toolkit.data import PairDataset
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.image_input import cut_out
from mvd_toolkit.reconstruction import Reconstructor, expected_iou, solid, upscaling_rule
from mvd_toolkit.view_data import ViewDataset
from mvd_toolkit.views import upright_grid


def main() -> None:
    options = parse()
    make = Reconstructor.load(options.model or None, options.upscaler)
    views = ViewDataset(options.dataset, options.split, limit=options.limit)
    pairs = PairDataset(options.dataset, options.split, views.low, views.high)
    rows = read(options.output)
    done = {(row["id"], row["view"], row["rule"]) for row in rows}
    category = categories(options.categories)
    threshold = make.config.threshold
    usual = upscaling_rule(make.config, make.upscaler.model.config)
    rules = options.rule or [f"{usual}:{make.config.upscale_threshold}"]
    number, parts = map(int, options.share.split("/"))
    for index, shape in list(enumerate(views.shapes))[number - 1 :: parts]:
        truth = None
        for view in range(min(options.views, len(shape.views))):
            missing = [rule for rule in rules if (shape.id, view, rule) not in done]
            if not missing:
                continue
            if truth is None:
                truth = upright(pairs.high_grid(pairs.ids.index(shape.id)), shape.views.up)
            seen = cut_out(shape.views.picture(view), make.config.size)
            chances, distance = make.look(
                seen, ensemble=options.ensemble, mirror=options.mirror, threads=options.threads
            )
            if options.turns:
                fine, target = best_turn(truth, low(views, index, view), chances > threshold)
            else:
                fine, target = truth, low(views, index, view)
            for rule in missing:
                row = {
                    "id": shape.id,
                    "category": category(shape.id),
                    "view": view,
                    "rule": rule,
                    "low": float(ops.iou(likely(make, chances), target)),
                    "expected": expected_iou(chances, make.config),
                    "distance": distance,
                    **compare(make, chances, rule, fine, options),
                }
                rows.append(row)
                keep(options.output, row)
    for rule in rules:
        print(f"\n{rule}\n\n{table([row for row in rows if row['rule'] == rule])}")


def compare(make, chances, rule, truth, options):
    """Scores of one predicted grid at the fine edge, as it is and upscaled."""
    predicted = coarse(make, chances, rule)
    scale = truth.shape[0] // predicted.shape[0]
    nearest = ops.upsample_nearest(likely(make, chances), scale)
    name = rule.split(":")[0]
    fine = make.upscaler(predicted, truth.shape[0], name, "hull", options.threads)
    sampling = Sampling(points=options.points)
    scores = {}
    for method, grid in (("nearest", nearest), ("mvd", fine)):
        grid = replace(grid, origin=truth.origin, spacing=truth.spacing)
        found = score(grid, truth, ["iou", "fscore"], sampling=sampling, threads=options.threads)
        scores |= {f"{method}_{metric}": value for metric, value in found.items()}
    return scores


def likely(make: Reconstructor, chances: np.ndarray) -> VoxelGrid:
    """The grid that the reconstructor itself tells: what it is scored by, fine or coarse."""
    config = replace(make.config, upscale_threshold=make.config.threshold)
    return solid(chances, config, "any")


def coarse(make: Reconstructor, chances: np.ndarray, rule: str) -> VoxelGrid:
    """The predicted grid as it is upscaled by a rule, ``half:0.4`` say."""
    name, _, threshold = rule.partition(":")
    config = replace(
        make.config, upscale_threshold=float(threshold or make.config.upscale_threshold)
    )
    return solid(chances, config, name)


def low(views: ViewDataset, index: int, view: int) -> VoxelGrid:
    return VoxelGrid.from_dense(views.target(index, view))


def best_turn(truth: VoxelGrid, target: VoxelGrid, predicted: np.ndarray):
    """Both truths in the quarter turn about the vertical that fits the predicted grid best."""
    turns = [VoxelGrid.from_dense(np.rot90(target.dense(), k)) for k in range(4)]
    best = max(range(4), key=lambda k: ops.iou(turns[k], VoxelGrid.from_dense(predicted)))
    dense = np.ascontiguousarray(np.rot90(truth.dense(), best))
    return VoxelGrid.from_dense(dense, truth.origin, truth.spacing), turns[best]


def upright(grid: VoxelGrid, up: str) -> VoxelGrid:
    """A fine grid of the dataset in the frame of the predictions."""
    dense = np.ascontiguousarray(upright_grid(grid.dense(), up))
    return VoxelGrid.from_dense(dense, (-0.5, -0.5, -0.5), 1 / dense.shape[0])


def categories(file: Path | None):
    """What tells the category of an id."""
    if file is None:
        return lambda name: "all"
    with file.open(newline="") as lines:
        known = [(row["name"], row["category"]) for row in csv.DictReader(lines)]
    return lambda name: next((c for start, c in known if name.startswith(start)), "other")


def table(rows: list[dict]) -> str:
    """A line a category, and their mean; IoU and F-score in per cent."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["category"]].append(row)
    keys = ("low", "nearest_iou", "mvd_iou", "nearest_fscore", "mvd_fscore")
    lines = [
        "| category | shapes | IoU 32³ | nearest | + MVD | gain | F nearest | F + MVD |",
        "|---|---|---|---|---|---|---|---|",
    ]
    means = []
    for name, group in sorted(groups.items()):
        mean = [100 * float(np.mean([row[key] for row in group])) for key in keys]
        means.append(mean)
        lines.append(line(name, len({row["id"] for row in group}), mean))
    if len(means) > 1:
        lines.append(line("mean of categories", len({r["id"] for r in rows}), np.mean(means, 0)))
    return "\n".join(lines)


def line(name: str, shapes: int, mean) -> str:
    low_iou, nearest, mvd, f_nearest, f_mvd = mean
    gain = mvd - nearest
    return (
        f"| {name} | {shapes} | {low_iou:.1f} | {nearest:.1f} | {mvd:.1f} | {gain:+.1f} "
        f"| {f_nearest:.1f} | {f_mvd:.1f} |"
    )


def read(file: Path | None) -> list[dict]:
    if file is None or not file.exists():
        return []
    return [json.loads(text) for text in file.read_text().splitlines()]


def keep(file: Path | None, row: dict) -> None:
    if file is not None:
        with file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("-m", "--model", action="append", help="a reconstructor; several vote")
    parser.add_argument("--upscaler", help="a model; by default the reconstructor's own")
    parser.add_argument("--split", default="test")
    parser.add_argument("--views", type=int, default=1, help="pictures of each shape")
    parser.add_argument("--limit", type=int, help="shapes")
    parser.add_argument("--share", default="1/1", metavar="I/N", help="a part of the shapes")
    parser.add_argument("--rule", action="append", help="low rule and threshold, any:0.45")
    parser.add_argument("--ensemble", action="store_true")
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument(
        "--turns", action="store_true", help="shapes that face anywhere: take the best of four"
    )
    parser.add_argument("--points", type=int, default=2466, help="of each surface")
    parser.add_argument("--categories", type=Path, metavar="CSV")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="JSON lines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
