"""`Upscaler`: a coarse grid in, a fine one out.

The stage's whole story, in order: fill the grid, guess how it was made, ask the two predictors for
six fine silhouettes and depths, turn them into ODMs, smooth those, carve them out of the
nearest-upsampled grid, let a network with a seventh opinion redraw the boundary, sweep up the
crumbs, pool to the size asked for; docs/method.md tells why. No step builds a dense fine grid.

A grid of fractions (rule *soft*) is not carved: each of its coarse voxels gets the number of fine
ones that it says, the likeliest, which a network of its own tells, or else the depths.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, ops
from mvd_toolkit.conventions import LOW_RULES, SOFT_RULE, bits_rule
from mvd_toolkit.device import usable_device
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.fine_odms import compose_odms, face_maps, pad_to_cube, torch_threads
from mvd_toolkit.finishing import finish
from mvd_toolkit.grid import VoxelGrid, check_is_grid
from mvd_toolkit.low_rule import RuleGuess, guess_low_rule
from mvd_toolkit.progress import Progress, StepClock
from mvd_toolkit.upscale_request import check_request, pooling_rule
from mvd_toolkit.voxelize import Fill

if TYPE_CHECKING:
    import torch

    from mvd_toolkit.model import Model
    from mvd_toolkit.packed import PackedGrids

SOFT_LEVELS = 8
"""Quantiles of depth that rank the fine voxels under the rule *soft*."""


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
        self.model = model
        for module in model.modules():
            module.eval()
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
        *,
        keep_parts: bool = False,
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
            keep_parts: keep crumbs: parts smaller than a coarse voxel that the coarse grid does
                not tell from larger ones. Fractions keep them either way.

        Returns:
            Grid of shape ``to / max(X, Y, Z) * (X, Y, Z)``, same origin, finer spacing.

        Raises:
            UsageError: ``to``, ``low_rule`` or ``fill`` make no sense; the sizes that work are
                named.
            InputError: the grid is larger than 256.
            UnavailableError: the model is at fault: its maps have the wrong shape, or no numbers.
        """
        return self.detailed(grid, to, low_rule, fill, threads, keep_parts=keep_parts).grid

    def batch(
        self,
        grids: Sequence[VoxelGrid],
        to: int | None = None,
        low_rule: str = "auto",
        fill: Fill = "hull",
        threads: int = 0,
        *,
        keep_parts: bool = False,
    ) -> list[VoxelGrid]:
        """Each grid upscaled, in order: what calling one by one gives.

        On a GPU grids of one shape go through the networks together. A batch that does not fit its
        memory is halved, with a `RuntimeWarning`.
        """
        one = functools.partial(
            self, to=to, low_rule=low_rule, fill=fill, threads=threads, keep_parts=keep_parts
        )
        if not self._has_kernels:
            return [one(grid) for grid in grids]
        from mvd_toolkit.device_upscale import upscale_grids

        for grid in grids:
            check_is_grid(grid)
            check_request(grid.shape, self.model.config, to, low_rule, fill)
        soft = [self._is_soft(grid, low_rule) for grid in grids]
        bits = [grid for grid, is_soft in zip(grids, soft, strict=True) if not is_soft]
        fine = iter(
            upscale_grids(self.model, bits, self.device, to, low_rule, fill, keep_parts=keep_parts)
        )
        return [
            one(grid) if is_soft else next(fine) for grid, is_soft in zip(grids, soft, strict=True)
        ]

    def packed(self, low: PackedGrids, low_rule: str = "any", fill: Fill = "hull") -> PackedGrids:
        """A batch of grids upscaled where it lies, by the model's own scale; crumbs stay.

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
        if not len(low.words):
            raise InputError("low: expected at least one grid, found none")
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
        *,
        keep_parts: bool = False,
    ) -> Upscaled:
        """What calling does, with the rule that was used, the time of each step and notes."""
        check_is_grid(grid)
        edge = max(grid.shape)
        target = check_request(grid.shape, self.model.config, to, low_rule, fill)
        clock = StepClock(progress)
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
            if soft and self.model.config.fusion.keep_coverage:
                fine = self._upscale_soft(grid, low, threads, clock)
            else:
                hint = grid.coverage if soft else None
                fine = self._upscale(low, rule.rule, threads, clock, hint, keep_parts=keep_parts)
            notes = () if fine.count() else ("nothing is left of the shape: it is too small",)
        with clock("pool", 0.95):
            factor = self.scale * edge // target if edge else 1
            if factor > 1:
                kept = "half" if rule is None else pooling_rule(rule.rule)
                fine = ops.pool(fine, factor, kept, threads=threads)
        clock.done()
        return Upscaled(fine, rule, clock.seconds, notes)

    def predict_odms(
        self,
        grid: VoxelGrid,
        low_rule: str = "any",
        threads: int = 0,
        coverage: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.uint16]:
        """The six fine ODMs of a filled grid, before smoothing: (6, s*N, s*N) uint16.

        N is the grid's longest edge and s the scale; s*N means background. Depths are told with
        ``coverage``, (X, Y, Z) occupied fractions, where it is given.
        """
        import torch

        edge = max(grid.shape)
        fine_edge = self.scale * edge
        low = torch.from_numpy(pad_to_cube(grid.dense()))[None].to(self.device)
        with torch.inference_mode(), torch_threads(threads):
            silhouette = face_maps(self.model.silhouette(low, low_rule), fine_edge)
            depth = face_maps(self._depths(low, low_rule, coverage), fine_edge)
        return compose_odms(silhouette, depth, self.model.config.fusion.silhouette_threshold)

    def _depths(
        self, low: torch.Tensor, rule: str, coverage: npt.NDArray[np.float32] | None
    ) -> torch.Tensor:
        import torch

        from mvd_toolkit.predictors import DepthPredictor

        depth = self.model.depth
        if coverage is None or not isinstance(depth, DepthPredictor):
            return depth(low, rule)
        shares = torch.from_numpy(pad_to_cube(coverage))[None].to(self.device)
        maps: torch.Tensor = depth(low, rule, shares)
        return maps

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

    def _upscale(
        self,
        low: VoxelGrid,
        rule: str,
        threads: int,
        clock: StepClock,
        coverage: npt.NDArray[np.float32] | None = None,
        *,
        keep_parts: bool = False,
    ) -> VoxelGrid:
        fusion = self.model.config.fusion
        if self._has_kernels and coverage is None:
            from mvd_toolkit.device_upscale import upscale_grids

            with clock("device", 0.02):
                own = self.scale * max(low.shape)
                return upscale_grids(
                    self.model, [low], self.device, own, rule, "none", keep_parts=keep_parts
                )[0]
        with clock("networks", 0.02):
            odms = self.predict_odms(low, rule, threads, coverage)
        with clock("smooth", 0.8):
            if fusion.smooth_threshold is not None:
                odms = ops.smooth_odms(
                    odms, fusion.smooth_threshold, window=fusion.smooth_window, threads=threads
                )
        with clock("carve", 0.85):
            base = low if bits_rule(rule) == "any" else ops.dilate(low, threads=threads)
            fine = ops.carve(
                base, odms, self.scale, structure_votes=fusion.structure_votes, threads=threads
            )
        # It learned from pooled grids, which those that come with chances are not.
        if self.model.boundary is not None and rule in LOW_RULES:
            with clock("boundary", 0.88), torch_threads(threads):
                self._redraw(fine, low, rule)
        with clock("finish", 0.93):
            return finish(fine, low, self.scale, keep_parts=keep_parts)

    def _redraw(self, fine: VoxelGrid, low: VoxelGrid, rule: str) -> None:
        """Let the boundary's network have its say on a carved grid, in place."""
        import torch

        assert self.model.boundary is not None
        words = torch.from_numpy(fine.packed.view(np.int64))[None]
        dense = torch.from_numpy(low.dense())[None]
        self.model.boundary.redraw(words, fine.shape[2], dense, rule)

    def _upscale_soft(
        self, grid: VoxelGrid, low: VoxelGrid, threads: int, clock: StepClock
    ) -> VoxelGrid:
        """Fill by coverage. ``low`` is what the networks see: ``grid`` or its hull."""
        coverage = grid.coverage
        assert coverage is not None
        x, y, z = (self.scale * n for n in low.shape)
        if self.model.subvoxel is not None:
            with clock("networks", 0.02), torch_threads(threads):
                packed = self.model.subvoxel.fill(coverage)
                return low.with_occupancy(packed, (x, y, z), self.scale)
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
        grids = torch.from_numpy(pad_to_cube(low.dense()))[None].to(self.device)
        shares = torch.from_numpy(pad_to_cube(coverage))[None].to(self.device) if knows else None
        with torch.inference_mode(), torch_threads(threads):
            maps = depth.levels(grids, SOFT_RULE if knows else "any", shares, SOFT_LEVELS)
        return maps[0].round().to(torch.int32).cpu().numpy().astype(np.uint16)


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


def _empty(grid: VoxelGrid, scale: int) -> VoxelGrid:
    x, y, z = (scale * n for n in grid.shape)
    words = -(-z // 64)
    return grid.with_occupancy(np.zeros((x, y, words), np.uint64), (x, y, z), scale)
