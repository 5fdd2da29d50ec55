"""Validation IoU of several training runs by minutes of training, as a table and a picture.

    python benchmarks/compare_runs.py RUN... -o curves.svg

A run is a folder of `mvd train`; the curves are called as the folders are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mvd_toolkit.curves import draw_curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the picture, SVG")
    args = parser.parse_args()
    points = [point for run in args.runs for point in validations(run)]
    args.output.write_text(draw_curves(points, across="minutes"), encoding="utf-8")
    print("| run | steps | minutes | last IoU | best IoU |\n|---|---|---|---|---|")
    for run in args.runs:
        ious = [point[key] for point in validations(run) for key in point if "iou" in key]
        last = read(run)[-1]
        minutes = last["seconds"] / 60
        print(f"| {run.name} | {last['step']} | {minutes:.1f} | {ious[-1]:.4f} | {max(ious):.4f} |")


def read(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def validations(run: Path) -> list[dict[str, float]]:
    """A point for each validation of a run: its minute, and its IoU under a name of its own."""
    return [
        {"step": line["seconds"] / 60, f"val_iou {run.name}": line["val_iou"]}
        for line in read(run)
        if "val_iou" in line
    ]


if __name__ == "__main__":
    main()
