import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvd_toolkit import io
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid

WriteBytes = Callable[..., Path]

TETRAHEDRON = io.Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0.1]]),
    np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]),
)
WRITABLE = ["stl", "ply", "obj", "off"]

ASCII_STL = b"""solid one
  facet normal 0 0 1
    outer loop
      vertex 0 0 0
      vertex 1 0 0
      vertex 0 1 0
    endloop
  endfacet
endsolid one
"""
ASCII_PLY = b"""ply
format ascii 1.0
comment by hand
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
0 1 0
3 0 1 2
"""
OFF = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def binary_stl(count: int, facets: int, header: bytes = b"") -> bytes:
    facet = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)
    return header.ljust(80) + struct.pack("<I", count) + facet * facets


def corners(mesh: io.Mesh) -> list[list[list[float]]]:
    return sorted(mesh.vertices[mesh.faces].tolist())


@pytest.mark.parametrize("name", WRITABLE)
def test_round_trip(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"a.{name}"
    io.save_mesh(TETRAHEDRON, path)
    loaded = io.load_mesh(path)
    assert np.allclose(corners(loaded), corners(TETRAHEDRON))
    assert loaded.vertices.shape == (4, 3)
    assert loaded.report == io.MeshReport()
    if name != "stl":
        assert np.array_equal(loaded.vertices, TETRAHEDRON.vertices)
        assert np.array_equal(loaded.faces, TETRAHEDRON.faces)


@pytest.mark.parametrize("name", WRITABLE)
def test_trimesh_reads_ours(tmp_path: Path, name: str) -> None:
    io.save_mesh(TETRAHEDRON, tmp_path / f"a.{name}")
    theirs = trimesh.load(tmp_path / f"a.{name}")
    assert theirs.is_watertight
    assert theirs.volume == pytest.approx(0.1 / 6)


@pytest.mark.parametrize("name", ["stl", "ply", "obj", "off", "stl_ascii", "ply_ascii"])
def test_trimesh_written(tmp_path: Path, name: str) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    suffix, _, ascii_ = name.partition("_")
    path = tmp_path / f"a.{suffix}"
    if suffix == "ply":
        path.write_bytes(ball.export(file_type="ply", encoding=ascii_ or "binary"))
    else:
        content = ball.export(file_type=name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    loaded = io.load_mesh(path)
    assert io.sniff(path).name == suffix
    assert len(loaded.faces) == len(ball.faces)
    assert len(loaded.vertices) == len(ball.vertices)
    theirs = trimesh.Trimesh(loaded.vertices, loaded.faces)
    assert theirs.volume == pytest.approx(ball.volume, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stl", ASCII_STL),
        ("stl", ASCII_STL + b"\n\n"),
        ("stl", ASCII_STL.upper()),
        ("stl", binary_stl(1, 1)),
        ("stl", binary_stl(1, 1, b"solid but binary\nfacet")),
        ("ply", ASCII_PLY),
        ("off", OFF),
        ("obj", OBJ),
    ],
)
@pytest.mark.parametrize("suffix", ["right", ".bin"])
def test_one_triangle(write_bytes: WriteBytes, name: str, content: bytes, suffix: str) -> None:
    path = write_bytes(f"a.{name}" if suffix == "right" else "a.bin", content)
    assert io.sniff(path).name == name
    assert corners(io.load_mesh(path)) == [[[0, 0, 0], [1, 0, 0], [0, 1, 0]]]


QUAD_AND_MORE = "v 0 0 0\nv 2 0 0\nv 2 2 0\nv 1 3 0\nv 0 2 0\n"


def test_polygons_are_cut_and_counted(write_bytes: WriteBytes) -> None:
    content = QUAD_AND_MORE + "f 1 2 3 5\nf 5 3 4\nf 1 2\nf 1 2 3 4 5\nf \n"
    mesh = io.load_mesh(write_bytes("a.obj", content.encode()))
    assert len(mesh.faces) == 2 + 1 + 3
    assert mesh.report == io.MeshReport(polygons=2, dropped=2)
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx(5 + 5)


def test_obj_details(write_bytes: WriteBytes) -> None:
    # Colours on some lines, normals and textures, indices that count backwards, a line that goes
    # on, a name in another encoding.
    content = (
        b"# by hand\nmtllib caf\xe9.mtl\nv 0 0 0 1 0 0\nv 1 0 0\nvt 0 0\nvn 0 0 1\nv 0 1 0 1\n"
        b"g a\nusemtl caf\xe9\nf -3/1/1 \\\n-2//1 -1\nv 5 5 5 # last\nf 1 2 -1\n"
    )
    mesh = io.load_mesh(write_bytes("a.obj", content))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 3]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_ply_with_everything(write_bytes: WriteBytes, order: str) -> None:
    # What meshio misreads: a list and a scalar in one row, vertex_index, doubles, lists of
    # different lengths, a table in between, a length that would be negative as a signed byte.
    endian = "little" if order == "<" else "big"
    fan = list(range(200))
    header = (
        f"ply\r\nformat binary_{endian}_endian 1.0\r\nobj_info x\r\nelement vertex 200\r\n"
        "property uchar red\r\nproperty float64 z\r\nproperty double x\r\nproperty short y\r\n"
        "element edge 2\r\nproperty list uchar short ends\r\nproperty int kind\r\n"
        "element face 3\r\nproperty uchar flags\r\nproperty list uchar uint16 vertex_index\r\n"
        "property float quality\r\nelement user 1\r\nproperty int more\r\nend_header\r\n"
    ).replace("\r\n", "\n")
    data = b"".join(struct.pack(order + "Bddh", 7, 3 * i, i, 2 * i) for i in range(200))
    data += struct.pack(order + "B2hiB1hi", 2, 1, 2, 9, 1, 1, 9)
    for face in ([0, 1, 2], fan, [2, 3, 4]):
        data += struct.pack(order + f"BB{len(face)}Hf", 1, len(face), *face, 0.5)
    mesh = io.load_mesh(write_bytes("a.ply", header.encode() + data + b"\0\0\0\0"))
    assert mesh.vertices[5].tolist() == [5, 10, 15]
    assert mesh.faces[:2].tolist() == [[0, 1, 2], [2, 3, 4]]
    assert len(mesh.faces) == 2 + 198
    assert mesh.report.polygons == 1


def test_ascii_ply_of_mixed_polygons(write_bytes: WriteBytes) -> None:
    content = ASCII_PLY.replace(b"face 1", b"face 2") + b"2 0 1\n"
    mesh = io.load_mesh(write_bytes("a.ply", content))
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert mesh.report.dropped == 1


@pytest.mark.parametrize(
    "content",
    [
        b"OFF3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",  # as in ModelNet
        b"OFF 3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
        b"COFF # colours\n\n3 1\n0 0 0 255 0 0 255\n1 0 0 0 0 0 0\n0 1 0 0 0 0 0\n3 0 1 2 9 9 9\n",
    ],
)
def test_off_variants(write_bytes: WriteBytes, content: bytes) -> None:
    path = write_bytes("a.off", content)
    assert io.sniff(path).name == "off"
    assert corners(io.load_mesh(path)) == [[[0, 0, 0], [1, 0, 0], [0, 1, 0]]]


def test_off_polygons(write_bytes: WriteBytes) -> None:
    content = b"OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n3 0 1 2\n"
    mesh = io.load_mesh(write_bytes("a.off", content))
    assert len(mesh.faces) == 3
    assert mesh.report.polygons == 1


def test_vertices_need_not_be_finite(write_bytes: WriteBytes) -> None:
    # The voxelizer counts and skips such triangles; one of them is no reason to refuse a mesh.
    mesh = io.load_mesh(write_bytes("a.obj", OBJ + b"v nan 0 0\nf 1 2 4\n"))
    assert len(mesh.faces) == 2
    assert np.isnan(mesh.vertices).any()


MALFORMED = {
    # The traps of meshio 5.3.5.
    "empty binary STL": ("stl", binary_stl(0, 0), "expected triangles, found none"),
    "empty ASCII STL": ("stl", b"solid a\nendsolid a\n", "expected triangles, found none"),
    "truncated binary STL": ("stl", binary_stl(2, 2)[:-1], "STL file of 184 bytes"),
    "one facet missing": ("stl", binary_stl(2, 1), "STL file of 184 bytes"),
    "trailing bytes": ("stl", binary_stl(1, 1) + b"x", "STL file of 134 bytes"),
    # 84 + 50 * count overflows 32 bits to exactly the size of this file.
    "count that wraps": ("stl", binary_stl(2**31 + 1, 1), "bytes, as its count of triangles"),
    "short STL": ("stl", b"x" * 20, "expected 'solid' or a binary STL"),
    "truncated ASCII STL": ("stl", ASCII_STL[:90], "expected three vertices"),
    "ASCII STL without its end": ("stl", ASCII_STL[:-13], "and an endsolid"),
    "ASCII STL with words": (
        "stl",
        ASCII_STL.replace(b"vertex 1", b"vertex x"),
        "a vertex of three numbers",
    ),
    "OBJ index too large": ("obj", OBJ + b"f 1 2 4\n", "from 0 to 2, found 3"),
    "OBJ index too small": ("obj", OBJ + b"f 1 2 -4\n", "from 0 to 2, found -1"),
    "OBJ index zero": ("obj", OBJ + b"f 0 1 2\n", "line 5: expected a face of vertex numbers"),
    "OBJ index of a hundred digits": ("obj", OBJ + b"f 1 2 " + b"9" * 100, "of 64 bits"),
    "OBJ index no number": ("obj", OBJ + b"f a b c\n", "line 5: expected a face of vertex numbers"),
    "OBJ vertex too short": ("obj", b"v 1 2\n" + OBJ, "line 1: expected a vertex of three numbers"),
    "OBJ vertex no number": (
        "obj",
        b"v 1 2 x\n" + OBJ,
        "line 1: expected a vertex of three numbers",
    ),
    "OBJ without faces": ("obj", b"v 1 2 3\n", "found no face"),
    "OBJ of lines only": ("obj", b"v 1 2 3\nv 1 2 4\nf 1 2\n", "found no face"),
    "bad OFF": ("off", b"OFFX\n1 2 3\n", "expected 'OFF'"),
    "OFF without counts": ("off", b"OFF\n", "expected the counts"),
    "OFF with bad counts": ("off", b"OFF\n-1 2 3\n", "expected the counts"),
    "truncated OFF": ("off", OFF[:-8], "3 lines of vertices and 1 of faces, found 3 lines"),
    "OFF index too large": ("off", OFF.replace(b"3 0 1 2", b"3 0 1 3"), "from 0 to 2, found 3"),
    "OFF short face": ("off", OFF.replace(b"3 0 1 2", b"3 0 1"), "face of 3 corners, found 2"),
    "OFF bad vertex": ("off", OFF.replace(b"1 0 0", b"1 0"), "three numbers"),
    "OFF bad face": ("off", OFF.replace(b"3 0 1 2", b"x 0 1 2"), "expected a face"),
    "PLY without end_header": ("ply", ASCII_PLY[:150], "expected 'end_header'"),
    "PLY of comments for ever": ("ply", b"ply\n" + b"comment x\n" * 2000, "within 1024 lines"),
    "PLY of an unknown format": ("ply", ASCII_PLY.replace(b"ascii", b"utf"), "line 2"),
    "PLY without format": ("ply", ASCII_PLY.replace(b"format ascii 1.0\n", b""), "end_header"),
    "PLY of an unknown type": ("ply", ASCII_PLY.replace(b"float x", b"real x"), "line 5"),
    "PLY without faces": ("ply", ASCII_PLY.replace(b"face", b"edge"), "'vertex' and 'face'"),
    "PLY without x": ("ply", ASCII_PLY.replace(b"float x", b"float u"), "expected x, y, z"),
    "PLY without indices": ("ply", ASCII_PLY.replace(b"_indices", b"_x"), "expected a list"),
    "PLY index too large": ("ply", ASCII_PLY.replace(b"3 0 1 2", b"3 0 1 3"), "found 3"),
    "PLY index no integer": ("ply", ASCII_PLY.replace(b"3 0 1 2", b"3 0 1 .5"), "whole vertex"),
    "PLY length no integer": ("ply", ASCII_PLY.replace(b"3 0 1 2", b".5 0 1 2"), "length of a"),
    "PLY length negative": ("ply", ASCII_PLY.replace(b"3 0 1 2", b"-3 0 1 2"), "length of a"),
    "PLY length forged": ("ply", ASCII_PLY.replace(b"3 0 1 2", b"99 0 1 2"), "end of the file"),
    "PLY no number": ("ply", ASCII_PLY.replace(b"3 0 1 2", b"x 0 1 2"), "expected numbers"),
    "truncated PLY": ("ply", ASCII_PLY[:-10], "end of the file"),
    "PLY of many vertices": ("ply", ASCII_PLY.replace(b"vertex 3", b"vertex 99"), "99 rows"),
    "PLY bomb": ("ply", ASCII_PLY.replace(b"vertex 3", b"vertex 999999999999"), "MVD_MAX_FACES"),
    "PLY bomb aside": (
        "ply",
        ASCII_PLY.replace(b"element v", b"element e 99999999999\nproperty int a\nelement v"),
        "end of the file",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(write_bytes: WriteBytes, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    name, content, message = MALFORMED[case]
    path = write_bytes(f"bad.{name}", content)
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as error:
        io.load_mesh(path)
    assert str(path) in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "content"),
    [("stl", binary_stl(3, 3)), ("stl", ASCII_STL * 3), ("obj", OBJ + b"f 1 2 3\n" * 2)],
)
def test_limit(
    write_bytes: WriteBytes, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.setenv("MVD_MAX_FACES", "3")
    path = write_bytes(f"a.{name}", content)
    assert len(io.load_mesh(path).faces) == 3
    monkeypatch.setenv("MVD_MAX_FACES", "2")
    with pytest.raises(InputError, match="MVD_MAX_FACES raises the limit"):
        io.load_mesh(path)


def test_grids_and_meshes_are_told_apart(tmp_path: Path, grid: VoxelGrid) -> None:
    io.save(grid, tmp_path / "a.binvox")
    io.save_mesh(TETRAHEDRON, tmp_path / "a.stl")
    with pytest.raises(InputError, match="expected a mesh, found a grid"):
        io.load_mesh(tmp_path / "a.binvox")
    with pytest.raises(InputError, match="expected a grid, found a mesh"):
        io.load(tmp_path / "a.stl")
    with pytest.raises(UsageError, match=r"'\.binvox' cannot be written; expected one of 3mf"):
        io.save_mesh(TETRAHEDRON, tmp_path / "b.binvox")
    with pytest.raises(UsageError, match=r"'\.su2' cannot be written"):
        io.save_mesh(TETRAHEDRON, tmp_path / "b.su2")


def test_a_mesh_checks_itself() -> None:
    with pytest.raises(InputError, match=r"vertices: expected shape \(n, 3\), found \(3, 2\)"):
        io.Mesh(np.zeros((3, 2)), np.zeros((1, 3)))
    with pytest.raises(InputError, match="from 0 to 2, found 3"):
        io.Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]]))
