from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mvd_toolkit import io, reference
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

shapes = st.one_of(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.sampled_from([63, 64, 65, 128, 130])),
)
occupancy = shapes.flatmap(lambda shape: hnp.arrays(bool, shape))


def all_patterns(shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """Every grid of a shape."""
    count = int(np.prod(shape))
    for bits in range(2**count):
        yield np.array([bits >> i & 1 for i in range(count)], bool).reshape(shape)


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


def check_surface(mesh: io.Mesh, dense: np.ndarray) -> None:
    """Closed, around every voxel once, each vertex at a corner of the grid and used."""
    check_closed(mesh.faces)
    check_discs(mesh.faces)
    assert volume(mesh) == pytest.approx(dense.sum())
    assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))


def canonical(faces: np.ndarray) -> list[list[int]]:
    """Triangles from their lowest vertex on, in order."""
    return sorted(np.roll(face, -int(face.argmin())).tolist() for face in faces)


@pytest.mark.parametrize("margin", [0, 1])
def test_every_corner_case(margin: int) -> None:
    for pattern in all_patterns((2, 2, 2)):
        dense = np.pad(pattern, margin)
        check_surface(io.surface_mesh(VoxelGrid.from_dense(dense)), dense)


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 3, 2), (2, 2, 3)])
def test_every_pair_of_corner_cases(shape: tuple[int, int, int]) -> None:
    # Both ends of an edge, where the joints of its faces have to agree.
    for dense in all_patterns(shape):
        mesh = io.surface_mesh(VoxelGrid.from_dense(dense))
        check_closed(mesh.faces)
        assert volume(mesh) == pytest.approx(dense.sum())


def test_voxels_in_a_tunnel_are_joined() -> None:
    # Two voxels that touch along an edge alone, between a floor and a ceiling that connect them:
    # kept apart, all four of their faces would share that edge.
    dense = np.ones((2, 2, 3), bool)
    dense[[0, 1], [1, 0], 1] = False
    mesh = io.surface_mesh(VoxelGrid.from_dense(dense))
    check_surface(mesh, dense)
    at = np.unique(mesh.vertices, axis=0, return_counts=True)
    assert at[0][at[1] > 1].tolist() == [[1, 1, 1], [1, 1, 2]]


@given(occupancy)
def test_is_the_reference(dense: np.ndarray) -> None:
    mesh = io.surface_mesh(VoxelGrid.from_dense(dense))
    vertices, faces = reference.surface(dense)
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int32
    assert np.array_equal(mesh.vertices, vertices)
    assert canonical(mesh.faces) == canonical(faces)


@given(occupancy)
def test_is_closed_and_encloses_the_voxels(dense: np.ndarray) -> None:
    check_surface(io.surface_mesh(VoxelGrid.from_dense(dense)), dense)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.8])
def test_noise_is_closed(density: float) -> None:
    dense = np.random.default_rng(0).random((24, 25, 70)) < density
    check_surface(io.surface_mesh(VoxelGrid.from_dense(dense)), dense)


def test_place() -> None:
    grid = VoxelGrid.from_dense(np.ones((2, 1, 1), bool), (1, -2, 0.5), (0.5, 0.25, 2.0))
    mesh = io.surface_mesh(grid)
    assert mesh.vertices.min(0).tolist() == [1, -2, 0.5]
    assert mesh.vertices.max(0).tolist() == [2, -1.75, 2.5]
    assert volume(mesh) == pytest.approx(0.5)


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
