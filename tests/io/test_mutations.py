"""Every reader ends in a value or an InputError, whatever the bytes."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import trimesh

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

MUTATIONS = int(os.environ.get("MVD_MUTATIONS", "150"))
LIMITS = io.Limits(voxels=2**20, faces=2**16)
NUMBERS = [b"0", b"-1", b"1e999", b"nan", b"4294967296", b"99999999999999999999", b"x", b""]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small valid file of each format and flavour, by file name."""
    folder = tmp_path_factory.mktemp("seeds")
    dense = np.random.default_rng(0).random((4, 5, 6)) < 0.5
    for known in io.known_formats():
        if known.writes:
            io.save(VoxelGrid.from_dense(dense), folder / f"own{known.suffixes[0]}")
    np.save(folder / "fortran.npy", np.asfortranarray(dense, np.float32))
    np.savez(folder / "foreign.npz", voxels=dense)
    cube = trimesh.creation.box()
    (folder / "ascii.stl").write_text(cube.export(file_type="stl_ascii"))
    (folder / "ascii.ply").write_bytes(cube.export(file_type="ply", encoding="ascii"))
    scipy.io.savemat(folder / "plain.mat", {"model": dense, "low_model": dense[:2]})
    nrrd = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 5 6\nspacings: 1 2 3\nencoding: "
    voxels = dense.astype(np.uint8).tobytes(order="F")
    (folder / "raw.nrrd").write_bytes(f"{nrrd}raw\n\n".encode() + voxels)
    (folder / "text.nrrd").write_text(f"{nrrd}ascii\n\n{' '.join(map(str, voxels))}\n")
    long = np.zeros((1, 2, 300), bool)
    long[0, :, ::37] = True
    io.save(VoxelGrid.from_dense(long), folder / "scene.vox")
    head = "# vtk DataFile Version {}\nx\n{}\nDATASET POLYDATA\nPOINTS 3 float\n"
    (folder / "polydata.vtk").write_text(
        head.format("3.0", "ASCII") + "0 0 0\n1 0 0\n0 1 0\nPOLYGONS 1 4\n3 0 1 2\n"
    )
    (folder / "new.vtk").write_bytes(
        (head.format("5.1", "BINARY")).encode()
        + np.eye(3).astype(">f4").tobytes()
        + b"\nPOLYGONS 2 3\nOFFSETS vtktypeint64\n"
        + np.array([0, 3]).astype(">i8").tobytes()
        + b"\nCONNECTIVITY vtktypeint64\n"
        + np.array([0, 1, 2]).astype(">i8").tobytes()
    )
    (folder / "text.off").write_text(cube.export(file_type="off"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mutate(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([1, 2, 4, 16, 64]))
        match rng.randrange(6):
            case 0:
                data[at:end] = rng.randbytes(end - at)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                del data[at:]
            case 4:
                data[at:end] = rng.choice([b"\xff", b"\x00", b"\x80"]) * (end - at)
            case _:
                data[at:end] = rng.choice(NUMBERS)
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        *(f"own{known.suffixes[0]}" for known in io.known_formats() if known.writes),
        *("fortran.npy", "foreign.npz", "ascii.stl", "ascii.ply", "text.off"),
        *("polydata.vtk", "new.vtk"),
        *("scene.vox", "plain.mat", "raw.nrrd", "text.nrrd"),
    ],
)
@pytest.mark.filterwarnings("ignore::mvd_toolkit.io.FormatWarning")
def test_value_or_input_error(
    tmp_path: Path, seeds: dict[str, bytes], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(name)
    path = tmp_path / name
    path.write_bytes(seeds[name])
    kind = io.sniff(path).kind
    load = io.load if kind == "grid" else io.load_mesh
    load(path, limits=LIMITS)
    errors = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutate(seeds[name], rng))
        try:
            load(path, limits=LIMITS)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            errors += 1
    assert errors > MUTATIONS // 10
    assert capfd.readouterr() == ("", "")
