"""binvox files, as Patrick Min defines them (https://www.patrickmin.com/binvox/binvox.html).

A text header, then (value, count) byte pairs over the voxels, y fastest, then z, then x; a voxel is
occupied when its value is not 0 (version 2 of the format uses values up to 255). The header's
``translate`` is the outer corner of the grid and ``scale`` the length of its *whole* longest edge:
the centre of voxel i lies at ``translate + scale * (i + 0.5) / N``. So ``origin = translate`` and
``spacing = scale / N``.

Other programs disagree. trimesh takes ``translate`` as the centre of the first voxel and ``scale``
as the distance from there to the centre of the last one: what it writes arrives half a voxel off
and (N - 1) / N the size. Its files could be told by their comment, but trimesh also reads and
writes Min's own files without changing a number, so the comment does not say what the numbers
mean; the definition does, and is what we follow for every file.

``dim`` is ``X Y Z`` here. Min's page calls the three numbers depth, width and height and numbers a
voxel ``x * width * height + z * width + y``, which gives x, y, z; trimesh does the same. (His
example reader takes them as depth, height, width. Grids of binvox itself are cubes.)
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import Vector, VoxelGrid
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits

LONGEST_RUN = 255

_PIECE_BYTES = 1 << 22  # of packed words; their runs are at most 16 times as much
_MAX_HEADER_LINES = 256
_MAX_LINE_BYTES = 4096
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_VERSIONS = ("1", "2")
_DECIMALS = decimal.Context(prec=30)


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a binvox file."""
    return head.startswith(b"#binvox")


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read a binvox file.

    Raises:
        InputError: malformed header, over a limit, or runs that do not add up to the grid exactly.
    """
    with path.open("rb") as file:
        shape, translate, scale = _read_header(path, file)
        limits.check_grid(path, shape)
        runs = _read_runs(path, file, math.prod(shape))
    try:
        packed = _core.binvox_decode(runs, *shape)[0]
    except _core.CoreError as error:
        raise InputError(f"{path}: {error}") from error
    return VoxelGrid(packed, shape, translate, (_spacing(path, scale, max(shape)),) * 3)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write a binvox file.

    Raises:
        UsageError: the voxels are not cubes: the format has one scale for all axes.
    """
    spacing = grid.spacing[0]
    if not np.allclose(grid.spacing, spacing, rtol=1e-6, atol=0):
        raise UsageError(
            f"binvox: expected the same spacing along x, y and z, found {grid.spacing}; "
            "npz keeps all three"
        )
    header = (
        "#binvox 1\n"
        f"dim {' '.join(map(str, grid.shape))}\n"
        f"translate {' '.join(map(repr, grid.origin))}\n"
        f"scale {_multiply(spacing, max(grid.shape))}\n"
        "data\n"
    )
    file.write(header.encode("ascii"))
    for runs in _runs(grid):
        file.write(runs.data)


def _runs(grid: VoxelGrid) -> Iterator[npt.NDArray[np.uint8]]:
    """The (R, 2) runs of a grid, those of some layers of x at a time."""
    step = max(1, _PIECE_BYTES // max(1, grid.packed[:1].nbytes))
    value, length = False, 0
    for begin in range(0, grid.shape[0], step):
        layers = np.ascontiguousarray(grid.packed[begin : begin + step])
        runs, value, length = _core.binvox_encode_part(layers[None], grid.shape[2], value, length)
        yield runs
    yield _core.binvox_encode_tail(value, length)


def _read_header(path: Path, file: BinaryIO) -> tuple[tuple[int, int, int], Vector, str]:
    """The shape, translate, and scale as text; the file is left at the first run."""
    magic = file.readline(_MAX_LINE_BYTES).split()
    if magic[:1] != [b"#binvox"] or b"".join(magic[1:2]).decode("latin-1") not in _VERSIONS:
        raise InputError(
            f"{path}: line 1: expected '#binvox 1' or '#binvox 2', found {_show(b' '.join(magic))}"
        )
    fields: dict[str, list[str]] = {}
    for number in range(2, _MAX_HEADER_LINES):
        line = file.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise InputError(f"{path}: line {number}: expected a header line, found {_show(line)}")
        # trimesh writes a comment line; words that are not known are skipped, as Min's reader does.
        words = line.split(b"#")[0].decode("latin-1").split()
        if words == ["data"]:
            break
        if words:
            fields[words[0].lower()] = words[1:]
    else:
        raise InputError(f"{path}: expected 'data' within {_MAX_HEADER_LINES} lines, found none")
    if "dim" not in fields:
        raise InputError(f"{path}: header: expected 'dim', found {sorted(fields)}")
    x, y, z = (_whole(path, word) for word in _words(path, fields, "dim", 3))
    tx, ty, tz = (float(word) for word in _words(path, fields, "translate", 3, "0"))
    (scale,) = _words(path, fields, "scale", 1, "1")
    if not np.isfinite((tx, ty, tz)).all():
        raise InputError(f"{path}: translate: expected finite numbers, found {(tx, ty, tz)}")
    return (x, y, z), (tx, ty, tz), scale


def _words(
    path: Path, fields: dict[str, list[str]], key: str, count: int, default: str = ""
) -> list[str]:
    words = fields.get(key, [default] * count)
    if len(words) != count or not all(_NUMBER.fullmatch(word) for word in words):
        raise InputError(f"{path}: {key}: expected {count} numbers, found {_show(' '.join(words))}")
    return words


def _whole(path: Path, word: str) -> int:
    if not word.isdigit() or len(word) > 18:
        raise InputError(f"{path}: dim: expected positive whole numbers, found {_show(word)}")
    return int(word)


def _read_runs(path: Path, file: BinaryIO, voxels: int) -> npt.NDArray[np.uint8]:
    """All (R, 2) runs, once the file's size has shown that there can be as many as it takes."""
    begin = file.tell()
    size = file.seek(0, 2) - begin
    file.seek(begin)
    fewest = 2 * -(-voxels // LONGEST_RUN)
    # trimesh writes runs of no voxels; more than one a voxel is more than anyone writes.
    most = 4 * voxels
    if size % 2 or not fewest <= size <= most:
        raise InputError(
            f"{path}: runs of {voxels} voxels: expected pairs of bytes, {fewest} to {most} bytes, "
            f"found {size}"
        )
    data = file.read(size)
    return np.frombuffer(data, np.uint8, len(data) - len(data) % 2).reshape(-1, 2)


def _spacing(path: Path, scale: str, edge: int) -> float:
    spacing = _divide(scale, edge) if 0 < float(scale) < math.inf else 0.0
    if spacing == 0:
        raise InputError(f"{path}: scale: expected a finite number above 0, found {_show(scale)}")
    return spacing


def _divide(scale: str, edge: int) -> float:
    """``scale / edge`` rounded once, so that what `_multiply` wrote comes back to the last bit."""
    return float(_DECIMALS.divide(decimal.Decimal(scale), decimal.Decimal(edge)))


def _multiply(spacing: float, edge: int) -> str:
    """``spacing * edge`` as text: short where that divides back exactly, else with more digits."""
    short = repr(spacing * edge)
    if _NUMBER.fullmatch(short) and _divide(short, edge) == spacing:
        return short
    return str(_DECIMALS.multiply(decimal.Decimal(spacing), decimal.Decimal(edge)))


def _show(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return repr(text if len(text) <= 60 else text[:60] + "…")


FORMAT = Format(
    name="binvox",
    suffixes=(".binvox",),
    kind="grid",
    keeps="occupancy, origin, one spacing for all axes",
    matches=matches,
    read=read,
    write=write,
)
