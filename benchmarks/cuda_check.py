"""Everything that only a GPU can show, in one command.

    python benchmarks/cuda_check.py [--no-sanitizer] [--no-speed]

The tests marked ``cuda``; a part of them under compute-sanitizer's tools, where that is installed;
the rows of `speed` that measure CUDA. Exit code 5 where no GPU can be used, 1 where something did
not hold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mvd_toolkit.cli.doctor import cuda

HERE = Path(__file__).parent
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
TESTS = sorted(str(file) for file in (HERE.parent / "tests").glob("test_device_*.py"))
# -P: what is installed is tested, not what lies in the current folder.
PYTEST = (sys.executable, "-P", "-m", "pytest", "-q", "-m", "cuda", *TESTS)

SANITIZED = "odd_edges or several_segments or slabs or soft_rank or voxelization"
"""The tests that the tools run: every kernel at odd edges, in a minute or two a tool."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-sanitizer", action="store_true", help="leave its tools out")
    parser.add_argument("--no-speed", action="store_true", help="measure nothing")
    args = parser.parse_args()
    found = cuda()
    print(found, flush=True)
    if "; works on " not in found:
        sys.exit(5)
    failed = [] if run(*PYTEST) else ["tests"]
    if not args.no_sanitizer:
        failed += sanitize()
    if not args.no_speed and not run(sys.executable, str(HERE / "speed.py"), "--only", "cuda"):
        failed.append("speed")
    print(f"CUDA: {', '.join(failed)} failed" if failed else "CUDA: all held")
    sys.exit(1 if failed else 0)


def sanitize() -> list[str]:
    """The tools that found something."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        print("compute-sanitizer: not installed, left out")
        return []
    # Memory that torch keeps for later hides what is read beyond an array.
    own_memory = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    return [
        tool
        for tool in TOOLS
        if not run(
            *(sanitizer, "--tool", tool, "--error-exitcode", "1", "--target-processes", "all"),
            *(*PYTEST, "-k", SANITIZED),
            **own_memory,
        )
    ]


def run(*command: str, **environment: str) -> bool:
    print("$", *command, flush=True)
    return subprocess.run(command, env={**os.environ, **environment}).returncode == 0


if __name__ == "__main__":
    main()
