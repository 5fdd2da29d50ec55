"""The Gaussian that upscales a folder of meshes best: its σ and threshold, by mean IoU.

    python benchmarks/tune_gaussian.py MESHES [--low 32] [--scale 8] [--rule any] [--sample 50]

Each mesh is made a pair as for training: hull of its exact surface voxels, pooled under the rule.
Give the parameters found on training shapes to `mvd evaluate --method gaussian:sigma=…,threshold=…`
when others are scored.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from mvd_toolkit import io
from mvd_toolkit.baselines import nearest
from mvd_toolkit.errors import MVDError
from mvd_toolkit.voxelize import make_pair

SIGMAS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
THRESHOLDS = np.linspace(0, 1, 201)


def main() -> None:
    args = parse_arguments()
    paths = sorted(path for path in args.meshes.rglob("*") if path.is_file())
    if args.sample:
        paths = random.Random(0).sample(paths, min(args.sample, len(paths)))
    with ProcessPoolExecutor(args.workers) as pool:
        rows = [row for row in pool.map(partial(tune_one, args=args), paths) if row is not None]
    print_tuning(rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", type=Path, help="folder of meshes, read with subfolders")
    parser.add_argument("--low", type=int, default=32)
    parser.add_argument("--scale", type=int, default=8)
    parser.add_argument("--rule", choices=("any", "half", "centre"), default="any")
    parser.add_argument("--sample", type=int, help="so many meshes, drawn with a fixed seed")
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


def tune_one(path: Path, args: argparse.Namespace) -> dict[str, list[float]] | None:
    """IoU of the Gaussian on one mesh, a list over the thresholds for each sigma; None: skipped."""
    from scipy.ndimage import gaussian_filter

    try:
        mesh = io.load_mesh(path)
        pair = make_pair(mesh.vertices, mesh.faces, args.low, args.scale, threads=1)
    except MVDError as error:
        print(f"skipped {path}: {error}")
        return None
    low = {"any": pair.low, "half": pair.low_half, "centre": pair.low_centre}[args.rule]
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
