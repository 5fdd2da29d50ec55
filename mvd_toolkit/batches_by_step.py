"""Batches that are a function of the seed and the step alone: a run that resumes sees what it would
have seen without the stop.

Every item comes up equally often: the steps cut one endless sequence of permutations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import UsageError

DRAW: Final = 1
"""Stream of random numbers for what a batch draws; another decides the order."""

_ORDER: Final = 0

Drawn = TypeVar("Drawn")
Delivered = TypeVar("Delivered")


class BatchesByStep(ABC, Generic[Drawn, Delivered]):
    """All the batches of a run, by step.

    Attributes:
        batch_size: items in a batch.
        seed: of the order and all that is drawn.
        mine: the part of every batch that is this process's.
    """

    def __init__(self, items: int, batch_size: int, seed: int, part: tuple[int, int]) -> None:
        """Batches of so many items, of which this process takes part ``n`` of ``(n, parts)``.

        Raises:
            UsageError: the batch cannot be parted so.
        """
        number, parts = part
        if batch_size % parts:
            raise UsageError(
                f"batch_size: expected a multiple of the {parts} processes, found {batch_size}"
            )
        self.batch_size, self.seed = batch_size, seed
        self.mine = slice(number * batch_size // parts, (number + 1) * batch_size // parts)
        self._items = items
        self._orders: dict[int, npt.NDArray[np.int64]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every item has come up, rounded up."""
        return -(-self._items // self.batch_size)

    def batch(self, step: int) -> Delivered:
        """The batch of a step, counted from 0."""
        return self._deliver(self._draw(step))

    def iterate(self, start: int = 0) -> Iterator[Delivered]:
        """Batches from a step on, without end; the next one is gathered while one is used."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as executor:
            coming = executor.submit(self._draw, start)
            step = start
            while True:
                step += 1
                draw, coming = coming.result(), executor.submit(self._draw, step)
                yield self._deliver(draw)

    def places(self, step: int) -> range:
        """The places of a step's items in the endless sequence, those of all processes."""
        return range(step * self.batch_size, (step + 1) * self.batch_size)

    def item_at(self, place: int) -> int:
        """The item at a place of the endless sequence."""
        epoch, place = divmod(place, self._items)
        if epoch not in self._orders:
            random = np.random.default_rng([self.seed, _ORDER, epoch])
            self._orders = {k: v for k, v in self._orders.items() if k >= epoch - 1}
            self._orders[epoch] = random.permutation(self._items)
        return int(self._orders[epoch][place])

    @abstractmethod
    def _draw(self, step: int) -> Drawn:
        """This process's part of a batch, in memory."""

    @abstractmethod
    def _deliver(self, draw: Drawn) -> Delivered:
        """The same on the device."""
