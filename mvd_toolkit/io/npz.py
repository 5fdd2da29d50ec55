"""NumPy archives: our own, which keep everything, and those of others that hold one 3-D array.

Ours has ``packed`` (X, Y, ceil(Z / 64)) uint64, ``shape`` (3,), ``origin`` (3,), ``spacing`` (3,)
and, where the grid has them, ``coverage`` (X, Y, Z) float32 and ``extent`` (6,) float64, its lowest
and its highest corner; the same grid gives the same bytes. Of a foreign archive the single 3-D
array is read as `npy` says.

An archive is a zip: a few bytes may claim to unpack to terabytes. What a member says of its size,
in the zip and in the array header, must agree, fit the limits, and be possible at all.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid, words_per_line
from mvd_toolkit.io import npy
from mvd_toolkit.io.broken import BROKEN_ZIP, reading
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.occupancy import check_deflated, read_occupancy

MAX_MEMBERS = 1024

_EPOCH = (1980, 1, 1, 0, 0, 0)
_COUNTED = {3: "three", 6: "six"}


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins like a zip archive that is empty or begins with an array."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(b"PK\x05\x06") or (
        head.startswith(b"PK\x03\x04") and name.endswith(b".npy")
    )


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read an archive of ours, or the single 3-D array of another's.

    Raises:
        InputError: no zip, no or several 3-D arrays, or any of them malformed or over a limit.
    """
    with reading(path, "a zip archive of arrays", BROKEN_ZIP), zipfile.ZipFile(path) as archive:
        headers = _headers(path, archive)
        if "packed" in headers and "shape" in headers:
            return _read_own(path, archive, headers, limits)
        found = [name for name, header in headers.items() if len(header.shape) == 3]
        if len(found) != 1:
            listed = ", ".join(f"{name} {header.shape}" for name, header in headers.items())
            raise InputError(
                f"{path}: expected exactly one 3-D array, found {len(found)} among: "
                f"{listed or 'no arrays'}"
            )
        with _member(path, archive, found[0]) as (where, file, header):
            return read_occupancy(path, where, file, header, limits)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write an archive of ours: occupancy, origin, spacing, coverage, extent."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "packed": grid.packed,
        "shape": np.array(grid.shape, np.int64),
        "origin": np.array(grid.origin, np.float64),
        "spacing": np.array(grid.spacing, np.float64),
    }
    if grid.coverage is not None:
        arrays["coverage"] = np.asarray(grid.coverage, np.float32)
    if grid.extent is not None:
        arrays["extent"] = np.array(grid.extent, np.float64).reshape(6)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            # np.savez would write the time of day.
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def _headers(path: Path, archive: zipfile.ZipFile) -> dict[str, npy.Header]:
    """The header of every array, by name."""
    names = [info.filename for info in archive.infolist() if info.filename.endswith(".npy")]
    if len(names) > MAX_MEMBERS:
        raise InputError(f"{path}: expected at most {MAX_MEMBERS} arrays, found {len(names)}")
    headers = {}
    for name in names:
        with _member(path, archive, name.removesuffix(".npy")) as (_, _, header):
            headers[name.removesuffix(".npy")] = header
    return headers


@contextlib.contextmanager
def _member(
    path: Path, archive: zipfile.ZipFile, name: str
) -> Iterator[tuple[str, BinaryIO, npy.Header]]:
    """How to call an array, its stream behind the header, and the header, checked for size."""
    where = f"{path}: {name}"
    info = archive.getinfo(f"{name}.npy")
    check_deflated(where, min(info.compress_size, path.stat().st_size), info.file_size)
    with archive.open(info) as stream:
        file = cast(BinaryIO, stream)
        header = npy.read_header(where, file)
        npy.check_size(where, header, info.file_size)
        yield where, file, header


def _read_own(
    path: Path, archive: zipfile.ZipFile, headers: dict[str, npy.Header], limits: Limits
) -> VoxelGrid:
    x, y, z = (int(n) for n in _read_small(path, archive, "shape", "iu"))
    limits.check_grid(path, (x, y, z))
    packed = _read_exactly(path, archive, "packed", np.dtype(np.uint64), (x, y, words_per_line(z)))
    if z % 64 and (packed[:, :, -1] >> np.uint64(z % 64)).any():
        raise InputError(f"{path}: packed: expected no voxel past a depth of {z}, found some")
    coverage = None
    if "coverage" in headers:
        coverage = _read_exactly(path, archive, "coverage", np.dtype(np.float32), (x, y, z))
        if not ((coverage >= 0) & (coverage <= 1)).all():
            raise InputError(f"{path}: coverage: expected fractions from 0 to 1, found others")
    origin, spacing = (
        _read_small(path, archive, name, "f").tolist() if name in headers else value
        for name, value in (("origin", (0.0,) * 3), ("spacing", (1.0,) * 3))
    )
    extent = None
    if "extent" in headers:
        corners = _read_small(path, archive, "extent", "f", count=6).tolist()
        extent = corners[:3], corners[3:]
    try:
        return VoxelGrid(packed, (x, y, z), origin, spacing, coverage, extent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_small(
    path: Path, archive: zipfile.ZipFile, name: str, kinds: str, count: int = 3
) -> npt.NDArray[Any]:
    """A few numbers."""
    with _member(path, archive, name) as (where, file, header):
        if header.shape != (count,) or header.dtype.kind not in kinds:
            raise InputError(
                f"{where}: expected {_COUNTED[count]} numbers, "
                f"found {header.dtype} of shape {header.shape}"
            )
        return _array(where, file, header)


def _read_exactly(
    path: Path,
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
) -> npt.NDArray[Any]:
    """An array of this shape, and of this type in any byte order."""
    with _member(path, archive, name) as (where, file, header):
        if header.shape != shape or header.dtype.newbyteorder("=") != dtype:
            raise InputError(
                f"{where}: expected {dtype} of shape {shape}, "
                f"found {header.dtype} of shape {header.shape}"
            )
        return np.ascontiguousarray(_array(where, file, header), dtype)


def _array(where: str, file: BinaryIO, header: npy.Header) -> npt.NDArray[Any]:
    data = file.read(header.data_bytes)
    if len(data) != header.data_bytes:
        raise InputError(f"{where}: expected {header.data_bytes} bytes, found {len(data)}")
    order = "F" if header.fortran_order else "C"
    return np.frombuffer(bytearray(data), header.dtype).reshape(header.shape, order=order)  # type: ignore[call-overload,no-any-return]


FORMAT = Format(
    name="npz",
    suffixes=(".npz",),
    kind="grid",
    keeps="occupancy, origin, spacing, coverage, extent",
    coverage=True,
    matches=matches,
    read=read,
    write=write,
)
