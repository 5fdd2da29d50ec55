"""Fewer triangles for the same closed surface."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mvd_toolkit import decimate as module
from mvd_toolkit.decimate import decimate, is_closed
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io import Mesh, surface_mesh


def torus() -> Mesh:
    x, y, z = np.indices((48, 48, 24)) - np.array([23.6, 24.2, 11.7]).reshape(3, 1, 1, 1)
    return surface_mesh(VoxelGrid.from_dense(np.hypot(np.hypot(x, y) - 15, z) < 5))


def noise(seed: int, density: float) -> Mesh:
    return surface_mesh(
        VoxelGrid.from_dense(np.random.default_rng(seed).random((12,) * 3) < density)
    )


def test_a_torus_stays_one() -> None:
    pytest.importorskip("fast_simplification")
    mesh = torus()
    fewer = decimate(mesh, 2000)
    assert len(fewer.faces) == pytest.approx(2000, rel=0.01)
    before, after = (trimesh.Trimesh(m.vertices, m.faces, process=False) for m in (mesh, fewer))
    assert after.is_watertight
    assert after.is_winding_consistent
    assert after.euler_number == 0
    assert after.volume == pytest.approx(before.volume, rel=0.01)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.2, 0.5]), st.sampled_from([2, 5]))
def test_noise_stays_closed(seed: int, density: float, times: int) -> None:
    pytest.importorskip("fast_simplification")
    mesh = noise(seed, density)
    fewer = decimate(mesh, len(mesh.faces) // times)
    assert is_closed(fewer.faces)
    assert len(fewer.faces) < len(mesh.faces)
    assert np.isfinite(fewer.vertices).all()


def test_edges_of_four_triangles_are_taken_apart() -> None:
    # Two tetrahedra that share an edge.
    corners = [[0, 0, 0], [0, 0, 2], [1, 0, 1], [0, 1, 1], [-1, 0, 1], [0, -1, 1]]
    faces = [[0, 1, 2], [1, 0, 3], [0, 2, 3], [1, 3, 2], [0, 1, 4], [1, 0, 5], [0, 4, 5], [1, 5, 4]]
    assert not is_closed(np.array(faces))
    apart = module._take_apart(np.array(corners, float), np.array(faces))
    assert is_closed(apart.faces)
    assert len(apart.faces) == len(faces) + 2
    assert apart.vertices[6:].tolist() == [[0, 0, 1]]
    area = sum(trimesh.triangles.area(np.array(corners)[np.array(faces)]))
    assert trimesh.Trimesh(apart.vertices, apart.faces).area == pytest.approx(area)


def test_what_is_small_enough_stays() -> None:
    mesh = surface_mesh(VoxelGrid.from_dense(np.ones((1, 1, 1), bool)))
    assert decimate(mesh, 12) is mesh


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = torus()
    with pytest.raises(UsageError, match="faces: expected at least 4, found 3"):
        decimate(mesh, 3)
    pytest.importorskip("fast_simplification")
    with pytest.raises(InputError, match="expected a closed mesh"):
        decimate(Mesh(mesh.vertices, mesh.faces[1:]), 100)
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    with pytest.raises(UnavailableError, match=r"pip install 'mvd_toolkit\[decimate\]'"):
        decimate(mesh, 100)
