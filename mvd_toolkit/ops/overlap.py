"""How much two grids have in common."""

from __future__ import annotations

from typing import Any

from mvd_toolkit import _core
from mvd_toolkit._arrays import Grids, as_kind, same_core
from mvd_toolkit.errors import InputError


def iou(a: Any, b: Any, *, threads: int = 0) -> Any:
    """Voxels in both grids over voxels in either: a float, or (B,) float64 for a batch.

    Both empty: 1.0. The grids may be of different kinds but must be of one shape; where a
    `VoxelGrid` lies in the world does not matter. A batch of tensors gives a tensor.

    >>> iou(np.array([[[True, True]]]), np.array([[[True, False]]]))
    0.5
    """
    one = Grids.of(a, name="a", threads=threads)
    other = Grids.of(b, name="b", threads=threads)
    expected, found = _outer_shape(one), _outer_shape(other)
    if expected != found:
        raise InputError(f"b: expected the shape of a, {expected}, found {found}")
    core = same_core(one, other, "a and b")
    scores = core.iou(one.packed, other.packed, one.depth, threads)
    if not one.batched:
        return float(scores[0])
    return as_kind(scores, "torch" if one.kind == "packed" and core is _core else one.kind)


def _outer_shape(grids: Grids[Any]) -> tuple[int, ...]:
    """The shape the caller sees: (X, Y, Z) or (B, X, Y, Z)."""
    return (*grids.packed.shape[:1], *grids.shape) if grids.batched else grids.shape
