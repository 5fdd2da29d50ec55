"""Copies of a mesh at other sizes, places and angles: more shapes to learn from.

What a copy looks like is a function of the seed, the mesh's hash and the copy's number, so that a
conversion that was stopped goes on with the same copies, in any number of processes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import UsageError
from mvd_toolkit.mesh_frame import Placement

Turn = Literal["none", "up", "any"]
Axis = Literal["x", "y", "z"]

AXES: Final = ("x", "y", "z")


@dataclass(frozen=True)
class CopyRecipe:
    """How copies are made, besides the mesh as it is.

    Attributes:
        count: copies of each training mesh.
        turn: "up" turns each about its vertical, "any" anyhow in space, "none" not at all.
        smallest: lowest share of the fit that a copy's longest side takes; the highest is 1.
        seed: another one, other copies.
    """

    count: int = 0
    turn: Turn = "none"
    smallest: float = 0.55
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 0 or not 0 < self.smallest <= 1 or self.seed < 0:
            raise UsageError(
                "copies: expected a count and a seed of at least 0 and a smallest share above 0 "
                f"and at most 1, found {self.count}, {self.seed} and {self.smallest}"
            )
        if self.turn not in ("none", "up", "any"):
            raise UsageError(f"turn: expected none, up or any, found {self.turn!r}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; its keys are the arguments."""
        return dataclasses.asdict(self)

    def draw(self, sha256: str, number: int, up: Axis) -> tuple[npt.NDArray[np.float64], Placement]:
        """The copy of this number, counted from 1.

        Args:
            sha256: hash of the mesh's file, hexadecimal.
            number: of the copy.
            up: the mesh's vertical.

        Returns:
            a rotation (3, 3) for column vectors, and where the turned mesh lies.
        """
        random = np.random.default_rng([self.seed, int(sha256[:16], 16), number])
        share = random.uniform(self.smallest, 1.0)
        x, y, z = random.uniform(0.0, 1.0, 3)
        return _rotation(self.turn, up, random), Placement(share, (x, y, z))


def _rotation(turn: Turn, up: Axis, random: np.random.Generator) -> npt.NDArray[np.float64]:
    if turn == "none":
        return np.eye(3)
    if turn == "up":
        angle, axis = random.uniform(0.0, 2 * np.pi), AXES.index(up)
        quaternion = np.zeros(4)
        quaternion[0], quaternion[1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
    else:
        quaternion = random.normal(size=4)  # its direction is uniform over all rotations
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
