"""NIfTI-1 masks in one file, plain (``.nii``) or gzipped (``.nii.gz``); NIfTI-2 is read too.

https://nifti.nimh.nih.gov/nifti-1: a header of 348 bytes (540 in NIfTI-2), then the array, x
fastest. The place comes from the sform, else from the qform, else from the voxel's size alone;
each gives the *centre* of the first voxel. Axes of the world are right, anterior, superior. Numbers
of the place are float32 in the file. Unit is what the file says; nothing is converted.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.occupancy import (
    Layout,
    Stream,
    check_deflated,
    check_layout,
    read_occupancy,
    slabs,
)
from mvd_toolkit.io.orientation import oriented

_HEADER_1 = np.dtype(
    [
        ("sizeof_hdr", "<i4"),
        ("unused", "S36"),
        ("dim", "<i2", 8),
        ("intent", "<f4", 3),
        ("intent_code", "<i2"),
        ("datatype", "<i2"),
        ("bitpix", "<i2"),
        ("slice_start", "<i2"),
        ("pixdim", "<f4", 8),
        ("vox_offset", "<f4"),
        ("scl_slope", "<f4"),
        ("scl_inter", "<f4"),
        ("slice_end", "<i2"),
        ("slice_code", "u1"),
        ("xyzt_units", "u1"),
        ("display", "<f4", 4),
        ("gl", "<i4", 2),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "<i2"),
        ("sform_code", "<i2"),
        ("quatern", "<f4", 3),
        ("qoffset", "<f4", 3),
        ("srow", "<f4", (3, 4)),
        ("intent_name", "S16"),
        ("magic", "S4"),
    ]
)
_HEADER_2 = np.dtype(
    [
        ("sizeof_hdr", "<i4"),
        ("magic", "S8"),
        ("datatype", "<i2"),
        ("bitpix", "<i2"),
        ("dim", "<i8", 8),
        ("intent", "<f8", 3),
        ("pixdim", "<f8", 8),
        ("vox_offset", "<i8"),
        ("scl_slope", "<f8"),
        ("scl_inter", "<f8"),
        ("display", "<f8", 4),
        ("slice", "<i8", 2),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "<i4"),
        ("sform_code", "<i4"),
        ("quatern", "<f8", 3),
        ("qoffset", "<f8", 3),
        ("srow", "<f8", (3, 4)),
        ("slice_code", "<i4"),
        ("xyzt_units", "<i4"),
        ("intent_code", "<i4"),
        ("intent_name", "S16"),
        ("dim_info", "S1"),
        ("unused_str", "S15"),
    ]
)
_HEADERS = {348: _HEADER_1, 540: _HEADER_2}
_MAGIC = {348: b"n+1", 540: b"n+2\0\r\n\x1a\n"}
_DATATYPES = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1"},
    **{512: "u2", 768: "u4", 1024: "i8", 1280: "u8"},
}
_GZIP = b"\x1f\x8b"
_OFFSET = 352  # of the data: after the header and four bytes that say that no extension follows
_MILLIMETRES = 2
_ALIGNED = 2  # the code of a place that is that of something else


def matches(head: bytes, size: int) -> bool:
    """Whether a file begins with the header of a NIfTI file in one file."""
    length = _header_length(head)
    if length is None:
        return False
    magic = head[344:348] if length == 348 else head[4:12]
    return magic.rstrip(b"\0") == _MAGIC[length]


def matches_gzipped(head: bytes, size: int) -> bool:
    """Whether a file is gzipped and, unpacked, begins like that."""
    if not head.startswith(_GZIP):
        return False
    with suppress(zlib.error):
        return matches(zlib.decompressobj(31).decompress(head, max(_HEADERS)), size)
    return False


def read(path: Path, limits: Limits) -> VoxelGrid:
    """Read a NIfTI file, gzipped or not.

    Raises:
        InputError: malformed, truncated, no volume, or over a limit.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        gzipped = file.read(2) == _GZIP
        file.seek(0)
        stream = cast(Stream, gzip.GzipFile(fileobj=file, mode="rb")) if gzipped else file
        try:
            header = _read_header(path, stream)
            layout = _layout(path, header)
            check_layout(path, str(path), layout, limits)
            steps, first = _place(path, header)
            skip = _data_offset(path, header, size * 1040 if gzipped else size)
            needed = int(header["sizeof_hdr"]) + skip + layout.data_bytes
            if gzipped:
                check_deflated(f"{path}: data", size, needed)
            elif size < needed:
                raise InputError(f"{path}: expected {needed} bytes, found {size}")
            _skip(stream, skip)
            grid = read_occupancy(path, str(path), stream, layout, limits)
            _finish(path, stream)
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: expected gzip data, found: {error}") from error
    return oriented(path, grid, steps, first)


def write(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write uint8, not gzipped.

    Raises:
        UsageError: an edge is longer than 16 bits can say.
    """
    file.write(_header(grid))
    for slab in slabs(grid, fortran_order=True):
        file.write(slab.data)


def write_gzipped(grid: VoxelGrid, file: BinaryIO) -> None:
    """Write uint8, gzipped; errors as for `write`."""
    header = _header(grid)
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="", mtime=0) as packed:
        packed.write(header)
        for slab in slabs(grid, fortran_order=True):
            packed.write(slab.data)


def _header(grid: VoxelGrid) -> bytes:
    if max(grid.shape) >= 2**15:
        raise UsageError(f"nifti: expected edges below {2**15}, found {grid.shape}")
    first = [o + s / 2 for o, s in zip(grid.origin, grid.spacing, strict=True)]
    header = np.zeros(1, _HEADER_1)[0]
    header["sizeof_hdr"] = 348
    header["dim"] = (3, *grid.shape, 1, 1, 1, 1)
    header["datatype"], header["bitpix"] = 2, 8
    header["pixdim"] = (1, *grid.spacing, 0, 0, 0, 0)
    header["vox_offset"] = _OFFSET
    header["scl_slope"] = 1
    header["xyzt_units"] = _MILLIMETRES
    header["descrip"] = b"mvd_toolkit"
    header["qform_code"] = header["sform_code"] = _ALIGNED
    header["qoffset"] = first
    header["srow"] = np.column_stack([np.diag(grid.spacing), first])
    header["magic"] = b"n+1"
    return bytes(header.tobytes()) + bytes(_OFFSET - 348)


def _header_length(head: bytes) -> int | None:
    """348 or 540; None when the first number is neither, in either byte order."""
    for order in ("little", "big"):
        length = int.from_bytes(head[:4], order)
        if length in _HEADERS:
            return length
    return None


def _read_header(path: Path, stream: Stream) -> Any:
    """The header, a NumPy record; the stream is left behind it."""
    head = stream.read(348)
    length = _header_length(head)
    if length == 540:
        head += stream.read(540 - 348)
    if length is None or len(head) != length or not matches(head, 0):
        raise InputError(
            f"{path}: expected a NIfTI header of 348 or 540 bytes, found {head[:8]!r} and "
            f"{len(head)} bytes"
        )
    dtype = _HEADERS[length]
    if int.from_bytes(head[:4], "little") != length:
        dtype = dtype.newbyteorder(">")
    return np.frombuffer(head, dtype)[0]


def _layout(path: Path, header: Any) -> Layout:
    axes, *shape = (int(n) for n in header["dim"])
    if not 3 <= axes <= 7 or any(n != 1 for n in shape[3:axes]):
        raise InputError(
            f"{path}: dim: expected three axes, found {axes} of lengths {shape[: max(axes, 0)]}"
        )
    kind = _DATATYPES.get(int(header["datatype"]))
    if kind is None:
        raise InputError(f"{path}: datatype: expected numbers, found {int(header['datatype'])}")
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if (slope not in (0.0, 1.0) and slope == slope) or (inter != 0 and inter == inter and slope):
        raise InputError(
            f"{path}: expected a mask without scaling, found slope {slope} and intercept {inter}"
        )
    order = header.dtype["sizeof_hdr"].byteorder
    return Layout(tuple(shape[:3]), np.dtype(kind).newbyteorder(order), True)


def _data_offset(path: Path, header: Any, most: int) -> int:
    """Bytes between the header and the array."""
    offset, length = float(header["vox_offset"]), int(header["sizeof_hdr"])
    if not (length <= offset <= most) or offset != int(offset):
        raise InputError(
            f"{path}: vox_offset: expected a whole number from {length} to {most}, found {offset}"
        )
    return int(offset) - length


def _skip(stream: Stream, count: int) -> None:
    while count > 0:
        skipped = len(stream.read(min(count, 1 << 20)))
        if skipped == 0:
            raise EOFError("the end of the file before the data")
        count -= skipped


def _finish(path: Path, stream: Stream) -> None:
    """Read what follows the array: the checksum, and padding that some tools leave."""
    rest = stream.read(4096)
    if len(rest) == 4096:
        raise InputError(f"{path}: expected the end of the file behind the data, found more")


def _place(path: Path, header: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The steps along the axes, as columns, and the centre of the first voxel."""
    spacing = header["pixdim"][1:4].astype(np.float64)
    if header["sform_code"] > 0:
        rows = header["srow"].astype(np.float64)
        return rows[:, :3], rows[:, 3]
    if header["qform_code"] > 0:
        handed = -1.0 if header["pixdim"][0] < 0 else 1.0
        turned = _rotation(path, header["quatern"].astype(np.float64))
        return turned * (spacing * [1, 1, handed]), header["qoffset"].astype(np.float64)
    return np.diag(spacing), np.zeros(3)


def _rotation(path: Path, quaternion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, 3), of the imaginary parts b, c, d of a unit quaternion."""
    b, c, d = quaternion
    square = 1.0 - (b * b + c * c + d * d)
    if not square > -1e-5:
        raise InputError(f"{path}: expected a quaternion of length 1, found {quaternion.tolist()}")
    a = np.sqrt(max(square, 0.0))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


FORMATS = (
    Format(
        name="nifti",
        suffixes=(".nii",),
        kind="grid",
        keeps="occupancy, origin and spacing as float32",
        matches=matches,
        read=read,
        write=write,
    ),
    Format(
        name="nifti_gz",
        suffixes=(".nii.gz",),
        kind="grid",
        keeps="occupancy, origin and spacing as float32",
        matches=matches_gzipped,
        read=read,
        write=write_gzipped,
    ),
)
