"""Meshes that come in through meshio; and meshio's own traps, which our readers do not have."""

import subprocess
import sys
from pathlib import Path

import meshio
import numpy as np
import pytest

from mvd_toolkit import io
from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io import meshio_formats
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


WRITTEN = [form for form in meshio_formats.FORMATS if form.writes]


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: form.name)
def test_what_is_written_is_what_meshio_reads(
    tmp_path: Path, form: io.Format, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    mesh = io.surface_mesh(
        VoxelGrid.from_dense(rng.random((7, 6, 5)) < 0.4, (0.1, -20, 3e-5), (1 / 3, 1e-3, 7))
    )
    path = tmp_path / f"a{form.suffixes[0]}"
    io.save_mesh(mesh, path)
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    ours, theirs = io.load_mesh(path), meshio.read(path)
    for vertices, faces in (
        (ours.vertices, ours.faces),
        (theirs.points, theirs.get_cells_type("triangle")),
    ):
        assert np.array_equal(vertices, mesh.vertices)
        assert np.array_equal(faces, mesh.faces)
    assert io.sniff(path) == form


def test_the_writers_left_out_fail_in_meshio(tmp_path: Path) -> None:
    """When one of them no longer does, the format can be written."""
    left_out = {form.name for form in meshio_formats.FORMATS} - {form.name for form in WRITTEN}
    assert left_out == {"nastran", "su2"}
    mesh = meshio.Mesh(CORNERS / 3 - 1, {"triangle": TRIANGLES})
    with pytest.raises(AssertionError):
        meshio.write(tmp_path / "a.bdf", mesh)
    with pytest.raises(TypeError):
        meshio.write(tmp_path / "a.su2", mesh)


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: form.name)
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, form: io.Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"meshio.{form.name}", None)
    with pytest.raises(UnavailableError, match=f"{form.name}: writing it needs meshio"):
        io.save_mesh(io.Mesh(CORNERS, TRIANGLES), tmp_path / f"a{form.suffixes[0]}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: form.name)
def test_an_empty_mesh_is_not_written(tmp_path: Path, form: io.Format) -> None:
    with pytest.raises(InputError, match="expected a mesh with triangles to write, found none"):
        io.save(VoxelGrid.from_dense(np.zeros((2, 2, 2), bool)), tmp_path / f"a{form.suffixes[0]}")
    assert list(tmp_path.iterdir()) == []


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


def test_quadratic_cells_and_polygons(tmp_path: Path) -> None:
    points = np.array([[x, y, 0] for y in range(5) for x in range(5)], float)
    cells = [
        ("triangle6", [[0, 2, 10, 1, 6, 5]]),
        ("quad8", [[10, 12, 22, 20, 11, 17, 21, 15]]),
        ("polygon", [[12, 14, 24, 22, 17]]),
    ]
    meshio.write(tmp_path / "a.vtu", meshio.Mesh(points, cells))
    mesh = io.load_mesh(tmp_path / "a.vtu")
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert areas.sum() == pytest.approx(2 + 4 + 4)
    assert (areas[:10] > 0).all()
    assert mesh.report.polygons == 3


def change(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("writer", "old", "new", "message"),
    [
        ("vtk_ascii", b"UNSTRUCTURED_GRID", b"FIELD", "UNSTRUCTURED_GRID or POLYDATA, found FIELD"),
        ("vtk_ascii", b"UNSTRUCTURED_GRID", b"POLYDATA", "found no face"),
        ("vtk_ascii", b"DATASET", b"X", "UNSTRUCTURED_GRID or POLYDATA, found none"),
        ("vtu", b"<VTKFile", b"<!DOCTYPE a><VTKFile", "without a document type"),
        ("vtu", b"UnstructuredGrid", b"PolyData", "type UnstructuredGrid, found PolyData"),
        ("abaqus", b"*ELEMENT", b"*Include, input=b.inp\n*ELEMENT", r"found \*INCLUDE"),
        ("abaqus", b"*ELEMENT", b"*Node\n1, 0, 0, 0\n*ELEMENT", r"one \*NODE, found 2"),
        ("abaqus", b"1,1,2,4", b"1,1,2,99", "what meshio.abaqus can read, found: KeyError"),
        ("nastran", b"ENDDATA", b"", "BEGIN BULK and ENDDATA after it"),
        ("medit", b"1 2 4 1", b"1 2 99 1", "vertex numbers from 0 to 7, found 98"),
        ("medit", b"1 2 4 1", b"0 2 4 1", "vertex numbers from 0 to 7, found -1"),
        ("su2", b"5 0 1 3", b"5 0 1 8", "vertex numbers from 0 to 7, found 8"),
        ("su2", b"NMARK= 1", b"NMARK= 2", "reads whole, found: expected 2 markers"),
        ("su2", b"MARKER_ELEMS= 12", b"MARKER_ELEMS= 13", "expected 14 cells, found 13"),
        ("gmsh_ascii", b"$EndElements", b"", "reads whole, found: not closed by"),
    ],
)
def test_refused(
    cube: Path, old: bytes, new: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change(cube, old, new)
    with pytest.raises(InputError, match=message) as error:
        io.load_mesh(cube)
    assert str(cube) in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("writer", ["medit"])
def test_vertices_need_not_be_finite(cube: Path) -> None:
    meshio.write(cube, meshio.Mesh(CORNERS + np.array([np.nan, 0, 0]), {"triangle": TRIANGLES}))
    assert np.isnan(io.load_mesh(cube).vertices).any()


@pytest.mark.parametrize("writer", ["vtk"])
def test_without_meshio(cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meshio.vtk", None)
    with pytest.raises(UnavailableError, match="pip install meshio"):
        io.load_mesh(cube)


def test_meshio_is_imported_when_it_is_needed() -> None:
    code = "import sys, mvd_toolkit.io as io; io.known_formats(); sys.exit('meshio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestTrapsOfMeshio:
    """What meshio itself does with files that our own readers refuse: why there are own ones."""

    def test_an_empty_stl_is_an_empty_mesh(self, tmp_path: Path) -> None:
        path = tmp_path / "a.stl"
        path.write_bytes(bytes(84))
        assert sum(len(block.data) for block in meshio.read(path).cells) == 0
        with pytest.raises(InputError, match="expected triangles, found none"):
            io.load_mesh(path)

    def test_obj_indices_may_point_at_no_vertex(self, tmp_path: Path) -> None:
        path = tmp_path / "a.obj"
        path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
        assert meshio.read(path).cells[0].data.tolist() == [[0, 1, 8]]
        with pytest.raises(InputError, match="from 0 to 2, found 8"):
            io.load_mesh(path)

    def test_a_bad_off_ends_the_process(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "a.off"
        path.write_text("OFFX\n1 2 3\n")
        with pytest.raises(SystemExit):
            meshio.read(path)
        assert capfd.readouterr() != ("", "")
        with pytest.raises(InputError, match="expected 'OFF'"):
            io.load_mesh(path)
        assert capfd.readouterr() == ("", "")

    def test_a_ply_without_end_header_is_read_for_ever(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ply"
        path.write_text("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\n")
        code = f"import meshio; meshio.read({str(path)!r})"
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-c", code], check=False, timeout=3)
        with pytest.raises(InputError, match="expected 'end_header'"):
            io.load_mesh(path)
