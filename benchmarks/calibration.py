"""Whether the depths of a model are as sure as they say, on shapes it never saw.

    mvd convert MESHES -o pairs --pairs 32:256 --split 0,0,1
    python benchmarks/calibration.py pairs --limit 100

Each fine ODM is a distribution of depth. Carving with all six at a quantile gives a volume, and the
volumes of rising quantiles lie inside each other. Of the voxels between two of them as many should
be occupied as the quantiles say. Prints, by quantile, that share and the mean IoU of the volume;
then the IoU of the best quantile of each shape, which nobody knows, and of the one that promises
most.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from mvd_toolkit import Upscaler, ops
from mvd_toolkit.data import PairDataset

LEVELS = 20


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    pairs = PairDataset(options.dataset, options.split, limit=options.limit)
    depth = Upscaler.load(options.model).model.depth
    sizes, hits, truths = (
        np.array(part, float) for part in zip(*counts(depth, pairs, options.low_rule), strict=True)
    )
    iou = hits / (sizes + truths[:, None] - hits)
    quantiles = (np.arange(LEVELS) + 0.5) / LEVELS
    between = np.arange(1, LEVELS) / LEVELS
    shells, occupied = -np.diff(sizes), -np.diff(hits)
    share = occupied.sum(axis=0) / shells.sum(axis=0)
    print("| quantile | mean IoU | from here to the next: said | occupied |\n|---|---|---|---|")
    for level in range(LEVELS):
        said = f"{between[level]:.2f} | {share[level]:.2f}" if level < LEVELS - 1 else " | "
        print(f"| {quantiles[level]:.3f} | {iou[:, level].mean():.4f} | {said} |")
    promised = np.cumsum((shells * between)[:, ::-1], axis=1)[:, ::-1]
    promised = np.pad(promised, ((0, 0), (0, 1))) + sizes[:, -1:]
    hoped = (promised / (sizes + promised[:, :1] - promised)).argmax(axis=1)
    chosen = np.take_along_axis(iou, hoped[:, None], axis=1)
    print(f"\nbest quantile for all: {iou.mean(axis=0).max():.4f}")
    print(f"the one that promises most, shape by shape: {chosen.mean():.4f}")
    print(f"the best one, shape by shape: {iou.max(axis=1).mean():.4f}")


def counts(depth, pairs: PairDataset, rule: str):
    """Of each shape: voxels of its volumes, how many of these are occupied, voxels of the truth."""
    for index in range(len(pairs)):
        low, truth = pairs.low_grid(index, rule), pairs.high_grid(index)
        if not low.count():
            continue
        with torch.inference_mode():
            maps = depth.levels(torch.from_numpy(low.dense())[None], rule, None, LEVELS)[0]
        base = low if rule == "any" else ops.dilate(low)
        volumes = [
            ops.carve(base, level.round().to(torch.int32).numpy(), pairs.scale, structure_votes=7)
            for level in maps
        ]
        hits = [int(np.bitwise_count(v.packed & truth.packed).sum()) for v in volumes]
        yield [volume.count() for volume in volumes], hits, truth.count()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="of pairs")
    parser.add_argument("--split", default="test")
    parser.add_argument("-m", "--model", help="a model of view predictors; by default ours")
    parser.add_argument("--low-rule", default="any")
    parser.add_argument("--limit", type=int, help="shapes")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
