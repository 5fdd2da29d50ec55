"""Every operation of `ops` in plain NumPy: slow, obviously right, the oracle of the tests.

Functions take and return one dense boolean (X, Y, Z) grid, or one (6, N, N) uint16 set of depth
maps; a batch is these mapped.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mvd_toolkit._arrays import BoolArray, WordArray
from mvd_toolkit.grid import WORD_BITS, words_per_line


def pack(dense: BoolArray) -> WordArray:
    """(X, Y, Z) to (X, Y, ceil(Z / 64)) words, voxel z in bit z % 64 of word z // 64."""
    x, y, z = dense.shape
    padded = np.zeros((x, y, words_per_line(z) * WORD_BITS), bool)
    padded[:, :, :z] = dense
    octets: npt.NDArray[np.uint8] = np.packbits(padded, axis=-1, bitorder="little")
    return octets.view("<u8").astype(np.uint64)


def unpack(packed: WordArray, depth: int) -> BoolArray:
    """The inverse of `pack`, for a grid ``depth`` voxels deep."""
    octets = np.ascontiguousarray(packed.astype("<u8")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=depth, bitorder="little").astype(bool)
