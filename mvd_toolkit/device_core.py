"""The functions of `_core` on tensors of a CUDA device, with the same names and arguments.

``packed`` is (B, X, Y, ceil(Z / 64)) int64, depth maps are (B, 6, N, N) uint16, all contiguous and
on one device; so is every result. Kernels are queued on torch's current stream, nothing waits for
them, and ``threads`` is ignored. Callers check shapes and options, as `ops` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mvd_toolkit import _core
from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.grid import words_per_line

if TYPE_CHECKING:
    import numpy.typing as npt


class DeviceCore:
    """The operations on one device. Every method raises `UnavailableError` where CUDA refuses.

    Args:
        device: a CUDA device.
        kernels: the compiled module; by default that of the CUDA build. Tests give the emulated
            one, which runs the same kernels on CPU tensors.

    Raises:
        UnavailableError: this build has no CUDA kernels.
    """

    def __init__(self, device: torch.device, kernels: Any = None) -> None:
        self.device = device
        self._kernels = cuda_kernels(f"a tensor on {device}") if kernels is None else kernels

    # Packed grids

    def pack(self, dense: torch.Tensor, threads: int = 0) -> torch.Tensor:
        """(B, X, Y, Z) bool to packed words."""
        b, x, y, z = dense.shape
        packed = self._words(b, x, y, z)
        self._run("pack", dense, packed, (b, x, y, z))
        return packed

    def unpack(self, packed: torch.Tensor, z: int, threads: int = 0) -> torch.Tensor:
        """Packed words to (B, X, Y, Z) bool."""
        shape = _shape(packed, z)
        dense = torch.empty(shape, dtype=torch.bool, device=self.device)
        self._run("unpack", packed, dense, shape)
        return dense

    def mirror(self, packed: torch.Tensor, z: int, axis: int, threads: int = 0) -> torch.Tensor:
        """Reversed along an axis."""
        mirrored = torch.empty_like(packed)
        self._run("mirror", packed, mirrored, _shape(packed, z), axis)
        return mirrored

    def pool(
        self, packed: torch.Tensor, z: int, factor: int, rule: str = "any", threads: int = 0
    ) -> torch.Tensor:
        """Coarser by ``factor``."""
        b, x, y, z = _shape(packed, z)
        pooled = self._words(b, -(-x // factor), -(-y // factor), -(-z // factor))
        self._run("pool", packed, pooled, (b, x, y, z), factor, rule)
        return pooled

    def upsample_nearest(
        self, packed: torch.Tensor, z: int, factor: int, threads: int = 0
    ) -> torch.Tensor:
        """Finer by ``factor``."""
        b, x, y, z = _shape(packed, z)
        upsampled = self._words(b, x * factor, y * factor, z * factor)
        self._run("upsample_nearest", packed, upsampled, (b, x, y, z), factor)
        return upsampled

    def dilate(
        self, packed: torch.Tensor, z: int, steps: int = 1, threads: int = 0
    ) -> torch.Tensor:
        """Grown by ``steps`` along each axis."""
        dilated, workspace = torch.empty_like(packed), torch.empty_like(packed)
        self._run("dilate", packed, dilated, _shape(packed, z), steps, workspace)
        return dilated

    def iou(self, a: torch.Tensor, b: torch.Tensor, z: int, threads: int = 0) -> torch.Tensor:
        """(B,) float64."""
        scores = torch.empty(len(a), dtype=torch.float64, device=self.device)
        workspace = torch.empty((len(a), 2), dtype=torch.int64, device=self.device)
        self._run("iou", a, b, scores, _shape(a, z), workspace)
        return scores

    # Depth maps

    def extract_odms(self, packed: torch.Tensor, z: int, threads: int = 0) -> torch.Tensor:
        """The six views of each grid."""
        shape = _shape(packed, z)
        odms = self._odms(shape[0], max(shape[1:]))
        self._run("extract_odms", packed, odms, shape)
        return odms

    def extract_odms_dense(self, dense: torch.Tensor, threads: int = 0) -> torch.Tensor:
        """The six views of (B, X, Y, Z) bool grids, which are packed first."""
        return self.extract_odms(self.pack(dense), dense.shape[3])

    def project_odms(
        self, odms: torch.Tensor, x: int, y: int, z: int, votes: int = 1, threads: int = 0
    ) -> torch.Tensor:
        """What six views leave of full grids."""
        packed = self._words(len(odms), x, y, z)
        self._run("project_odms", odms, packed, (len(odms), x, y, z), votes)
        return packed

    def smooth_odms(
        self, odms: torch.Tensor, threshold: float, window: int = 7, threads: int = 0
    ) -> torch.Tensor:
        """The adaptive mean."""
        smoothed = torch.empty_like(odms)
        n = odms.shape[-1]
        self._run("smooth_odms", odms, smoothed, len(odms), n, threshold, window)
        return smoothed

    def carve(
        self,
        low: torch.Tensor,
        low_z: int,
        odms: torch.Tensor,
        scale: int,
        structure_votes: int = 2,
        threads: int = 0,
        layers: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """The fine grids, or their layers ``[begin, end)`` of x alone."""
        b, x, y, z = shape = _shape(low, low_z)
        begin, end = layers or (0, scale * x)
        fine = self._words(b, end - begin, scale * y, scale * z)
        self._run("carve", low, odms, fine, shape, scale, structure_votes, begin, end)
        return fine

    def soft_rank(
        self,
        coverage: torch.Tensor,
        levels: torch.Tensor,
        trilinear_scores: npt.NDArray[np.int32],
        level_scores: npt.NDArray[np.int32],
        neighbour_scores: npt.NDArray[np.int32],
        scale: int,
        rounds: int,
        threads: int = 0,
    ) -> torch.Tensor:
        """Fine grids from (B, X, Y, Z) uint16 coverage and (B, L, 6, N, N) uint16 depths."""
        shape = b, x, y, z = tuple(coverage.shape)
        tables = trilinear_scores, level_scores, neighbour_scores
        scores = [torch.from_numpy(table).to(self.device) for table in tables]
        given = coverage, levels, levels.shape[1], *scores
        fine = self._words(b, scale * x, scale * y, scale * z)
        self._run("soft_rank", *given, 0, fine, shape, scale)
        before = torch.empty_like(fine) if rounds else fine
        for _ in range(rounds):
            before, fine = fine, before
            self._run("soft_rank", *given, before, fine, shape, scale)
        return fine

    # Meshes

    def voxelize_surface(
        self,
        vertices: torch.Tensor,
        faces: torch.Tensor,
        x: int,
        y: int,
        z: int,
        threads: int = 0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(V, 3) float64 vertices in voxels and (F, 3) int64 faces to (X, Y, W) words.

        Returns them and (2,) int64: how many faces are bad, and how many degenerate.
        """
        packed = self._words(1, x, y, z)
        counts = torch.empty(2, dtype=torch.int64, device=self.device)
        workspace = torch.empty(1 + len(faces), dtype=torch.int64, device=self.device)
        v, f = len(vertices), len(faces)
        self._run(
            "voxelize_surface", vertices, v, faces, f, packed, (1, x, y, z), counts, workspace
        )
        return packed[0], counts

    # What CUDA has no kernels for

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(_core, name):
            raise AttributeError(name)
        raise UnavailableError(f"{name}: has no CUDA kernel; pass a grid on the CPU")

    def _run(self, name: str, *args: Any) -> None:
        values = [a.data_ptr() if isinstance(a, torch.Tensor) else a for a in args]
        try:
            getattr(self._kernels, name)(self._queue(), *values)
        except _core.DeviceError as error:
            raise UnavailableError(f"{error}; `mvd doctor` says what is here") from error

    def _queue(self) -> Any:
        if self.device.type != "cuda":
            return self._kernels.Queue()
        stream = torch.cuda.current_stream(self.device)
        return self._kernels.Queue(stream.device.index, stream.cuda_stream)

    def _words(self, b: int, x: int, y: int, z: int) -> torch.Tensor:
        return torch.empty((b, x, y, words_per_line(z)), dtype=torch.int64, device=self.device)

    def _odms(self, batch: int, n: int) -> torch.Tensor:
        return torch.empty((batch, FACE_COUNT, n, n), dtype=torch.uint16, device=self.device)


def cuda_kernels(what: str) -> Any:
    """The compiled CUDA operations.

    Raises:
        UnavailableError: this build has none; ``what`` would have needed them.
    """
    kernels = getattr(_core, "cuda", None)
    if kernels is None:
        raise UnavailableError(
            f"{what} needs a build with CUDA kernels, and this one has CUDA {_core.cuda_build()}"
        )
    return kernels


def _shape(packed: torch.Tensor, z: int) -> tuple[int, int, int, int]:
    b, x, y, _ = packed.shape
    return b, x, y, z
