"""Broken files of every format: an InputError, quickly, with little memory, and nothing written."""

from __future__ import annotations

import base64
import gzip
import json
import lzma
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzz.corpus import OPEN3D, one_of_each_format

from mvd_toolkit import io
from mvd_toolkit.cli import run
from mvd_toolkit.errors import InputError

SECONDS = 10.0
NO_END = ("obj", "abaqus")
"""A file of these that breaks off at the end of a line is a whole file."""

COUNTED = ("off", "su2")
"""The last number of a file of these may lose a digit: nothing is missing then."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each format by the format's name."""
    return one_of_each_format(tmp_path_factory.mktemp("whole"))


def outcomes(folder: Path) -> dict[str, tuple[str, str, float]]:
    """How loading each file of a folder ends, in a process of little memory."""
    program = Path(__file__).with_name("hostile.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, tuple[str, str, float]] = json.loads(done.stdout)
    return said


def assert_all_refused(folder: Path) -> None:
    said = outcomes(folder)
    assert said
    wrong = {name: end for name, end in said.items() if end[0] != "InputError"}
    assert not wrong
    tried = {name: end for name, end in said.items() if "fit into memory" in end[1]}
    assert not tried
    unnamed = {name: end for name, end in said.items() if name not in end[1]}
    assert not unnamed
    slow = {name: end for name, end in said.items() if end[2] > SECONDS}
    assert not slow


def test_truncated_files(tmp_path: Path, whole: dict[str, Path]) -> None:
    for name, path in whole.items():
        if name in NO_END:
            continue
        content = path.read_bytes()
        for part in range(1, 16):
            cut = content[: len(content) * part // 16]
            (tmp_path / f"{name}_{part}{path.suffix}").write_bytes(cut)
        if name not in COUNTED:
            (tmp_path / f"{name}_last{path.suffix}").write_bytes(content[:-2])
    said = outcomes(tmp_path)
    wrong = {name: end for name, end in said.items() if end[0] != "InputError"}
    assert not wrong


def test_empty_files(tmp_path: Path) -> None:
    for known in io.known_formats():
        for suffix in known.suffixes:
            (tmp_path / f"a{suffix}").write_bytes(b"")
            (tmp_path / f"blank{suffix}").write_bytes(b"\n\n")
            (tmp_path / f"zeros{suffix}").write_bytes(bytes(1000))
    assert_all_refused(tmp_path)


def test_mislabelled_files_are_what_they_are(tmp_path: Path, whole: dict[str, Path]) -> None:
    suffixes = [known.suffixes[0] for known in io.known_formats()]
    for name, path in whole.items():
        content = path.read_bytes()
        expected = io.sniff(path)
        assert expected.name == name
        for suffix in suffixes:
            other = tmp_path / f"b{suffix}"
            other.write_bytes(content)
            assert io.sniff(other).name == name
            other.unlink()


def vtu(compressor: str, block: bytes) -> bytes:
    """A VTU file with one array of many equal compressed blocks."""
    blocks = 100
    sizes = struct.pack(f"<{3 + blocks}I", blocks, 24, 0, *[len(block)] * blocks)
    data = base64.b64encode(sizes).decode() + base64.b64encode(block * blocks).decode()
    return f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="0.1" byte_order="LittleEndian" compressor="{compressor}">
<UnstructuredGrid><Piece NumberOfPoints="3" NumberOfCells="1"><Points>
<DataArray type="Float64" NumberOfComponents="3" format="binary">{data}</DataArray></Points>
<Cells><DataArray type="Int64" Name="connectivity" format="ascii">0 1 2</DataArray>
<DataArray type="Int64" Name="offsets" format="ascii">3</DataArray>
<DataArray type="Int64" Name="types" format="ascii">5</DataArray></Cells>
</Piece></UnstructuredGrid></VTKFile>""".encode()


def zip_of(name: str, content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)

    return write


HUGE = 10**9
MANY_ZEROS = 10**7
GMSH_2 = (
    "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n{}$EndNodes\n"
    "$Elements\n1\n1 2 2 0 1 1 2 3\n$EndElements\n"
)
GMSH_4 = "$MeshFormat\n4.1 {} 8\n"
GMSH_41_NODES = (
    GMSH_4.format(1).encode()
    + struct.pack("<i", 1)
    + b"\n$EndMeshFormat\n$Nodes\n"
    + struct.pack("<4QiiiQ3Q9d", 1, 3, 1, 3, 2, 1, 0, 3, 1, 2, 3, *np.eye(3).ravel())
    + b"\n$EndNodes\n"
)
NIFTI = struct.pack("<i36x8h", 348, 3, 32767, 32767, 32767, 1, 1, 1, 1).ljust(70, b"\0")
NIFTI = (NIFTI + struct.pack("<hh", 2, 8)).ljust(108, b"\0") + struct.pack("<f", 352)
NIFTI = NIFTI.ljust(344, b"\0") + b"n+1\0" + bytes(8)
ARRAY = {"descr": "|u1", "fortran_order": False, "shape": (100_000, 100_000, 100)}
FORGED: dict[str, bytes | Callable[[Path], None]] = {
    "a.binvox": b"#binvox 1\ndim 99999 99999 99999\ndata\n\1\xff",
    "b.binvox": b"#binvox 1\ndim 2048 2048 2048\ndata\n\1\xff",
    "a.npy": b"\x93NUMPY\1\0" + struct.pack("<H", 100) + repr(ARRAY).encode().ljust(99) + b"\n",
    "a.vox": b"VOX " + struct.pack("<i4sii", 150, b"MAIN", 0, 2**31 - 1),
    "b.vox": b"VOX "
    + struct.pack("<i4sii", 150, b"MAIN", 0, 40)
    + struct.pack("<4siiiii", b"SIZE", 12, 0, 256, 256, 256)
    + struct.pack("<4siii", b"XYZI", 4, 0, 2**31 - 1),
    "a.mat": bytes(124) + b"\0\1IM" + struct.pack("<II", 14, 2**32 - 8) + bytes(100),
    "a.safetensors": struct.pack("<Q", 2**40) + b'{"a":1}',
    "b.safetensors": struct.pack("<Q", 69)
    + b'{"voxels":{"dtype":"BOOL","shape":[99999,99999,99],"data_offsets":[0,9]}}'[:69]
    + bytes(9),
    "a.nrrd": b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2048 2048 2048\nencoding: raw\n\n0",
    "b.nrrd": b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2048 2048 2048\nencoding: gzip\n\n"
    + gzip.compress(bytes(1 << 20)),
    "a.nii": NIFTI,
    "a.nii.gz": gzip.compress(NIFTI),
    "a.stl": b"\0" * 80 + struct.pack("<I", 2**32 - 1) + bytes(50),
    "a.ply": f"ply\nformat binary_little_endian 1.0\nelement vertex {10**8}\n".encode()
    + b"property float x\nproperty float y\nproperty float z\nelement face 1\n"
    b"property list uchar int vertex_indices\nend_header\n" + bytes(100),
    "a.voxels.ply": (OPEN3D / "voxels.ply")
    .read_bytes()
    .replace(b"2 0 0 0 0 0", b"9999999 9999999 9 0 0 0"),
    "a.off": f"OFF\n{10**8} {10**8} 0\n0 0 0\n".encode(),
    "a.glb": b"glTF" + struct.pack("<III4s", 2, 24, 2**32 - 1, b"JSON") + b"{}  ",
    "a.gltf": json.dumps(
        {
            "asset": {"version": "2.0"},
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "accessors": [{"componentType": 5126, "count": 2**40, "type": "VEC3"}],
        }
    ).encode(),
    "a.3mf": zip_of("3D/3dmodel.model", b"<model>" + b" " * 2**28),
    "a.npz": zip_of("a.npy", bytes(2**28)),
    "a.vtk": f"# vtk DataFile Version 4.2\nx\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS {HUGE} "
    "double\n0 0 0\nCELLS 1 4\n3 0 1 2\nCELL_TYPES 1\n5\n".encode(),
    "b.vtk": f"# vtk DataFile Version 4.2\nx\nBINARY\nDATASET UNSTRUCTURED_GRID\nPOINTS {HUGE} "
    f"double\n0\nCELLS {HUGE} {4 * HUGE}\n0\nCELL_TYPES {HUGE}\n5\n".encode(),
    "c.vtk": f"# vtk DataFile Version 4.2\nx\nASCII\nDATASET UNSTRUCTURED_GRID\nFIELD f 1\n"
    f"a {HUGE} 9 double\nPOINTS 0 double\nCELLS 0 0\nCELL_TYPES 0\n".encode(),
    "a.vtu": vtu("vtkZLibDataCompressor", zlib.compress(bytes(MANY_ZEROS))),
    "b.vtu": vtu("vtkLZMADataCompressor", lzma.compress(bytes(MANY_ZEROS), preset=0)),
    "a.msh": GMSH_2.format(f"{HUGE}\n1 0 0 0\n").encode(),
    "b.msh": GMSH_2.format("3\n1 0 0 0\n2 1 0 0\n1999999999 0 1 0\n").encode(),
    "c.msh": (GMSH_4.format(0) + f"$EndMeshFormat\n$Nodes\n1 {HUGE} 1 3\n2 1 0 0\n").encode(),
    "d.msh": GMSH_4.format(1).encode()
    + struct.pack("<i", 1)
    + b"\n$EndMeshFormat\n$Nodes\n"
    + struct.pack("<QQQQ", 1, 2**33, 1, 3)
    + struct.pack("<iiiQ", 2, 1, 0, 2**33),
    "f.msh": GMSH_41_NODES
    + b"$Elements\n"
    + struct.pack("<4QiiiQ", 1, 1, 1, 1, 2, 1, 2, 2**54)
    + b"$EndElements\n",
    "g.msh": GMSH_41_NODES + b"$Entities\n" + struct.pack("<4Qi3dQ", 1, 0, 0, 0, 1, 0, 0, 0, 2**40),
    "h.msh": GMSH_41_NODES + b'$NodeData\n1\n"a"\n1\n0\n3\n0\n9999\n9999999\n',
    "e.msh": b"$MeshFormat\n2.2 1 8\n"
    + struct.pack("<i", 1)
    + b"\n$EndMeshFormat\n$Nodes\n3\n"
    + b"".join(struct.pack("<iddd", tag, 0, 0, 0) for tag in (1, 2, 2**31 - 1))
    + b"\n$EndNodes\n$Elements\n0\n$EndElements\n",
    "a.mesh": f"MeshVersionFormatted 1\nDimension 3\nVertices\n{HUGE}\n0 0 0 0\n".encode(),
    "a.su2": f"NDIME= 3\nNELEM= {HUGE}\n5 0 1 2\nNPOIN= {HUGE}\n0 0 0\n".encode(),
    "a.inp": b"*NODE\n" + b"1, 0, 0, 0\n" + b"*ELEMENT, TYPE=S3\n1, 1, 2, 99999999999\n",
    "a.bdf": b"BEGIN BULK\nGRID    1               0.0     0.0     0.0\nCTRIA3  1       1       1"
    b"       2       99999999\nENDDATA\n",
}


def test_forged_files(tmp_path: Path) -> None:
    for name, content in FORGED.items():
        if callable(content):
            content(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content)
    assert_all_refused(tmp_path)


def test_every_format_that_is_read_has_a_forged_file() -> None:
    forged = {io.format_of_suffix(name).name for name in FORGED}  # type: ignore[union-attr]
    assert {known.name for known in io.known_formats() if known.reads} - forged == {"obj"}


@pytest.mark.parametrize("name", sorted(FORGED))
def test_the_command_ends_with_3_and_writes_nothing(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = FORGED[name]
    if callable(content) or len(content) > 10**5:
        pytest.skip("a bomb, which test_forged_files defuses")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    assert run(["convert", str(tmp_path / "in" / name), "-o", str(tmp_path / "out.npz")]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == [name]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("mvd: error: ")
    assert name in said.err


def test_an_item_that_is_broken_does_not_stop_the_others(
    tmp_path: Path, whole: dict[str, Path]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.npz").write_bytes(whole["npz"].read_bytes())
    (tmp_path / "in" / "bad.vox").write_bytes(b"VOX ")
    folder = str(tmp_path / "out")
    assert run(["convert", str(tmp_path / "in"), "-o", folder, "--format", "nrrd", "-q"]) == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "batch.jsonl",
        "good.nrrd",
        "good.nrrd.mvd.json",
    ]
    with pytest.raises(InputError):
        io.load(tmp_path / "in" / "bad.vox")
