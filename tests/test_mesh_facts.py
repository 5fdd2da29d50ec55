"""What is said of meshes, against trimesh."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from strategies import dense_grids

from mvd_toolkit import io
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io import Mesh
from mvd_toolkit.mesh_facts import mesh_facts


def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=2, radius=2).apply_translation([100, 5, 0])


def test_a_closed_mesh() -> None:
    facts = mesh_facts(Mesh(ball().vertices, ball().faces))
    assert facts.closed
    assert (facts.open_edges, facts.crowded_edges, facts.turned_edges, facts.parts) == (0, 0, 0, 1)
    assert facts.volume == pytest.approx(ball().volume)


def test_corners_at_one_place_are_one_vertex() -> None:
    loose = ball()
    loose.unmerge_vertices()
    assert mesh_facts(Mesh(loose.vertices, loose.faces)).closed


def test_a_hole() -> None:
    facts = mesh_facts(Mesh(ball().vertices, ball().faces[1:]))
    assert not facts.closed
    assert (facts.open_edges, facts.crowded_edges, facts.turned_edges) == (3, 0, 0)
    assert facts.volume is None


def test_a_triangle_turned_around() -> None:
    faces = np.array(ball().faces)
    faces[7] = faces[7, ::-1]
    facts = mesh_facts(Mesh(ball().vertices, faces))
    assert (facts.closed, facts.open_edges, facts.turned_edges) == (False, 0, 3)


def test_a_fin() -> None:
    vertices = np.vstack([ball().vertices, [[100, 5, 9]]])
    fin = [*ball().faces[0, :2], len(vertices) - 1]
    facts = mesh_facts(Mesh(vertices, np.vstack([ball().faces, [fin]])))
    assert (facts.closed, facts.open_edges, facts.crowded_edges) == (False, 2, 1)


def test_triangles_facing_inwards_enclose_less_than_nothing() -> None:
    facts = mesh_facts(Mesh(ball().vertices, ball().faces[:, ::-1]))
    assert facts.closed
    assert facts.volume == pytest.approx(-ball().volume)


def test_nothing_but_needles() -> None:
    facts = mesh_facts(Mesh(np.eye(3), [[0, 0, 1], [2, 2, 2]]))
    assert (facts.closed, facts.parts, facts.volume) == (False, 0, None)


@given(dense_grids())
def test_parts_of_surfaces(dense: np.ndarray) -> None:
    mesh = io.surface_mesh(VoxelGrid.from_dense(dense))
    facts = mesh_facts(mesh)
    expected = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True, merge_norm=True)
    parts = trimesh.graph.connected_components(expected.edges, nodes=np.unique(expected.faces))
    assert facts.parts == len(parts)
    if len(mesh.faces):
        assert facts.volume == pytest.approx(expected.volume)
