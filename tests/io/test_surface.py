from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from surfaces import all_patterns, check_closed, check_discs, occupancy, volume

from mvd_toolkit import io, reference_mesh
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid


def check_surface(mesh: io.Mesh, dense: np.ndarray) -> None:
    """Closed, around every voxel once, each vertex at a corner of the grid and used."""
    check_closed(mesh.faces)
    check_discs(mesh.faces)
    assert volume(mesh) == pytest.approx(dense.sum())
    assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))


def plain(dense: np.ndarray) -> io.Mesh:
    """Vertices at the corners of the grid."""
    return io.surface_mesh(VoxelGrid.from_dense(dense), smooth=False, apart=0)


def canonical(faces: np.ndarray) -> list[list[int]]:
    """Triangles from their lowest vertex on, in order."""
    return sorted(np.roll(face, -int(face.argmin())).tolist() for face in faces)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_corner_case(axis: int) -> None:
    dense = np.moveaxis(all_patterns((2, 2, 2)), 0, axis)
    check_surface(plain(dense), dense)


def test_every_corner_case_at_the_border() -> None:
    for bits in range(256):
        dense = np.array([bits >> i & 1 for i in range(8)], bool).reshape(2, 2, 2)
        check_surface(plain(dense), dense)


@pytest.mark.parametrize(("shape", "axis"), [((3, 2, 2), 0), ((2, 3, 2), 1), ((2, 2, 3), 2)])
def test_every_pair_of_corner_cases(shape: tuple[int, int, int], axis: int) -> None:
    # Both ends of an edge, where the joints of its faces have to agree.
    dense = np.moveaxis(all_patterns(shape), 0, axis)
    mesh = plain(dense)
    check_closed(mesh.faces)
    assert volume(mesh) == pytest.approx(dense.sum())


def test_voxels_in_a_tunnel_are_joined() -> None:
    # Two voxels that touch along an edge alone, between a floor and a ceiling that connect them:
    # kept apart, all four of their faces would share that edge.
    dense = np.ones((2, 2, 3), bool)
    dense[[0, 1], [1, 0], 1] = False
    mesh = plain(dense)
    check_surface(mesh, dense)
    at = np.unique(mesh.vertices, axis=0, return_counts=True)
    assert at[0][at[1] > 1].tolist() == [[1, 1, 1], [1, 1, 2]]


@given(occupancy)
def test_is_the_reference(dense: np.ndarray) -> None:
    mesh = plain(dense)
    vertices, faces = reference_mesh.surface(dense)
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int32
    assert np.array_equal(mesh.vertices, vertices)
    assert canonical(mesh.faces) == canonical(faces)


@given(occupancy)
def test_is_closed_and_encloses_the_voxels(dense: np.ndarray) -> None:
    check_surface(plain(dense), dense)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.8])
def test_noise_is_closed(density: float) -> None:
    dense = np.random.default_rng(0).random((12, 13, 70)) < density
    check_surface(plain(dense), dense)


def test_place() -> None:
    grid = VoxelGrid.from_dense(np.ones((2, 1, 1), bool), (1, -2, 0.5), (0.5, 0.25, 2.0))
    mesh = io.surface_mesh(grid, smooth=False)
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
    ours = io.surface_mesh(grid, smooth=False, apart=0)
    theirs = trimesh.Trimesh(ours.vertices, ours.faces, process=False)
    assert theirs.is_watertight
    assert theirs.is_winding_consistent
    assert theirs.volume == pytest.approx(grid.count() / 8)
    low, high = (f(np.argwhere(grid.dense()), axis=0) for f in (np.min, np.max))
    assert np.allclose(theirs.bounds, [[5, 6, 7] + low / 2, [5, 6, 7] + (high + 1) / 2])


def test_empty_grid() -> None:
    for smooth in (False, True):
        mesh = io.surface_mesh(VoxelGrid.from_dense(np.zeros((2, 3, 4), bool)), smooth=smooth)
        assert mesh.vertices.shape == (0, 3)
        assert mesh.faces.shape == (0, 3)


@pytest.mark.parametrize("smooth", [False, True])
def test_any_number_of_threads(smooth: bool) -> None:
    grid = VoxelGrid.from_dense(np.random.default_rng(1).random((64, 20, 70)) < 0.3)
    one = io.surface_mesh(grid, smooth=smooth, threads=1)
    for threads in (2, 3, 7):
        other = io.surface_mesh(grid, smooth=smooth, threads=threads)
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
