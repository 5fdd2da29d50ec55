"""Mean IoU of the model and of what it has to beat, on a folder of meshes.

    python benchmarks/quality.py MESHES [--low 32] [--scale 8] [--rule any] [--model DIR]
    python benchmarks/quality.py MESHES --tune            # the best Gaussian on these meshes

Each mesh is made a pair as for training (hull of its exact surface voxels; pooled under the rule).
Every method gets the same low grid and is scored against the same fine one. Tune the Gaussian on
training shapes and give its parameters (``--sigma``, ``--threshold``) when scoring others.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mvd_toolkit import Upscaler, VoxelGrid, io, ops
from mvd_toolkit.baselines import gaussian, nearest
from mvd_toolkit.errors import MVDError
from mvd_toolkit.model import Fusion
from mvd_toolkit.upscale import compose_odms
from mvd_toolkit.voxelize import Pair, make_pair

SIGMAS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
THRESHOLDS = np.linspace(0, 1, 201)


def main() -> None:
    args = parse_arguments()
    paths = sorted(path for path in args.meshes.rglob("*") if path.is_file())
    if args.sample:
        paths = random.Random(0).sample(paths, min(args.sample, len(paths)))
    job = partial(tune_one if args.tune else score_one, args=args)
    with ProcessPoolExecutor(
        args.workers, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        rows = [row for row in pool.map(job, paths) if row is not None]
    if args.tune:
        print_tuning(rows)
    else:
        print_scores(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", type=Path, help="folder of meshes, read with subfolders")
    parser.add_argument("--low", type=int, default=32)
    parser.add_argument("--scale", type=int, default=8)
    parser.add_argument("--rule", choices=("any", "half", "centre"), default="any")
    parser.add_argument(
        "--model", default=None, help="model directory; the default one if left out"
    )
    parser.add_argument("--sigma", type=float, default=2.5, help="of the Gaussian, fine voxels")
    parser.add_argument("--threshold", type=float, default=0.87, help="of the Gaussian")
    parser.add_argument("--ablations", action="store_true", help="silhouette only, votes, …")
    parser.add_argument("--tune", action="store_true", help="find the best Gaussian instead")
    parser.add_argument("--sample", type=int, help="so many meshes, drawn with a fixed seed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the row of each mesh here")
    return parser.parse_args()


def read_pair(path: Path, args: argparse.Namespace) -> tuple[Pair, VoxelGrid] | None:
    """The pair of a mesh and its low grid under the rule; None where there is none."""
    try:
        mesh = io.load_mesh(path)
        pair = make_pair(mesh.vertices, mesh.faces, args.low, args.scale, threads=1)
    except MVDError as error:
        print(f"skipped {path}: {error}")
        return None
    low = {"any": pair.low, "half": pair.low_half, "centre": pair.low_centre}[args.rule]
    return pair, low


# --- scores -------------------------------------------------------------------------------------

_loaded: dict[str | None, Upscaler] = {}


def score_one(path: Path, args: argparse.Namespace) -> dict[str, float | str] | None:
    """IoU of each method on one mesh."""
    read = read_pair(path, args)
    if read is None:
        return None
    pair, low = read
    if args.model not in _loaded:
        _loaded[args.model] = Upscaler.load(args.model)
    up = _loaded[args.model]
    row: dict[str, float | str] = {"mesh": path.name}
    row["nearest"] = iou(nearest(low, args.scale), pair)
    row["gaussian"] = iou(gaussian(low, args.scale, args.sigma, args.threshold), pair)
    row["model"] = iou(up(low, low_rule=args.rule, threads=1), pair)
    if args.ablations and low.count():
        for name, odms, votes in ablations(up, low, pair, args.rule):
            base = low if args.rule == "any" else ops.dilate(low)
            row[name] = iou(ops.carve(base, odms, args.scale, structure_votes=votes), pair)
    return row


def ablations(
    up: Upscaler, low: VoxelGrid, pair: Pair, rule: str
) -> Iterator[tuple[str, np.ndarray, int]]:
    """Names, ODMs and structure votes of the variants."""
    grid = low.to_torch()[None]
    with torch.inference_mode():
        silhouette = up.model.silhouette(grid, rule)[0].numpy()
        depth = up.model.depth(grid, rule)[0].numpy()
    edge = depth.shape[-1]
    fusion: Fusion = up.model.config.fusion
    both = compose_odms(silhouette, depth, fusion.silhouette_threshold)
    true = pair.odms
    inside, truly_inside = both < edge, true < edge
    known = np.where(depth < edge, np.rint(depth), edge).astype(np.uint16)
    yield "silhouette only, 2 votes", np.where(inside, 0, edge).astype(np.uint16), 2
    yield "silhouette only, 1 vote", np.where(inside, 0, edge).astype(np.uint16), 1
    yield "depth only", known, 6
    yield "both, 1 vote", both, 1
    yield "both, 2 votes", both, 2
    yield "both, smoothed", ops.smooth_odms(both, 1.5 * up.scale), fusion.structure_votes
    yield "true silhouettes", np.where(truly_inside, np.minimum(known, edge - 1), edge), 1
    yield "true depths", np.where(inside & truly_inside, true, np.where(inside, 0, edge)), 2
    yield "true both", true, 2


def iou(grid: VoxelGrid, pair: Pair) -> float:
    return float(ops.iou(grid, pair.high))


def print_scores(rows: list[dict[str, float | str]]) -> None:
    methods = [name for name in rows[0] if name != "mesh"]
    mean = {name: float(np.mean([row[name] for row in rows])) for name in methods}
    print(f"{len(rows)} meshes; e = 1 - IoU\n")
    print("| method | mean IoU | e / e(nearest) | e / e(gaussian) |")
    print("|---|---|---|---|")
    for name in methods:
        error = 1 - mean[name]
        ratios = [error / (1 - mean[other]) for other in ("nearest", "gaussian")]
        print(f"| {name} | {mean[name]:.4f} | {ratios[0]:.3f} | {ratios[1]:.3f} |")


# --- tuning -------------------------------------------------------------------------------------


def tune_one(path: Path, args: argparse.Namespace) -> dict[str, list[float]] | None:
    """IoU of the Gaussian on one mesh: a list over the thresholds for each sigma."""
    from scipy.ndimage import gaussian_filter

    read = read_pair(path, args)
    if read is None:
        return None
    pair, low = read
    truth = pair.high.dense()
    blocks = nearest(low, args.scale).dense().astype(np.float32)
    curves = {}
    for sigma in SIGMAS:
        blurred = gaussian_filter(blocks, sigma, mode="constant")
        inside, outside = (above(blurred[truth == side]) for side in (True, False))
        curves[str(sigma)] = (inside / (truth.sum() + outside)).tolist()
    return curves


def above(values: np.ndarray) -> np.ndarray:
    """How many values lie above each threshold."""
    counts = np.histogram(values, np.append(THRESHOLDS, 2.0))[0]
    return counts[::-1].cumsum()[::-1]


def print_tuning(rows: list[dict[str, list[float]]]) -> None:
    means: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(THRESHOLDS)))
    for row in rows:
        for sigma, curve in row.items():
            means[sigma] += np.array(curve) / len(rows)
    print(f"{len(rows)} meshes\n\n| sigma | best threshold | mean IoU |\n|---|---|---|")
    for sigma, curve in means.items():
        print(f"| {sigma} | {THRESHOLDS[curve.argmax()]:.3f} | {curve.max():.4f} |")


if __name__ == "__main__":
    main()
