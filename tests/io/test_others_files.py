"""Meshes that PyVista wrote, VTK files by hand, and formats that are known, but not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.orientation import reoriented

WriteBytes = Callable[..., Path]


class TestPyVista:
    """Its surfaces, in place and whole."""

    @pytest.fixture
    def pyvista(self) -> Any:
        return pytest.importorskip("pyvista")

    @pytest.mark.parametrize("binary", [True, False])
    @pytest.mark.parametrize("name", ["triangles", "quadrilaterals", "strips"])
    def test_polydata(self, tmp_path: Path, pyvista: Any, name: str, binary: bool) -> None:
        ball = pyvista.Sphere(center=(3, 4, 5), radius=2)
        made = {
            "triangles": ball,
            "quadrilaterals": pyvista.Cube(center=(3, 4, 5)),
            "strips": ball.strip(),
        }[name]
        made.save(tmp_path / "a.vtk", binary=binary)
        mesh = io.load_mesh(tmp_path / "a.vtk")
        found = trimesh.Trimesh(mesh.vertices, mesh.faces)
        assert np.allclose(found.bounds.T.ravel(), made.bounds, atol=1e-5)
        assert abs(found.volume) == pytest.approx(made.volume, rel=1e-4)
        if name != "quadrilaterals":
            assert len(found.faces) == ball.n_cells

    @pytest.mark.parametrize("suffix", [".ply", ".stl", ".obj"])
    def test_other_surfaces(self, tmp_path: Path, pyvista: Any, suffix: str) -> None:
        ball = pyvista.Sphere(center=(3, 4, 5), radius=2)
        ball.save(tmp_path / f"a{suffix}")
        mesh = io.load_mesh(tmp_path / f"a{suffix}")
        assert len(mesh.faces) == ball.n_cells
        assert np.allclose(mesh.vertices.min(0), np.array(ball.bounds)[::2], atol=1e-5)

    @pytest.mark.parametrize("suffix", [".vtk", ".vtu"])
    def test_unstructured_grids(self, tmp_path: Path, pyvista: Any, suffix: str) -> None:
        ball = pyvista.Sphere().cast_to_unstructured_grid()
        ball.clear_data()  # meshio knows no NORMALS
        ball.save(tmp_path / f"a{suffix}")
        assert len(io.load_mesh(tmp_path / f"a{suffix}").faces) == ball.n_cells

    def test_xml_polydata_is_named(self, tmp_path: Path, pyvista: Any) -> None:
        pyvista.Sphere().save(tmp_path / "a.vtp")
        with pytest.raises(InputError, match="expected the type UnstructuredGrid, found PolyData"):
            io.load_mesh(tmp_path / "a.vtp")


HEAD = "# vtk DataFile Version 3.0\ntitle\nASCII\nDATASET POLYDATA\n"
POINTS = "POINTS 4 float\n0 0 0 1 0 0\n1 1 0 0 1 0\n"


class TestPolydataByHand:
    def load(self, write_bytes: WriteBytes, text: str) -> io.Mesh:
        return io.load_mesh(write_bytes("a.vtk", text.encode()))

    def test_polygons_strips_and_what_is_left_out(self, write_bytes: WriteBytes) -> None:
        text = (
            f"{HEAD}{POINTS}VERTICES 1 2\n1 0\nLINES 1 3\n2 0 1\n"
            "POLYGONS 2 9\n4 0 1 2 3\n3 0 1 2\nTRIANGLE_STRIPS 1 5\n4 0 1 3 2\n"
            "POINT_DATA 4\nSCALARS a float 1\nLOOKUP_TABLE default\n1 2 3 4\n"
        )
        mesh = self.load(write_bytes, text)
        assert mesh.faces.tolist() == [
            [0, 1, 2],
            [0, 1, 2],
            [0, 2, 3],
            [0, 1, 3],
            [3, 1, 2],
        ]
        assert mesh.report.polygons == 1

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected POINTS, found none"),
            ("POINTS 4 float\n0 0 0\n", "expected 12 numbers, found 3"),
            ("POINTS 99999999999 float\n", "expected a count that .* bytes can hold"),
            ("POINTS 4 pixels\n", "expected a type of numbers, found 'pixels'"),
            ("POINTS 1 float\n0 0 x\n", "expected 3 numbers|expected numbers"),
            (POINTS, "found no face"),
            (f"{POINTS}POLYGONS 1 4\n3 0 1 4\n", "expected vertex numbers from 0 to 3, found 4"),
            (f"{POINTS}POLYGONS 1 4\n9 0 1 2\n", "cells: expected 4 numbers, found 10"),
            (f"{POINTS}POLYGONS 2 4\n3 0 1 2\n", "cells: expected 2 counts of points"),
            (f"{POINTS}POLYGONS 1 4\n-3 0 1 2\n", "cells: expected 1 counts of points"),
            (
                f"{POINTS}POLYGONS 2 3\nOFFSETS vtktypeint64\n0 4\n"
                "CONNECTIVITY vtktypeint64\n0 1 2\n",
                "cells: expected offsets from 0 up to 3",
            ),
        ],
    )
    def test_broken(self, write_bytes: WriteBytes, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            self.load(write_bytes, HEAD + text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<?xml version="1.0"?>\n<Xdmf Version="3.0">', "XDMF, which keeps its numbers in other"),
        (b"\x89HDF\r\n\x1a\n", "HDF5, which says nothing of voxels"),
        (b"PK\3\4\0\0x/data.pkl", "what torch.save writes, which is never unpickled"),
        (b" BDV\0\0\0\0", "OpenVDB, for which there is no wheel"),
    ],
)
def test_formats_that_are_known_but_not_read(
    write_bytes: WriteBytes, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        io.sniff(write_bytes("a.bin", content))


def test_fractions_turn_with_their_grid() -> None:
    fractions = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    dense = VoxelGrid.from_dense(fractions >= 0.5)
    grid = VoxelGrid(dense.packed, dense.shape, coverage=fractions)
    turned = reoriented(grid, (2, 0, 1), (True, False, True))
    assert turned.coverage is not None
    assert np.array_equal(turned.dense(), turned.coverage >= 0.5)
    assert np.array_equal(turned.coverage, fractions.transpose(2, 0, 1)[::-1, :, ::-1])
