"""Grids to make surfaces of, and what is true of every surface."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mvd_toolkit import io

shapes = st.one_of(
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(st.just(2), st.integers(1, 2), st.sampled_from([63, 64, 65])),
)
occupancy = shapes.flatmap(lambda shape: hnp.arrays(bool, shape))


def all_patterns(shape: tuple[int, int, int], margin: int = 1) -> np.ndarray:
    """Every grid of a shape, side by side along x, each with ``margin`` empty voxels around it."""
    count = int(np.prod(shape))
    bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    patterns = bits.astype(bool).reshape(-1, *shape)
    padded = np.pad(patterns, [(0, 0), *[(margin, margin)] * 3])
    return padded.reshape(-1, *padded.shape[2:])


def check_closed(faces: np.ndarray) -> None:
    """Every edge is in exactly two triangles, which run along it in opposite directions."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    base = int(faces.max(initial=0)) + 1
    one_way, other_way = edges @ [base, 1], edges @ [1, base]
    assert len(np.unique(one_way)) == len(one_way)
    assert np.array_equal(np.sort(one_way), np.sort(other_way))


def check_discs(faces: np.ndarray) -> None:
    """The triangles around every vertex are one closed fan."""
    following: dict[int, dict[int, int]] = {}
    for face in faces.tolist():
        for i in range(3):
            following.setdefault(face[i], {})[face[i - 2]] = face[i - 1]
    for ring in following.values():
        start = next(iter(ring))
        reached = {start}
        while (at := ring[start]) not in reached:
            reached.add(at)
            start = at
        assert len(reached) == len(ring)


def volume(mesh: io.Mesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
