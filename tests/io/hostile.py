"""Loads files in a process of little memory and says how each ended; run by test_hostile.py."""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

from mvd_toolkit import io
from mvd_toolkit.errors import InputError

ROOM = 1 << 30
"""Address space beyond what the process has when all is imported, bytes."""


def main(folder: Path) -> None:
    """Print ``{file: [outcome, words, seconds]}``."""
    import meshio  # noqa: F401  what is imported later would count

    io.known_formats()
    warnings.simplefilter("ignore", io.FormatWarning)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, now + ROOM))
    said = {path.name: load(path) for path in sorted(folder.iterdir())}
    print(json.dumps(said))


def load(path: Path) -> tuple[str, str, float]:
    start = time.perf_counter()
    try:
        kind = io.sniff(path).kind
        value = io.load(path) if kind == "grid" else io.load_mesh(path)
        outcome = ("value", repr(type(value).__name__))
    except InputError as error:
        outcome = ("InputError", str(error))
    except BaseException as error:  # the test tells
        outcome = (type(error).__name__, str(error))
    return *outcome, time.perf_counter() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]))
