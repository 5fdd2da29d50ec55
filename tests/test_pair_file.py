import contextlib
import time
import zipfile

import numpy as np
import pytest

from mvd_toolkit import ops, pair_file
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import StoredPair, read_pair, write_pair
from mvd_toolkit.voxelize import pair_of


def solid(edge=16, seed=0):
    random = np.random.default_rng(seed)
    dense = np.zeros((edge,) * 3, bool)
    corner = random.integers(1, edge // 2, 3)
    end = corner + random.integers(2, edge // 2 - 1, 3)
    dense[tuple(slice(a, b) for a, b in zip(corner, end, strict=True))] = True
    return VoxelGrid.from_dense(dense, origin=(1.0, 2.0, 3.0), spacing=0.25)


def test_a_pair_survives_the_round_trip(tmp_path):
    pair = pair_of(solid(), 4)
    path = write_pair(tmp_path, "one", pair, source_sha256="ab" * 32)
    assert path == tmp_path / "one_4_16.npz"
    stored = read_pair(path)
    assert isinstance(stored, StoredPair)
    assert np.array_equal(stored.odms, pair.odms)
    assert np.array_equal(stored.lows["any"], pair.low.packed)
    assert np.array_equal(stored.lows["half"], pair.low_half.packed)
    assert np.array_equal(stored.lows["centre"], pair.low_centre.packed)
    assert (stored.edge, stored.origin, stored.spacing) == (4, (1.0, 2.0, 3.0), (0.25,) * 3)
    assert stored.source_sha256 == "ab" * 32


def test_the_same_pair_gives_the_same_bytes(tmp_path, monkeypatch):
    one = write_pair(tmp_path / "one", "x", pair_of(solid(), 4)).read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    two = write_pair(tmp_path / "two", "x", pair_of(solid(), 4)).read_bytes()
    assert one == two


def test_low_grids_follow_their_rules(tmp_path):
    pair = pair_of(solid(seed=5), 4)
    high = pair.high.dense().reshape(4, 4, 4, 4, 4, 4).transpose(0, 2, 4, 1, 3, 5)
    blocks = high.reshape(4, 4, 4, 64)
    expected = {"low": blocks.any(-1), "low_half": blocks.mean(-1) >= 0.5}
    for name, dense in expected.items():
        hull = ops.hull(VoxelGrid.from_dense(dense)).dense()
        assert np.array_equal(getattr(pair, name).dense(), hull), name


def damage(path, key, array):
    """Replace one array of a pair."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays[key] = array
    np.savez_compressed(path, **arrays)


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("odms", np.zeros((5, 16, 16), np.uint16), "odms: expected uint16 of shape"),
        ("odms", np.zeros((6, 16, 16), np.float32), "found float32"),
        ("odms", np.full((6, 16, 16), 17, np.uint16), "expected depths up to 16"),
        ("odms", np.zeros((6, 18, 18), np.uint16), "a multiple of 4"),
        ("low", np.zeros((4, 4, 2), np.uint64), "low: expected uint64 of shape"),
        ("shape", np.array([4, 4, 5]), "shape: expected three equal edges"),
        ("shape", np.array([2**40] * 3), "shape: expected three equal edges"),
        ("transform", np.zeros(6), "transform: expected float64"),
        ("odms", np.array([{}], object), "is no pair"),
    ],
)
def test_a_malformed_pair_says_what_is_wrong(tmp_path, key, array, message):
    path = write_pair(tmp_path, "one", pair_of(solid(), 4))
    damage(path, key, array)
    with pytest.raises(InputError, match=message) as caught:
        read_pair(path)
    assert str(path) in str(caught.value)


def test_a_pair_that_is_cut_off_or_absent_is_an_input_error(tmp_path):
    path = write_pair(tmp_path, "one", pair_of(solid(), 4))
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="is no pair"):
            read_pair(path)
    for place in range(40, len(content), 7):  # whatever byte is wrong, never another exception
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :])
        with contextlib.suppress(InputError):
            read_pair(path)
    with pytest.raises(InputError, match="is no pair"):
        read_pair(tmp_path / "absent.npz")


def test_a_forged_header_reserves_no_memory(tmp_path):
    path = tmp_path / "bomb_4_16.npz"
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (6, 1000000, 1000000), }"
    header = header.ljust(117) + b"\n"
    forged = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        for key in ("low", "low_half", "low_centre", "odms", "shape", "transform"):
            archive.writestr(f"{key}.npy", forged)
    with pytest.raises(
        InputError, match=r"odms: expected 12000000000128 bytes|low: expected 12000000000128 bytes"
    ):
        read_pair(path)


def test_a_member_over_the_limit_is_not_read(tmp_path, monkeypatch):
    path = write_pair(tmp_path, "one", pair_of(solid(), 4))
    monkeypatch.setattr(pair_file, "MAX_MEMBER_BYTES", 1000)
    with pytest.raises(InputError, match="odms: expected at most 1000 bytes"):
        read_pair(path)
