"""Pairs whose low grids a reconstructor predicted from pictures, and whose fine grids are true.

A predicted grid is wrong in other ways than a pooled one, so the super-resolution behind a
reconstructor learns from these: the low grid is what is likely, its coverage the chance of each
voxel. Each picture of a shape makes a pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from mvd_toolkit import _core, ops
from mvd_toolkit.conventions import LOW_RULES, SOFT_RULE
from mvd_toolkit.data import PairDataset, hull_of
from mvd_toolkit.errors import UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.model_directory import find_reconstructor
from mvd_toolkit.picture_batches import standard_picture, vary
from mvd_toolkit.reconstruction import check_fit, solid
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.reconstructor_model import ReconstructorModel, load_voters, vote
from mvd_toolkit.symmetry import SYMMETRIES, Symmetry
from mvd_toolkit.view_data import ViewDataset, ViewedShape
from mvd_toolkit.views import Views

PICTURES: Final = 8
"""Of each shape, at most; every other one is varied as in a reconstructor's own training."""

Words = npt.NDArray[np.uint64]

_BATCH: Final = 32
_LEVELS: Final = 255  # that chances are kept in
_UPRIGHT: Final[Mapping[str, Symmetry]] = {
    "x": Symmetry((1, 2, 0), (False, False, False)),
    "y": Symmetry((0, 2, 1), (False, False, True)),
    "z": SYMMETRIES[0],
}


class PredictedPairs:
    """The pairs of one split, in memory: 36 KB each at 32³ beside those of `PairDataset`.

    Attributes:
        directory: the dataset.
        split: train, val or test.
        low: edge of the low grids, N.
        high: edge of the fine grids.
        lows: low rule -> (n, N, N, W) uint64, packed: the same grids under every rule.
    """

    def __init__(
        self,
        directory: str | Path,
        split: str,
        reconstructor: str | Path | None,
        low: int | None = None,
        high: int | None = None,
        *,
        limit: int | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load a split and predict its low grids.

        Args:
            directory: a dataset with pictures.
            split: train, val or test. Pictures are varied in train alone.
            reconstructor: a model directory; None: the one that comes with the package. Another in
                its folder ``voter`` votes with it.
            low: edge of the low grids, when the dataset has several.
            high: edge of the fine grids, the same.
            limit: of shapes.
            seed: of the variation.
            device: where the network runs.

        Raises:
            InputError: a file is malformed, or the dataset has no pictures.
            UnavailableError: there is no such model.
            UsageError: the model makes grids of another edge or frame, or its voter does.
        """
        models = load_voters(find_reconstructor(reconstructor))
        check_fit([model.config for model in models])
        config = models[0].config
        views = ViewDataset(directory, split, low, high, limit=limit)
        if views.frame != "object" or not views.high:
            raise UsageError(
                f"{directory}: predicted pairs need fine grids, in frame object, found "
                f"{f'frame {views.frame}' if views.high else 'none'}"
            )
        if (config.edge, config.frame) != (views.low, views.frame):
            raise UsageError(
                f"reconstructor: expected grids of {views.low}, frame {views.frame}, "
                f"found {config.edge}, frame {config.frame}"
            )
        self.directory, self.split = views.directory, split
        self.low, self.high = views.low, views.high
        self._pairs = PairDataset(directory, split, self.low, self.high)
        self._pictures = [
            _Picture(shape, number, self._pairs.ids.index(seen.id), _upright(seen))
            for shape, seen in enumerate(views.shapes)
            for number in range(min(PICTURES, len(seen.views)))
        ]
        self._chances = self._predict(views, models, seed, torch.device(device))
        packed = np.stack([_likely(chances, config) for chances in self._chances])
        self.lows = dict.fromkeys(LOW_RULES, packed)

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def scale(self) -> int:
        """Fine edge / low edge."""
        return self.high // self.low

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs and the predicted grids: another one, another dataset."""
        digest = hashlib.sha256(self._pairs.fingerprint.encode())
        digest.update(self.lows[LOW_RULES[0]].tobytes())
        digest.update(self._chances.tobytes())
        return digest.hexdigest()

    def low_grid(self, index: int, rule: str = SOFT_RULE) -> VoxelGrid:
        """The low grid of a pair with its coverage, in units of fine voxels; of any rule."""
        return VoxelGrid(
            self.lows[LOW_RULES[0]][index],
            (self.low,) * 3,
            spacing=(float(self.scale),) * 3,
            coverage=self.coverage(index),
        )

    def coverage(self, index: int) -> npt.NDArray[np.float32]:
        """(N, N, N) chances of the voxels of a low grid; 0 elsewhere."""
        dense = _core.unpack(self.lows[LOW_RULES[0]][index][None], self.low, 1)[0]
        return np.where(dense, _floats(self._chances[index]), np.float32(0))

    def high_grid(self, index: int) -> VoxelGrid:
        """The true fine grid of a pair, upright."""
        return hull_of(self._odms_of(self._pictures[index]))

    def fine_odms(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """(n, 6, sN, sN) true fine ODMs of some pairs, upright."""
        return np.stack([self._odms_of(self._pictures[index]) for index in indices])

    def _odms_of(self, picture: _Picture) -> npt.NDArray[np.uint16]:
        odms = torch.from_numpy(self._pairs.odms[picture.pair].view(np.int16))
        return picture.upright.odms(odms).numpy().view(np.uint16)

    def _predict(
        self,
        views: ViewDataset,
        models: Sequence[ReconstructorModel],
        seed: int,
        device: torch.device,
    ) -> npt.NDArray[np.uint8]:
        """(n, N, N, N): the chances that the networks see in each picture, in the mean."""
        voters = [model.to(device) for model in models]
        size = models[0].config.size
        chances = np.empty((len(self), *(self.low,) * 3), np.uint8)
        for start in range(0, len(self), _BATCH):
            some = self._pictures[start : start + _BATCH]
            pictures = np.stack([self._picture(views, picture, size, seed) for picture in some])
            seen = vote(voters, torch.from_numpy(pictures).to(device))
            chances[start : start + len(some)] = np.rint(seen * _LEVELS)
        return chances

    def _picture(
        self, views: ViewDataset, picture: _Picture, size: int, seed: int
    ) -> npt.NDArray[np.float32]:
        shape, number = picture.shape, picture.number
        if self.split != "train" or number % 2 == 0:
            return standard_picture(views, shape, number, size)
        random = np.random.default_rng([seed, shape, number])
        return vary(views.shapes[shape].views.picture(number), size, random)


@dataclass(frozen=True)
class _Picture:
    """Picture ``number`` of the ``shape``-th shape, whose fine grid is the ``pair``-th."""

    shape: int
    number: int
    pair: int
    upright: Symmetry


def _upright(shape: ViewedShape) -> Symmetry:
    assert isinstance(shape.views, Views)  # others have no fine grids
    return _UPRIGHT[shape.views.up]


def _likely(chances: npt.NDArray[np.uint8], config: ReconstructorConfig) -> Words:
    return ops.hull(solid(_floats(chances), config, SOFT_RULE)).packed


def _floats(chances: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return chances.astype(np.float32) / np.float32(_LEVELS)
