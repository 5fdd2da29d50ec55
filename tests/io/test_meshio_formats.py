"""Meshes that come in through meshio; and meshio's own traps, which our readers do not have."""

from pathlib import Path

import meshio
import numpy as np
import pytest

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.voxelize import voxelize

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 3)], float)
QUADS = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)
TRIANGLES = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]])
CELLS = {"triangle": TRIANGLES, "quad": QUADS}

WRITERS = {
    "vtk": ("a.vtk", {}),
    "vtk_ascii": ("a.vtk", {"file_format": "vtk", "binary": False}),
    "vtk42": ("a.vtk", {"file_format": "vtk42"}),
    "vtu": ("a.vtu", {}),
    "vtu_ascii": ("a.vtu", {"binary": False}),
    "vtu_plain": ("a.vtu", {"compression": None}),
    "gmsh": ("a.msh", {"file_format": "gmsh"}),
    "gmsh_ascii": ("a.msh", {"file_format": "gmsh", "binary": False}),
    "gmsh22": ("a.msh", {"file_format": "gmsh22", "binary": False}),
    "abaqus": ("a.inp", {}),
    "medit": ("a.mesh", {}),
    "nastran": ("a.bdf", {}),
    "su2": ("a.su2", {}),
}
SUFFIXES = sorted({name for name, _ in WRITERS.values()})


def write(folder: Path, writer: str, mesh: meshio.Mesh) -> Path:
    name, options = WRITERS[writer]
    if writer == "su2":
        return write_su2(folder / name, mesh)
    meshio.write(folder / name, mesh, **options)
    return folder / name


def write_su2(path: Path, mesh: meshio.Mesh) -> Path:
    """A SU2 file: the writer of meshio 5.3.5 fails on cells at the boundary."""
    lines = ["NDIME= 3", "NELEM= 1", "12 0 4 6 2 1 5 7 3 0", f"NPOIN= {len(mesh.points)}"]
    lines += [f"{x} {y} {z} {i}" for i, (x, y, z) in enumerate(mesh.points)]
    lines += ["NMARK= 1", "MARKER_TAG= wall", f"MARKER_ELEMS= {len(mesh.cells[0].data)}"]
    number = {"triangle": 5, "quad": 9}[mesh.cells[0].type]
    lines += [f"{number} {' '.join(map(str, row))}" for row in mesh.cells[0].data.tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def cube(tmp_path: Path, writer: str) -> Path:
    """A cube of triangles, as meshio writes it."""
    return write(tmp_path, writer, meshio.Mesh(CORNERS, {"triangle": TRIANGLES}))


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("writer", WRITERS)
def test_same_voxels_as_from_stl(
    tmp_path: Path, writer: str, cells: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, writer, meshio.Mesh(CORNERS, {cells: CELLS[cells]}))
    capfd.readouterr()
    mesh = io.load_mesh(path)
    assert capfd.readouterr() == ("", "")
    assert len(mesh.faces) == 12
    assert mesh.report.polygons == (6 if cells == "quad" else 0)
    io.save_mesh(mesh, tmp_path / "a.stl")
    loaded = io.load_mesh(tmp_path / "a.stl")
    ours, theirs = (voxelize(m.vertices, m.faces, 33).grid for m in (mesh, loaded))
    assert ours == theirs
    assert ours.count() > 33 * 10


@pytest.mark.parametrize("writer", WRITERS)
def test_content_goes_before_the_suffix(cube: Path) -> None:
    name = io.sniff(cube).name
    other = cube.rename(cube.with_suffix(".txt"))
    assert io.sniff(other).name == name
    assert len(io.load_mesh(other).faces) == 12


@pytest.mark.parametrize("writer", WRITERS)
def test_truncated(cube: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = io.load_mesh(cube)
    content = cube.read_bytes()
    errors = 0
    for end in np.linspace(1, len(content) - 1, 40).astype(int).tolist():
        cube.write_bytes(content[:end])
        try:
            mesh = io.load_mesh(cube)
        except InputError as error:
            assert str(cube) in str(error)  # noqa: PT017
            errors += 1
        else:  # only what follows the cells is missing, or lines of a table without a count
            assert len(mesh.faces) <= len(whole.faces)
            assert np.array_equal(mesh.vertices, whole.vertices)
            assert "abaqus" in io.sniff(cube).name or np.array_equal(mesh.faces, whole.faces)
    assert errors > 15
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\0", b"\n", b"garbage\n" * 9, bytes(range(256))])
def test_garbage(
    tmp_path: Path, name: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"expected .*, found") as error:
        io.load_mesh(path)
    assert str(path) in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("writer", WRITERS)
def test_limit(cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MVD_MAX_FACES", "11")
    with pytest.raises(InputError, match="MVD_MAX_FACES raises the limit"):
        io.load_mesh(cube)


@pytest.mark.parametrize("writer", ["vtk", "medit", "abaqus"])
def test_a_large_file_is_not_given_to_meshio(cube: Path) -> None:
    with cube.open("ab") as file:
        file.truncate(2**20 + 64 * 100 + 1)
    with pytest.raises(InputError, match="expected at most 1054976 bytes, found 1054977"):
        io.load_mesh(cube, limits=io.Limits(faces=100))


@pytest.mark.parametrize("writer", ["vtk", "vtu", "gmsh", "abaqus", "medit", "nastran"])
def test_volumes_alone(tmp_path: Path, writer: str) -> None:
    path = write(tmp_path, writer, meshio.Mesh(CORNERS, {"tetra": [[0, 1, 2, 4], [7, 6, 5, 3]]}))
    with pytest.raises(InputError, match=r"expected surface cells .*, found tetra"):
        io.load_mesh(path)
