"""Types of the C++ core. Every array is C-contiguous and has a leading batch axis.

``packed`` is (B, X, Y, ceil(Z / 64)) uint64, ``z`` the depth Z; ``threads=0`` means all cores.
"""

import numpy as np
import numpy.typing as npt

class CoreError(ValueError): ...

def cuda_build() -> str: ...

# Packed grids
def pack(dense: npt.NDArray[np.bool_], threads: int = 0) -> npt.NDArray[np.uint64]: ...
def unpack(packed: npt.NDArray[np.uint64], z: int, threads: int = 0) -> npt.NDArray[np.bool_]: ...

# Surfaces: vertices (V, 3) in voxels, faces (F, 3) -> ((X, Y, W), bad faces, degenerate faces)
def voxelize_surface(
    vertices: npt.NDArray[np.float64],
    faces: npt.NDArray[np.int64],
    x: int,
    y: int,
    z: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.uint64], int, int]: ...
