"""Upscaling batches where they lie: `upscale`'s steps told by tensors, on a GPU or the CPU.

Grids come in packed and go out packed; between them nothing is copied to the host. On a GPU the
two predictors run in bfloat16. What waits for the device: the networks (they look only at pixels
and voxels that the shape covers, and how many those are the host must know) and the check that
depths are numbers.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from mvd_toolkit import _core, ops
from mvd_toolkit._arrays import Grids, Shape
from mvd_toolkit.boundary import padded_to_cubes
from mvd_toolkit.conventions import FULL_COVERAGE, SOFT_RULE
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.finishing import finish
from mvd_toolkit.grid import VoxelGrid, words_per_line
from mvd_toolkit.low_rule import RuleGuess, any_pooled_batch, guess_from
from mvd_toolkit.packed import PackedGrids
from mvd_toolkit.predictors import DepthPredictor
from mvd_toolkit.upscale_request import pooling_rule, result_size

if TYPE_CHECKING:
    from mvd_toolkit.model import Model
    from mvd_toolkit.voxelize import Fill

FINE_VOXELS = 2**31
"""Fine voxels of a batch of grids, at most, unless one alone has more: 128 at 256³, 16 at 512³."""


def upscale_packed(
    model: Model, low: PackedGrids, low_rule: str = "any", fill: Fill = "hull"
) -> PackedGrids:
    """Upscale a batch on the device that it and the model are on.

    Args:
        model: whose predictors are on that device.
        low: (X, Y, Z) coarse grids.
        low_rule: any, half or centre, how all of them were made, or auto for a guess at each.
        fill: "hull" fills what no face can see into; "none" takes the grids as they are.

    Returns:
        Grids of (s X, s Y, s Z), s the model's scale.

    Raises:
        UnavailableError: the predictors give maps of another shape, or depths that are no numbers.
    """
    base = ops.hull(low) if fill == "hull" else low
    if low_rule != "auto":
        return _carve(model, base, low_rule)
    rules = [guess.rule for guess in guess_rules(model, base)]
    if len(set(rules)) == 1:
        return _carve(model, base, rules[0])
    x, y, z = _times(low.shape, model.config.scale)
    words = low.words.new_empty((len(low), x, y, words_per_line(z)))
    for rule, members in _members(rules).items():
        of_rule = torch.tensor(members, device=words.device)
        words[of_rule] = _carve(model, PackedGrids(base.words[of_rule], low.depth), rule).words
    return PackedGrids(words, z)


def fill_packed(model: Model, low: PackedGrids, coverage: torch.Tensor, levels: int) -> PackedGrids:
    """Upscale a batch of grids of fractions by a model that has no network for them.

    Args:
        model: its depth predictor ranks the fine voxels where it tells quantiles.
        low: (X, Y, Z) what the networks see.
        coverage: (B, X, Y, Z) floats in [0, 1], the occupied fraction of each voxel.
        levels: how many quantiles.
    """
    grids, scale = Grids.of(low), model.config.scale
    n = scale * max(low.shape)
    knows = SOFT_RULE in model.config.rules
    if isinstance(model.depth, DepthPredictor):
        shares = padded_to_cubes(coverage.float()) if knows else None
        with _inference(low.words.device):
            maps = model.depth.levels(_cubes(low), SOFT_RULE if knows else "any", shares, levels)
        depths = _as_uint16(maps.float().round())
    else:
        depths = torch.empty((len(low), 0, 6, n, n), dtype=torch.uint16, device=coverage.device)
    whole = _as_uint16((coverage.double() * FULL_COVERAGE).round())
    scores = ops.soft_scores(depths.shape[1])
    filled, told = (t.numpy() if grids.core is _core else t for t in (whole, depths))
    fine = grids.core.soft_rank(filled, told, *scores, scale, ops.SWAP_ROUNDS)
    return grids.give_back(fine, _times(low.shape, scale))


def fill_grid(
    model: Model,
    low: VoxelGrid,
    coverage: npt.NDArray[np.float32],
    device: torch.device,
    levels: int,
) -> npt.NDArray[np.uint64]:
    """`fill_packed` of one grid from and to host memory: its words."""
    shares = torch.from_numpy(coverage)[None].to(device)
    return fill_packed(model, PackedGrids.of([low], device), shares, levels).grids()[0].packed


def predict_odms(model: Model, low: PackedGrids, low_rule: str) -> torch.Tensor:
    """The six fine ODMs of filled grids, before smoothing: (B, 6, s*N, s*N) uint16.

    Raises:
        UnavailableError: the predictors give maps of another shape, or depths that are no numbers.
    """
    cubes = _cubes(low)
    edge = model.config.scale * cubes.shape[-1]
    with _inference(cubes.device):
        silhouette = _checked(model.silhouette(cubes, low_rule), len(cubes), edge)
        depth = _checked(model.depth(cubes, low_rule), len(cubes), edge)
    inside = silhouette > model.config.fusion.silhouette_threshold
    rounded = depth.float().round().clamp(0, edge - 1)
    if bool((inside & rounded.isnan()).any()):
        raise UnavailableError("the depth predictor gave NaN: its weights are damaged")
    return _as_uint16(torch.where(inside, rounded, float(edge)))


def guess_rules(model: Model, low: PackedGrids) -> list[RuleGuess]:
    """The rule of each filled grid; copies a few hundred counts of each to the host."""
    known = tuple(rule for rule in model.config.rules if rule != SOFT_RULE)
    if len(known) == 1:
        return [guess_from(1.0, known)] * len(low)
    return [guess_from(chance, known) for chance in any_pooled_batch(_dense(low))]


def upscale_grids(
    model: Model,
    grids: Sequence[VoxelGrid],
    device: torch.device,
    to: int | None = None,
    low_rule: str = "auto",
    fill: Fill = "hull",
    *,
    keep_parts: bool = False,
) -> list[VoxelGrid]:
    """Upscale grids of bits from and to host memory, in batches of one shape.

    A batch that does not fit the device is halved, with a warning; a single grid that does not is
    carved in slabs. A grid that knows its extent ends there.

    Args:
        model: on ``device``.
        grids: coarse grids.
        device: where to.
        to: longest edge of the results; None: the default.
        low_rule: any, half, centre, or auto for a guess.
        fill: see `upscale_packed`.
        keep_parts: see `finishing.finish`, which runs on the host.
    """
    by_shape: dict[Shape, list[int]] = defaultdict(list)
    for i, grid in enumerate(grids):
        by_shape[grid.shape].append(i)
    fine: dict[int, VoxelGrid] = {}
    for shape, members in by_shape.items():
        edge, scale = max(shape), model.config.scale
        factor = scale * edge // result_size(edge, scale, to)
        work = _Work(model, device, low_rule, fill, factor, keep_parts)
        most = max(1, FINE_VOXELS // math.prod(_times(shape, scale)))
        fine.update(zip(members, work.run([grids[i] for i in members], most), strict=True))
    return [fine[i] for i in range(len(grids))]


@dataclass(frozen=True)
class _Work:
    """What is to be done with grids of one shape; the results are pooled by ``factor``."""

    model: Model
    device: torch.device
    low_rule: str
    fill: Fill
    factor: int
    keep_parts: bool

    def run(self, grids: list[VoxelGrid], most: int) -> list[VoxelGrid]:
        """All of them, ``most`` at a time or as many as fit."""
        fine: list[VoxelGrid] = []
        while len(fine) < len(grids):
            part = grids[len(fine) : len(fine) + most]
            try:
                fine += self.batch(part)
                continue
            except torch.cuda.OutOfMemoryError:
                pass  # what it holds on to is free once it is left
            torch.cuda.empty_cache()
            too_much = f"of {part[0].shape} is too much for the memory of {self.device}"
            if len(part) == 1:
                _say(f"a grid {too_much}: it is carved in slabs")
                fine.append(self.in_slabs(part[0]))
            else:
                most = (len(part) + 1) // 2
                _say(f"a batch of {len(part)} {too_much}: going on with {most} at a time")
        return fine

    def batch(self, grids: list[VoxelGrid]) -> list[VoxelGrid]:
        """All at once."""
        low = PackedGrids.of(grids, self.device)
        if self.low_rule == "auto":
            return self.by_rule(grids, low)
        fine = upscale_packed(self.model, low, self.low_rule, self.fill)
        if not self.keep_parts or any(grid.extent is not None for grid in grids):
            return list(map(self.finished, fine.grids(grids), grids))
        if self.factor > 1:
            fine = ops.pool(fine, self.factor, pooling_rule(self.low_rule))
        return fine.grids(grids)

    def by_rule(self, grids: list[VoxelGrid], low: PackedGrids) -> list[VoxelGrid]:
        """Those together that one rule is guessed for."""
        base = ops.hull(low) if self.fill == "hull" else low
        rules = [guess.rule for guess in guess_rules(self.model, base)]
        fine: dict[int, VoxelGrid] = {}
        for rule, members in _members(rules).items():
            made = replace(self, low_rule=rule).batch([grids[i] for i in members])
            fine.update(zip(members, made, strict=True))
        return [fine[i] for i in range(len(grids))]

    def in_slabs(self, grid: VoxelGrid) -> VoxelGrid:
        """One grid whose fine words do not fit beside all else: its slabs go to the host."""
        low = PackedGrids.of([grid], self.device)
        base = ops.hull(low) if self.fill == "hull" else low
        auto = self.low_rule == "auto"
        rule = guess_rules(self.model, base)[0].rule if auto else self.low_rule
        odms = _smooth_odms(self.model, base, rule)
        scale, votes = self.model.config.scale, self.model.config.fusion.structure_votes
        packed = carve_to_host(_carving_base(base, rule), odms, scale, votes)
        if self.model.boundary is not None:
            words = torch.from_numpy(packed.view(np.int64))[None]
            self.model.boundary.redraw(words, scale * grid.shape[2], _dense(base), rule)
        fine = grid.with_occupancy(packed, _times(grid.shape, scale), scale)
        return replace(self, low_rule=rule).finished(fine, grid)

    def finished(self, fine: VoxelGrid, grid: VoxelGrid) -> VoxelGrid:
        """A carved grid in host memory, and the coarse one that was given."""
        low = ops.hull(grid) if self.fill == "hull" and not self.keep_parts else grid
        fine = finish(fine, low, self.model.config.scale, keep_parts=self.keep_parts)
        if self.factor == 1:
            return fine
        return ops.pool(fine, self.factor, pooling_rule(self.low_rule))


def _members(rules: Sequence[str]) -> dict[str, list[int]]:
    """Which grids each rule is that of."""
    return {rule: [i for i, of in enumerate(rules) if of == rule] for rule in sorted(set(rules))}


def carve_to_host(low: PackedGrids, odms: torch.Tensor, scale: int, votes: int) -> Any:
    """One grid carved slab by slab, each as thick as the device's memory allows.

    Args:
        low: a batch of one, (x, y, z).
        odms: (1, 6, N, N) uint16 on the same device.
        scale: fine voxels along the edge of a coarse one.
        votes: structure votes.

    Returns:
        (s x, s y, ceil(s z / 64)) uint64 in host memory.
    """
    grids = Grids.of(low)
    x, y, z = _times(low.shape, scale)
    packed = np.empty((x, y, words_per_line(z)), np.int64)
    begin, step = 0, x
    while begin < x:
        end = min(x, begin + step)
        try:
            slab = grids.core.carve(
                grids.packed, grids.depth, odms, scale, votes, layers=(begin, end)
            )
            packed[begin:end] = slab[0].cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            if step == 1:
                raise
            step = (step + 1) // 2
            continue
        begin = end
    return packed.view(np.uint64)


def _say(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _carve(model: Model, low: PackedGrids, rule: str) -> PackedGrids:
    """Upscale filled grids that were all made by one rule."""
    odms = _smooth_odms(model, low, rule)
    votes = model.config.fusion.structure_votes
    fine = ops.carve(_carving_base(low, rule), odms, model.config.scale, structure_votes=votes)
    if model.boundary is not None:
        model.boundary.redraw(fine.words, fine.depth, _dense(low), rule)
    return fine


def _smooth_odms(model: Model, low: PackedGrids, rule: str) -> torch.Tensor:
    fusion = model.config.fusion
    odms = predict_odms(model, low, rule)
    if fusion.smooth_threshold is None:
        return odms
    return ops.smooth_odms(odms, fusion.smooth_threshold, window=fusion.smooth_window)


def _carving_base(low: PackedGrids, rule: str) -> PackedGrids:
    return low if rule == "any" else ops.dilate(low)


@contextlib.contextmanager
def _inference(device: torch.device) -> Iterator[None]:
    on_gpu = device.type == "cuda"
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=on_gpu)
    with torch.inference_mode(), autocast:
        yield


def _dense(low: PackedGrids) -> torch.Tensor:
    return ops.unpack(low.words, low.depth)


def _cubes(low: PackedGrids) -> torch.Tensor:
    return padded_to_cubes(_dense(low))


def _checked(maps: torch.Tensor, batch: int, edge: int) -> torch.Tensor:
    expected = (batch, 6, edge, edge)
    if tuple(maps.shape) != expected:
        raise UnavailableError(
            f"predictor: expected maps of shape {expected}, found {tuple(maps.shape)}"
        )
    return maps


def _as_uint16(values: torch.Tensor) -> torch.Tensor:
    """Whole numbers from 0 to 65535; torch converts few dtypes to uint16 on a GPU."""
    return values.to(torch.int32).to(torch.int16).view(torch.uint16).contiguous()


def _times(shape: Shape, scale: int) -> Shape:
    x, y, z = shape
    return scale * x, scale * y, scale * z
