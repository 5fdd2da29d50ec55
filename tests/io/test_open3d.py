"""Files that Open3D 0.20 wrote: three voxels, and a box from (5, 6, 7) to (6, 8, 10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mvd_toolkit import io
from mvd_toolkit.errors import InputError

WriteBytes = Callable[..., Path]
DATA = Path(__file__).parent.parent / "data" / "open3d"

CENTRES = [[1.02, 2.0, 3.0], [1.27, 2.25, 3.5], [1.52, 2.0, 3.0]]
"""What Open3D's ``get_voxel_center_coordinate`` said of the three."""


@pytest.mark.parametrize("name", ["voxels.ply", "voxels_binary.ply"])
def test_voxels_lie_where_open3d_has_them(name: str) -> None:
    grid = io.load(DATA / name)
    assert io.sniff(DATA / name).name == "open3d"
    centres = np.array(grid.origin) + (np.argwhere(grid.dense()) + 0.5) * grid.spacing
    assert np.allclose(sorted(centres.tolist()), CENTRES, rtol=0, atol=1e-12)
    assert (grid.shape, grid.spacing) == ((3, 2, 3), (0.25, 0.25, 0.25))


@pytest.mark.parametrize("suffix", ["ply", "stl", "obj", "off", "glb", "gltf"])
def test_meshes_lie_where_open3d_has_them(suffix: str) -> None:
    mesh = io.load_mesh(DATA / f"box.{suffix}")
    assert len(mesh.faces) == 12
    assert np.allclose(mesh.vertices.min(axis=0), [5, 6, 7])
    assert np.allclose(mesh.vertices.max(axis=0), [6, 8, 10])


def changed(old: str, new: str) -> bytes:
    text = (DATA / "voxels.ply").read_text()
    assert old in text
    return text.replace(old, new).encode()


def test_a_quarter_turn(write_bytes: WriteBytes) -> None:
    turned = changed("1 0 0 0 1 0 0 0 1", "0 -1 0 1 0 0 0 0 1")
    grid = io.load(write_bytes("a.ply", turned))
    centres = np.array(grid.origin) + (np.argwhere(grid.dense()) + 0.5) * grid.spacing
    corner = np.array([0.895, 1.875, 2.875])
    offsets = np.array(CENTRES) - corner
    expected = corner + offsets[:, [1, 0, 2]] * [-1, 1, 1]
    assert np.allclose(sorted(centres.tolist()), sorted(expected.tolist()))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2 0 0 0 0 0", "-2 0 0 0 0 0", "expected indices from 0 up"),
        ("2 0 0 0 0 0", "2.5 0 0 0 0 0", "expected indices from 0 up"),
        ("2 0 0 0 0 0", "nan 0 0 0 0 0", "expected indices from 0 up"),
        ("2 0 0 0 0 0", "999999 999999 999999 0 0 0", "MVD_MAX_VOXELS raises the limit"),
        ("2 0 0 0 0 0", "", "expected 3 rows, found the end of the file"),
        ("element vertex 3", "element vertex 99999999999", "MVD_MAX_FACES raises the limit"),
        ("element vertex 3", "element vertex 0", "expected a voxel, found none"),
        ("element origin 1", "element corner 1", "element 'origin': expected one row"),
        ("\n0.25\n", "\n0\n", "expected finite directions that span a box"),
        ("property double val", "property double edge", "expected val, found"),
    ],
)
def test_broken(write_bytes: WriteBytes, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        io.load(write_bytes("a.ply", changed(old, new)))
