"""Grids from one format to another, and grids that other programs wrote."""

from __future__ import annotations

import gzip
import struct
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from strategies import dense_grids, noise

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

GRIDS = {known.name: known for known in io.known_formats() if known.kind == "grid" and known.writes}
FLOAT32 = ("nifti", "nifti_gz")
DENSE = noise((4, 5, 6), seed=3)


def tolerance(*names: str) -> float:
    """How far, in voxels, a place may move on the way through these formats."""
    return 1e-4 if set(names) & set(FLOAT32) else 1e-9


def assert_same_place(found: VoxelGrid, expected: VoxelGrid, voxels: float) -> None:
    step = np.array(expected.spacing)
    assert np.allclose(np.array(found.origin) / step, np.array(expected.origin) / step, 0, voxels)
    assert np.allclose(np.array(found.spacing) / step, 1, 0, voxels)


@pytest.mark.parametrize(("first", "second"), list(product(GRIDS, GRIDS)))
def test_every_pair_of_formats(tmp_path: Path, grid: VoxelGrid, first: str, second: str) -> None:
    one, other = (tmp_path / f"{n}{GRIDS[n].suffixes[0]}" for n in (first, second))
    io.save(grid, one)
    if one != other:
        io.save(io.load(one), other)
    found = io.load(other)
    assert found.shape == grid.shape
    assert np.array_equal(found.packed, grid.packed)
    if GRIDS[first].place and GRIDS[second].place:
        assert_same_place(found, grid, tolerance(first, second))


@given(
    dense_grids(),
    st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    st.floats(1e-3, 1e3),
    st.sampled_from(sorted(GRIDS)),
)
def test_round_trip_of_any_grid(
    tmp_path_factory: pytest.TempPathFactory,
    dense: np.ndarray,
    origin: tuple[float, float, float],
    spacing: float,
    name: str,
) -> None:
    path = tmp_path_factory.mktemp("any") / f"a{GRIDS[name].suffixes[0]}"
    grid = VoxelGrid.from_dense(dense, origin, spacing)
    io.save(grid, path)
    found = io.load(path)
    assert np.array_equal(found.packed, grid.packed)
    assert found.shape == grid.shape
    if GRIDS[name].place:
        # What float32 or a sum in float64 leaves of an origin that is a million voxels away.
        far = max(1.0, *(abs(o) / spacing for o in origin))
        assert_same_place(found, grid, far * (1e-6 if name in FLOAT32 else 1e-12))


@pytest.mark.parametrize("name", GRIDS)
def test_the_same_grid_gives_the_same_bytes(tmp_path: Path, grid: VoxelGrid, name: str) -> None:
    for file in ("a", "b"):
        io.save(grid, tmp_path / file, format=name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class TestMat:
    @pytest.mark.parametrize("deflated", [True, False])
    @pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i4", "i8", "f4", "f8"])
    def test_of_scipy(self, tmp_path: Path, dtype: str, deflated: bool) -> None:
        path = tmp_path / "a.mat"
        content = {"note": "text", "voxels": DENSE.astype(dtype), "table": np.eye(3)}
        scipy.io.savemat(path, content, do_compression=deflated)
        assert io.load(path) == VoxelGrid.from_dense(DENSE)

    def test_read_by_scipy(self, tmp_path: Path) -> None:
        io.save(VoxelGrid.from_dense(DENSE), tmp_path / "a.mat")
        model = scipy.io.loadmat(tmp_path / "a.mat")["model"]
        assert model.dtype == np.uint8  # how SciPy shows a logical array
        assert np.array_equal(model, DENSE)

    def test_of_the_authors(self, tmp_path: Path) -> None:
        path = tmp_path / "full_object_3.mat"
        fine = noise((8, 8, 8), seed=1)
        scipy.io.savemat(path, {"model": fine.astype(float), "low_model": DENSE})
        with pytest.warns(io.FormatWarning, match="read model, left out low_model"):
            assert io.load(path) == VoxelGrid.from_dense(fine)

    def test_which_array(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"one": DENSE, "two": DENSE})
        with pytest.raises(InputError, match=r"or one called 'model', found one \(4, 5, 6\), two"):
            io.load(path)
        scipy.io.savemat(path, {"high_odm": np.eye(4)})
        with pytest.raises(InputError, match=r"expected one 3-D array of numbers.* found none"):
            io.load(path)

    def test_hdf5(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(128) + bytes(512))
        with pytest.raises(InputError, match=r"found HDF5; in MATLAB, save\(…, '-v7'\)"):
            io.load(path)

    def test_a_bomb_is_not_unpacked(self, tmp_path: Path) -> None:
        import zlib

        head = struct.pack("<IIBBHI", 6, 8, 9, 2, 0, 0) + struct.pack(
            "<IIiiii", 5, 12, *(2048,) * 3, 0
        )
        head += struct.pack("<II8s", 1, 5, b"model") + struct.pack("<II", 2, 0)
        packed = zlib.compress(struct.pack("<II", 14, 2**32 - 8) + head + bytes(1000))
        file = bytes(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed
        (tmp_path / "a.mat").write_bytes(file)
        with pytest.raises(InputError, match=r"expected a size that .* packed bytes can hold"):
            io.load(tmp_path / "a.mat")


class TestSafetensors:
    @pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i4", "i8", "f2", "f4", "f8"])
    def test_of_the_library(self, tmp_path: Path, dtype: str) -> None:
        path = tmp_path / "a.safetensors"
        save_file({"occ": DENSE.astype(dtype), "bias": np.zeros(3, np.float32)}, path)
        assert io.load(path) == VoxelGrid.from_dense(DENSE)

    def test_place_in_the_metadata(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        save_file({"voxels": DENSE}, path, {"origin": "1 -2 0.5", "spacing": "0.5 0.5 0.25"})
        grid = io.load(path)
        assert (grid.origin, grid.spacing) == ((1, -2, 0.5), (0.5, 0.5, 0.25))

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ({"origin": "1 2"}, "origin: expected three numbers, found '1 2'"),
            ({"spacing": "1 1 0"}, "spacing: expected three positive numbers"),
            ({"origin": "1 2 inf"}, "origin: expected three finite numbers"),
        ],
    )
    def test_bad_metadata(self, tmp_path: Path, metadata: dict[str, str], message: str) -> None:
        save_file({"voxels": DENSE}, tmp_path / "a.safetensors", metadata)
        with pytest.raises(InputError, match=message):
            io.load(tmp_path / "a.safetensors")

    def test_a_model_is_no_grid(self, tmp_path: Path) -> None:
        save_file({"weight": np.zeros((2, 2), np.float32)}, tmp_path / "a.safetensors")
        with pytest.raises(InputError, match="exactly one 3-D tensor, found 0 among: weight"):
            io.load(tmp_path / "a.safetensors")


def world_centres(affine: np.ndarray) -> np.ndarray:
    """Where an affine from indices to centres has the occupied voxels of `DENSE`, sorted."""
    return np.array(sorted((np.argwhere(DENSE) @ affine[:3, :3].T + affine[:3, 3]).tolist()))


def grid_centres(grid: VoxelGrid) -> np.ndarray:
    centres = np.array(grid.origin) + (np.argwhere(grid.dense()) + 0.5) * grid.spacing
    return np.array(sorted(centres.tolist()))


AFFINES = [
    np.vstack(
        [
            np.column_stack(
                [np.diag(signs) @ np.diag([0.5, 1, 2]) @ np.eye(3)[list(order)], shift]
            ),
            [0, 0, 0, 1],
        ]
    )
    for order in permutations(range(3))
    for signs in [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, -1, -1)]
    for shift in [(3.0, -7.0, 0.25)]
]


class TestMedical:
    @pytest.mark.parametrize("affine", AFFINES)
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_nifti_of_nibabel(self, tmp_path: Path, affine: np.ndarray, suffix: str) -> None:
        nibabel = pytest.importorskip("nibabel")
        path = tmp_path / f"a{suffix}"
        nibabel.save(nibabel.Nifti1Image(DENSE.astype(np.uint8), affine), path)
        assert np.allclose(grid_centres(io.load(path)), world_centres(affine), atol=1e-5)

    @pytest.mark.parametrize("form", ["qform", "none"])
    def test_nifti_without_sform(self, tmp_path: Path, form: str) -> None:
        nibabel = pytest.importorskip("nibabel")
        affine = AFFINES[2]
        image = nibabel.Nifti1Image(DENSE.astype(np.int16), affine)
        image.set_qform(affine, 1)
        nibabel.save(image, tmp_path / "a.nii")
        content = bytearray((tmp_path / "a.nii").read_bytes())
        content[254:256] = b"\0\0"  # sform_code
        if form == "none":
            content[252:254] = b"\0\0"  # qform_code
        (tmp_path / "a.nii").write_bytes(content)
        zooms = image.header.get_zooms()
        expected = affine if form == "qform" else np.diag([*zooms, 1])
        found = grid_centres(io.load(tmp_path / "a.nii"))
        assert np.allclose(found, world_centres(expected), atol=1e-5)

    def test_nifti_2_and_big_endian(self, tmp_path: Path) -> None:
        nibabel = pytest.importorskip("nibabel")
        nibabel.save(nibabel.Nifti2Image(DENSE.astype(np.uint8), AFFINES[5]), tmp_path / "a.nii")
        assert np.allclose(grid_centres(io.load(tmp_path / "a.nii")), world_centres(AFFINES[5]))
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(">i2")
        image = nibabel.Nifti1Image(DENSE.astype(">i2"), AFFINES[5], header)
        nibabel.save(image, tmp_path / "b.nii")
        assert (tmp_path / "b.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
        assert np.allclose(grid_centres(io.load(tmp_path / "b.nii")), world_centres(AFFINES[5]))

    def test_nifti_read_by_nibabel(self, tmp_path: Path, grid: VoxelGrid) -> None:
        nibabel = pytest.importorskip("nibabel")
        for name in ("a.nii", "a.nii.gz"):
            io.save(grid, tmp_path / name)
            image = nibabel.load(tmp_path / name)
            assert np.array_equal(np.asarray(image.dataobj), grid.dense())
            centre = np.array(grid.origin) + np.array(grid.spacing) / 2
            for affine in (image.get_sform(), image.get_qform()):
                assert np.allclose(affine[:3, 3], centre, atol=1e-6)
                assert np.allclose(affine[:3, :3], np.diag(grid.spacing), atol=1e-6)

    def test_askew(self, tmp_path: Path) -> None:
        nibabel = pytest.importorskip("nibabel")
        turn = np.eye(4)
        c, s = np.cos(0.2), np.sin(0.2)
        turn[:2, :2] = [[c, -s], [s, c]]
        nibabel.save(nibabel.Nifti1Image(DENSE.astype(np.uint8), turn), tmp_path / "a.nii")
        with pytest.warns(io.FormatWarning, match="lies askew in the world"):
            grid = io.load(tmp_path / "a.nii")
        assert np.array_equal(grid.dense(), DENSE)
        centre = turn @ [*((np.array(DENSE.shape) - 1) / 2), 1]
        assert np.allclose(np.array(grid.origin) + np.array(DENSE.shape) / 2, centre[:3])

    def test_nifti_that_is_no_mask(self, tmp_path: Path) -> None:
        nibabel = pytest.importorskip("nibabel")
        nibabel.save(
            nibabel.Nifti1Image(np.zeros((2, 2, 2, 5), np.uint8), None), tmp_path / "a.nii"
        )
        with pytest.raises(InputError, match="dim: expected three axes, found 4"):
            io.load(tmp_path / "a.nii")
        image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), None)
        image.header.set_slope_inter(2, 0)
        nibabel.save(image, tmp_path / "b.nii")
        with pytest.raises(InputError, match="expected a mask without scaling, found slope 2"):
            io.load(tmp_path / "b.nii")

    @pytest.mark.parametrize("affine", AFFINES)
    @pytest.mark.parametrize(
        ("encoding", "dtype"), [("raw", ">i2"), ("gzip", "u1"), ("ascii", "i4"), ("gz", "f8")]
    )
    def test_nrrd_of_pynrrd(
        self, tmp_path: Path, affine: np.ndarray, encoding: str, dtype: str
    ) -> None:
        nrrd = pytest.importorskip("nrrd")
        header = {
            "space dimension": 3,
            "space directions": affine[:3, :3].T,
            "space origin": affine[:3, 3],
            "encoding": encoding,
            "endian": "big",
        }
        nrrd.write(str(tmp_path / "a.nrrd"), DENSE.astype(dtype), header)
        assert np.allclose(grid_centres(io.load(tmp_path / "a.nrrd")), world_centres(affine))

    def test_nrrd_of_another_side(self, tmp_path: Path) -> None:
        nrrd = pytest.importorskip("nrrd")
        header = {
            "space": "left-posterior-superior",
            "space directions": np.diag([1.0, 2, 3]),
            "space origin": [10.0, 20, 30],
        }
        nrrd.write(str(tmp_path / "a.nrrd"), DENSE.astype(np.uint8), header)
        affine = np.diag([-1.0, -2, 3, 1])
        affine[:3, 3] = [-10, -20, 30]
        assert np.allclose(grid_centres(io.load(tmp_path / "a.nrrd")), world_centres(affine))

    def test_nrrd_with_spacings(self, write_bytes) -> None:
        text = b"NRRD0001\ntype: uchar\ndimension: 3\nsizes: 1 1 2\nencoding: raw\n"
        data = b"\n\0\1"
        path = write_bytes("a.nrrd", text + b"spacings: 1 2 4\naxis mins: 0 0 8" + b"\n" + data)
        grid = io.load(path)
        assert (grid.origin, grid.spacing) == ((0, 0, 8), (1, 2, 4))
        centres = b"centers: node node node\nspacings: 1 2 4"
        grid = io.load(write_bytes("b.nrrd", text + centres + b"\n" + data))
        assert grid.origin == (-0.5, -1, -2)

    def test_nrrd_read_by_pynrrd(self, tmp_path: Path, grid: VoxelGrid) -> None:
        nrrd = pytest.importorskip("nrrd")
        io.save(grid, tmp_path / "a.nrrd")
        array, header = nrrd.read(str(tmp_path / "a.nrrd"))
        assert np.array_equal(array, grid.dense())
        assert np.allclose(header["space directions"], np.diag(grid.spacing))
        centre = np.array(grid.origin) + np.array(grid.spacing) / 2
        assert np.allclose(header["space origin"], centre)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("data file: ../../etc/passwd", "expected the data in the same file"),
            ("encoding: bzip2", "encoding: expected raw, gzip or ascii"),
            ("sizes: 2 2", "expected 3 dimensions and sizes"),
            ("sizes: 99999 99999 99999", "expected at most .* voxels"),
            ("sizes: 2 2 3", "expected 12 bytes of data, found 8"),
            ("type: block", "type: expected one of numbers"),
            ("type: short", "endian: expected little or big, found ''"),
            ("byte skip: 1", "byte skip: expected 0, found '1'"),
            ("space directions: (1,0,0) (0,1,0) none", "expected three vectors"),
            ("space directions: (1,0,0) (0,1,0) (1,0,0)", "directions that span a box"),
            ("space directions: (1,0,0) (0,1,0) (0,0,1e999)", "expected finite directions"),
        ],
    )
    def test_nrrd_that_is_not_read(self, write_bytes, line: str, message: str) -> None:
        fields = {"type": "uchar", "dimension": "3", "sizes": "2 2 2", "encoding": "raw"}
        name, _, value = line.partition(": ")
        fields[name] = value
        text = "".join(f"{key}: {value}\n" for key, value in fields.items())
        path = write_bytes("a.nrrd", b"NRRD0004\n" + text.encode() + b"\n" + bytes(8))
        with pytest.raises(InputError, match=message):
            io.load(path)

    def test_gzip_bombs_are_not_unpacked(self, write_bytes) -> None:
        bomb = gzip.compress(bytes(2**20))
        text = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1024 1024 1024\nencoding: gzip\n\n"
        with pytest.raises(InputError, match=r"expected a size that .* packed bytes can hold"):
            io.load(write_bytes("a.nrrd", text + bomb))
