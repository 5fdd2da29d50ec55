"""npy and npz."""

import io as streams
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io import occupancy as pieces

WriteBytes = Callable[..., Path]

occupancy = hnp.arrays(
    bool, st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 7, 63, 64, 65, 130]))
)
dtypes = st.sampled_from(["?", "u1", "i1", "<i4", ">i8", ">f2", "<f4", ">f8"])


def npy_bytes(array: np.ndarray) -> bytes:
    file = streams.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    file = streams.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def header_only(descr: str, shape: tuple[int, ...]) -> bytes:
    file = streams.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@given(
    occupancy,
    dtypes,
    st.booleans(),
    st.sampled_from([256, 4096, 1 << 24]),
    st.sampled_from([0, 1 << 24]),
)
def test_any_type_order_and_piece_size(
    tmp_path_factory: pytest.TempPathFactory,
    dense: np.ndarray,
    dtype: str,
    fortran: bool,
    piece: int,
    coarse: int,
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    array = np.asarray(dense.astype(dtype), order="F" if fortran else "C")
    (folder / "a.npy").write_bytes(npy_bytes(array))
    (folder / "a.npz").write_bytes(npz_bytes(voxels=array, name=np.arange(4)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_PIECE_BYTES", piece)
        patch.setattr(pieces, "MAX_COVERAGE_VOXELS", coarse)
        for name in ("a.npy", "a.npz"):
            assert io.load(folder / name) == VoxelGrid.from_dense(dense)


@given(occupancy)
def test_npy_round_trip(tmp_path_factory: pytest.TempPathFactory, dense: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    io.save(VoxelGrid.from_dense(dense), path)
    assert np.array_equal(np.load(path), dense)
    assert np.load(path).dtype == bool


def test_npz_keeps_everything(tmp_path: Path, grid: VoxelGrid) -> None:
    coverage = np.random.default_rng(0).random(grid.shape, np.float32)
    grid = VoxelGrid(grid.packed, grid.shape, grid.origin, (0.1, 0.2, 0.3), coverage)
    io.save(grid, tmp_path / "a.npz")
    loaded = io.load(tmp_path / "a.npz")
    assert loaded == grid
    assert loaded.coverage is not None
    assert np.array_equal(loaded.coverage, coverage)


def test_npz_bytes_depend_on_the_grid_alone(tmp_path: Path, grid: VoxelGrid) -> None:
    for name in ("a.npz", "b.npz"):
        io.save(grid, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


def test_numpy_reads_our_npz(tmp_path: Path, grid: VoxelGrid) -> None:
    io.save(grid, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        bits = np.unpackbits(archive["packed"].view(np.uint8), axis=2, bitorder="little")
        assert np.array_equal(bits[:, :, : grid.shape[2]], grid.dense())


def test_float_threshold(write_bytes: WriteBytes) -> None:
    values = np.array([0, 0.49, 0.5, 1]).reshape(1, 1, 4)
    assert io.load(write_bytes("a.npy", npy_bytes(values))).dense().tolist() == [
        [[False, False, True, True]]
    ]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fractions_become_coverage(write_bytes: WriteBytes, dtype: type, order: str) -> None:
    values = np.asarray(np.linspace(0, 1, 2 * 3 * 5).reshape(2, 3, 5), dtype, order=order)
    grid = io.load(write_bytes("a.npy", npy_bytes(values)))
    assert grid.coverage is not None
    assert grid.coverage.dtype == np.float32
    assert np.array_equal(grid.coverage, values.astype(np.float32))
    assert np.array_equal(grid.dense(), values >= 0.5)


def test_bytes_between_0_and_255_are_fractions(write_bytes: WriteBytes) -> None:
    values = np.array([0, 51, 204, 255], np.uint8).reshape(1, 2, 2)
    grid = io.load(write_bytes("a.npy", npy_bytes(values)))
    assert grid.coverage is not None
    np.testing.assert_allclose(grid.coverage.ravel(), [0, 0.2, 0.8, 1], rtol=1e-6)
    assert grid.dense().ravel().tolist() == [False, False, True, True]


def test_whole_fractions_are_no_coverage(write_bytes: WriteBytes) -> None:
    grid = io.load(write_bytes("a.npy", npy_bytes(np.array([[[0.0, 1.0]]]))))
    assert grid.coverage is None


def test_mask_of_255(write_bytes: WriteBytes) -> None:
    values = np.array([0, 255], np.uint8).reshape(1, 1, 2)
    assert io.load(write_bytes("a.npy", npy_bytes(values))).count() == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((1, 1, 2), 37, np.uint8), "expected 0 for empty and 1 (or 255)"),
        (np.full((1, 1, 2), -1), "found -1"),
        (np.full((1, 1, 2), np.nan), "expected floats between 0 and 1, found nan"),
        (np.full((1, 1, 2), 1.5), "found 1.5"),
        (np.ones((2, 2), bool), "expected 3 axes (x, y, z), found shape (2, 2)"),
        (np.ones((1, 2, 2, 2), bool), "found shape (1, 2, 2, 2); several grids are several files"),
        (np.ones((0, 2, 2), bool), "expected three positive numbers"),
        (np.ones((1, 1, 1), complex), "expected bool, integers or floats, found complex128"),
        (np.array([[["a"]]]), "expected bool, integers or floats"),
        (np.array([[[None]]], object), "Python objects, which are never read"),
        (np.zeros((1, 1, 1), [("a", "u1")]), "expected bool, integers or floats"),
    ],
)
def test_no_occupancy(write_bytes: WriteBytes, array: np.ndarray, message: str) -> None:
    path = write_bytes("bad.npy", npy_bytes(array))
    with pytest.raises(InputError) as error:
        io.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x93NUMPY", "expected a .npy header"),
        (b"\x93NUMPY\x09\x00", "expected .npy version 1.0 or 2.0"),
        (b"\x93NUMPY\x01\x00\xff\xff{'descr'", "expected a .npy header"),
        (b"\x93NUMPY\x01\x00\x08\x00__import", "expected a .npy header"),
        (npy_bytes(np.ones((4, 4, 4), bool))[:-1], "expected 192 bytes for bool"),
        (npy_bytes(np.ones((4, 4, 4), bool)) + b"x", "found 193"),
        (header_only("|b1", (-1, 2, 2)), "shape: expected no negative number"),
    ],
)
def test_malformed_npy(write_bytes: WriteBytes, content: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        io.load(write_bytes("bad.npy", content))
    assert message in str(error.value)


def test_forged_header_of_128_bytes(write_bytes: WriteBytes) -> None:
    # np.load reserves 931 GiB for this one.
    content = header_only("|u1", (10_000, 10_000, 10_000))
    assert len(content) == 128
    with pytest.raises(InputError, match="expected 1000000000128 bytes"):
        io.load(write_bytes("bomb.npy", content))


def test_npz_bomb_by_its_announced_size(write_bytes: WriteBytes) -> None:
    array = header_only("|u1", (2000, 2000, 2000)) + b""
    file = streams.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", array)
    content = bytearray(file.getvalue())
    # The sizes in the central directory: claim what the array header claims.
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (4_000_000_000).to_bytes(4, "little")
    with pytest.raises(InputError, match="expected a size that"):
        io.load(write_bytes("bomb.npz", bytes(content)))


def test_npz_bomb_over_the_limit(write_bytes: WriteBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MVD_MAX_VOXELS", str(128**3 - 1))
    content = npz_bytes(a=np.zeros((128, 128, 128), np.uint8))
    assert len(content) < 128**3 / 500
    with pytest.raises(InputError, match="MVD_MAX_VOXELS"):
        io.load(write_bytes("bomb.npz", content))


def own(**changes: np.ndarray) -> bytes:
    arrays = {
        "packed": np.ones((2, 2, 1), np.uint64),
        "shape": np.array([2, 2, 3]),
        "origin": np.zeros(3),
        "spacing": np.ones(3),
    }
    return npz_bytes(**(arrays | changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and then nothing", "expected a zip archive of arrays"),
        (npz_bytes(), "found 0 among: no arrays"),
        (npz_bytes(a=np.ones(3)), "found 0 among: a (3,)"),
        (
            npz_bytes(a=np.ones((1, 1, 1)), b=np.ones((1, 2, 1))),
            "found 2 among: a (1, 1, 1), b (1, 2, 1)",
        ),
        (own(shape=np.array([2, 2])), "shape: expected three numbers"),
        (own(shape=np.array([2, 2, 65])), "packed: expected uint64 of shape (2, 2, 2)"),
        (own(shape=np.array([2, -2, 3])), "expected three positive numbers"),
        (own(packed=np.ones((2, 2, 1), np.int64)), "packed: expected uint64"),
        (own(packed=np.full((2, 2, 1), 8, np.uint64)), "no voxel past a depth of 3"),
        (own(spacing=np.array([1.0, 0, 1])), "spacing: expected three positive numbers"),
        (own(origin=np.array([1.0, np.nan, 1])), "origin: expected three finite numbers"),
        (own(coverage=np.ones((2, 2, 2), np.float32)), "coverage: expected float32 of shape"),
        (own(coverage=np.full((2, 2, 3), 2, np.float32)), "coverage: expected fractions"),
        (own(extent=np.zeros(3)), "extent: expected six numbers"),
        (own(extent=np.array([1.0, 0, 0, 0, 1, 1])), "extent: expected a lowest and a highest"),
    ],
)
def test_malformed_npz(write_bytes: WriteBytes, content: bytes, message: str) -> None:
    path = write_bytes("bad.npz", content)
    with pytest.raises(InputError) as error:
        io.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_own_npz_without_a_place(write_bytes: WriteBytes) -> None:
    content = npz_bytes(packed=np.full((1, 1, 1), 5, np.uint64), shape=np.array([1, 1, 3]))
    assert io.load(write_bytes("a.npz", content)).dense().tolist() == [[[True, False, True]]]
