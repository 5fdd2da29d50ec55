"""What the toolkit costs, in time and memory, against its peers.

    python benchmarks/speed.py [--size 256 512] [--only extract carve …] [--json OUT]
    python benchmarks/speed.py --list

Ours and the peer take turns (A B A B …) in one process, on the same input, and must give the same
result; a row is the ratio of their medians. Unless a row says otherwise it is one thread's CPU
time, which a busy machine disturbs less than a clock on the wall. Peers are plain NumPy (`plain`)
and packages of the ``bench`` extra; the rows of a package that is missing say so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch read it

from rows import BENCHES, Settings
from rows.measure import MissingPeer, Row

PACKAGES = ("mvd_toolkit", "numpy", "scipy", "trimesh", "vtk", "torch")


def main() -> None:
    args = parse_arguments()
    if args.list:
        for name, bench in BENCHES.items():
            print(f"{name:10} {(bench.__doc__ or '').splitlines()[0]}")
        return
    settings = Settings(args.size, args.seconds, args.model)
    rows: list[Row] = []
    print(Row.HEADER, flush=True)
    for name in args.only or BENCHES:
        try:
            for row in BENCHES[name](settings):
                rows.append(row)
                print(row, flush=True)
        except MissingPeer as missing:
            print(f"| {name} | | | left out: {missing} | | | |", flush=True)
    missed = [row for row in rows if row.holds is False]
    print(f"\n{sum(row.holds is True for row in rows)} targets hold, {len(missed)} do not.")
    if args.json:
        results = {
            "machine": machine(),
            "rows": [asdict(row) | {"holds": row.holds} for row in rows],
        }
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size", type=int, nargs="+", default=[256, 512], help="edges of fine grids"
    )
    parser.add_argument("--only", nargs="+", choices=BENCHES, metavar="NAME", help="see --list")
    parser.add_argument("--list", action="store_true", help="say what there is to measure")
    parser.add_argument(
        "--model", default=None, help="model directory; the default one if left out"
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="about how long to repeat each comparison"
    )
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser.parse_args()


def machine() -> dict[str, str | int | None]:
    """What ran the benchmark."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
