"""What decides the content of a dataset of pairs, and whether one that is there agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mvd_toolkit.augmented_copies import CopyRecipe
from mvd_toolkit.data import DEFAULT_FRACTIONS, MAX_EDGE, check_fractions, read_description
from mvd_toolkit.errors import UsageError
from mvd_toolkit.views import ViewRecipe

Edges = tuple[int, int]
"""The edges of the low and of the fine grids of a pair, voxels."""


@dataclass(frozen=True)
class PairRecipe:
    """How shapes become pairs.

    Attributes:
        pairs: edges of the low grids and of the fine ones, multiples of them.
        split: shares of train, val and test; see `split_of`.
        copies: how to make more of the training meshes.
        views: which pictures are made of each mesh; None: none.
        split_by: the edges whose low grid decides the split; None: the least of ``pairs``.

    Raises:
        UsageError: the edges or shares make no sense.
    """

    pairs: tuple[Edges, ...]
    split: tuple[float, ...] = DEFAULT_FRACTIONS
    copies: CopyRecipe = field(default_factory=CopyRecipe)
    views: ViewRecipe | None = None
    split_by: Edges | None = None

    def __post_init__(self) -> None:
        check_fractions(self.split)
        for edges in self.pairs:
            _check_edges(edges)

    @property
    def deciding(self) -> Edges:
        """The edges whose low grid decides the split."""
        return self.split_by or min(self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """What `write_description` takes."""
        recipe: dict[str, Any] = {
            "split": list(self.split),
            "split_by": list(self.deciding),
            "copies": self.copies.to_dict(),
        }
        return recipe | ({"views": self.views.to_dict()} if self.views else {})


def agree(wanted: PairRecipe, dataset: Path) -> tuple[PairRecipe, dict[str, Any]]:
    """Fit a recipe to the dataset that is there, if one is.

    Returns:
        the recipe by which pairs are made now: the split of a shape is decided as it was before;
        and the description of all the dataset then holds, for `write_description`.

    Raises:
        UsageError: the dataset was made by another recipe.
    """
    if not (dataset / "dataset.json").exists():
        return wanted, wanted.to_dict()
    before = read_description(dataset)
    if "split_by" in before:
        low, high = before["split_by"]
        wanted = replace(wanted, split_by=(low, high))
    described = wanted.to_dict()
    _check_split(dataset, before["split"], wanted.split)
    old = before.get("copies", described["copies"])
    _check_copies(dataset, old, described["copies"])
    if old["count"] > wanted.copies.count:
        described["copies"] = old
    if "views" in before:
        _check_views(dataset, before["views"], wanted.views)
        described["views"] = before["views"]
    return wanted, described


def _check_edges(edges: Edges) -> None:
    low, high = edges
    if low < 1 or high % low or not low < high <= MAX_EDGE:
        raise UsageError(
            f"pairs {low}:{high}: expected a low edge of at least 1 and a high one that is a "
            f"multiple of it, at most {MAX_EDGE}"
        )


def _check_split(dataset: Path, before: Sequence[float], wanted: Sequence[float]) -> None:
    if list(before) != list(wanted):
        raise UsageError(f"{dataset}: was split {before}, expected the same, found {list(wanted)}")


def _check_copies(dataset: Path, before: dict[str, Any], wanted: dict[str, Any]) -> None:
    both = wanted["count"] and before["count"]
    for key in ("turn", "smallest", "seed") if both else ():
        if before[key] != wanted[key]:
            raise UsageError(
                f"{dataset}: its copies have {key} {before[key]!r}, expected the same, "
                f"found {wanted[key]!r}"
            )


def _check_views(dataset: Path, before: dict[str, Any], wanted: ViewRecipe | None) -> None:
    if wanted and wanted.to_dict() != before:
        raise UsageError(
            f"{dataset}: its views were made by {before}, expected the same, "
            f"found {wanted.to_dict()}"
        )
