"""Pictures and the coarse grids behind them: what a reconstructor learns from.

Two kinds of folder are read: a dataset made with ``mvd convert --pairs --views`` and the release of
3D-R2N2 (`r2n2`). Pictures stay encoded in memory until they are drawn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, r2n2
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.data import edges_of, pair_files, read_description
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import words_per_line
from mvd_toolkit.pair_file import pair_file_name, read_pair
from mvd_toolkit.views import SUFFIX, Frame, Views, read_views, upright_grid

T = TypeVar("T")


class Pictures(Protocol):
    """The pictures of one shape, decoded when asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def picture(self, number: int) -> npt.NDArray[np.uint8]:
        """(S, S, 4) uint8, RGBA."""


@dataclass(frozen=True)
class ViewedShape:
    """A shape seen from around it.

    Attributes:
        id: of the shape.
        views: its pictures.
        lows: (1, N, N, W) or (V, N, N, W) uint64: packed upright grids, one for all pictures or
            one each.
    """

    id: str
    views: Pictures
    lows: npt.NDArray[np.uint64]


class ViewDataset:
    """The pictures of one split and their grids, in memory.

    Attributes:
        directory: the dataset.
        split: train, val or test.
        low: edge of the grids, N.
        high: edge of the fine grids that the dataset has beside them; 0: none.
        frame: whose axes the grids have.
        rule: how they were pooled.
        shapes: the shapes, sorted by id.
    """

    def __init__(
        self,
        directory: str | Path,
        split: str,
        low: int | None = None,
        high: int | None = None,
        rule: str = "any",
        limit: int | None = None,
    ) -> None:
        """Load a split.

        Args:
            directory: the dataset.
            split: train, val or test.
            low: edge of the grids; needed when the dataset has several.
            high: edge of the fine grids beside them; the same.
            rule: low rule of the grids, one of bits.
            limit: keep this many shapes at most, always the same ones.

        Raises:
            InputError: there is no such dataset, it has no pictures, or a file is malformed.
            UsageError: another rule, or the edges are not told and not unique.
        """
        if rule not in LOW_RULES:
            raise UsageError(f"low rule: expected one of {', '.join(LOW_RULES)}, found {rule!r}")
        self.directory, self.split, self.rule = Path(directory), split, rule
        if r2n2.is_release(self.directory):
            self.low, self.high, self.frame = r2n2.EDGE, 0, "object"
            if (low or r2n2.EDGE) != r2n2.EDGE:
                raise UsageError(f"{directory}: expected edge {r2n2.EDGE}, found {low}")
            models = _limited(r2n2.find_models(self.directory, split), limit)
            self.shapes = [ViewedShape(m.id, m, m.low()[None]) for m in models]
        else:
            self.low, self.high = edges_of(self.directory, low, high)
            self.frame = _frame(self.directory)
            files = pair_files(self.directory, split, self.low, self.high)
            ending = pair_file_name("", self.low, self.high)
            ids = [path.name.removesuffix(ending) for path in files]
            seen = [i for i in ids if (self.directory / split / (i + SUFFIX)).exists()]
            self.shapes = [self._read(name) for name in _limited(seen, limit)]

    frame: Frame

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ids, grids and numbers of pictures: another one, another dataset."""
        digest = hashlib.sha256(json.dumps([self.low, self.rule, self.frame]).encode())
        for shape in self.shapes:
            digest.update(f"{shape.id} {len(shape.views)}\n".encode())
            digest.update(shape.lows.tobytes())
        return digest.hexdigest()

    def target(self, index: int, number: int) -> npt.NDArray[np.bool_]:
        """(N, N, N) bool: the upright grid behind a picture of a shape."""
        lows = self.shapes[index].lows
        packed = lows[number if len(lows) > 1 else 0]
        dense: npt.NDArray[np.bool_] = _core.unpack(packed[None], self.low, 1)[0]
        return dense

    def _read(self, name: str) -> ViewedShape:
        folder = self.directory / self.split
        views = read_views(folder / (name + SUFFIX))
        if views.frame != self.frame:
            raise InputError(
                f"{folder / (name + SUFFIX)}: expected frame {self.frame}, found {views.frame}"
            )
        if views.lows:
            lows = views.lows[self.rule]
        else:
            pair = read_pair(folder / pair_file_name(name, self.low, self.high))
            lows = self._upright(views, pair.lows[self.rule])[None]
        if lows.shape[1:] != (self.low, self.low, words_per_line(self.low)):
            raise InputError(f"{folder / (name + SUFFIX)}: its grids are not {self.low}³")
        return ViewedShape(name, views, lows)

    def _upright(self, views: Views, packed: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        dense = _core.unpack(packed[None], self.low, 1)[0]
        turned = np.ascontiguousarray(upright_grid(dense, views.up))
        words: npt.NDArray[np.uint64] = _core.pack(turned[None], 1)[0]
        return words


def _limited(found: Sequence[T], limit: int | None) -> list[T]:
    """At most ``limit``: those whose names' hashes come first, in the order found."""
    if limit is None or len(found) <= limit:
        return list(found)
    places = sorted(found, key=lambda item: hashlib.sha256(_name(item).encode()).hexdigest())
    kept = {_name(item) for item in places[:limit]}
    return [item for item in found if _name(item) in kept]


def _name(item: object) -> str:
    return item if isinstance(item, str) else str(getattr(item, "id", item))


def _frame(directory: Path) -> Frame:
    views = read_description(directory).get("views")
    if not isinstance(views, dict):
        raise InputError(
            f"{directory}: has no pictures; `mvd convert MESHES -o {directory} --pairs 32:256 "
            "--views 24` makes them"
        )
    frame: Frame = "viewer" if views.get("frame") == "viewer" else "object"
    return frame
