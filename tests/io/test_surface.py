from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

shapes = st.one_of(
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([63, 64, 65, 128, 130])),
)
occupancy = shapes.flatmap(lambda shape: hnp.arrays(bool, shape))


def reference_surface(dense: np.ndarray) -> set[tuple[tuple[int, ...], ...]]:
    """The exposed faces, each as the set of its four corners, voxel by voxel."""
    padded = np.pad(dense, 1)
    faces = set()
    for voxel in np.argwhere(dense):
        for axis in range(3):
            for side in (0, 1):
                step = np.eye(3, dtype=int)[axis] * (2 * side - 1)
                if padded[tuple(voxel + 1 + step)]:
                    continue
                corners = [c for c in np.ndindex(2, 2, 2) if c[axis] == side]
                faces.add(tuple(sorted(tuple((voxel + c).tolist()) for c in corners)))
    return faces


def directed_edges(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


@given(occupancy)
def test_is_the_reference(dense: np.ndarray) -> None:
    mesh = io.surface_mesh(VoxelGrid.from_dense(dense))
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int64
    corners = mesh.vertices[mesh.faces].astype(int)
    quads = {
        tuple(sorted({tuple(c) for c in pair.reshape(6, 3).tolist()}))
        for pair in corners.reshape(-1, 2, 3, 3)
    }
    assert quads == reference_surface(dense)
    assert len(mesh.faces) == 2 * len(quads)


@given(occupancy)
def test_is_closed_and_encloses_the_voxels(dense: np.ndarray) -> None:
    grid = VoxelGrid.from_dense(dense, (1, -2, 0.5), (0.5, 0.25, 2.0))
    mesh = io.surface_mesh(grid)
    # As many triangles run along an edge one way as the other.
    edges, counts = np.unique(directed_edges(mesh.faces), axis=0, return_counts=True)
    there = dict(zip(map(tuple, edges.tolist()), counts.tolist(), strict=True))
    assert all(there.get((b, a)) == n for (a, b), n in there.items())
    # Corners are stored once, and none in vain.
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)
    assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))
    # Outward: the volume is positive, and that of the voxels.
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    assert volume == pytest.approx(dense.sum() * 0.25)


def ball() -> VoxelGrid:
    """No two of its voxels touch along an edge alone, which trimesh would not call watertight."""
    x, y, z = np.indices((20, 30, 70))
    dense = (x - 9) ** 2 + (y - 12) ** 2 / 2 + (z - 40) ** 2 / 9 < 70
    return VoxelGrid.from_dense(dense, (5, 6, 7), 0.5)


def test_trimesh_agrees() -> None:
    grid = ball()
    ours = io.surface_mesh(grid)
    theirs = trimesh.Trimesh(ours.vertices, ours.faces, process=False)
    assert theirs.is_watertight
    assert theirs.is_winding_consistent
    assert theirs.volume == pytest.approx(grid.count() / 8)
    low, high = (f(np.argwhere(grid.dense()), axis=0) for f in (np.min, np.max))
    assert np.allclose(theirs.bounds, [[5, 6, 7] + low / 2, [5, 6, 7] + (high + 1) / 2])


def test_empty_grid() -> None:
    mesh = io.surface_mesh(VoxelGrid.from_dense(np.zeros((2, 3, 4), bool)))
    assert mesh.vertices.shape == (0, 3)
    assert mesh.faces.shape == (0, 3)


def test_any_number_of_threads() -> None:
    grid = VoxelGrid.from_dense(np.random.default_rng(1).random((64, 20, 70)) < 0.3)
    one = io.surface_mesh(grid, threads=1)
    for threads in (2, 3, 7):
        other = io.surface_mesh(grid, threads=threads)
        assert np.array_equal(one.vertices, other.vertices)
        assert np.array_equal(one.faces, other.faces)


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = VoxelGrid.from_dense(np.ones((1, 1, 1), bool))
    monkeypatch.setenv("MVD_MAX_FACES", "12")
    assert len(io.surface_mesh(grid).faces) == 12
    monkeypatch.setenv("MVD_MAX_FACES", "11")
    with pytest.raises(InputError, match="at most 11 triangles, found 12; MVD_MAX_FACES"):
        io.surface_mesh(grid)


@pytest.mark.parametrize("suffix", [".stl", ".ply", ".obj"])
def test_saving_a_grid_as_a_mesh(tmp_path: Path, suffix: str) -> None:
    grid = ball()
    path = tmp_path / f"a{suffix}"
    io.save(grid, path)
    theirs = trimesh.load(path)
    assert theirs.is_watertight
    assert theirs.volume == pytest.approx(grid.count() * np.prod(grid.spacing), rel=1e-4)
