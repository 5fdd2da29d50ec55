"""`Reconstructor`: a picture in, a fine grid out.

The stage's whole story, in order: cut the object out of the picture, ask the networks for the
chance of each coarse voxel (of several looks at it, if asked), keep what is likely and hangs
together, say how sure that is, and upscale it as any coarse grid.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.conventions import SOFT_RULE
from mvd_toolkit.device import usable_device
from mvd_toolkit.errors import UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.image_input import FILL, ObjectPicture, cut_out, picture_of, read_picture
from mvd_toolkit.model_directory import naming
from mvd_toolkit.progress import Progress
from mvd_toolkit.upscale import Upscaler
from mvd_toolkit.upscale_request import check_request

if TYPE_CHECKING:
    import torch

    from mvd_toolkit.model_config import ModelConfig
    from mvd_toolkit.reconstructor_config import ReconstructorConfig
    from mvd_toolkit.reconstructor_model import ReconstructorModel

UNSURE: Final = 0.4
"""A result whose expected IoU is lower comes with a note."""

_LOOKS: Final = (0.93, 1.0, 1.06)
"""Sizes of the object in the looks of an ensemble, as parts of the usual one."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reconstructed:
    """A grid made of a picture, and how far to trust it.

    Attributes:
        grid: the fine grid, z up, in the unit cube around the origin.
        low: the coarse grid that it was made of; its coverage is the chance of each voxel.
        confidence: the IoU of the coarse grid to be expected, from pictures the model never saw.
        distance: how far the picture is from those the model learned from; 1 is as far as 99 of
            100 of their kind reach, and None where the model cannot tell.
        cut: how the object was told from its background: alpha, plain or none.
        seconds: wall time of ``networks``, ``upscale`` and the steps of the latter.
        notes: what the caller should know, a sentence each.
    """

    grid: VoxelGrid
    low: VoxelGrid
    confidence: float
    distance: float | None
    cut: str
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Reconstructor:
    """Makes grids of pictures; load one once and call it many times.

    >>> make = Reconstructor.load()                                 # doctest: +SKIP
    >>> make("chair.png").shape                                     # doctest: +SKIP
    (256, 256, 256)
    """

    def __init__(
        self,
        models: Sequence[ReconstructorModel],
        upscaler: Upscaler,
        device: str | torch.device = "cpu",
    ) -> None:
        check_fit([model.config for model in models])
        self.device = usable_device(device)
        self.models = [model.to(self.device) for model in models]
        self.upscaler = upscaler

    @classmethod
    def load(
        cls,
        model: str | Path | Sequence[str | Path] | None = None,
        upscaler: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> Reconstructor:
        """Load models, or by default those that come with the package.

        Args:
            model: a reconstructor's directory or name, or several that vote. A directory may hold
                another that votes with it, in its folder ``voter``.
            upscaler: the model that makes the coarse grids fine; None: the one that the (first)
                reconstructor's directory holds, or else the default.
            device: where the networks run.

        Raises:
            UnavailableError: no such model or device, or a plugin that one needs is missing.
            InputError: a file of a model is missing or malformed.
            UsageError: models that make different grids cannot vote.
        """
        from mvd_toolkit.model_directory import find_reconstructor, find_upscaler
        from mvd_toolkit.reconstructor_model import load_voters

        several = [model] if model is None or isinstance(model, (str, Path)) else list(model)
        places = [find_reconstructor(name) for name in several]
        models = [model for place in places for model in load_voters(place)]
        fine = find_upscaler(upscaler, places[0]) if places else upscaler
        return cls(models, Upscaler.load(fine, device), device)

    @property
    def config(self) -> ReconstructorConfig:
        """That of the first model; the others agree on what their grids are."""
        return self.models[0].config

    def __call__(
        self,
        image: Any,
        to: int | None = None,
        *,
        ensemble: bool = False,
        mirror: bool = False,
        keep_parts: bool = False,
        threads: int = 0,
    ) -> VoxelGrid:
        """The fine grid of the object in a picture.

        Args:
            image: path of a picture, a Pillow image, or an array (H, W), (H, W, 3) or (H, W, 4),
                uint8 or floats from 0 to 1.
            to: longest edge of the result; a divisor of the upscaler's own, which is the default.
            ensemble: look at the picture several times, larger, smaller and mirrored, and let the
                looks vote.
            mirror: take the object to be symmetric.
            keep_parts: keep all parts. By default the largest of the coarse grid is kept, and of
                the fine one those that are no crumbs, see `Upscaler`.
            threads: for the core and the networks; 0 means all cores.

        Returns:
            Grid of ``to``³ voxels, z up, in the unit cube around the origin.

        Raises:
            InputError: it is no picture, or nothing is in it.
            UsageError: ``to`` makes no sense; the sizes that work are named.
        """
        return self.detailed(
            image, to, ensemble=ensemble, mirror=mirror, keep_parts=keep_parts, threads=threads
        ).grid

    def detailed(
        self,
        image: Any,
        to: int | None = None,
        *,
        ensemble: bool = False,
        mirror: bool = False,
        keep_parts: bool = False,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> Reconstructed:
        """What calling does, with the coarse grid, how sure it is, times and notes."""
        config = self.config
        check_size(config, self.upscaler.model.config, to)
        start = time.perf_counter()
        if progress:
            progress("picture", 0.0)
        pixels, notes = (
            read_picture(image) if isinstance(image, (str, Path)) else (picture_of(image), ())
        )
        with naming(Path(image)) if isinstance(image, (str, Path)) else nullcontext():
            seen = cut_out(pixels, config.size)
        chances, distance = self.look(seen, ensemble=ensemble, mirror=mirror, threads=threads)
        confidence = expected_iou(chances, config)
        rule = upscaling_rule(config, self.upscaler.model.config)
        low = solid(chances, config, rule, keep_parts=keep_parts)
        looked = time.perf_counter()
        made = self.upscaler.detailed(
            low, to, rule, "hull", threads, _later(progress), keep_parts=keep_parts
        )
        return Reconstructed(
            made.grid,
            replace(low, coverage=chances),
            confidence,
            distance,
            seen.cut,
            {**made.seconds, "networks": looked - start, "upscale": time.perf_counter() - looked},
            (*notes, *seen.notes, *_doubts(confidence, distance), *made.notes),
        )

    def look(
        self,
        seen: ObjectPicture,
        *,
        ensemble: bool = False,
        mirror: bool = False,
        threads: int = 0,
    ) -> tuple[Floats, float | None]:
        """The chances of the voxels (N, N, N) float32, and the picture's distance.

        Every look has the same vote, every model that of its weight: chances are averaged.
        """
        import torch

        from mvd_toolkit.reconstructor_model import vote

        axis = "xy".index(self.config.mirror)
        looks = _looks(seen.pixels, ensemble)
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            with torch.inference_mode():
                pictures = torch.from_numpy(looks).to(self.device)
                total = vote(self.models, pictures)  # (L, N, N, N)
                distances = [_distance(model, pictures[:1]) for model in self.models]
        finally:
            torch.set_num_threads(before)
        if ensemble:
            total[len(total) // 2 :] = np.flip(total[len(total) // 2 :], axis + 1)
        chances = total.mean(axis=0)
        if mirror:
            chances = (chances + np.flip(chances, axis)) / 2
        known = [distance for distance in distances if distance is not None]
        return chances.astype(np.float32), min(known) if known else None


def reconstruct(image: Any, to: int | None = None, **options: Any) -> VoxelGrid:
    """The fine grid of the object in a picture, by the models that come with the package.

    Args:
        image: path of a picture, a Pillow image, or an array (H, W, 3) or (H, W, 4).
        to: longest edge of the result, 256 by default.
        options: those of `Reconstructor.load` and of calling it. For many pictures load a
            `Reconstructor` once.

    Raises:
        InputError: it is no picture, or nothing is in it.
        UsageError: an option makes no sense.
        UnavailableError: a model or device that is not there.
    """
    loading = {
        name: options.pop(name) for name in ("model", "upscaler", "device") if name in options
    }
    return Reconstructor.load(**loading)(image, to, **options)


def check_fit(configs: Sequence[ReconstructorConfig]) -> None:
    """Check that models can vote: their grids and pictures are alike.

    Raises:
        UsageError: there is none, or they are not.
    """
    if not configs:
        raise UsageError("reconstruct: expected a model, found none")
    first = configs[0]
    for config in configs[1:]:
        for name in ("size", "edge", "frame", "rule", "mirror"):
            mine, other = getattr(first, name), getattr(config, name)
            if mine != other:
                raise UsageError(f"models that vote: expected {name} {mine} of all, found {other}")


def check_size(config: ReconstructorConfig, upscaler: ModelConfig, to: int | None) -> int:
    """The edge of the result, checked without a network.

    Raises:
        UsageError: ``to`` cannot be made; the sizes that work are named.
    """
    rule = upscaling_rule(config, upscaler)
    rule = rule if rule in upscaler.rules else "auto"
    return check_request((config.edge,) * 3, upscaler, to, rule, "hull")


def upscaling_rule(config: ReconstructorConfig, upscaler: ModelConfig) -> str:
    """The low rule that a reconstructor's grids are upscaled by.

    To a model that takes coverage as a hint they are chances; to others what the config says.
    """
    return config.upscale_rule if upscaler.fusion.keep_coverage else SOFT_RULE


def solid(
    chances: Floats, config: ReconstructorConfig, rule: str, *, keep_parts: bool = False
) -> VoxelGrid:
    """The coarse grid of chances (N, N, N) as it is upscaled by a rule."""
    edge = chances.shape[0]
    grid = VoxelGrid.from_dense(chances > config.upscale_threshold, (-0.5, -0.5, -0.5), 1.0 / edge)
    if not keep_parts and grid.count():
        grid = ops.keep_largest(grid)
    if rule == SOFT_RULE:
        grid = replace(grid, coverage=np.where(grid.dense(), chances, 0).astype(np.float32))
    return grid


def expected_iou(chances: Floats, config: ReconstructorConfig) -> float:
    """The IoU to expect of the coarse grid: what the chances promise, as calibrated."""
    inside = chances > config.threshold
    hit = float(chances[inside].sum(dtype=np.float64))
    missed = float(chances[~inside].sum(dtype=np.float64))
    promise = hit / max(float(inside.sum()) + missed, 1e-9)
    if not config.calibration:
        return promise
    promises, scores = zip(*config.calibration, strict=True)
    return float(np.interp(promise, promises, scores))


def _looks(pixels: npt.NDArray[np.uint8], ensemble: bool) -> Floats:
    """(L, 3, S, S): the picture, or several sizes of it and the same mirrored."""
    from mvd_toolkit.picture_batches import channels_first

    if not ensemble:
        return channels_first(pixels)[None]
    sizes = np.stack([channels_first(_scaled(pixels, share)) for share in _LOOKS])
    return np.ascontiguousarray(np.concatenate([sizes, sizes[..., ::-1]]))


def _scaled(pixels: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.uint8]:
    """A picture about its middle, ``share`` as large; what comes in is white."""
    from PIL import Image

    if share == 1:
        return pixels
    size = len(pixels)
    margin = round(size * (1 / FILL - 1))
    wide = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), constant_values=255)
    middle, half = margin + size / 2, size / share / 2
    box = (middle - half, middle - half, middle + half, middle + half)
    image = Image.fromarray(wide).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.array(image)


def _distance(model: ReconstructorModel, pictures: torch.Tensor) -> float | None:
    """How far a picture is from what a model knows; 1 is its limit."""
    familiar = model.config.familiar
    distance = model.network.distance(pictures)
    return None if familiar is None or distance is None else float(distance[0]) / familiar


def _doubts(confidence: float, distance: float | None) -> tuple[str, ...]:
    doubts = []
    if distance is not None and distance > 1:
        doubts.append(
            f"the picture is unlike those the model learned from (distance {distance:.1f}, usual "
            "is below 1): the shape may be nonsense"
        )
    if confidence < UNSURE:
        doubts.append(f"the model is unsure of the shape: an IoU of {confidence:.2f} is expected")
    return tuple(doubts)


def _later(progress: Progress | None) -> Progress | None:
    """The progress of a step that begins when a tenth is done."""
    if progress is None:
        return None
    return lambda step, done: progress(step, 0.1 + 0.9 * done)
