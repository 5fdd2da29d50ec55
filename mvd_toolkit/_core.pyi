"""Types of the C++ core. Every array is C-contiguous and has a leading batch axis.

``packed`` is (B, X, Y, ceil(Z / 64)) uint64, ``z`` the depth Z; ``threads=0`` means all cores.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

class CoreError(ValueError): ...
class DeviceError(RuntimeError): ...

def cuda_build() -> str: ...

# The operations on memory by address, see device_core.py; `cuda` is in builds with CUDA only.
emulated: Any
cuda: Any

# Packed grids
def pack(dense: npt.NDArray[np.bool_], threads: int = 0) -> npt.NDArray[np.uint64]: ...
def unpack(packed: npt.NDArray[np.uint64], z: int, threads: int = 0) -> npt.NDArray[np.bool_]: ...
def mirror(
    packed: npt.NDArray[np.uint64], z: int, axis: int, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def pool(
    packed: npt.NDArray[np.uint64], z: int, factor: int, rule: str = "any", threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def upsample_nearest(
    packed: npt.NDArray[np.uint64], z: int, factor: int, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def dilate(
    packed: npt.NDArray[np.uint64], z: int, steps: int = 1, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def keep_largest(
    packed: npt.NDArray[np.uint64], z: int, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def remove_small_parts(
    packed: npt.NDArray[np.uint64], z: int, voxels: int, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def remove_small_parts_within(
    packed: npt.NDArray[np.uint64],
    z: int,
    coarse: npt.NDArray[np.uint64],
    coarse_z: int,
    voxels: int,
    threads: int = 0,
) -> None: ...
def fill_holes(
    packed: npt.NDArray[np.uint64], z: int, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def count_parts(
    packed: npt.NDArray[np.uint64], z: int, threads: int = 0
) -> npt.NDArray[np.int64]: ...
def iou(
    a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64], z: int, threads: int = 0
) -> npt.NDArray[np.float64]: ...

# Depth maps: (B, 6, N, N), N = max(X, Y, Z)
def extract_odms(
    packed: npt.NDArray[np.uint64], z: int, threads: int = 0
) -> npt.NDArray[np.uint16]: ...
def extract_odms_dense(
    dense: npt.NDArray[np.bool_], threads: int = 0
) -> npt.NDArray[np.uint16]: ...
def project_odms(
    odms: npt.NDArray[np.uint16], x: int, y: int, z: int, votes: int = 1, threads: int = 0
) -> npt.NDArray[np.uint64]: ...
def smooth_odms(
    odms: npt.NDArray[np.uint16], threshold: float, window: int = 7, threads: int = 0
) -> npt.NDArray[np.uint16]: ...

# low (B, x, y, w) and odms (B, 6, N, N), N = scale * max(x, y, z) -> (B, scale x, scale y, W)
def carve(
    low: npt.NDArray[np.uint64],
    low_z: int,
    odms: npt.NDArray[np.uint16],
    scale: int,
    structure_votes: int = 2,
    threads: int = 0,
) -> npt.NDArray[np.uint64]: ...

# coverage (B, X, Y, Z), levels (B, L, 6, N, N), scores (1025,), (L + 1,) and (1025,) within 16
# bits; keep: how many scores of four bytes may stay in memory from round to round
def soft_rank(
    coverage: npt.NDArray[np.uint16],
    levels: npt.NDArray[np.uint16],
    trilinear_scores: npt.NDArray[np.int32],
    level_scores: npt.NDArray[np.int32],
    neighbour_scores: npt.NDArray[np.int32],
    scale: int,
    rounds: int,
    threads: int = 0,
    keep: int = ...,
) -> npt.NDArray[np.uint64]: ...

# Surfaces: vertices (V, 3) in voxels, faces (F, 3) -> ((X, Y, W), bad faces, degenerate faces)
def voxelize_centres(
    vertices: npt.NDArray[np.float64],
    faces: npt.NDArray[np.int64],
    x: int,
    y: int,
    z: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.uint64], int]: ...
def voxelize_surface(
    vertices: npt.NDArray[np.float64],
    faces: npt.NDArray[np.int64],
    x: int,
    y: int,
    z: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.uint64], int, int]: ...

# One grid, a batch of 1. runs: (R, 2), a value and a count each
def binvox_decode(
    runs: npt.NDArray[np.uint8], x: int, y: int, z: int
) -> npt.NDArray[np.uint64]: ...
def binvox_encode(packed: npt.NDArray[np.uint64], z: int) -> npt.NDArray[np.uint8]: ...
def binvox_encode_part(
    packed: npt.NDArray[np.uint64], z: int, value: bool, length: int
) -> tuple[npt.NDArray[np.uint8], bool, int]: ...
def binvox_encode_tail(value: bool, length: int) -> npt.NDArray[np.uint8]: ...

# One grid, a batch of 1 -> vertices (V, 3), faces (F, 3)
def surface_mesh(
    packed: npt.NDArray[np.uint64],
    z: int,
    origin: tuple[float, float, float],
    spacing: tuple[float, float, float],
    smooth: bool,
    apart: float,
    depths: npt.NDArray[np.float32] | None,
    max_faces: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]: ...

# One grid, a batch of 1. starts (R, 3), directions (R, 3) or (1, 3), in voxels -> distances (R)
def raycast(
    packed: npt.NDArray[np.uint64],
    z: int,
    starts: npt.NDArray[np.float32],
    directions: npt.NDArray[np.float32],
    threads: int = 0,
) -> npt.NDArray[np.float32]: ...

# One grid, a batch of 1. points (P, 3) in voxels -> unit normals (P, 3)
def surface_normals(
    packed: npt.NDArray[np.uint64],
    z: int,
    points: npt.NDArray[np.float32],
    radius: float,
    threads: int = 0,
) -> npt.NDArray[np.float32]: ...
