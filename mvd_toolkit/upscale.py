"""`Upscaler`: a coarse grid in, a fine one out.

The stage's whole story, in order (DESIGN §3): fill the grid, guess how it was made, ask the two
predictors for six fine silhouettes and depths, turn them into ODMs, smooth those, carve them out
of the nearest-upsampled grid, pool to the size asked for. No step builds a dense fine grid.

A grid of fractions (rule *soft*) is not carved: each of its coarse voxels gets the number of fine
ones that it says, those that the depths make likeliest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, ops
from mvd_toolkit.conventions import FACE_COUNT, SOFT_RULE
from mvd_toolkit.device import usable_device
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.extent import reach_extent
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.low_rule import RuleGuess, guess_low_rule
from mvd_toolkit.voxelize import Fill

if TYPE_CHECKING:
    import torch

    from mvd_toolkit.model import Model
    from mvd_toolkit.model_config import ModelConfig
    from mvd_toolkit.packed import PackedGrids

DEFAULT_SIZE_LIMIT = 1024
"""Longest edge of a result when no size is asked for."""

SOFT_LEVELS = 8
"""Quantiles of depth that rank the fine voxels under the rule *soft*."""

MAX_LOW_EDGE = 256
"""Longest edge of a grid that is upscaled; eight times it is the largest grid of the core."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction, 0 to 1, of the whole that is behind it."""


@dataclass(frozen=True)
class Upscaled:
    """A fine grid and how it came to be.

    Attributes:
        grid: the fine grid.
        low_rule: the rule that was used, and whether it was given or guessed; None for an empty
            grid, which needs none.
        seconds: wall time of ``networks`` and of each other step; what runs on a GPU is one step,
            ``device``.
        notes: what the caller should know, a sentence each.
    """

    grid: VoxelGrid
    low_rule: RuleGuess | None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Upscaler:
    """Upscales voxel grids with a model; load one once and call it many times.

    >>> up = Upscaler.load()                                        # doctest: +SKIP
    >>> up(mvd.load("chair.binvox")).shape                          # doctest: +SKIP
    (256, 256, 256)
    """

    def __init__(self, model: Model, device: str | torch.device = "cpu") -> None:
        import torch

        self.model = model
        for predictor in (model.silhouette, model.depth):
            if isinstance(predictor, torch.nn.Module):
                predictor.eval()
        self.to(device)

    @classmethod
    def load(cls, model: str | Path | None = None, device: str | torch.device = "cpu") -> Upscaler:
        """Load a model directory, or by default the model that comes with the package.

        Raises:
            UnavailableError: no such model or device, or a plugin the model needs is missing.
        """
        from mvd_toolkit.model import Model

        return cls(Model.load(model), device)

    def to(self, device: str | torch.device) -> Upscaler:
        """Move the networks to a device, in place; on a GPU all other steps go there as well.

        Raises:
            UnavailableError: there is no such device.
        """
        self.device = usable_device(device)
        self.model.to(self.device)
        return self

    def use_tiles(self, edge: int | None) -> None:
        """Run the networks on tiles of faces: less memory, more work, the same grids.

        Args:
            edge: of a tile, coarse pixels, without what overlaps; None: the default, whole faces
                where they fit.

        Raises:
            UsageError: a network may depend on any pixel of a face, so tiles would change grids.
        """
        predictors = {"silhouette": self.model.silhouette, "depth": self.model.depth}
        for role, predictor in predictors.items():
            tiles = getattr(predictor, "tiles", None)
            if tiles is not None:
                tiles.use(edge)
            elif edge is not None:
                raise UsageError(
                    f"tile: the {role} predictor of this model looks at whole faces; "
                    "leave tiles out"
                )

    @property
    def scale(self) -> int:
        """How many times finer the model's own result is."""
        return self.model.config.scale

    def __call__(
        self,
        grid: VoxelGrid,
        to: int | None = None,
        low_rule: str = "auto",
        fill: Fill = "hull",
        threads: int = 0,
    ) -> VoxelGrid:
        """The fine grid in the same place: longest edge ``to`` voxels.

        Args:
            grid: (X, Y, Z) coarse grid, longest edge at most 256.
            to: longest edge of the result; it must divide ``scale * max(X, Y, Z)``. By default
                the model's own, or the largest that 1024 allows.
            low_rule: how the grid was made: any, half, centre, soft (its coverage is to be used),
                or auto: soft where the grid has coverage, else a guess.
            fill: "hull" fills what no face can see into; "none" takes the grid as it is. Fractions
                are kept either way.
            threads: for the core and the networks; 0 means all cores.

        Returns:
            Grid of shape ``to / max(X, Y, Z) * (X, Y, Z)``, same origin, finer spacing.

        Raises:
            UsageError: ``to``, ``low_rule`` or ``fill`` make no sense; the sizes that work are
                named.
            InputError: the grid is larger than 256.
            UnavailableError: the model is at fault: its maps have the wrong shape, or no numbers.
        """
        return self.detailed(grid, to, low_rule, fill, threads).grid

    def batch(
        self,
        grids: Sequence[VoxelGrid],
        to: int | None = None,
        low_rule: str = "auto",
        fill: Fill = "hull",
        threads: int = 0,
    ) -> list[VoxelGrid]:
        """Each grid upscaled, in order: what calling one by one gives.

        On a GPU grids of one shape go through the networks together. A batch that does not fit its
        memory is halved, with a `RuntimeWarning`.
        """
        if not self._has_kernels:
            return [self(grid, to, low_rule, fill, threads) for grid in grids]
        from mvd_toolkit.device_upscale import upscale_grids

        for grid in grids:
            check_request(grid.shape, self.model.config, to, low_rule, fill)
        soft = [self._is_soft(grid, low_rule) for grid in grids]
        bits = [grid for grid, is_soft in zip(grids, soft, strict=True) if not is_soft]
        fine = iter(upscale_grids(self.model, bits, self.device, to, low_rule, fill))
        return [
            self(grid, to, low_rule, fill, threads) if is_soft else next(fine)
            for grid, is_soft in zip(grids, soft, strict=True)
        ]

    def packed(self, low: PackedGrids, low_rule: str = "any", fill: Fill = "hull") -> PackedGrids:
        """A batch of grids upscaled where it lies, by the model's own scale.

        Args:
            low: (X, Y, Z) coarse grids on the upscaler's device.
            low_rule: any, half or centre, how all of them were made, or auto for a guess at each.
            fill: as for calling.

        Returns:
            Grids of (s X, s Y, s Z) on the same device.

        Raises:
            UsageError: ``low_rule`` or ``fill`` make no sense.
            InputError: the grids are larger than 256, or on another device.
            UnavailableError: the model is at fault, or this build has no kernels for the device.
        """
        from mvd_toolkit.device_upscale import upscale_packed

        if low_rule == SOFT_RULE:
            raise UsageError("low rule soft: packed grids have no fractions")
        check_request(low.shape, self.model.config, None, low_rule, fill)
        if low.words.device != self.device:
            raise InputError(
                f"low: expected grids on {self.device}, found them on {low.words.device}"
            )
        return upscale_packed(self.model, low, low_rule, fill)

    def detailed(
        self,
        grid: VoxelGrid,
        to: int | None = None,
        low_rule: str = "auto",
        fill: Fill = "hull",
        threads: int = 0,
        progress: Progress | None = None,
    ) -> Upscaled:
        """What calling does, with the rule that was used, the time of each step and notes."""
        edge = max(grid.shape)
        target = check_request(grid.shape, self.model.config, to, low_rule, fill)
        clock = _Clock(progress)
        soft = self._is_soft(grid, low_rule)
        with clock("fill", 0.0):
            if soft:
                grid = _covered(grid)
            low = ops.hull(grid, threads=threads) if fill == "hull" else grid
        rule: RuleGuess | None = None
        if low.count() == 0:
            fine = _empty(grid, self.scale)
            notes: tuple[str, ...] = ("the grid is empty, and so is the result",)
        else:
            with clock("low_rule", 0.01):
                rule = self._rule(low, SOFT_RULE if soft else low_rule)
            if soft:
                fine = self._upscale_soft(grid, low, threads, clock)
            else:
                fine = self._upscale(low, rule.rule, threads, clock)
            notes = () if fine.count() else ("nothing is left of the shape: it is too small",)
        with clock("pool", 0.95):
            factor = self.scale * edge // target if edge else 1
            if factor > 1:
                kept = "half" if rule is None else pooling_rule(rule.rule)
                fine = ops.pool(fine, factor, kept, threads=threads)
        clock.done()
        return Upscaled(fine, rule, clock.seconds, notes)

    def predict_odms(
        self, grid: VoxelGrid, low_rule: str = "any", threads: int = 0
    ) -> npt.NDArray[np.uint16]:
        """The six fine ODMs of a filled grid, before smoothing: (6, s*N, s*N) uint16.

        N is the grid's longest edge and s the scale; s*N means background.
        """
        import torch

        edge = max(grid.shape)
        fine_edge = self.scale * edge
        low = torch.from_numpy(_cube(grid.dense()))[None].to(self.device)
        with torch.inference_mode(), _torch_threads(threads):
            silhouette = _face_maps(self.model.silhouette(low, low_rule), fine_edge)
            depth = _face_maps(self.model.depth(low, low_rule), fine_edge)
        return compose_odms(silhouette, depth, self.model.config.fusion.silhouette_threshold)

    @property
    def _has_kernels(self) -> bool:
        """Whether all steps can run where the networks do."""
        return self.device.type == "cuda" and hasattr(_core, "cuda")

    def _is_soft(self, grid: VoxelGrid, low_rule: str) -> bool:
        return low_rule == SOFT_RULE or (low_rule == "auto" and grid.coverage is not None)

    def _rule(self, low: VoxelGrid, asked: str) -> RuleGuess:
        if asked == "auto":
            known = tuple(rule for rule in self.model.config.rules if rule != SOFT_RULE)
            return guess_low_rule(low, known)
        return RuleGuess(asked, confidence=1.0, guessed=False)

    def _upscale(self, low: VoxelGrid, rule: str, threads: int, clock: _Clock) -> VoxelGrid:
        fusion = self.model.config.fusion
        if self._has_kernels:
            from mvd_toolkit.device_upscale import upscale_grids

            with clock("device", 0.02):
                own = self.scale * max(low.shape)
                return upscale_grids(self.model, [low], self.device, own, rule, "none")[0]
        with clock("networks", 0.02):
            odms = self.predict_odms(low, rule, threads)
        with clock("smooth", 0.8):
            if fusion.smooth_threshold is not None:
                odms = ops.smooth_odms(
                    odms, fusion.smooth_threshold, window=fusion.smooth_window, threads=threads
                )
        with clock("carve", 0.85):
            base = low if rule == "any" else ops.dilate(low, threads=threads)
            fine = ops.carve(
                base, odms, self.scale, structure_votes=fusion.structure_votes, threads=threads
            )
            return reach_extent(fine, self.scale)

    def _upscale_soft(
        self, grid: VoxelGrid, low: VoxelGrid, threads: int, clock: _Clock
    ) -> VoxelGrid:
        """Fill by coverage. ``low`` is what the networks see: ``grid`` or its hull."""
        coverage = grid.coverage
        assert coverage is not None
        x, y, z = (self.scale * n for n in low.shape)
        if self._has_kernels:
            from mvd_toolkit.device_upscale import fill_grid

            with clock("device", 0.02):
                packed = fill_grid(self.model, low, coverage, self.device, SOFT_LEVELS)
                return low.with_occupancy(packed, (x, y, z), self.scale)
        with clock("networks", 0.02):
            levels = self._levels(low, coverage, threads)
        with clock("carve", 0.85):
            packed = ops.soft_rank(coverage, self.scale, levels, threads=threads)
            return low.with_occupancy(packed, (x, y, z), self.scale)

    def _levels(
        self, low: VoxelGrid, coverage: npt.NDArray[np.float32], threads: int
    ) -> npt.NDArray[np.uint16] | None:
        """(L, 6, s*N, s*N) depths, bolder and bolder; None where the model tells one depth only."""
        import torch

        from mvd_toolkit.predictors import DepthPredictor

        depth = self.model.depth
        if not isinstance(depth, DepthPredictor):
            return None
        knows = SOFT_RULE in self.model.config.rules
        grids = torch.from_numpy(_cube(low.dense()))[None].to(self.device)
        shares = torch.from_numpy(_cube(coverage))[None].to(self.device) if knows else None
        with torch.inference_mode(), _torch_threads(threads):
            maps = depth.levels(grids, SOFT_RULE if knows else "any", shares, SOFT_LEVELS)
        return maps[0].round().to(torch.int32).cpu().numpy().astype(np.uint16)


def check_request(
    shape: Sequence[int], config: ModelConfig, to: int | None, low_rule: str, fill: str
) -> int:
    """Check what can be checked without a network; the longest edge of the result.

    Args:
        shape: of the coarse grid.
        config: of the model.
        to: longest edge of the result; None: the default.
        low_rule: auto, soft, or one of the model's.
        fill: hull or none.

    Raises:
        InputError: the grid is larger than `MAX_LOW_EDGE`.
        UsageError: another of them makes no sense.
    """
    if max(shape) > MAX_LOW_EDGE:
        raise InputError(
            f"grid of {_size(shape)}: expected a coarse grid, at most {MAX_LOW_EDGE} "
            "along its longest edge; `mvd convert --resolution` pools a fine one"
        )
    size = result_size(max(shape), config.scale, to)
    known = [rule for rule in config.rules if rule != SOFT_RULE]
    if low_rule not in ("auto", SOFT_RULE, *known):
        raise UsageError(
            f"low rule: expected auto, soft or one of this model's rules ({', '.join(known)}), "
            f"found {low_rule!r}"
        )
    if fill not in ("hull", "none"):
        raise UsageError(f"fill: expected hull or none, found {fill!r}")
    return size


def pooling_rule(low_rule: str) -> str:
    """The rule by which the model's own result is made smaller: the one the input was made by.

    >>> pooling_rule("any"), pooling_rule("soft")
    ('any', 'half')
    """
    return "half" if low_rule == SOFT_RULE else low_rule


def result_sizes(edge: int, scale: int) -> list[int]:
    """The sizes that an ``edge``³ grid can be given: the divisors of ``scale * edge``.

    >>> result_sizes(6, 4)
    [1, 2, 3, 4, 6, 8, 12, 24]
    """
    own = scale * edge
    return [size for size in range(1, own + 1) if own % size == 0]


def result_size(edge: int, scale: int, to: int | None) -> int:
    """The longest edge of the result for an ``edge``³ grid.

    Args:
        edge: longest edge of the coarse grid, voxels.
        scale: the model's.
        to: what was asked for; None: the largest size that 1024 allows.

    Raises:
        UsageError: ``to`` does not divide ``scale * edge``.
    """
    own = scale * edge
    if to is None:
        sizes = result_sizes(edge, scale)
        return max((size for size in sizes if size <= DEFAULT_SIZE_LIMIT), default=own)
    if to < 1 or own % to:
        sizes = result_sizes(edge, scale)
        raise UsageError(
            f"size {to} cannot be made from {edge}: "
            f"expected a divisor of {scale} x {edge} = {own}; "
            f"these work: {', '.join(map(str, sizes))}"
        )
    return to


def compose_odms(
    silhouette: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    threshold: float,
) -> npt.NDArray[np.uint16]:
    """ODMs from what the predictors say, face by face.

    Args:
        silhouette: (6, N, N) float32, probability that a pixel meets the shape.
        depth: (6, N, N) float32, fine voxels; read only where the silhouette is.
        threshold: a pixel is silhouette when its probability is above it.

    Returns:
        (6, N, N) uint16: depth rounded half to even and clamped to 0 … N - 1, N at background.

    Raises:
        UnavailableError: a depth inside the silhouette is not a number.
    """
    edge = depth.shape[-1]
    odms = np.empty(depth.shape, np.uint16)
    for face in range(FACE_COUNT):
        inside = silhouette[face] > threshold
        rounded = np.clip(np.rint(depth[face]), 0, edge - 1)
        if np.isnan(rounded[inside]).any():
            raise UnavailableError("the depth predictor gave NaN: its weights are damaged")
        odms[face] = np.where(inside, rounded, edge).astype(np.uint16)
    return odms


class _Clock:
    """Times the steps of one run and tells how far it is."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextlib.contextmanager
    def __call__(self, step: str, behind: float) -> Iterator[None]:
        if self._progress:
            self._progress(step, behind)
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def done(self) -> None:
        if self._progress:
            self._progress("done", 1.0)


def _covered(grid: VoxelGrid) -> VoxelGrid:
    """The same grid, occupied wherever anything is covered.

    Raises:
        UsageError: it has no coverage.
    """
    if grid.coverage is None:
        raise UsageError(
            "low rule soft: expected a grid of fractions (a float or byte array), found one of bits"
        )
    bits = VoxelGrid.from_dense(grid.coverage > 0)
    return replace(grid, packed=bits.packed)


def _cube(dense: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, N, N): padded with zeros at the far ends to its longest edge."""
    edge = max(dense.shape)
    return np.pad(dense, [(0, edge - n) for n in dense.shape])


def _face_maps(maps: torch.Tensor, edge: int) -> npt.NDArray[np.float32]:
    """The (6, edge, edge) float32 maps of a batch of one."""
    expected = (1, FACE_COUNT, edge, edge)
    if tuple(maps.shape) != expected:
        raise UnavailableError(
            f"predictor: expected maps of shape {expected}, found {tuple(maps.shape)}"
        )
    array: npt.NDArray[np.float32] = maps[0].float().cpu().numpy()
    return array


def _empty(grid: VoxelGrid, scale: int) -> VoxelGrid:
    x, y, z = (scale * n for n in grid.shape)
    words = -(-z // 64)
    return grid.with_occupancy(np.zeros((x, y, words), np.uint64), (x, y, z), scale)


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


@contextlib.contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Lets torch use ``threads`` threads inside; 0 leaves it alone."""
    import torch

    before = torch.get_num_threads()
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads > 0:
            torch.set_num_threads(before)
