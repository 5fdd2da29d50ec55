"""Ends of a shape whose own extent is known more finely than its voxels say.

A coarse grid does not tell how far into its outermost layers a shape reaches; the mesh that it was
made from does, and `VoxelGrid.extent` remembers it. `reach_extent` lets an upscaled grid end there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mvd_toolkit.grid import WORD_BITS, VoxelGrid

WordArray = npt.NDArray[np.uint64]
Span = tuple[int, int]
"""First and last layer."""

REACH = 2
"""Coarse voxels. An end farther off than that is no matter of where in a voxel the shape ends."""

TOUCH = 1e-3
"""Voxels by which a shape may enter a layer and not be in it: rounding in files does as much."""


def reach_extent(fine: VoxelGrid, scale: int) -> VoxelGrid:
    """Stretch the ends of an upscaled grid to its `VoxelGrid.extent`.

    Along each axis, at either end, the layers from the shape's end to the inner side of its coarse
    voxel are stretched or squeezed until the shape ends in the layer where its extent does; all
    between stays. No voxel is lost in a squeeze: layers that fall together are joined. An end
    farther off than `REACH` is left alone: the extent is of something else there.

    Args:
        fine: the grid; returned as it is where it has no extent, or no voxel.
        scale: fine voxels along the edge of a coarse one.
    """
    if fine.extent is None or not fine.packed.any():
        return fine
    low, high = ((np.asarray(end) - fine.origin) / fine.spacing for end in fine.extent)
    packed = fine.packed.copy()
    for axis, length in enumerate(fine.shape):
        found = _occupied_span(packed, axis, length)
        wanted = int(np.floor(low[axis] + TOUCH)), int(np.ceil(high[axis] - TOUCH)) - 1
        if wanted[0] >= 0 and wanted[1] < length:
            _rebuild(packed, axis, _sources(found, _within_reach(found, wanted, scale), scale))
    return fine.with_occupancy(packed, fine.shape)


def _within_reach(found: Span, wanted: Span, scale: int) -> Span:
    """The wanted ends, but the found one where they are too far apart."""
    first, last = (
        there if abs(there - here) <= REACH * scale else here
        for here, there in zip(found, wanted, strict=True)
    )
    return (first, last) if first <= last else found


def _sources(found: Span, wanted: Span, scale: int) -> dict[int, set[int]]:
    """Which layers each layer that changes is to be the union of.

    Args:
        found: where the shape is now.
        wanted: where it is to be.
        scale: layers of a coarse voxel.
    """
    behind = (max(wanted[0], found[0]) // scale + 1) * scale  # the first layer further in
    before = min(wanted[1], found[1]) // scale * scale
    fixed = [behind, before] if behind <= before else []  # a shape within one voxel has none
    ends_now = [found[0], *fixed, found[1] + 1]
    ends_then = [wanted[0], *fixed, wanted[1] + 1]

    layers = np.arange(wanted[0], wanted[1] + 1)
    taken = np.interp(layers + 0.5, ends_then, ends_now).astype(int)
    sources = {int(layer): {int(source)} for layer, source in zip(layers, taken, strict=True)}
    layers = np.arange(found[0], found[1] + 1)
    given = np.interp(layers + 0.5, ends_now, ends_then).astype(int)
    for source, layer in zip(layers.tolist(), given.tolist(), strict=True):
        if source not in taken:
            sources[layer].add(source)

    emptied = {layer: set[int]() for layer in layers.tolist() if layer not in sources}
    return emptied | {layer: of for layer, of in sources.items() if of != {layer}}


def _rebuild(packed: WordArray, axis: int, sources: dict[int, set[int]]) -> None:
    """Make layers anew, in place, each the union of some as they were."""
    needed = set[int]().union(*sources.values())
    before = {layer: _layer(packed, axis, layer) for layer in needed}
    for layer, of in sources.items():
        union = np.zeros_like(_layer(packed, axis, layer))
        for source in of:
            union |= before[source]
        if axis < 2:
            packed[(slice(None),) * axis + (layer,)] = union
        else:
            word, bit = divmod(layer, WORD_BITS)
            packed[..., word] &= ~np.uint64(1 << bit)
            packed[..., word] |= union << np.uint64(bit)


def _layer(packed: WordArray, axis: int, layer: int) -> WordArray:
    """A copy of a layer: words, or along z a word of 0 or 1 for each voxel."""
    if axis < 2:
        return packed[(slice(None),) * axis + (layer,)].copy()
    word, bit = divmod(layer, WORD_BITS)
    taken: WordArray = packed[..., word] >> np.uint64(bit) & np.uint64(1)
    return taken


def _occupied_span(packed: WordArray, axis: int, length: int) -> Span:
    """The first and last layer along an axis that have a voxel, of a grid that has one."""
    if axis < 2:
        found = np.flatnonzero(packed.any(axis=tuple({0, 1, 2} - {axis})))
    else:
        words = np.bitwise_or.reduce(packed, axis=(0, 1)).astype("<u8")
        found = np.flatnonzero(np.unpackbits(words.view(np.uint8), count=length, bitorder="little"))
    return int(found[0]), int(found[-1])
