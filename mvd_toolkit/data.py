"""A dataset of pairs: what networks learn from, in folders by split.

::

    DATASET/
      dataset.json                     what the pairs are, how they were split, how many there are
      train/ val/ test/
        <id>_<low>_<high>.npz          a pair each: see `pair_file`

No torch here: converting loads none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from mvd_toolkit import __version__, ops
from mvd_toolkit.conventions import FACE_COUNT, FACES, LOW_RULES, SOFT_RULE, bits_rule
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import Vector, VoxelGrid, words_per_line
from mvd_toolkit.io.atomic import atomic, make_folder
from mvd_toolkit.json_text import parse_json
from mvd_toolkit.pair_file import pair_file_name, read_pair

SCHEMA: Final = "mvd.dataset/1"
SPLITS: Final = ("train", "val", "test")
DEFAULT_FRACTIONS: Final = (0.8, 0.1, 0.1)
MAX_EDGE: Final = 2048
"""Largest edge of a fine grid in a dataset."""
_RECIPE: Final = ("split_by", "copies", "views")


def split_of(low: VoxelGrid, fractions: Sequence[float] = DEFAULT_FRACTIONS) -> str:
    """The split a pair belongs to: a function of its low grid alone.

    The SHA-256 of the low grid's shape and packed words, read as a fraction, falls into train, val
    or test. Adding shapes moves none, and shapes with the same low grid stay together.

    Args:
        low: the *any*-pooled low grid.
        fractions: shares of train, val and test; they sum to 1.

    Raises:
        UsageError: the fractions are no shares.
    """
    check_fractions(fractions)
    digest = hashlib.sha256(np.asarray(low.shape, "<i8").tobytes())
    digest.update(np.ascontiguousarray(low.packed, "<u8").tobytes())
    place = int.from_bytes(digest.digest()[:8], "big") / 2**64
    if place < fractions[0]:
        return "train"
    return "val" if place < fractions[0] + fractions[1] else "test"


def check_fractions(fractions: Sequence[float]) -> None:
    """Check that three numbers are shares of train, val and test.

    Raises:
        UsageError: they are not three, negative, or do not sum to 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(
            f"split: expected three shares of train, val and test that sum to 1, found {fractions}"
        )


def pair_files(dataset: str | Path, split: str, low: int, high: int) -> list[Path]:
    """The pairs of a split at these edges, sorted by id."""
    return sorted((Path(dataset) / split).glob(pair_file_name("*", low, high)))


def write_description(
    dataset: str | Path,
    pairs: Iterable[tuple[int, int]],
    *,
    recipe: Mapping[str, Any] | None = None,
    left_out: Sequence[Mapping[str, str]] | None = None,
    told: Iterable[str] = (),
) -> dict[str, Any]:
    """Write dataset.json: what the pairs are, and how many there are now.

    Args:
        dataset: its directory.
        pairs: edges of the low and the fine grids, voxels. Those described before stay.
        recipe: what decided the pairs: ``split``, ``split_by``, ``copies``, ``views``; by default
            the one that is there.
        left_out: what there is no pair of, ``{"source": …, "status": …, "why": …}`` each; None:
            the dataset is being made, and its files are not hashed yet.
        told: sources that ``left_out`` tells about; what is known of others stays.

    Returns:
        What was written.
    """
    dataset = Path(dataset)
    make_folder(dataset)
    before = read_description(dataset) if (dataset / "dataset.json").exists() else {}
    edges: list[tuple[int, int]] = sorted({*pairs, *map(tuple, before.get("pairs", []))})
    files = {
        f"{a}:{b}": {split: pair_files(dataset, split, a, b) for split in SPLITS} for a, b in edges
    }
    others = set(told)
    known = [row for row in before.get("left_out", []) if row["source"] not in others]
    description: dict[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "pairs": [list(pair) for pair in edges],
        "rules": list(LOW_RULES),
        "split": before.get("split", list(DEFAULT_FRACTIONS)),
        **(recipe or {key: before[key] for key in _RECIPE if key in before}),
        "normalisation": "the longest side of a mesh inside a margin of a fine voxel, centred; "
        "copies anywhere in it",
        "conventions": {
            "faces": list(FACES),
            "background": "the fine edge",
            "high": "hull of the surface voxels",
            "low": "pooled by the rule, then hull",
            "packing": "64 voxels of z a word, little bit order",
        },
        "counts": {
            name: {split: len(paths) for split, paths in parts.items()}
            for name, parts in files.items()
        },
        "hashes": {
            name: {split: _hash_of(paths) for split, paths in parts.items()}
            for name, parts in files.items()
            if left_out is not None
        },
        "left_out": sorted([*known, *map(dict, left_out or ())], key=lambda row: row["source"]),
    }
    with atomic(dataset / "dataset.json", overwrite=True) as file:
        file.write((json.dumps(description, indent=1) + "\n").encode())
    return description


def _place(path: Path) -> str:
    return hashlib.sha256(path.name.encode()).hexdigest()


def _hash_of(files: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of some files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def read_description(dataset: str | Path) -> dict[str, Any]:
    """The content of dataset.json.

    Raises:
        InputError: it is missing or no description of pairs.
    """
    path = Path(dataset) / "dataset.json"
    try:
        description = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; `mvd convert MESHES -o DATASET --pairs 32:256` makes one"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON: {error}") from error
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected schema {SCHEMA!r}")
    _check_description(path, description)
    return description


def _check_description(path: Path, description: Mapping[str, Any]) -> None:
    """Check what others build on: the edges, and the list of what was left out."""
    pairs = description.get("pairs")
    if not isinstance(pairs, list) or not all(map(_are_edges, pairs)):
        raise InputError(
            f"{path}: pairs: expected a list of two edges each, the fine one a multiple of the "
            f"low one and at most {MAX_EDGE}, found {pairs!r:.80}"
        )
    left_out = description.get("left_out", [])
    known = isinstance(left_out, list) and all(isinstance(row, dict) for row in left_out)
    if not known or not all(isinstance(row.get("source"), str) for row in left_out):
        raise InputError(
            f"{path}: left_out: expected a list of objects with a source, found {left_out!r:.80}"
        )


def _are_edges(pair: Any) -> bool:
    """Whether a value of JSON is ``[low, high]``."""
    return (
        isinstance(pair, list)
        and [type(edge) for edge in pair] == [int, int]
        and 1 <= pair[0] <= pair[1] <= MAX_EDGE
        and pair[1] % pair[0] == 0
    )


def edges_of(dataset: str | Path, low: int | None, high: int | None) -> tuple[int, int]:
    """The edges of the one kind of pair in a dataset that has a low and a high edge, if told.

    Raises:
        InputError: there is no such dataset.
        UsageError: it has several such, or none.
    """
    known = [tuple(pair) for pair in read_description(dataset)["pairs"]]
    fitting = [(a, b) for a, b in known if low in (None, a) and high in (None, b)]
    if len(fitting) != 1:
        listed = ", ".join(f"{a}:{b}" for a, b in known) or "none"
        if fitting or low is high is None:
            raise UsageError(
                f"{dataset}: expected one kind of pair, found {listed}; --pairs names one"
            )
        raise UsageError(f"{dataset}: expected pairs of {low or '?'}:{high or '?'}, found {listed}")
    return fitting[0]


def hull_of(
    odms: npt.NDArray[np.uint16],
    origin: Vector = (0.0, 0.0, 0.0),
    spacing: Vector = (1.0, 1.0, 1.0),
) -> VoxelGrid:
    """The fine cube that its ODMs (6, N, N) tell, at a place."""
    edge = odms.shape[-1]
    empty = np.zeros((edge, edge, words_per_line(edge)), np.uint64)
    like = VoxelGrid(empty, (edge,) * 3, origin, spacing)
    grid = ops.project_odms(odms, votes=1, like=like)
    assert isinstance(grid, VoxelGrid)
    return grid


class Pairs(Protocol):
    """Coarse grids and the fine ones that training wants of them, in memory.

    Attributes:
        directory: the dataset.
        split: train, val or test.
        low: edge of the low grids, N.
        high: edge of the fine grids, sN.
        lows: low rule of bits -> (n, N, N, W) uint64, packed.
    """

    directory: Path
    split: str
    low: int
    high: int
    lows: dict[str, npt.NDArray[np.uint64]]

    def __len__(self) -> int:
        """How many pairs."""

    @property
    def scale(self) -> int:
        """Fine edge / low edge."""

    @property
    def fingerprint(self) -> str:
        """Another one, other pairs."""

    def low_grid(self, index: int, rule: str) -> VoxelGrid:
        """The low grid of a pair; under *soft* with its coverage."""

    def high_grid(self, index: int) -> VoxelGrid:
        """The fine grid of a pair."""

    def coverage(self, index: int) -> npt.NDArray[np.float32]:
        """(N, N, N) fractions of a pair's low voxels."""

    def fine_odms(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """(n, 6, sN, sN) fine ODMs of some pairs."""


class PairDataset:
    """The pairs of one split, all in memory: 0.8 MB each at 256³.

    Attributes:
        directory: the dataset.
        split: train, val or test.
        low: edge of the low grids, N.
        high: edge of the fine grids, sN.
        ids: the pairs' ids, sorted.
        odms: (n, 6, sN, sN) uint16.
        lows: low rule -> (n, N, N, W) uint64, packed.
    """

    def __init__(
        self,
        directory: str | Path,
        split: str,
        low: int | None = None,
        high: int | None = None,
        limit: int | None = None,
    ) -> None:
        """Load a split.

        Args:
            directory: the dataset.
            split: train, val or test.
            low: edge of the low grids; needed when the dataset has several.
            high: edge of the fine grids; the same.
            limit: keep this many at most: those whose ids' hashes come first, so that they are
                the same ones, but for few, when shapes are added.

        Raises:
            InputError: there is no such dataset, or a pair is malformed.
            UsageError: the edges are not told and not unique, or there are none such.
        """
        self.directory = Path(directory)
        self.split = split
        self.low, self.high = edges_of(self.directory, low, high)
        files = pair_files(self.directory, split, self.low, self.high)
        if limit is not None and len(files) > limit:
            files = sorted(sorted(files, key=_place)[:limit])
        ending = pair_file_name("", self.low, self.high)
        self.ids = [path.name.removesuffix(ending) for path in files]
        words = words_per_line(self.low)
        self.odms = np.empty((len(files), FACE_COUNT, self.high, self.high), np.uint16)
        self.lows = {
            rule: np.empty((len(files), self.low, self.low, words), np.uint64) for rule in LOW_RULES
        }
        self._covered: dict[int, npt.NDArray[np.uint16]] = {}  # fine voxels, of soft grids
        for index, path in enumerate(files):
            self._load(index, path)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scale(self) -> int:
        """Fine edge / low edge."""
        return self.high // self.low

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ids and low grids: another one, another dataset."""
        digest = hashlib.sha256(json.dumps([self.low, self.high, self.ids]).encode())
        for rule in LOW_RULES:
            digest.update(self.lows[rule].tobytes())
        return digest.hexdigest()

    def low_grid(self, index: int, rule: str = "any") -> VoxelGrid:
        """The low grid of a pair, in units of fine voxels; under *soft* with its coverage."""
        return VoxelGrid(
            self.lows[bits_rule(rule)][index],
            (self.low,) * 3,
            spacing=(float(self.scale),) * 3,
            coverage=self.coverage(index) if rule == SOFT_RULE else None,
        )

    def coverage(self, index: int) -> npt.NDArray[np.float32]:
        """(N, N, N) occupied fractions of a pair's low voxels; counted once, then remembered."""
        voxels = self.scale**3
        if index not in self._covered:
            shares = ops.coverage(self.high_grid(index), self.scale).coverage
            assert shares is not None
            self._covered[index] = np.rint(shares * voxels).astype(np.uint16)
        return (self._covered[index] / voxels).astype(np.float32)

    def fine_odms(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """(n, 6, sN, sN) fine ODMs of some pairs."""
        return self.odms[indices]

    def high_grid(self, index: int) -> VoxelGrid:
        """The fine grid of a pair: the hull that its ODMs tell."""
        return hull_of(self.odms[index])

    def _load(self, index: int, path: Path) -> None:
        pair = read_pair(path)
        if pair.edge != self.low or pair.odms.shape[-1] != self.high:
            raise InputError(
                f"{path}: expected edges {self.low}:{self.high} as the name says, "
                f"found {pair.edge}:{pair.odms.shape[-1]}"
            )
        self.odms[index] = pair.odms
        for rule, packed in pair.lows.items():
            self.lows[rule][index] = packed
