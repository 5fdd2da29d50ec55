"""Batches of pictures for a reconstructor: shapes in random order, a picture of each, varied.

A batch is a function of the seed and the step alone: see `batches_by_step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from mvd_toolkit.batches_by_step import DRAW, BatchesByStep
from mvd_toolkit.errors import InputError
from mvd_toolkit.image_input import FILL, place
from mvd_toolkit.view_data import ViewDataset

MirrorAxis = Literal["x", "y"]

_FILLS: Final = (0.83, 0.94)
_SHIFT: Final = 0.02  # of the picture's edge
_COLOURED: Final = 0.1  # how many stand before a colour that is not white
_GREY: Final = 0.1  # how many lose their colours
_DRAWN: Final = 0.08  # how many become drawings

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PictureBatch:
    """What a reconstructor's ``loss`` takes.

    Attributes:
        pictures: (B, 3, S, S) float32, 0 to 1.
        target: (B, N, N, N) float32, 1 where occupied.
    """

    pictures: torch.Tensor
    target: torch.Tensor

    def loss_arguments(self, faces: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments of a reconstructor's ``loss``; it looks at no faces."""
        return (self.pictures, self.target), {}


_Drawn = tuple[Floats, npt.NDArray[np.bool_]]


class PictureBatches(BatchesByStep[_Drawn, PictureBatch]):
    """A picture and the grid of each shape of a batch."""

    def __init__(
        self,
        dataset: ViewDataset,
        batch_size: int,
        size: int,
        *,
        seed: int = 0,
        augment: bool = True,
        mirror: MirrorAxis = "x",
        device: str | torch.device = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Batches of a dataset.

        Args:
            dataset: in memory.
            batch_size: pictures in a batch, each of another shape where there are enough.
            size: S, edge of the pictures.
            seed: of the order and all that is drawn.
            augment: vary size, place, background and colours, mirror half of them.
            mirror: axis of the grid that a mirrored picture mirrors.
            device: where the tensors go.
            part: which part of every batch, of how many: several processes share it.

        Raises:
            InputError: the dataset is empty.
            UsageError: the batch cannot be parted so.
        """
        if not len(dataset):
            raise InputError(
                f"{dataset.directory}: expected shapes with pictures in {dataset.split}, found none"
            )
        super().__init__(len(dataset), batch_size, seed, part)
        self.dataset, self.size = dataset, size
        self.augment, self.device = augment, torch.device(device)
        self._axis = "xy".index(mirror)

    def _draw(self, step: int) -> _Drawn:
        drawn = [self._item(self.item_at(p), p) for p in self.places(step)[self.mine]]
        return np.stack([p for p, _ in drawn]), np.stack([t for _, t in drawn])

    def _item(self, index: int, number: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """(3, S, S) picture and (N, N, N) grid of a shape, as drawn for a place."""
        random = np.random.default_rng([self.seed, DRAW, number])
        views = self.dataset.shapes[index].views
        which = int(random.integers(len(views)))
        picture, target = views.picture(which), self.dataset.target(index, which)
        if not self.augment:
            return channels_first(place(picture, self.size)), target
        varied = vary(picture, self.size, random)
        if random.random() < 0.5:
            varied, target = varied[:, :, ::-1], np.flip(target, self._axis)
        return varied, target

    def _deliver(self, draw: _Drawn) -> PictureBatch:
        pictures, target = draw
        return PictureBatch(
            torch.from_numpy(pictures).to(self.device, non_blocking=True),
            torch.from_numpy(target).to(self.device, non_blocking=True).float(),
        )


def channels_first(pixels: npt.NDArray[np.uint8]) -> Floats:
    """(3, S, S) float32 from 0 to 1 of (S, S, 3) uint8."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)


def vary(picture: npt.NDArray[np.uint8], size: int, random: np.random.Generator) -> Floats:
    """(3, S, S): a rendered picture (H, W, 4) as somebody else might have made it."""
    on_white = channels_first(place(picture, size, random.uniform(*_FILLS)))
    shifted = _shifted(on_white, size, random)
    if random.random() < _DRAWN:
        return _drawing(shifted, random)
    if random.random() < _GREY:
        shifted = np.repeat(shifted.mean(axis=0, keepdims=True), 3, axis=0)
    empty = shifted.min(axis=0) > 0.995
    gain = random.uniform(0.75, 1.25) * random.uniform(0.9, 1.1, (3, 1, 1))
    varied = np.clip(shifted * gain, 0, 1) ** random.uniform(0.75, 1.33)
    varied += random.normal(0, random.uniform(0, 0.02), varied.shape)
    paper = random.uniform(0, 1, 3) if random.random() < _COLOURED else np.ones(3)
    varied = np.where(empty, paper[:, None, None], varied)
    return np.clip(varied, 0, 1).astype(np.float32)


def mirror_axis(dataset: ViewDataset) -> MirrorAxis:
    """The axis that a mirrored picture mirrors: across it the shapes are most like themselves.

    An eye at azimuth 0 looks along x, so that in frame "viewer" it is y.
    """
    if dataset.frame == "viewer":
        return "y"
    likeness = np.zeros(2)
    for index in range(min(len(dataset), 500)):
        target = dataset.target(index, 0)
        for axis in (0, 1):
            turned = np.flip(target, axis)
            likeness[axis] += (target & turned).sum() / max(1, (target | turned).sum())
    return "y" if likeness[1] > likeness[0] else "x"


def _shifted(picture: Floats, size: int, random: np.random.Generator) -> Floats:
    """The picture a few pixels away; what comes in is white."""
    reach = round(_SHIFT * size)
    down, right = random.integers(-reach, reach + 1, 2)
    wide = np.pad(picture, ((0, 0), (reach, reach), (reach, reach)), constant_values=1)
    top, left = reach + down, reach + right
    return np.ascontiguousarray(wide[:, top : top + size, left : left + size])


def _drawing(picture: Floats, random: np.random.Generator) -> Floats:
    """Dark lines where colours change, on paper: what a pencil makes of it."""
    grey = picture.mean(axis=0)
    down, right = np.gradient(grey)
    lines = np.clip(np.hypot(down, right) * random.uniform(3, 10), 0, 1)
    wash = 1 - random.uniform(0, 0.5) * (1 - grey)
    drawn = wash * (1 - lines * random.uniform(0.6, 1.0))
    return np.repeat(drawn[None], 3, axis=0).astype(np.float32)


def standard_picture(dataset: ViewDataset, index: int, number: int, size: int) -> Floats:
    """(3, S, S): a picture of the dataset as `image_input.cut_out` would give it."""
    return channels_first(place(dataset.shapes[index].views.picture(number), size, FILL))
