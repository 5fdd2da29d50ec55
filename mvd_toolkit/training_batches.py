"""Training batches: shapes in random order, each turned by a symmetry and pooled by some rule.

A batch is a function of the seed and the step alone, so a run that resumes sees what it would have
seen without the stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mvd_toolkit import _core
from mvd_toolkit.conventions import INPUT_RULES, SOFT_RULE, bits_rule
from mvd_toolkit.data import PairDataset
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.symmetry import SYMMETRIES

_ORDER, _DRAW = 0, 1  # streams of random numbers


@dataclass(frozen=True)
class Batch:
    """What a predictor's ``loss`` takes.

    Attributes:
        low: (B, N, N, N) bool.
        rule_index: (B,) int64, place in `INPUT_RULES`.
        odms: (B, 6, sN, sN) int64.
        coverage: (B, N, N, N) float32, the fractions of grids whose rule is *soft*, the bits of the
            others; None where none is.
    """

    low: torch.Tensor
    rule_index: torch.Tensor
    odms: torch.Tensor
    coverage: torch.Tensor | None = None

    def loss_arguments(self, faces: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments of a predictor's ``loss``."""
        named = {} if self.coverage is None else {"coverage": self.coverage}
        return (self.low, self.rule_index, self.odms, faces), named


@dataclass(frozen=True)
class _Draw:
    """What is drawn for a batch, and its arrays as they lie in memory."""

    low: npt.NDArray[np.bool_]
    rules: npt.NDArray[np.int64]
    odms: npt.NDArray[np.int16]
    coverage: npt.NDArray[np.float32] | None
    symmetries: npt.NDArray[np.int64]


class Batches:
    """All the batches of a run, by step.

    Every shape comes up equally often: the steps cut one endless sequence of permutations.
    """

    def __init__(
        self,
        dataset: PairDataset,
        batch_size: int,
        *,
        seed: int = 0,
        rules: Mapping[str, float] | None = None,
        augment: bool = True,
        device: str | torch.device = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Batches of a dataset.

        Args:
            dataset: in memory.
            batch_size: shapes in a batch.
            seed: of the order, rules and symmetries.
            rules: low rule -> how often it is drawn, relative; by default *any* alone. *soft* is
                one.
            augment: turn each shape by one of the 48 symmetries of the cube.
            device: where the tensors go.
            part: which part of every batch, of how many: several processes share it.

        Raises:
            InputError: the dataset is empty.
            UsageError: the batch cannot be parted so.
        """
        if not len(dataset):
            raise InputError(f"{dataset.directory}: expected pairs in {dataset.split}, found none")
        self.dataset = dataset
        self.batch_size = batch_size
        self.augment = augment
        self.device = torch.device(device)
        self._seed = seed
        number, parts = part
        if batch_size % parts:
            raise UsageError(
                f"batch_size: expected a multiple of the {parts} processes, found {batch_size}"
            )
        self._mine = slice(number * batch_size // parts, (number + 1) * batch_size // parts)
        weights = rules or {"any": 1.0}
        self._chances = np.array([weights.get(rule, 0.0) for rule in INPUT_RULES])
        self._chances /= self._chances.sum()
        self._occupied = np.stack(
            [dataset.lows[bits_rule(rule)].any(axis=(1, 2, 3)) for rule in INPUT_RULES], axis=1
        )
        self._orders: dict[int, npt.NDArray[np.int64]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every shape has come up, rounded up."""
        return -(-len(self.dataset) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        return self._deliver(self._draw(step))

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """Batches from a step on, without end; the next one is gathered while one is used."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as executor:
            coming = executor.submit(self._draw, start)
            step = start
            while True:
                step += 1
                draw, coming = coming.result(), executor.submit(self._draw, step)
                yield self._deliver(draw)

    def _draw(self, step: int) -> _Draw:
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        indices = np.array([self._at(int(place)) for place in places])
        random = np.random.default_rng([self._seed, _DRAW, step])
        rules = random.choice(len(INPUT_RULES), len(indices), p=self._chances)
        rules = np.where(self._occupied[indices, rules], rules, INPUT_RULES.index("any"))
        symmetries = random.integers(len(SYMMETRIES), size=len(indices))[self._mine]
        indices, rules = indices[self._mine], rules[self._mine]
        packed = np.stack(
            [
                self.dataset.lows[bits_rule(INPUT_RULES[r])][i]
                for i, r in zip(indices, rules, strict=True)
            ]
        )
        low = _core.unpack(packed, self.dataset.low, 1)
        odms = self.dataset.odms[indices].view(np.int16)
        return _Draw(low, rules, odms, self._coverage(low, indices, rules), symmetries)

    def _coverage(
        self,
        low: npt.NDArray[np.bool_],
        indices: npt.NDArray[np.int64],
        rules: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float32] | None:
        soft = rules == INPUT_RULES.index(SOFT_RULE)
        if not soft.any():
            return None
        coverage = low.astype(np.float32)
        for place in np.flatnonzero(soft):
            coverage[place] = self.dataset.coverage(int(indices[place]))
        return coverage

    def _at(self, place: int) -> int:
        """The shape at a place of the endless sequence."""
        epoch, place = divmod(place, len(self.dataset))
        if epoch not in self._orders:
            random = np.random.default_rng([self._seed, _ORDER, epoch])
            self._orders = {k: v for k, v in self._orders.items() if k >= epoch - 1}
            self._orders[epoch] = random.permutation(len(self.dataset))
        return int(self._orders[epoch][place])

    def _deliver(self, draw: _Draw) -> Batch:
        low = torch.from_numpy(draw.low).to(self.device, non_blocking=True)
        odms = torch.from_numpy(draw.odms).to(self.device, non_blocking=True)
        coverage = None if draw.coverage is None else torch.from_numpy(draw.coverage)
        if coverage is not None:
            coverage = coverage.to(self.device, non_blocking=True)
        if self.augment:
            chosen = [SYMMETRIES[i] for i in draw.symmetries]
            low = torch.stack([s.grid(g) for s, g in zip(chosen, low, strict=True)])
            odms = torch.stack([s.odms(o) for s, o in zip(chosen, odms, strict=True)])
            if coverage is not None:
                coverage = torch.stack([s.grid(c) for s, c in zip(chosen, coverage, strict=True)])
        return Batch(low, torch.from_numpy(draw.rules).to(self.device), odms.long(), coverage)
