"""`VoxelGrid`: bit-packed occupancy and its place in the world, the value that flows everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core
from mvd_toolkit.errors import InputError

if TYPE_CHECKING:
    import torch

WORD_BITS = 64

Vector = tuple[float, float, float]


def words_per_line(depth: int) -> int:
    """Words that hold ``depth`` voxels of one line along z."""
    return -(-depth // WORD_BITS)


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Occupancy of a box of voxels, 64 voxels a word, and where the box lies in the world.

    Voxel ``(i, j, k)`` starts at ``origin + spacing * (i, j, k)`` and is ``spacing`` wide.

    Attributes:
        packed: (X, Y, ceil(Z / 64)) uint64; bits past Z are zero.
        shape: (X, Y, Z), voxels.
        origin: world position of the outer corner of voxel (0, 0, 0).
        spacing: edge of a voxel along each axis, world units.
        coverage: (X, Y, Z) float32 in [0, 1], the occupied fraction of each voxel, where known
            (coarse grids only).
        extent: lowest and highest corner of the shape itself, world units, where known more finely
            than the voxels say: that of the mesh which a grid was made from.

    Raises:
        InputError: the arrays do not fit the shape, or the transform is not finite and positive.
    """

    packed: npt.NDArray[np.uint64]
    shape: tuple[int, int, int]
    origin: Vector = (0.0, 0.0, 0.0)
    spacing: Vector = (1.0, 1.0, 1.0)
    coverage: npt.NDArray[np.float32] | None = None
    extent: tuple[Vector, Vector] | None = None

    def __post_init__(self) -> None:
        x, y, z = (int(n) for n in self.shape)
        object.__setattr__(self, "shape", (x, y, z))
        object.__setattr__(self, "origin", _vector("origin", self.origin))
        object.__setattr__(self, "spacing", _vector("spacing", self.spacing))
        expected = (x, y, words_per_line(z))
        if self.packed.dtype != np.uint64 or self.packed.shape != expected:
            raise InputError(
                f"packed words of a {x}x{y}x{z} grid: expected uint64 of shape {expected}, "
                f"found {self.packed.dtype} of shape {self.packed.shape}"
            )
        if z % WORD_BITS and (self.packed[..., -1:] >> np.uint64(z % WORD_BITS)).any():
            raise InputError(f"packed words of a {x}x{y}x{z} grid: bits past z = {z} must be zero")
        if min(self.spacing) <= 0:
            raise InputError(f"spacing: expected three positive numbers, found {self.spacing}")
        if self.coverage is not None and self.coverage.shape != (x, y, z):
            raise InputError(f"coverage: expected shape {(x, y, z)}, found {self.coverage.shape}")
        if self.extent is not None:
            object.__setattr__(self, "extent", _corners("extent", self.extent))

    @classmethod
    def from_dense(
        cls,
        dense: npt.ArrayLike,
        origin: Vector = (0.0, 0.0, 0.0),
        spacing: Vector | float = 1.0,
    ) -> VoxelGrid:
        """Pack a (X, Y, Z) array or tensor; every non-zero voxel is occupied.

        Raises:
            InputError: another number of axes, or fractions: whether 0.1 is occupied is for the
                caller to say. `from_coverage` keeps fractions.

        >>> VoxelGrid.from_dense(np.ones((2, 3, 4), bool)).count()
        24
        """
        array = _array(dense)
        if array.dtype.kind == "f":
            fractions = array[(array != 0) & (array != 1)]
            if fractions.size:
                raise InputError(
                    f"grid: expected 0 for empty and 1 for occupied, found {fractions[0]}; compare "
                    "first, as in `grid > 0.5`, or use VoxelGrid.from_coverage"
                )
        if array.dtype != np.bool_:
            array = array != 0
        packed = _core.pack(np.ascontiguousarray(array)[None])[0]
        if isinstance(spacing, (int, float)):
            spacing = (float(spacing),) * 3
        return cls(packed, (array.shape[0], array.shape[1], array.shape[2]), origin, spacing)

    @classmethod
    def from_coverage(
        cls,
        coverage: npt.ArrayLike,
        origin: Vector = (0.0, 0.0, 0.0),
        spacing: Vector | float = 1.0,
    ) -> VoxelGrid:
        """A coarse grid of fractions or probabilities, (X, Y, Z) in [0, 1], array or tensor.

        A voxel is occupied from one half up; the fractions are kept as the grid's coverage, as a
        file of them would be read.

        Raises:
            InputError: another number of axes, or a value outside [0, 1].

        >>> grid = VoxelGrid.from_coverage([[[0.25, 0.75]]])
        >>> grid.dense().tolist(), grid.coverage.tolist()
        ([[[False, True]]], [[[0.25, 0.75]]])
        """
        shares = np.ascontiguousarray(_array(coverage), np.float32)
        outside = shares[~((shares >= 0) & (shares <= 1))]  # NaN too
        if outside.size:
            raise InputError(
                f"coverage: expected fractions between 0 and 1, found {outside[0]}; logits need a "
                "sigmoid first"
            )
        return replace(cls.from_dense(shares >= 0.5, origin, spacing), coverage=shares)

    def dense(self) -> npt.NDArray[np.bool_]:
        """The (X, Y, Z) boolean array. A byte a voxel: 1 GiB at 1024³."""
        dense: npt.NDArray[np.bool_] = _core.unpack(
            np.ascontiguousarray(self.packed)[None], self.shape[2]
        )[0]
        return dense

    def to_torch(self, device: str | torch.device | None = None) -> torch.Tensor:
        """The (X, Y, Z) boolean tensor."""
        import torch

        return torch.from_numpy(self.dense()).to(device)

    def count(self) -> int:
        """How many voxels are occupied."""
        return int(np.bitwise_count(self.packed).sum(dtype=np.int64)) if self.packed.size else 0

    def with_occupancy(
        self, packed: npt.NDArray[np.uint64], shape: tuple[int, int, int], scale: float = 1.0
    ) -> VoxelGrid:
        """Other occupancy in the same place: voxels ``scale`` times finer, same origin."""
        x, y, z = (edge / scale for edge in self.spacing)
        return replace(self, packed=packed, shape=shape, spacing=(x, y, z), coverage=None)

    def __repr__(self) -> str:
        fractions = "" if self.coverage is None else ", with coverage"
        return (
            f"VoxelGrid(shape={self.shape}, occupied={self.count()}, origin={self.origin}, "
            f"spacing={self.spacing}{fractions})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VoxelGrid):
            return NotImplemented
        return (
            self.shape == other.shape
            and self.origin == other.origin
            and self.spacing == other.spacing
            and bool(np.array_equal(self.packed, other.packed))
        )

    __hash__ = None  # type: ignore[assignment]


def check_is_grid(value: object, name: str = "grid") -> None:
    """Refuse what is no `VoxelGrid`, an array above all.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, VoxelGrid):
        raise InputError(
            f"{name}: expected a VoxelGrid, found {type(value).__name__}; VoxelGrid.from_dense "
            "makes one of an array or tensor, load of a file"
        )


def _array(values: Any) -> npt.NDArray[Any]:
    """The (X, Y, Z) array; of a tensor that learns, or that is on a GPU, too."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = np.asarray(values)
    if array.ndim != 3:
        raise InputError(f"grid: expected 3 axes (x, y, z), found shape {array.shape}")
    return array


def _corners(name: str, values: Any) -> tuple[Vector, Vector]:
    if np.shape(values) != (2, 3):
        raise InputError(f"{name}: expected two corners of three numbers, found {values!r}")
    low, high = (_vector(name, corner) for corner in values)
    if any(a > b for a, b in zip(low, high, strict=True)):
        raise InputError(f"{name}: expected a lowest and a highest corner, found {low} and {high}")
    return low, high


def _vector(name: str, values: Any) -> Vector:
    vector = tuple(float(v) for v in values)
    if len(vector) != 3 or not np.isfinite(vector).all():
        raise InputError(f"{name}: expected three finite numbers, found {values!r}")
    return vector
