"""From the surface of a mesh to a solid, and how far two ways to do so agree.

Three ways, each right for another kind of mesh:

- hull carves away what a face sees past. It needs no closed mesh and fills hollows that nobody sees
  into along an axis.
- flood keeps what a flood from outside does not reach. It follows every hollow with an opening, and
  leaks through the smallest gap.
- centre asks for the centre of each voxel whether it is inside, by the parity of the triangles in
  front of it. It alone adds no shell of surface voxels; it needs a closed mesh without overlaps.

A closed mesh without hidden hollows is filled alike by all of them, but for the shell. So where two
of them disagree on much of the volume, the mesh is not what the way that was chosen assumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mvd_toolkit import _core, ops
from mvd_toolkit.grid import VoxelGrid

MeshFill = Literal["hull", "flood", "centre", "none"]
"""How a mesh is filled; ``none`` keeps its surface alone."""

LARGE = 0.05
"""A disagreement above this share of the volume is worth a word."""


@dataclass(frozen=True)
class Filling:
    """How a mesh was filled, and how sure one can be of it.

    Attributes:
        fill: hull, flood or centre.
        other: the way it was compared with: hull for flood, flood for the others.
        disagreement: share of the volume that either of the two fills and not both do, 0 to 1. The
            surface itself counts as filled by both.
        disputed: for centre, share of that volume for which parity along x, y and z differs; 0 for
            every closed mesh.
    """

    fill: str
    other: str
    disagreement: float
    disputed: float = 0.0

    def doubts(self) -> list[str]:
        """What a user should know of it, a sentence each; none when all is well."""
        said = []
        if self.disputed > 0:
            said.append(
                f"the mesh is not closed: parity along x, y and z differs for "
                f"{100 * self.disputed:.2g} % of the volume; --fill hull needs no closed mesh"
            )
        if self.disagreement > LARGE:
            share = f"{self.disagreement:.0%} of the volume"
            said.append(
                {
                    "hull": f"a flood from outside reaches {share} that hull fills: the mesh is "
                    "open, or has hollows that cannot be seen into along an axis (--fill flood "
                    "follows them)",
                    "flood": f"the flood reaches {share} that hull fills: the mesh leaks, or has "
                    "hollows that cannot be seen into along an axis (--fill hull fills both)",
                    "centre": f"centre and flood disagree on {share}: the mesh is open, or parts "
                    "of it overlap; --fill hull minds neither",
                }[self.fill]
            )
        return said


def fill_surface(
    surface: VoxelGrid,
    points: npt.NDArray[np.float64],
    triangles: npt.NDArray[np.int64],
    fill: MeshFill,
    threads: int,
) -> tuple[VoxelGrid, Filling | None]:
    """The solid of a mesh, and how sure it is; no report where nothing is filled.

    Args:
        surface: (X, Y, Z), every voxel that the mesh touches.
        points: (V, 3), its vertices, in voxels.
        triangles: (F, 3).
        fill: the way.
        threads: how many to use, 0 for one a core.
    """
    if fill == "none":
        return surface, None
    flood = ops.fill_holes(surface, threads=threads)
    if fill == "centre":
        packed, disputed = _core.voxelize_centres(points, triangles, *surface.shape, threads)
        solid = surface.with_occupancy(packed, surface.shape)
        inside = packed | surface.packed
        return solid, _compare("centre", inside, "flood", flood.packed, disputed)
    hull = ops.hull(surface, threads=threads)
    if fill == "hull":
        return hull, _compare("hull", hull.packed, "flood", flood.packed)
    return flood, _compare("flood", flood.packed, "hull", hull.packed)


def _compare(
    fill: str,
    mine: npt.NDArray[np.uint64],
    other: str,
    theirs: npt.NDArray[np.uint64],
    disputed: int = 0,
) -> Filling:
    volume = max(1, _count(mine | theirs))
    return Filling(fill, other, _count(mine ^ theirs) / volume, min(1.0, disputed / volume))


def _count(words: npt.NDArray[np.uint64]) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64))
