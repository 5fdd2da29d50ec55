"""safetensors files with one three-dimensional tensor: ours keep the place, those of others none.

Ours hold ``voxels`` (X, Y, Z) bool, and in the metadata ``origin`` and ``spacing``, three numbers
each, and ``"format": "mvd.grid/1"``. Of someone else's file the single tensor with three axes is
read, as `occupancy` says. The header is parsed and checked against the file by the safetensors
library; nothing of the tensors is read before the limits have been checked.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import Vector, VoxelGrid
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.occupancy import Layout, placed, read_occupancy, slabs

SCHEMA = "mvd.grid/1"
TENSOR = "voxels"

_MAX_HEADER = 10**8  # the library's own limit
_LISTED = 8  # tensors that an error names
_DTYPES = {
    **{"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4"},
    **{"I32": "<i4", "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"},
}


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins with the length of a JSON object that fits, and a brace."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= min(_MAX_HEADER, size - 8)


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read the grid of a file.

    Raises:
        InputError: malformed, truncated, not exactly one tensor of three axes, over a limit.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # checks every length and offset
            metadata = file.metadata() or {}
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path}: expected a safetensors file, found: {error}") from error
    name, layout, begin = _tensor(path)
    with path.open("rb") as stream:
        stream.seek(begin)
        grid = read_occupancy(path, f"{path}: {name}", stream, layout, limits)
    origin = _vector(path, metadata, "origin", (0.0, 0.0, 0.0))
    return placed(grid, path, origin, _vector(path, metadata, "spacing", (1.0, 1.0, 1.0)))


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write (X, Y, Z) bool with the place in the metadata, a slab at a time."""
    header = {
        "__metadata__": {
            "format": SCHEMA,
            "origin": " ".join(map(repr, grid.origin)),
            "spacing": " ".join(map(repr, grid.spacing)),
        },
        TENSOR: {
            "dtype": "BOOL",
            "shape": list(grid.shape),
            "data_offsets": [0, math.prod(grid.shape)],
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for slab in slabs(grid, fortran_order=False):
        file.write(slab.data)


def _tensor(path: Path) -> tuple[str, Layout, int]:
    """Name, layout and first byte of the tensor to read, from a header the library has checked."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    solid = [name for name, tensor in header.items() if len(tensor["shape"]) == 3]
    if len(solid) != 1:
        listed = ", ".join(f"{k} {header[k]['shape']}" for k in [*header][:_LISTED])
        listed += f" and {len(header) - _LISTED} more" if len(header) > _LISTED else ""
        raise InputError(
            f"{path}: expected exactly one 3-D tensor, found {len(solid)} among: "
            f"{listed or 'no tensors'}"
        )
    tensor = header[solid[0]]
    if tensor["dtype"] not in _DTYPES:
        raise InputError(
            f"{path}: {solid[0]}: expected bool, integers or floats, found {tensor['dtype']}"
        )
    layout = Layout(tuple(tensor["shape"]), np.dtype(_DTYPES[tensor["dtype"]]), False)
    return solid[0], layout, 8 + length + tensor["data_offsets"][0]


def _vector(path: Path, metadata: dict[str, str], name: str, default: Vector) -> Vector:
    if name not in metadata:
        return default
    try:
        x, y, z = (float(word) for word in metadata[name].split())
    except ValueError:
        raise InputError(
            f"{path}: {name}: expected three numbers, found {metadata[name][:60]!r}"
        ) from None
    return x, y, z


FORMAT = Format(
    name="safetensors",
    suffixes=(".safetensors",),
    kind="grid",
    keeps="occupancy, origin, spacing",
    matches=matches,
    read=read,
    write=write,
)
