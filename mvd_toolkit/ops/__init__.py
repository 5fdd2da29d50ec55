"""Operations on grids and their depth maps.

Each takes a `VoxelGrid`, a boolean NumPy array, a boolean tensor, (X, Y, Z) or with a leading batch
axis, or `PackedGrids`, and returns the kind it was given; a batch is the single grid mapped.
``threads`` is how many threads to use, 0 for one a core: the result is the same for any number.
What lies on a CUDA device stays there: kernels are queued on torch's current stream, nothing waits
for them, and ``threads`` means nothing. `reference` holds each operation in plain NumPy.

All raise `InputError` on arrays of the wrong shape or dtype, or on different devices, `UsageError`
on an option that makes no sense and `UnavailableError` on tensors on a device for which this build
or the operation has no kernels.
"""

from mvd_toolkit.ops.carving import (
    SWAP_ROUNDS,
    carve,
    soft_rank,
    soft_scores,
)
from mvd_toolkit.ops.depth_maps import MAX_WINDOW, extract_odms, hull, project_odms, smooth_odms
from mvd_toolkit.ops.morphology import (
    count_parts,
    dilate,
    fill_holes,
    keep_largest,
    mirror,
    remove_small_parts,
)
from mvd_toolkit.ops.overlap import iou
from mvd_toolkit.ops.packing import pack, unpack
from mvd_toolkit.ops.resampling import coverage, pool, upsample_nearest

__all__ = [
    "MAX_WINDOW",
    "SWAP_ROUNDS",
    "carve",
    "count_parts",
    "coverage",
    "dilate",
    "extract_odms",
    "fill_holes",
    "hull",
    "iou",
    "keep_largest",
    "mirror",
    "pack",
    "pool",
    "project_odms",
    "remove_small_parts",
    "smooth_odms",
    "soft_rank",
    "soft_scores",
    "unpack",
    "upsample_nearest",
]
