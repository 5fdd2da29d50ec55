import io as streams
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from trimesh.exchange.binvox import binvox_bytes, export_binvox, load_binvox

from mvd_toolkit import _core, io
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid

WriteBytes = Callable[..., Path]

shapes = st.one_of(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([(1, 64, 64), (2, 63, 65), (1, 130, 3), (2, 3, 129), (1, 1, 200), (3, 200, 1)]),
)
occupancy = shapes.flatmap(lambda shape: hnp.arrays(bool, shape))


def reference_runs(dense: np.ndarray) -> bytes:
    """The runs of a (X, Y, Z) array, written from Min's page, voxel by voxel."""
    _, width, height = dense.shape
    values = [0] * dense.size
    for x, y, z in np.ndindex(dense.shape):
        values[x * width * height + z * width + y] = int(dense[x, y, z])
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][0] == value and runs[-1][1] < 255:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return bytes(byte for run in runs for byte in run)


def header(dim: object = "2 2 2", extra: str = "", version: object = 1) -> bytes:
    return f"#binvox {version}\ndim {dim}\n{extra}data\n".encode()


@given(occupancy)
def test_encode_is_the_reference(dense: np.ndarray) -> None:
    packed = _core.pack(dense[None])
    assert _core.binvox_encode(packed, dense.shape[2]).tobytes() == reference_runs(dense)


@given(occupancy, st.data())
def test_encoded_in_parts_it_is_the_same(dense: np.ndarray, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(1, dense.shape[0]), max_size=4)))
    value, length, found = False, 0, b""
    for part in np.split(dense, cuts):
        if len(part):
            packed = _core.pack(np.ascontiguousarray(part)[None])
            runs, value, length = _core.binvox_encode_part(packed, dense.shape[2], value, length)
            found += runs.tobytes()
    assert found + _core.binvox_encode_tail(value, length).tobytes() == reference_runs(dense)


@given(occupancy, st.data())
def test_decode_is_the_reference(dense: np.ndarray, data: st.DataObject) -> None:
    # Runs cut anywhere, with empty ones in between and any value for occupied.
    runs = []
    for value, count in np.frombuffer(reference_runs(dense), np.uint8).reshape(-1, 2).tolist():
        cut = data.draw(st.integers(0, count))
        for part in (cut, count - cut):
            runs.append((value and data.draw(st.integers(1, 255)), part))
    decoded = _core.binvox_decode(np.array(runs, np.uint8), *dense.shape)
    assert np.array_equal(decoded, _core.pack(dense[None]))


@pytest.mark.parametrize("shape", [(3, 256, 256), (2, 300, 200), (70, 64, 128)])
@pytest.mark.parametrize("density", [0.0, 0.001, 0.5, 1.0])
def test_big_round_trip(shape: tuple[int, int, int], density: float) -> None:
    dense = np.random.default_rng(0).random(shape) < density
    packed = _core.pack(dense[None])
    runs = _core.binvox_encode(packed, shape[2])
    flat = trimesh.voxel.runlength.dense_to_rle(dense.transpose(0, 2, 1).ravel(), np.uint8)
    theirs = flat.reshape(-1, 2)  # with a run of no voxels after one of a multiple of 255
    assert np.array_equal(runs, theirs[theirs[:, 1] > 0])
    assert np.array_equal(_core.binvox_decode(theirs, *shape), packed)
    assert np.array_equal(_core.binvox_decode(runs, *shape), packed)


@given(
    origin=st.tuples(*[st.floats(-1e6, 1e6)] * 3),
    spacing=st.floats(1e-6, 1e6),
    shape=st.tuples(*[st.integers(1, 70)] * 3),
)
def test_place_round_trips_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    origin: tuple[float, float, float],
    spacing: float,
    shape: tuple[int, int, int],
) -> None:
    path = tmp_path_factory.mktemp("place") / "a.binvox"
    grid = VoxelGrid.from_dense(np.zeros(shape, bool), origin, spacing)
    io.save(grid, path)
    assert io.load(path) == grid


def test_original_bytes_by_hand(write_bytes: WriteBytes) -> None:
    # Min's page: index = x * width * height + z * width + y. Voxel (x, y, z) = (1, 3, 2) of a
    # 4-cube is number 16 + 8 + 3 = 27; (0, 1, 0) is number 1.
    content = (
        b"#binvox 1\ndim 4 4 4\ntranslate -2 0.5 3\nscale 8\ndata\n"
        b"\x00\x01\x01\x01\x00\x19\x01\x01\x00\x24"
    )
    grid = io.load(write_bytes("hand.binvox", content))
    expected = np.zeros((4, 4, 4), bool)
    expected[0, 1, 0] = expected[1, 3, 2] = True
    assert np.array_equal(grid.dense(), expected)
    # His normalised centre ((i + 0.5) / d) is scaled, then translated.
    assert grid.origin == (-2, 0.5, 3)
    assert grid.spacing == (2, 2, 2)


def test_scale_is_of_the_longest_edge(write_bytes: WriteBytes) -> None:
    grid = io.load(write_bytes("a.binvox", header("2 8 4", "scale 4\n") + b"\x00\x40"))
    assert grid.shape == (2, 8, 4)
    assert grid.spacing == (0.5, 0.5, 0.5)


def test_defaults_of_a_short_header(write_bytes: WriteBytes) -> None:
    grid = io.load(write_bytes("a.binvox", header() + b"\x01\x08"))
    assert grid.origin == (0, 0, 0)
    assert grid.spacing == (0.5, 0.5, 0.5)
    assert grid.count() == 8


def test_version_2_values_are_occupied(write_bytes: WriteBytes) -> None:
    content = header(version=2) + b"\x07\x02\x00\x05\xff\x01"
    assert io.load(write_bytes("a.binvox", content)).count() == 3


def test_windows_lines_comments_and_unknown_words(write_bytes: WriteBytes) -> None:
    content = b"#binvox 1\r\n# made by x\r\n\r\ncolour red\r\ndim 2 2 2 # cubic\r\ndata\r\n\x01\x08"
    assert io.load(write_bytes("a.binvox", content)).count() == 8


def trimesh_written(dense: np.ndarray, pitch: float, centre: tuple[float, ...]) -> bytes:
    transform = trimesh.transformations.scale_and_translate(pitch, centre)
    content: bytes = export_binvox(trimesh.voxel.VoxelGrid(dense, transform))
    assert b"# generated in `trimesh`" in content
    return content


def test_trimesh_written(write_bytes: WriteBytes) -> None:
    dense = np.random.default_rng(1).random((6, 6, 6)) < 0.4
    grid = io.load(write_bytes("a.binvox", trimesh_written(dense, 0.25, (1.0, 2.0, 3.0))))
    assert np.array_equal(grid.dense(), dense)
    # trimesh means the centre of the first voxel and the distance to that of the last; by Min's
    # definition the same numbers are the corner and the whole edge. We follow the definition.
    assert grid.origin == (1.0, 2.0, 3.0)
    assert grid.spacing == pytest.approx((0.25 * 5 / 6,) * 3)


def test_trimesh_written_oblong(write_bytes: WriteBytes) -> None:
    # trimesh writes a grid that is no cube only if its whole edges agree, and reads none; the
    # order of the three numbers is the same as ours.
    dense = np.random.default_rng(1).random((3, 5, 9)) < 0.4
    runs = trimesh.voxel.runlength.dense_to_rle(dense.transpose(0, 2, 1).ravel(), np.uint8)
    grid = io.load(write_bytes("a.binvox", binvox_bytes(runs, dense.shape, (1, 2, 3), 18)))
    assert np.array_equal(grid.dense(), dense)
    assert grid.spacing == (2, 2, 2)


def test_trimesh_reads_ours(tmp_path: Path) -> None:
    dense = np.random.default_rng(2).random((6, 6, 6)) < 0.4
    io.save(VoxelGrid.from_dense(dense, (1, 2, 3), 0.5), tmp_path / "a.binvox")
    theirs = load_binvox(streams.BytesIO((tmp_path / "a.binvox").read_bytes()))
    assert np.array_equal(theirs.matrix, dense)
    assert np.allclose(theirs.translation, (1, 2, 3))


def test_the_numbers_survive_trimesh(write_bytes: WriteBytes) -> None:
    # Why trimesh's comment cannot tell how its numbers are meant: it hands on Min's as they are.
    content = header("4 4 4", "translate 1 2 3\nscale 8\n") + b"\x00\x20\x01\x20"
    ours = io.load(write_bytes("a.binvox", content))
    handed_on = io.load(
        write_bytes("b.binvox", export_binvox(load_binvox(streams.BytesIO(content))))
    )
    assert handed_on.origin == ours.origin
    assert handed_on.spacing == pytest.approx(ours.spacing)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#binvox 3\ndim 1 1 1\ndata\n\x01\x01", "line 1: expected '#binvox 1' or '#binvox 2'"),
        (b"#binvoxen 1\ndim 1 1 1\ndata\n\x01\x01", "found '#binvoxen 1'"),
        (b"#binvox 1\ndim 2 2 2\n", "line 3: expected a header line, found ''"),
        (b"#binvox 1\ndim 2 2 2\ndata", "line 3: expected a header line, found 'data'"),
        (b"#binvox 1\n" + b"\n" * 300 + b"data\n", "expected 'data' within 256 lines"),
        (b"#binvox 1\ndata\n\x01\x08", "expected 'dim', found"),
        (header("2 2") + b"\x01\x08", "dim: expected 3 numbers, found '2 2'"),
        (header("2 2 x") + b"\x01\x08", "dim: expected 3 numbers, found '2 2 x'"),
        (header("2 2 -2") + b"\x01\x08", "dim: expected positive whole numbers, found '-2'"),
        (header("2 2 2.5") + b"\x01\x08", "dim: expected positive whole numbers, found '2.5'"),
        (header("2 2 0") + b"\x01\x08", "expected three positive numbers"),
        (header("9" * 30 + " 1 1"), "dim: expected positive whole numbers"),
        (header(extra="scale 0\n") + b"\x01\x08", "scale: expected a finite number above 0"),
        (header(extra="scale -1\n") + b"\x01\x08", "scale: expected a finite number above 0"),
        (header(extra="scale nan\n") + b"\x01\x08", "scale: expected 1 numbers, found 'nan'"),
        (header(extra="scale 1e999\n") + b"\x01\x08", "scale: expected a finite number above 0"),
        (header(extra="scale 4e-324\n") + b"\x01\x08", "scale: expected a finite number above 0"),
        (header(extra="translate 1 2\n") + b"\x01\x08", "translate: expected 3 numbers"),
        (header(extra="translate 1 2 1e999\n") + b"\x01\x08", "translate: expected finite"),
        (header() + b"", "expected pairs of bytes, 2 to 32 bytes, found 0"),
        (header() + b"\x01\x08\x00", "expected pairs of bytes, 2 to 32 bytes, found 3"),
        (header() + b"\x01\x07", "add up to 8 voxels, found 7"),
        (header() + b"\x01\x09", "add up to 8 voxels, found 9"),
        (header() + b"\x01\x08\x00\x01", "add up to 8 voxels, found 9"),
        (header("64 64 64") + b"\x01\xff" * 1029, "add up to 262144 voxels, found 262395"),
    ],
)
def test_malformed(write_bytes: WriteBytes, content: bytes, message: str) -> None:
    path = write_bytes("bad.binvox", content)
    with pytest.raises(InputError) as error:
        io.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_forged_size_allocates_nothing(write_bytes: WriteBytes) -> None:
    # Within the limit, but not within the file.
    path = write_bytes("bomb.binvox", header("2048 2048 2048") + b"\x01\xff" * 100)
    with pytest.raises(InputError, match=f"expected pairs of bytes, {2 * math.ceil(2**33 / 255)}"):
        io.load(path)


def test_flat_grids_are_counted_as_packed(write_bytes: WriteBytes) -> None:
    path = write_bytes("flat.binvox", header("1000000 1000000 1") + b"\x01\xff")
    with pytest.raises(InputError, match="whole words of 64"):
        io.load(path)


def test_limit_from_the_environment(
    write_bytes: WriteBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bytes("a.binvox", header("2 2 64") + b"\x00\xff\x00\x01")
    monkeypatch.setenv("MVD_MAX_VOXELS", "256")
    assert io.load(path).shape == (2, 2, 64)
    monkeypatch.setenv("MVD_MAX_VOXELS", "255")
    with pytest.raises(InputError, match="MVD_MAX_VOXELS raises the limit"):
        io.load(path)
    monkeypatch.setenv("MVD_MAX_VOXELS", "a lot")
    with pytest.raises(UsageError, match="MVD_MAX_VOXELS: expected a positive whole number"):
        io.load(path)


def test_voxels_that_are_no_cubes_are_refused(tmp_path: Path) -> None:
    grid = VoxelGrid.from_dense(np.ones((2, 2, 2), bool), (0, 0, 0), (1.0, 1.0, 2.0))
    with pytest.raises(UsageError, match="npz keeps all three"):
        io.save(grid, tmp_path / "a.binvox")
    assert not list(tmp_path.iterdir())
