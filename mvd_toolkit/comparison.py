"""`Comparison`: a prediction and its truth, with what several metrics need computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid, check_is_grid
from mvd_toolkit.surface_samples import SurfaceSamples, occupied_box, sample_surface

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]

DEFAULT_POINTS: Final = 30_000


@dataclass(frozen=True)
class Sampling:
    """How surfaces are sampled.

    Attributes:
        points: how many on each surface.
        seed: of the draws; the truth and the prediction are drawn independently.
    """

    points: int = DEFAULT_POINTS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points < 1:
            raise UsageError(f"points: expected at least 1, found {self.points}")


class Nearest(NamedTuple):
    """For each sample of one surface the nearest of the other's.

    Attributes:
        distances: (n,) world units of the truth.
        indices: (n,) which of the other's samples.
    """

    distances: Floats
    indices: npt.NDArray[np.int64]


class Comparison:
    """A prediction against a truth of the same shape, voxel by voxel.

    What metrics share is computed when it is first asked for. Lengths are in the world units of
    the truth, wherever the prediction lies.

    Attributes:
        pred: (X, Y, Z).
        truth: (X, Y, Z).
        sampling: how the surfaces are sampled.
        threads: how many threads to use, 0 for one a core.

    Raises:
        InputError: the shapes differ.
    """

    def __init__(
        self,
        pred: VoxelGrid,
        truth: VoxelGrid,
        sampling: Sampling | None = None,
        *,
        threads: int = 0,
    ) -> None:
        check_is_grid(pred, "prediction")
        check_is_grid(truth, "truth")
        if pred.shape != truth.shape:
            raise InputError(
                f"prediction and truth differ in shape: expected {_size(truth)} as the truth has, "
                f"found {_size(pred)}; `mvd convert --resolution` or `mvd upscale --to` changes "
                "a size"
            )
        self.pred = VoxelGrid(pred.packed, truth.shape, truth.origin, truth.spacing)
        self.truth = truth
        self.sampling = sampling or Sampling()
        self.threads = threads
        points, seed = self.sampling.points, self.sampling.seed
        self._pred = _Side(self.pred, points, 2 * seed + 1, threads)
        self._truth = _Side(self.truth, points, 2 * seed, threads)

    def against(self, pred: VoxelGrid) -> Comparison:
        """Another prediction against the same truth, of which nothing is computed twice."""
        other = Comparison(pred, self.truth, self.sampling, threads=self.threads)
        other._truth = self._truth
        return other

    @property
    def in_pred(self) -> int:
        """Occupied voxels of the prediction."""
        return self._pred.count

    @property
    def in_truth(self) -> int:
        """Occupied voxels of the truth."""
        return self._truth.count

    @cached_property
    def in_both(self) -> int:
        """Voxels occupied in both."""
        both = self.truth.with_occupancy(self.pred.packed & self.truth.packed, self.truth.shape)
        return both.count()

    @property
    def odms(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """(6, N, N) depth maps of the prediction and of the truth."""
        return self._pred.odms, self._truth.odms

    @property
    def extent(self) -> Floats:
        """(3,) sides of the box around the truth, world units; zero for an empty truth."""
        return self._truth.extent

    @property
    def pred_samples(self) -> SurfaceSamples:
        """Points on the surface of the prediction."""
        return self._pred.samples

    @property
    def truth_samples(self) -> SurfaceSamples:
        """Points on the surface of the truth, drawn with another seed."""
        return self._truth.samples

    @cached_property
    def to_truth(self) -> Nearest:
        """From each sample of the prediction to the nearest of the truth."""
        return self._truth.nearest_to(self.pred_samples.points)

    @cached_property
    def to_pred(self) -> Nearest:
        """From each sample of the truth to the nearest of the prediction."""
        return self._pred.nearest_to(self.truth_samples.points)


class _Side:
    """One of the two grids, with what is computed of it alone."""

    def __init__(self, grid: VoxelGrid, points: int, seed: int, threads: int) -> None:
        self.grid = grid
        self._points = points
        self._seed = seed
        self._threads = threads

    @cached_property
    def count(self) -> int:
        return self.grid.count()

    @cached_property
    def odms(self) -> npt.NDArray[np.uint16]:
        return ops.extract_odms(self.grid, threads=self._threads)

    @cached_property
    def extent(self) -> Floats:
        box = occupied_box(self.grid)
        sides: Floats = np.zeros(3) if box is None else box[1] - box[0]
        return sides * np.array(self.grid.spacing, np.float64)

    @cached_property
    def samples(self) -> SurfaceSamples:
        return sample_surface(self.grid, self._points, self._seed, threads=self._threads)

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self.samples.points)

    def nearest_to(self, points: Floats) -> Nearest:
        """For each of (n, 3) points the nearest sample: none when there are no samples."""
        if not len(points) or not len(self.samples.points):
            return Nearest(np.empty(0), np.empty(0, np.int64))
        distances, indices = self._tree.query(points, workers=self._threads or -1)
        return Nearest(np.asarray(distances), np.asarray(indices))


def _size(grid: VoxelGrid) -> str:
    return "x".join(map(str, grid.shape))
