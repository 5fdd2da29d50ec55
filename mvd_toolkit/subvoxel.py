"""Which fine voxels of a partly covered coarse one are occupied: told by the fractions around it.

A fraction says how much of a coarse voxel is occupied, not which part. The fractions about it say
that: as a plane through each cell is found from the volumes around it when flows are traced
(piecewise linear interface calculation, Youngs 1982), but learned, so that edges, corners and
boards thinner than a voxel are found as well. The network looks at low voxels only, those partly
covered, one by one; `fraction_filling` fills by what it tells, layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from mvd_toolkit import _core
from mvd_toolkit.conventions import FACE_COUNT, FACE_VIEWS
from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.fraction_filling import ToldLayer, covered, filled
from mvd_toolkit.frames import Frames, around, box, cube, turned
from mvd_toolkit.grid import words_per_line

_NEAR: Final = box(range(-3, 4))
"""Low voxels whose fractions are seen."""

_INNER: Final = box(range(-2, 3))
"""Those of them that choose the frame; of these it is also seen whether they are partly covered,
and their fractions' cube roots."""

_FAR: Final = box(range(-6, 7, 3))
"""The middles of the cubes of 3³ low voxels whose means are seen."""

_REACH: Final = 7

_SHADES: Final = 255
"""Fractions are told apart by so many steps when frames are chosen."""

_VOXELS_AT_ONCE: Final = 4096
_TRAINED_VOXELS: Final = 64
"""Of each grid, that a training step looks at."""


@dataclass(frozen=True)
class SubvoxelOptions:
    """The size of the network.

    Attributes:
        width: numbers that a low voxel is described by inside.
        blocks: residual blocks, of two layers each.
        members: networks of that size that are asked, each of which has a loss of its own.
        largest: edge of the largest grid of which all members are asked; of a larger one the first
            is alone. 0: all, of any. For members that learned from small grids only.
    """

    width: int = 512
    blocks: int = 3
    members: int = 1
    largest: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least, what = (0, "0 or a positive") if name == "largest" else (1, "a positive")
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected {what} whole number, found {value!r}")


class Seen(Protocol):
    """What a network sees of low voxels."""

    def features(self, places: torch.Tensor) -> tuple[torch.Tensor, Frames]:
        """(P, C) float32 of places (P, 4) int64, grid, x, y and z, and the frames they are in."""


class Member(nn.Module):
    """One network of the ensemble: log-odds of a low voxel's fine ones, from what describes it."""

    def __init__(self, features: int, voxels: int, options: SubvoxelOptions) -> None:
        super().__init__()
        width = options.width
        self.stem = nn.Linear(features, width)
        self.blocks = nn.ModuleList(_block(width) for _ in range(options.blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, voxels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(P, voxels) of features (P, C)."""
        x: torch.Tensor = self.stem(features)
        for block in self.blocks:
            x = x + block(x)
        logits: torch.Tensor = self.head(self.norm(x))
        return logits


class SubvoxelNetwork(nn.Module):
    """Log-odds of the s³ fine voxels of low voxels, each from numbers that describe it.

    Both are in the low voxel's own frame; see `frames`. What is told is the mean of an ensemble
    (Lakshminarayanan et al. 2017), whose members begin with other weights: where they know little
    they are wrong in different ways.

    Attributes:
        scale: s, fine voxels along the edge of a low one.
        options: what it was built with.
        members: the ensemble.
    """

    role: ClassVar[str]
    features: ClassVar[int]
    """How many numbers describe a low voxel."""

    def __init__(self, scale: int, options: SubvoxelOptions | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.options = options or SubvoxelOptions()
        self.members = nn.ModuleList(
            Member(self.features, scale**3, self.options) for _ in range(self.options.members)
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], scale: int) -> Self:
        """Build from what `config` gave.

        Raises:
            InputError: an option is unknown or out of range.
        """
        try:
            return cls(scale, SubvoxelOptions(**config))
        except TypeError as error:
            raise InputError(str(error)) from error

    def config(self) -> dict[str, Any]:
        """JSON-able description, enough for `from_config`."""
        return asdict(self.options)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.parameters()).device

    def forward(self, features: torch.Tensor, edge: int = 0) -> torch.Tensor:
        """(M, P, s³) float32 log-odds in C order, of P low voxels, by each member that is asked.

        Those are all but where the grid's longest ``edge`` is told and larger than the largest.
        """
        alone = 0 < self.options.largest < edge
        return torch.stack([member(features) for member in self.members[: 1 if alone else None]])

    def log_odds(self, seen: Seen, places: torch.Tensor, edge: int = 0) -> torch.Tensor:
        """(P, s³) float32 log-odds of the fine voxels, in C order, of places (P, 4) int64.

        Of grids of that longest ``edge``, where it is told.
        """
        features, frames = seen.features(places)
        return frames.values_back(self(features, edge).mean(0), turned(cube(self.scale)))

    def answers(
        self, seen: Seen, places: torch.Tensor, edge: int
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """What the network tells of many places, some at a time.

        Args:
            seen: what is seen of them.
            places: (P, 4) int64, grid, x, y and z.
            edge: the longest of the grids.

        Yields:
            Which of the places, and their log-odds.

        Raises:
            UnavailableError: the network gave no numbers.
        """
        for begin in range(0, len(places), _VOXELS_AT_ONCE):
            part = slice(begin, begin + _VOXELS_AT_ONCE)
            logits = self.log_odds(seen, places[part], edge)
            if not bool(torch.isfinite(logits).all()):
                raise UnavailableError(f"the {self.role} network gave NaN: its weights are damaged")
            yield part, logits

    def cross_entropy(
        self, seen: Seen, places: torch.Tensor, odms: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of places (P, 4), at least one, and figures for the log.

        It is the mean of the members' own; the true fine ODMs are (B, 6, sN, sN).
        """
        features, frames = seen.features(places)
        logits = self(features).float()
        true = true_subvoxels(odms, places, self.scale).flatten(1).float()
        true = frames.values(true, turned(cube(self.scale)))
        loss = F.binary_cross_entropy_with_logits(logits, true.expand_as(logits))
        return loss, {"loss": float(loss.detach()), "pixels": float(true.numel())}

    def no_loss(self) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss where there are no places: 0, with gradients that are 0."""
        nothing = sum(parameter.sum() for parameter in self.parameters()) * 0.0
        assert isinstance(nothing, torch.Tensor)
        return nothing, {"pixels": 0.0}


class SubvoxelPredictor(SubvoxelNetwork):
    """Tells by the fractions around it which fine voxels of a partly covered one are occupied."""

    role = "subvoxel"
    features = len(_NEAR) + 2 * len(_INNER) + len(_FAR)

    def loss(
        self,
        low: torch.Tensor,
        rule_index: torch.Tensor,
        odms: torch.Tensor,
        faces: int = FACE_COUNT,
        coverage: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Training loss: binary cross-entropy over partly covered voxels, a part of each grid's.

        Args:
            low: (B, N, N, N) bool, not looked at.
            rule_index: (B,) int64, not looked at: grids of bits are nowhere partly covered.
            odms: (B, 6, sN, sN) int64, true fine ODMs.
            faces: not looked at: it takes all six to tell which voxels are occupied.
            coverage: (B, N, N, N) float32; None where no grid has fractions.

        Returns:
            the loss, 0 where no voxel is partly covered; figures for the log, with ``pixels``, over
            how many fine voxels it is a mean.
        """
        if coverage is None:
            return self.no_loss()
        places = some_of((coverage > 0) & (coverage < 1))
        if not len(places):
            return self.no_loss()
        return self.cross_entropy(Surroundings(coverage), places, odms)

    @torch.inference_mode()
    def fill(self, coverage: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
        """Of each low voxel exactly the fine ones that its fraction says, the likeliest.

        Args:
            coverage: (X, Y, Z) in [0, 1].

        Returns:
            (s X, s Y, ceil(s Z / 64)) words of the packed fine grid.

        Raises:
            UnavailableError: the network gave no numbers.
        """
        x, y, z = (self.scale * n for n in coverage.shape)
        words = np.empty((x, y, words_per_line(z)), np.uint64)
        for first, layer in enumerate(filled(self._told(coverage))):
            place = slice(first * self.scale, (first + 1) * self.scale)
            words[place] = _core.pack(layer[None])[0]
        return words

    def _told(self, coverage: npt.NDArray[np.float32]) -> Iterator[ToldLayer]:
        """What the network tells of each layer of low voxels, asked of some layers at once."""
        voxels = self.scale**3
        surroundings = Surroundings(torch.tensor(coverage, device=self.device)[None])
        wanted = covered(coverage, voxels)
        partly = (wanted > 0) & (wanted < voxels)
        sizes = np.count_nonzero(partly, axis=(1, 2))
        for layers in _in_a_row(sizes.tolist(), _VOXELS_AT_ONCE):
            places = np.pad(np.argwhere(partly[layers]), [(0, 0), (1, 0)])  # of the only grid
            places[:, 1] += layers.start
            log_odds = np.empty((len(places), voxels), np.float32)
            for part, logits in self.answers(
                surroundings, torch.from_numpy(places).to(self.device), surroundings.edge
            ):
                log_odds[part] = logits.float().cpu().numpy()
            ends = sizes[layers].cumsum()
            told = np.split(log_odds, ends[:-1])
            yield from map(ToldLayer, wanted[layers], partly[layers], told)


def _in_a_row(sizes: list[int], most: int) -> Iterator[slice]:
    """As many in a row as have sizes that sum to at most so much, or one, and so on to the end."""
    first, total = 0, 0
    for place, size in enumerate(sizes):
        if place > first and total + size > most:
            yield slice(first, place)
            first, total = place, 0
        total += size
    yield slice(first, len(sizes))


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
    )


class Surroundings:
    """What the network sees of low voxels.

    Each in its frame: the fractions of the 7³ voxels about it; of 5³ of them whether they are
    partly covered, and the cube roots (how thick a thing is that covers little); the means of 5³
    cubes of 3³ voxels.
    """

    def __init__(self, coverage: torch.Tensor) -> None:
        """Of grids (B, X, Y, Z), float32 in [0, 1]; empty outside."""
        self.edge = max(coverage.shape[1:])
        self._fractions = F.pad(coverage, (_REACH,) * 6)
        self._means = F.avg_pool3d(self._fractions[:, None], 3, stride=1)[:, 0]

    def features(self, places: torch.Tensor) -> tuple[torch.Tensor, Frames]:
        """(P, C) float32 of places (P, 4) int64, grid, x, y and z, and the frames they are in."""
        centres = places + places.new_tensor([0, *[_REACH] * 3])
        inside = places + places.new_tensor([0, *[_REACH - 1] * 3])
        near = around(self._fractions, centres, _NEAR)
        far = around(self._means, inside, _FAR)
        frames = Frames.of((_SHADES * _inner(near)).round(), _INNER)
        near = frames.values(near, turned(_NEAR))
        inner = _inner(near)
        told = [
            near,
            ((inner > 0) & (inner < 1)).float(),
            (inner + 1e-6).pow(1 / 3),
            frames.values(far, turned(_FAR)),
        ]
        return torch.cat(told, dim=1), frames


def _inner(near: torch.Tensor) -> torch.Tensor:
    """(P, 5³) of (P, 7³)."""
    return near.view(-1, 7, 7, 7)[:, 1:-1, 1:-1, 1:-1].flatten(1)


def some_of(asked: torch.Tensor) -> torch.Tensor:
    """(P, 4) places in masks (B, X, Y, Z), at most 64 of each grid, spread over it."""
    some = []
    for index, grid in enumerate(asked):
        found = grid.nonzero()
        found = found[:: max(1, -(-len(found) // _TRAINED_VOXELS))]
        some.append(F.pad(found, (1, 0), value=index))
    return torch.cat(some)


def true_subvoxels(odms: torch.Tensor, places: torch.Tensor, scale: int) -> torch.Tensor:
    """Which fine voxels of low ones no face sees past.

    Args:
        odms: (B, 6, sN, sN) int64.
        places: (P, 4) int64, grid, x, y and z of the low voxels.
        scale: s.

    Returns:
        (P, s, s, s) bool.
    """
    edge, steps = odms.shape[-1], torch.arange(scale, device=odms.device)
    grid, fine = places[:, 0, None, None], scale * places[:, 1:, None] + steps  # (P, 3, s)
    kept = torch.ones((len(places), *[scale] * 3), dtype=torch.bool, device=odms.device)
    for face, view in enumerate(FACE_VIEWS):
        u, v = (fine[:, axis] for axis in view.image_axes)
        depths = odms[grid, face, u[:, :, None], v[:, None, :]]  # (P, s, s)
        along = fine[:, view.axis]
        depth = edge - 1 - along if view.negative else along
        reached = depths[..., None] <= depth[:, None, None, :]
        axes = (*view.image_axes, view.axis)
        kept &= reached.permute(0, *(1 + axes.index(axis) for axis in range(3)))
    return kept
