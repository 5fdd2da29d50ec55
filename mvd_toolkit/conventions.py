"""What axes, faces and depths mean, in one place.

Grid
    Boolean occupancy indexed ``[x, y, z]`` in C order. Voxel ``i`` spans ``[i, i + 1)`` and its
    centre is ``i + 0.5``, in voxels; ``world = origin + spacing * index``.

Packed grid
    Lines along z, 64 voxels a word: ``np.packbits(bitorder="little")`` along z, zero-padded to
    64 bits and viewed as ``uint64``; shape ``(X, Y, ceil(Z / 64))``.

ODM (orthographic depth map)
    ``(6, N, N)`` ``uint16``: for each face and pixel the count of empty voxels met before the
    first occupied one, and ``N`` where the line meets none ("background").

Face
    The axis and direction of *looking*: ``z_neg`` looks down -z, so it starts at the top layer.
    The image axes are the remaining two in order: ``[x, y]``, ``[x, z]``, ``[y, z]``.

A grid that is no cube is padded with empty voxels at the far end of its shorter axes before it is
looked at, and cropped back afterwards; N is its longest edge.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FACES: Final = ("z_neg", "z_pos", "y_neg", "y_pos", "x_neg", "x_pos")
FACE_COUNT: Final = len(FACES)


class Face(NamedTuple):
    """Where a face looks: ``axis`` (0 x, 1 y, 2 z) and whether it looks along -axis."""

    name: str
    axis: int
    negative: bool
    image_axes: tuple[int, int]


FACE_VIEWS: Final = (
    Face("z_neg", 2, True, (0, 1)),
    Face("z_pos", 2, False, (0, 1)),
    Face("y_neg", 1, True, (0, 2)),
    Face("y_pos", 1, False, (0, 2)),
    Face("x_neg", 0, True, (1, 2)),
    Face("x_pos", 0, False, (1, 2)),
)

LOW_RULES: Final = ("any", "half", "centre")
"""How a low grid may have been made from a fine one: a coarse voxel is occupied when any of its
fine voxels is, when at least half of them are, or when the fine voxel at its centre is."""

SOFT_RULE: Final = "soft"
"""The low grid holds the occupied fraction of each coarse voxel, not a bit."""

INPUT_RULES: Final = (*LOW_RULES, SOFT_RULE)
"""All that the networks may be told about their input."""

FULL_COVERAGE: Final = 65535
"""The fraction of an occupied voxel where fractions are whole numbers, as the core has them."""


def bits_rule(rule: str) -> str:
    """The low rule whose bits a grid of ``rule`` has: *any* where it holds fractions.

    >>> bits_rule("soft"), bits_rule("half")
    ('any', 'half')
    """
    return "any" if rule == SOFT_RULE else rule
