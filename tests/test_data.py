import contextlib
import json
import os
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from mvd_toolkit import data, ops, pairs
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pairs import PairDataset, StoredPair, read_pair, split_of, write_pair
from mvd_toolkit.testing import make_tiny_dataset

BOX = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
BOX_FACES = [
    (0, 1, 3), (0, 3, 2), (4, 7, 5), (4, 6, 7), (0, 5, 1), (0, 4, 5),
    (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3),
]  # fmt: skip


def write_box(path, size=(1.0, 0.6, 0.3)):
    """A box as a Wavefront file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["v {} {} {}".format(*corner) for corner in BOX * size]
    lines += ["f {} {} {}".format(*(i + 1 for i in face)) for face in BOX_FACES]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def meshes(tmp_path):
    """Six boxes, two of them in folders of their own with the same name."""
    folder = tmp_path / "meshes"
    for index in range(4):
        write_box(folder / f"box {index}.obj", (1.0, 0.2 + 0.15 * index, 0.5))
    write_box(folder / "a" / "model.obj", (0.3, 1.0, 0.4))
    write_box(folder / "b" / "model.obj", (0.3, 0.4, 1.0))
    return folder


def solid(edge=16, seed=0):
    random = np.random.default_rng(seed)
    dense = np.zeros((edge,) * 3, bool)
    corner = random.integers(1, edge // 2, 3)
    end = corner + random.integers(2, edge // 2 - 1, 3)
    dense[tuple(slice(a, b) for a, b in zip(corner, end, strict=True))] = True
    return VoxelGrid.from_dense(dense, origin=(1.0, 2.0, 3.0), spacing=0.25)


def pair_paths(dataset):
    return sorted(p.relative_to(dataset).as_posix() for p in dataset.rglob("*.npz"))


def test_a_pair_survives_the_round_trip(tmp_path):
    pair = data.pair_of(solid(), 4)
    path = write_pair(tmp_path, "one", pair, split="val", source_sha256="ab" * 32)
    assert path == tmp_path / "val" / "one_4_16.npz"
    stored = read_pair(path)
    assert isinstance(stored, StoredPair)
    assert np.array_equal(stored.odms, pair.odms)
    assert np.array_equal(stored.lows["any"], pair.low.packed)
    assert np.array_equal(stored.lows["half"], pair.low_half.packed)
    assert np.array_equal(stored.lows["centre"], pair.low_centre.packed)
    assert (stored.edge, stored.origin, stored.spacing) == (4, (1.0, 2.0, 3.0), (0.25,) * 3)
    assert stored.source_sha256 == "ab" * 32


def test_the_same_pair_gives_the_same_bytes(tmp_path, monkeypatch):
    one = write_pair(tmp_path / "one", "x", data.pair_of(solid(), 4), split="val").read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    two = write_pair(tmp_path / "two", "x", data.pair_of(solid(), 4), split="val").read_bytes()
    assert one == two


def test_the_fine_grid_is_the_hull_of_its_odms(tmp_path):
    grids = [solid(seed=seed) for seed in range(3)]
    for index, grid in enumerate(grids):
        write_pair(tmp_path, f"s{index}", data.pair_of(grid, 4), split="train")
    data.write_description(tmp_path, 4, 16)
    dataset = PairDataset(tmp_path, "train")
    assert dataset.ids == ["s0", "s1", "s2"]
    assert dataset.scale == 4
    for index, grid in enumerate(grids):
        assert np.array_equal(dataset.high_grid(index).dense(), ops.hull(grid).dense())
        assert dataset.low_grid(index).shape == (4, 4, 4)


def test_low_grids_follow_their_rules(tmp_path):
    pair = data.pair_of(solid(seed=5), 4)
    high = pair.high.dense().reshape(4, 4, 4, 4, 4, 4).transpose(0, 2, 4, 1, 3, 5)
    blocks = high.reshape(4, 4, 4, 64)
    expected = {"low": blocks.any(-1), "low_half": blocks.mean(-1) >= 0.5}
    for name, dense in expected.items():
        hull = ops.hull(VoxelGrid.from_dense(dense)).dense()
        assert np.array_equal(getattr(pair, name).dense(), hull), name


def test_the_split_is_a_function_of_the_low_grid_alone():
    grids = [solid(8, seed) for seed in range(200)]
    splits = [split_of(grid) for grid in grids]
    elsewhere = [VoxelGrid(grid.packed.copy(), grid.shape, (9.0, 9.0, 9.0)) for grid in grids]
    assert [split_of(grid) for grid in elsewhere] == splits
    shares = [splits.count(name) / len(splits) for name in ("train", "val", "test")]
    assert 0.6 < shares[0] < 0.95
    assert shares[1] > 0
    assert shares[2] > 0


def test_the_split_of_a_known_grid_never_changes():
    # Its place is 0.1675…; another hash would silently move validation shapes into training.
    grid = VoxelGrid.from_dense(np.ones((2, 3, 4), bool))
    assert split_of(grid, (0.167, 0.0, 0.833)) == "test"
    assert split_of(grid, (0.168, 0.0, 0.832)) == "train"


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.9, 0.2, 0.1), (1.2, -0.2, 0.0)])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(UsageError, match="three shares of train, val and test"):
        split_of(solid(8), fractions)


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
    path = write_pair(tmp_path, "one", data.pair_of(solid(), 4), split="val")
    damage(path, key, array)
    with pytest.raises(InputError, match=message) as caught:
        read_pair(path)
    assert str(path) in str(caught.value)


def test_a_pair_that_is_cut_off_or_absent_is_an_input_error(tmp_path):
    path = write_pair(tmp_path, "one", data.pair_of(solid(), 4), split="val")
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
    path = write_pair(tmp_path, "one", data.pair_of(solid(), 4), split="val")
    monkeypatch.setattr(pairs, "MAX_MEMBER_BYTES", 1000)
    with pytest.raises(InputError, match="odms: expected at most 1000 bytes"):
        read_pair(path)


def test_a_dataset_of_two_kinds_asks_which(tmp_path):
    make_tiny_dataset(tmp_path, low=4, scale=4)
    make_tiny_dataset(tmp_path, low=8, scale=4)
    with pytest.raises(UsageError, match="the dataset has 4:16, 8:32"):
        PairDataset(tmp_path, "train")
    assert PairDataset(tmp_path, "train", low=8).high == 32


def test_a_limit_spreads_over_the_dataset(tmp_path):
    make_tiny_dataset(tmp_path, low=4, scale=4, count=8)
    dataset = PairDataset(tmp_path, "train", limit=3)
    assert dataset.ids == ["solid-001", "solid-003", "solid-005"]


def test_no_dataset_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(InputError, match="mvd convert MESHES"):
        PairDataset(tmp_path, "train")


def test_meshes_become_pairs(meshes, tmp_path):
    out = tmp_path / "dataset"
    told = []
    report = data.convert_pairs(
        meshes, out, low=8, high=32, workers=1, on_item=lambda *args: told.append(args)
    )
    assert [outcome.status for outcome in report.outcomes] == ["made"] * 6
    assert [args[1:] for args in told] == [(i + 1, 6) for i in range(6)]
    assert sum(report.counts.values()) == 6
    description = json.loads((out / "dataset.json").read_text())
    assert description["counts"] == {"8:32": report.counts}
    assert description["split"] == [0.8, 0.1, 0.1]
    for name in pair_paths(out):
        stored = read_pair(out / name)
        assert stored.odms.shape == (6, 32, 32)
        shape = VoxelGrid(stored.lows["any"], (stored.edge,) * 3)
        assert name.split("/")[0] == split_of(shape)


def test_several_processes_make_the_same_dataset(meshes, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    data.convert_pairs(meshes, one, low=8, high=32, workers=1)
    data.convert_pairs(meshes, two, low=8, high=32, workers=2)
    assert pair_paths(one) == pair_paths(two)
    for name in pair_paths(one):
        assert np.array_equal(read_pair(one / name).odms, read_pair(two / name).odms)


def test_the_same_command_again_does_what_is_missing(meshes, tmp_path):
    out = tmp_path / "dataset"
    data.convert_pairs(meshes, out, low=8, high=32, workers=1)
    before = {name: (out / name).stat().st_mtime_ns for name in pair_paths(out)}
    gone = pair_paths(out)[2]
    (out / gone).unlink()
    write_box(meshes / "new.obj", (0.2, 0.2, 1.0))
    report = data.convert_pairs(meshes, out, low=8, high=32, workers=1)
    statuses = sorted(outcome.status for outcome in report.outcomes)
    assert statuses == ["made"] * 2 + ["skipped"] * 5
    after = {name: (out / name).stat().st_mtime_ns for name in pair_paths(out)}
    assert {name for name in before if before[name] == after[name]} == set(before) - {gone}
    assert len(after) == 7


def test_failures_are_listed_and_stop_nothing(meshes, tmp_path):
    (meshes / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    (meshes / "empty.stl").write_bytes(b"")
    out = tmp_path / "dataset"
    report = data.convert_pairs(meshes, out, low=8, high=32, workers=2)
    assert len(report.with_status("made")) == 6
    failed = {outcome.source.name: outcome.error for outcome in report.with_status("failed")}
    assert set(failed) == {"broken.obj", "empty.stl"}
    assert all(failed.values())
    listed = json.loads((out / "dataset.json").read_text())["failures"]
    assert {os.path.basename(row["source"]) for row in listed} == set(failed)


def test_the_same_mesh_twice_is_one_pair(meshes, tmp_path):
    write_box(meshes / "c" / "model.obj", (0.3, 1.0, 0.4))
    report = data.convert_pairs(meshes, tmp_path / "dataset", low=8, high=32, workers=1)
    assert [o.source.parent.name for o in report.with_status("duplicate")] == ["c"]
    assert sum(report.counts.values()) == 6


def test_a_shape_is_in_the_same_split_at_every_edge(meshes, tmp_path):
    out = tmp_path / "dataset"
    halves = (0.5, 0.25, 0.25)
    data.convert_pairs(meshes, out, low=8, high=32, split=halves, workers=1)
    data.convert_pairs(meshes, out, low=4, high=16, split=halves, workers=1)
    places = {}
    for name in pair_paths(out):
        split, file = name.split("/")
        places.setdefault(file.rsplit("_", 2)[0], set()).add(split)
    assert len(places) == 6
    assert all(len(splits) == 1 for splits in places.values())
    assert len(set.union(*places.values())) > 1
    assert json.loads((out / "dataset.json").read_text())["pairs"] == [[4, 16], [8, 32]]


def test_another_split_of_a_dataset_is_refused(meshes, tmp_path):
    out = tmp_path / "dataset"
    data.convert_pairs(meshes, out, low=8, high=32, workers=1)
    with pytest.raises(UsageError, match="was split"):
        data.convert_pairs(meshes, out, low=8, high=32, split=(1.0, 0.0, 0.0), workers=1)


@pytest.mark.parametrize(("low", "high"), [(8, 30), (0, 32), (32, 32), (32, 4096)])
def test_impossible_edges_are_refused(meshes, tmp_path, low, high):
    with pytest.raises(UsageError, match="multiple of it"):
        data.convert_pairs(meshes, tmp_path / "dataset", low=low, high=high)


def test_a_folder_without_meshes_is_an_input_error(tmp_path):
    (tmp_path / "meshes").mkdir()
    with pytest.raises(InputError, match="found none"):
        data.convert_pairs(tmp_path / "meshes", tmp_path / "dataset")


CRASH = """
import os, sys
from pathlib import Path
from mvd_toolkit import data

def crash_on_killer(item, convert=data._convert):
    if item.source.stem == "killer":
        os._exit(9)
    return convert(item)

data._convert = crash_on_killer

if __name__ == "__main__":
    report = data.convert_pairs(Path(sys.argv[1]), Path(sys.argv[2]), low=8, high=32, workers=2)
    for outcome in report.outcomes:
        print(outcome.source.name, outcome.status, outcome.error)
"""


def test_a_mesh_that_kills_its_process_fails_alone(meshes, tmp_path):
    write_box(meshes / "killer.obj", (0.9, 0.8, 0.7))
    script = tmp_path / "script.py"
    script.write_text(CRASH)
    run = subprocess.run(
        [sys.executable, script, meshes, tmp_path / "dataset"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 7
    assert sum(" made" in line for line in lines) == 6
    assert any("killer.obj failed" in line and "process died" in line for line in lines)


HANG = """
import os, sys, time
from pathlib import Path
from mvd_toolkit import data

def hang(item):
    Path(sys.argv[2], f"{os.getpid()}.pid").touch()
    time.sleep(600)

data._convert = hang

if __name__ == "__main__":
    data.convert_pairs(Path(sys.argv[1]), Path(sys.argv[2]), low=8, high=32, workers=2)
"""


def test_workers_end_when_their_parent_is_killed(meshes, tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "dataset"
    script.write_text(HANG)
    parent = subprocess.Popen([sys.executable, script, meshes, out])
    pids = wait_until(lambda: [int(p.stem) for p in out.glob("*.pid")], lambda found: found)
    parent.kill()
    parent.wait()
    alive = wait_until(lambda: [pid for pid in pids if is_alive(pid)], lambda left: not left)
    assert alive == []


def wait_until(ask, good, seconds=60):
    end = time.monotonic() + seconds
    while not good(answer := ask()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_converting_loads_no_torch():
    code = "import sys; from mvd_toolkit import data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
