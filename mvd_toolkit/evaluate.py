"""Scores of a prediction against the truth, for one pair of grids or two folders of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvd_toolkit import ops
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid


def _iou(pred: VoxelGrid, truth: VoxelGrid) -> float:
    return float(ops.iou(pred, truth))


METRICS: dict[str, Callable[[VoxelGrid, VoxelGrid], float]] = {"iou": _iou}
"""What `score` computes, by name; each takes prediction and truth of one shape."""


def score(pred: VoxelGrid, truth: VoxelGrid) -> dict[str, float]:
    """Every metric of ``pred`` against ``truth``.

    Args:
        pred: (X, Y, Z) grid.
        truth: grid of the same shape; both are compared voxel by voxel, wherever they lie in the
            world.

    Returns:
        ``iou``: intersection over union of the occupied voxels, 1.0 when both are empty.

    Raises:
        InputError: the shapes differ.

    >>> a = VoxelGrid.from_dense([[[1, 1, 0]]])
    >>> b = VoxelGrid.from_dense([[[0, 1, 0]]])
    >>> score(a, b)
    {'iou': 0.5}
    """
    if pred.shape != truth.shape:
        raise InputError(
            f"prediction and truth differ in shape: expected {_size(truth)} as the truth has, "
            f"found {_size(pred)}; `mvd convert --resolution` or `mvd upscale --to` changes a size"
        )
    return {name: metric(pred, truth) for name, metric in METRICS.items()}


@dataclass(frozen=True)
class Match:
    """A prediction and the truth that has its name; the missing one is None.

    Attributes:
        name: what both are called, relative to their folders and without suffix.
        pred: file of the prediction.
        truth: file of the truth.
    """

    name: str
    pred: Path | None
    truth: Path | None


def match_by_name(
    pred: Iterable[Path], truth: Iterable[Path], roots: tuple[Path, Path]
) -> list[Match]:
    """Pair the files of two folders by their path without suffix, sorted by it.

    A prediction may carry its size after the truth's name, as `mvd upscale` writes it:
    ``chair_256.binvox`` matches ``chair.npz`` where no ``chair_256`` is among the truths.

    Raises:
        UsageError: two files of one folder have the same name.
    """
    truths = _by_name(truth, roots[1])
    preds: dict[str, Path] = {}
    for name, path in _by_name(pred, roots[0]).items():
        bare = _without_size(name)
        preds_name = name if name in truths or bare not in truths else bare
        if preds_name in preds:
            raise UsageError(
                f"two predictions for {preds_name}: {preds[preds_name]} and {path}; "
                "keep one of them"
            )
        preds[preds_name] = path
    return [Match(name, preds.get(name), truths.get(name)) for name in sorted({*preds, *truths})]


def means(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over several items; empty for none.

    >>> means([{"iou": 0.5}, {"iou": 1.0}])
    {'iou': 0.75}
    """
    rows = list(scores)
    names = rows[0] if rows else {}
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def _by_name(paths: Iterable[Path], root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in found:
            raise UsageError(
                f"two files called {name} in {root}: {found[name].name} and {path.name}; "
                "keep one of them"
            )
        found[name] = path
    return found


def _without_size(name: str) -> str:
    stem, mark, size = name.rpartition("_")
    return stem if mark and size.isdigit() else name


def _size(grid: VoxelGrid) -> str:
    return "x".join(map(str, grid.shape))
