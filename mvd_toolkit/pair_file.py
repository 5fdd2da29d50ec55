"""One pair on disk: a fine shape as its depth maps and the coarse grids made from it.

A compressed npz, ``<id>_<low>_<high>.npz``::

    low, low_half, low_centre    packed low grids, uint64 (N, N, W)
    odms                         of the fine grid, (6, sN, sN) uint16
    shape                        of the low grids, int64 (3,)
    transform                    origin and spacing of the fine grid, float64 (2, 3)
    source_sha256                of the mesh, text

The fine grid is the hull of its ODMs, so they are all that is kept of it: about 13 KB at 256³.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from mvd_toolkit.conventions import FACE_COUNT, LOW_RULES
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import words_per_line
from mvd_toolkit.io import npy
from mvd_toolkit.io.atomic import atomic, make_folder
from mvd_toolkit.voxelize import Pair

MAX_MEMBER_BYTES: Final = 2**26
"""Largest array of a pair that is read: the ODMs of a 2048³ grid take 48 MiB."""

_BROKEN: Final = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,  # no such array
    ValueError,
    OverflowError,
    RuntimeError,  # encrypted, or a compression that Python lacks
)
"""What a broken pair makes the standard library, NumPy and us raise."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_LOW_KEYS: Final = dict(zip(LOW_RULES, ("low", "low_half", "low_centre"), strict=True))
_KEYS: Final = (*_LOW_KEYS.values(), "odms", "shape", "transform", "source_sha256")


@dataclass(frozen=True)
class StoredPair:
    """A pair as read from its file.

    Attributes:
        lows: low rule -> (N, N, W) uint64, the packed low grid.
        odms: (6, sN, sN) uint16, of the fine grid.
        edge: N.
        origin: world position of the outer corner of both grids.
        spacing: of the fine grid.
        source_sha256: of the mesh; empty when unknown.
    """

    lows: Mapping[str, npt.NDArray[np.uint64]]
    odms: npt.NDArray[np.uint16]
    edge: int
    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]
    source_sha256: str


def write_pair(folder: str | Path, name: str, pair: Pair, *, source_sha256: str = "") -> Path:
    """Write a pair, whole or not at all; the same pair gives the same bytes.

    Args:
        folder: of its split; made when missing.
        name: the pair's id; with the two edges it names the file.
        pair: cubic grids.
        source_sha256: hash of what the pair was made from.

    Returns:
        The file.
    """
    folder = Path(folder)
    make_folder(folder)
    path = folder / pair_file_name(name, pair.low.shape[0], pair.high.shape[0])
    with atomic(path, overwrite=True) as file:
        _write_arrays(
            file,
            {
                "low": pair.low.packed,
                "low_half": pair.low_half.packed,
                "low_centre": pair.low_centre.packed,
                "odms": np.asarray(pair.odms, np.uint16),
                "shape": np.asarray(pair.low.shape, np.int64),
                "transform": np.asarray([pair.high.origin, pair.high.spacing], np.float64),
                "source_sha256": np.asarray(source_sha256, "U64"),
            },
        )
    return path


def pair_file_name(name: str, low: int, high: int) -> str:
    """``<id>_<low>_<high>.npz``."""
    return f"{name}_{low}_{high}.npz"


def read_pair(path: str | Path) -> StoredPair:
    """Read a pair.

    Raises:
        InputError: the file is no pair, or its arrays do not fit each other.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {key: _read_array(archive, key) for key in _KEYS}
    except _BROKEN as error:
        raise InputError(f"{path}: is no pair: {error}") from error
    return _checked(path, arrays)


def _checked(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> StoredPair:
    shape = arrays["shape"]
    if shape.shape != (3,) or len(set(shape.tolist())) != 1 or not 1 <= shape[0] <= 2**11:
        raise InputError(f"{path}: shape: expected three equal edges, found {shape.tolist()}")
    edge = int(shape[0])
    fine = arrays["odms"].shape[-1] if arrays["odms"].ndim else 0
    for key, dtype, expected in (
        *((key, np.uint64, (edge, edge, words_per_line(edge))) for key in _LOW_KEYS.values()),
        ("odms", np.uint16, (FACE_COUNT, fine, fine)),
        ("transform", np.float64, (2, 3)),
    ):
        array = arrays[key]
        if array.dtype != dtype or array.shape != expected:
            raise InputError(
                f"{path}: {key}: expected {np.dtype(dtype)} of shape {expected}, "
                f"found {array.dtype} of shape {array.shape}"
            )
    if fine % edge or arrays["odms"].max(initial=0) > fine:
        raise InputError(f"{path}: odms: expected depths up to {fine}, a multiple of {edge}")
    origin, spacing = (tuple(map(float, row)) for row in arrays["transform"])
    return StoredPair(
        lows={rule: arrays[key] for rule, key in _LOW_KEYS.items()},
        odms=arrays["odms"],
        edge=edge,
        origin=(origin[0], origin[1], origin[2]),
        spacing=(spacing[0], spacing[1], spacing[2]),
        source_sha256=str(arrays["source_sha256"]),
    )


def _read_array(archive: zipfile.ZipFile, key: str) -> npt.NDArray[Any]:
    """One array of a pair, its header checked against its size before anything is allocated."""
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > MAX_MEMBER_BYTES:
        raise InputError(
            f"{key}: expected at most {MAX_MEMBER_BYTES} bytes, found {info.file_size}"
        )
    with archive.open(info) as stream:
        header = npy.read_header(key, cast(BinaryIO, stream))
        npy.check_size(key, header, info.file_size)
        content = stream.read()
    if header.fortran_order or len(content) != header.data_bytes:
        raise InputError(f"{key}: expected {header.data_bytes} bytes in C order, found another")
    return np.frombuffer(content, header.dtype).reshape(header.shape)


def _write_arrays(file: BinaryIO, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """A compressed npz; the same arrays give the same bytes, whatever the time of day."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            info = zipfile.ZipInfo(f"{key}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
