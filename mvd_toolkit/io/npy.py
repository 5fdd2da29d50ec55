"""NumPy arrays of occupancy, (X, Y, Z); `occupancy` says what numbers mean.

The header is parsed by NumPy and checked against the size of the file and the limits before
anything is allocated: ``np.load`` trusts it, and reserves 931 GiB for a forged file of 128 bytes.
Pickled arrays are never read.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.occupancy import Layout, read_occupancy, slabs

_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class Header(Layout):
    """What the header of a .npy stream says, which is ``bytes`` long itself."""

    bytes: int


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a .npy file."""
    return head.startswith(_MAGIC)


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read a .npy file; the grid's voxel (0, 0, 0) lies at the origin, its voxels have edge 1.

    Raises:
        InputError: malformed, truncated, over a limit, not (X, Y, Z), or no occupancy.
    """
    with path.open("rb") as file:
        header = read_header(str(path), file)
        check_size(str(path), header, path.stat().st_size)
        return read_occupancy(path, str(path), file, header, limits)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write (X, Y, Z) bool, a slab at a time. Origin and spacing are not kept."""
    header = {"descr": "|b1", "fortran_order": False, "shape": grid.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for slab in slabs(grid, fortran_order=False):
        file.write(slab.data)


def read_header(where: str, file: BinaryIO) -> Header:
    """Parse the header of a .npy stream; the stream is left at its data.

    Raises:
        InputError: there is none that NumPy accepts, or it announces Python objects.
    """
    begin = file.tell()
    try:
        # The parser warns of headers that Python 2 wrote; they are fine.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(file)
            parse = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran_order, dtype = parse(file)
    except KeyError as error:
        raise InputError(f"{where}: expected .npy version 1.0 or 2.0, found {error}") from error
    except Exception as error:  # whatever the parser trips over, the header is malformed
        raise InputError(f"{where}: expected a .npy header, found: {error}") from error
    if dtype.hasobject:
        raise InputError(f"{where}: expected numbers, found Python objects, which are never read")
    if min(shape, default=1) < 0:
        raise InputError(f"{where}: shape: expected no negative number, found {shape}")
    return Header(shape, dtype, fortran_order, file.tell() - begin)


def check_size(where: str, header: Header, size: int) -> None:
    """Raise InputError unless a .npy stream of ``size`` bytes holds what its header announces."""
    expected = header.bytes + header.data_bytes
    if size != expected:
        raise InputError(
            f"{where}: expected {expected} bytes for {header.dtype} of shape {header.shape}, "
            f"found {size}"
        )


FORMAT = Format(
    name="npy",
    suffixes=(".npy",),
    kind="grid",
    keeps="occupancy; no origin, no spacing",
    matches=matches,
    read=read,
    write=write,
    place=False,
)
