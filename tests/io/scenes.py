"""Shapes in scenes, and what a reader should make of them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvd_toolkit import io


def ball() -> trimesh.Trimesh:
    sphere = trimesh.creation.icosphere(subdivisions=2)
    return sphere.apply_translation([3, -4, 5.5])


def as_trimesh(mesh: io.Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def assert_same_solid(found: io.Mesh, expected: trimesh.Trimesh) -> None:
    """As many triangles, as much volume (so the same way around), in the same place."""
    mesh = as_trimesh(found)
    assert len(mesh.faces) == len(expected.faces)
    assert mesh.volume == pytest.approx(expected.volume, rel=1e-5)
    assert np.allclose(mesh.bounds, expected.bounds, atol=1e-5)
    assert np.allclose(mesh.triangles_center.mean(0), expected.triangles_center.mean(0), atol=1e-5)


def scene() -> trimesh.Scene:
    """A ball twice, turned and moved, and a box in a mirror."""
    made = trimesh.Scene()
    turned = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3], [0.5, 0, 0])
    turned[:3, 3] += [10, 0, 0]
    made.add_geometry(ball(), node_name="one", geom_name="ball", transform=turned)
    made.graph.update("two", geometry="ball", matrix=np.diag([0.5, 0.5, 2, 1]))
    made.add_geometry(trimesh.creation.box(), transform=np.diag([2.0, -1, 1, 1]))
    return made
