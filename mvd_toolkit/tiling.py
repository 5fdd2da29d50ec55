"""A network on tiles of its input that overlap: the answer of the whole, in less memory.

A tile is run with as many pixels around it as bear on its own ones, and begins at a multiple of the
network's step, where its strides would meet the whole input too. Only a network that declares what
its answers depend on can be run so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mvd_toolkit.errors import UsageError

if TYPE_CHECKING:
    import torch

    from mvd_toolkit.specs import BackboneSpec


WHOLE_FACE = 128
"""Low edge up to which every backbone is run on whole faces unless asked for tiles."""

DEFAULT_TILE = 96
"""Low edge of the tiles of larger faces, of backbones that make fine images themselves."""


@dataclass(frozen=True)
class Tiling:
    """How inputs are cut.

    Attributes:
        edge: of a tile, input pixels, without what overlaps.
        reach: input pixels beyond a tile that bear on its own.
        step: tiles with what overlaps begin and, but for the last, end at multiples of it.
    """

    edge: int
    reach: int
    step: int = 1

    @classmethod
    def of(cls, spec: BackboneSpec, options: Mapping[str, Any], edge: int) -> Tiling:
        """Tiles of ``edge`` pixels for a backbone.

        Raises:
            UsageError: it declares no receptive field, or the edge is not positive.
        """
        if edge < 1:
            raise UsageError(f"tile: expected an edge of at least 1 low pixel, found {edge}")
        field = spec.field(options)
        if field is None:
            raise UsageError(
                f"tile: backbone {spec.name!r} declares no receptive field, any pixel may bear on "
                "any other: tiles would change the result; run it on whole faces"
            )
        return cls(edge, field // 2 + spec.step - 1, spec.step)


class FaceTiles:
    """On which tiles of a face a predictor runs its backbone.

    By default on none, but for backbones that make fine images themselves: of large faces those
    take gigabytes, so they are cut where the backbone can be run so.

    Args:
        spec: of the backbone.
        options: all that it was built with.
        quick: whether its answer has the resolution of its input; see `fine_logits.quick_head`.
    """

    def __init__(self, spec: BackboneSpec, options: Mapping[str, Any], quick: bool) -> None:
        self._spec, self._options, self._quick = spec, options, quick
        self._edge: int | None = None

    def use(self, edge: int | None) -> None:
        """Ask for tiles of so many low pixels an edge; None: for the default.

        Raises:
            UsageError: as for `Tiling.of`.
        """
        if edge is not None:
            Tiling.of(self._spec, self._options, edge)
        self._edge = edge

    def of(self, edge: int) -> Tiling | None:
        """The tiles of a face of so many low pixels an edge; None: the whole face."""
        if self._edge is not None:
            return Tiling.of(self._spec, self._options, self._edge)
        if self._quick or edge <= WHOLE_FACE or self._spec.field(self._options) is None:
            return None
        return Tiling.of(self._spec, self._options, DEFAULT_TILE)


def run_tiled(
    network: Callable[[torch.Tensor], torch.Tensor], planes: torch.Tensor, tiling: Tiling | None
) -> torch.Tensor:
    """What a network makes of its input, tile by tile where the input is larger than a tile.

    Args:
        network: (M, C, H, W) to (M, K, s H, s W), the same s for any input.
        planes: (M, C, H, W).
        tiling: None: in one piece.

    Returns:
        (M, K, s H, s W).
    """
    height, width = planes.shape[-2:]
    if tiling is None or max(height, width) <= tiling.edge:
        return network(planes)
    whole: torch.Tensor | None = None
    for top, bottom, above, below in _spans(height, tiling):
        for left, right, before, behind in _spans(width, tiling):
            answer = network(planes[..., above:below, before:behind])
            scale = answer.shape[-1] // (behind - before)
            if whole is None:
                shape = (*answer.shape[:2], height * scale, width * scale)
                whole = answer.new_empty(shape)
            rows = slice((top - above) * scale, (bottom - above) * scale)
            columns = slice((left - before) * scale, (right - before) * scale)
            target = whole[..., top * scale : bottom * scale, left * scale : right * scale]
            target.copy_(answer[..., rows, columns])
    assert whole is not None
    return whole


def _spans(length: int, tiling: Tiling) -> Iterator[tuple[int, int, int, int]]:
    """Begin and end of each tile along an axis, and of what it is run with."""
    for begin in range(0, length, tiling.edge):
        end = min(length, begin + tiling.edge)
        before = max(0, begin - tiling.reach) // tiling.step * tiling.step
        after = -(-(end + tiling.reach) // tiling.step) * tiling.step
        yield begin, end, before, min(length, after)
