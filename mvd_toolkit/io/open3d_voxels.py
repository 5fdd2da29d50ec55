"""Voxel grids of Open3D, which are PLY files: read only.

Elements ``origin`` (x, y, z), ``voxel_size`` (val) and ``vertex`` (x, y, z), the indices of the
occupied voxels; since version 0.20 ``rotation`` (r00 to r22), too. ``origin`` is the outer corner
of voxel (0, 0, 0): the centre of voxel i lies at ``origin + rotation @ (i + 0.5) * voxel_size``.
The file does not say how far the grid goes on past its last voxel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import WORD_BITS, VoxelGrid, words_per_line
from mvd_toolkit.io import ply
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.orientation import oriented

_ROTATION = [f"r{row}{column}" for row in range(3) for column in range(3)]
_COLUMNS = {"origin": "xyz", "rotation": _ROTATION, "voxel_size": ["val"], "vertex": "xyz"}
_LARGEST = 2**31


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a PLY file with the size of voxels."""
    return ply.matches(head, size) and b"element voxel_size " in head


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read the occupied voxels, and where they lie.

    Raises:
        InputError: malformed, truncated, without a voxel, or over a limit.
    """
    with path.open("rb") as file:
        order, elements = ply.read_header(path, file)
        counts = {element.name: element.count for element in elements}
        limits.check_mesh(path, counts.get("vertex", 0), 0)
        data = file.read()
    if order == "":
        data, elements = ply.as_binary(path, data, elements)
    table = ply.Table(path, data, order or "=")
    found = {}
    for element in elements:
        if element.name in _COLUMNS:
            found[element.name] = ply.columns(path, table, element, _COLUMNS[element.name])
        else:
            table.rows(element)
    for name in ("origin", "voxel_size"):
        if len(found.get(name, ())) != 1:
            raise InputError(f"{path}: element {name!r}: expected one row, found {counts}")
    turned = found["rotation"] if counts.get("rotation") == 1 else np.eye(3)
    steps = turned.reshape(3, 3) * found["voxel_size"][0, 0]
    first = found["origin"][0] + steps @ np.full(3, 0.5)
    return oriented(path, _pack(path, found.get("vertex"), limits), steps, first)


def _pack(path: Path, vertices: npt.NDArray[np.float64] | None, limits: Limits) -> VoxelGrid:
    """The grid of (n, 3) indices, as small as holds them."""
    if vertices is None or not len(vertices):
        raise InputError(f"{path}: element 'vertex': expected a voxel, found none")
    if not ((vertices >= 0) & (vertices < _LARGEST) & (vertices == np.floor(vertices))).all():
        raise InputError(f"{path}: element 'vertex': expected indices from 0 up, found others")
    at = vertices.astype(np.int64)
    x, y, z = (int(n) + 1 for n in at.max(axis=0))
    limits.check_grid(path, (x, y, z))
    packed = np.zeros((x, y, words_per_line(z)), np.uint64)
    word, bit = np.divmod(at[:, 2], WORD_BITS)
    np.bitwise_or.at(packed, (at[:, 0], at[:, 1], word), np.uint64(1) << bit.astype(np.uint64))
    return VoxelGrid(packed, (x, y, z))


FORMAT = Format(
    name="open3d",
    suffixes=(".voxels.ply",),
    kind="grid",
    keeps="occupancy, origin, one spacing for all axes",
    matches=matches,
    read=read,
)
