"""Training batches: shapes in random order, each turned by a symmetry and pooled by some rule.

A batch is a function of the seed and the step alone, so a run that resumes sees what it would have
seen without the stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mvd_toolkit import _core
from mvd_toolkit.batches_by_step import DRAW, BatchesByStep
from mvd_toolkit.conventions import INPUT_RULES, SOFT_RULE, bits_rule
from mvd_toolkit.data import Pairs
from mvd_toolkit.errors import InputError
from mvd_toolkit.symmetry import SYMMETRIES


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


class Batches(BatchesByStep[_Draw, Batch]):
    """All the batches of a run, by step.

    Every shape comes up equally often: the steps cut one endless sequence of permutations.
    """

    def __init__(
        self,
        dataset: Pairs,
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
        self.augment = augment
        self.device = torch.device(device)
        super().__init__(len(dataset), batch_size, seed, part)
        weights = rules or {"any": 1.0}
        self._chances = np.array([weights.get(rule, 0.0) for rule in INPUT_RULES])
        self._chances /= self._chances.sum()
        self._occupied = np.stack(
            [dataset.lows[bits_rule(rule)].any(axis=(1, 2, 3)) for rule in INPUT_RULES], axis=1
        )

    def _draw(self, step: int) -> _Draw:
        indices = np.array([self.item_at(place) for place in self.places(step)])
        random = np.random.default_rng([self.seed, DRAW, step])
        rules = random.choice(len(INPUT_RULES), len(indices), p=self._chances)
        rules = np.where(self._occupied[indices, rules], rules, INPUT_RULES.index("any"))
        symmetries = random.integers(len(SYMMETRIES), size=len(indices))[self.mine]
        indices, rules = indices[self.mine], rules[self.mine]
        packed = np.stack(
            [
                self.dataset.lows[bits_rule(INPUT_RULES[r])][i]
                for i, r in zip(indices, rules, strict=True)
            ]
        )
        low = _core.unpack(packed, self.dataset.low, 1)
        odms = self.dataset.fine_odms(indices).view(np.int16)
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
