import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mvd_toolkit import io, ops
from mvd_toolkit.augmented_copies import CopyRecipe
from mvd_toolkit.convert_dataset import convert_dataset
from mvd_toolkit.data import split_of
from mvd_toolkit.directory_lock import only_writer, writer_beside_others
from mvd_toolkit.errors import InputError, OutputExistsError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import read_pair
from mvd_toolkit.sources import Shard

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


def pair_paths(dataset):
    return sorted(p.relative_to(dataset).as_posix() for p in dataset.rglob("*.npz"))


def test_meshes_become_pairs(meshes, tmp_path):
    out = tmp_path / "dataset"
    told = []
    report = convert_dataset(
        meshes, out, pairs=[(8, 32)], workers=1, on_item=lambda *args: told.append(args)
    )
    assert [outcome.status for outcome in report.outcomes] == ["made"] * 6
    assert [args[1:] for args in told] == [(i + 1, 6) for i in range(6)]
    assert sum(report.counts["8:32"].values()) == 6
    description = json.loads((out / "dataset.json").read_text())
    assert description["counts"] == report.counts
    assert description["split"] == [0.8, 0.1, 0.1]
    for name in pair_paths(out):
        stored = read_pair(out / name)
        assert stored.odms.shape == (6, 32, 32)
        shape = VoxelGrid(stored.lows["any"], (stored.edge,) * 3)
        assert name.split("/")[0] == split_of(shape)


def test_several_processes_make_the_same_dataset(meshes, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    convert_dataset(meshes, one, pairs=[(8, 32)], workers=1)
    convert_dataset(meshes, two, pairs=[(8, 32)], workers=2)
    assert pair_paths(one) == pair_paths(two)
    for name in pair_paths(one):
        assert np.array_equal(read_pair(one / name).odms, read_pair(two / name).odms)


def test_the_same_command_again_does_what_is_missing(meshes, tmp_path):
    out = tmp_path / "dataset"
    convert_dataset(meshes, out, pairs=[(8, 32)], workers=1)
    before = {name: (out / name).stat().st_mtime_ns for name in pair_paths(out)}
    gone = pair_paths(out)[2]
    (out / gone).unlink()
    write_box(meshes / "new.obj", (0.2, 0.2, 1.0))
    report = convert_dataset(meshes, out, pairs=[(8, 32)], workers=1)
    statuses = sorted(outcome.status for outcome in report.outcomes)
    assert statuses == ["made"] * 2 + ["skipped"] * 5
    after = {name: (out / name).stat().st_mtime_ns for name in pair_paths(out)}
    assert {name for name in before if before[name] == after[name]} == set(before) - {gone}
    assert len(after) == 7


def test_failures_are_listed_and_stop_nothing(meshes, tmp_path):
    (meshes / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    (meshes / "empty.stl").write_bytes(b"")
    out = tmp_path / "dataset"
    report = convert_dataset(meshes, out, pairs=[(8, 32)], workers=2)
    assert len(report.with_status("made")) == 6
    failed = {outcome.source.name: outcome.why for outcome in report.with_status("failed")}
    assert set(failed) == {"broken.obj", "empty.stl"}
    assert all(failed.values())
    listed = json.loads((out / "dataset.json").read_text())["left_out"]
    assert {os.path.basename(row["source"]) for row in listed} == set(failed)


def test_the_same_mesh_twice_is_one_pair(meshes, tmp_path):
    write_box(meshes / "c" / "model.obj", (0.3, 1.0, 0.4))
    report = convert_dataset(meshes, tmp_path / "dataset", pairs=[(8, 32)], workers=1)
    assert [o.source.parent.name for o in report.with_status("duplicate")] == ["c"]
    assert sum(report.counts["8:32"].values()) == 6


def test_a_shape_is_in_the_same_split_at_every_edge(meshes, tmp_path):
    out = tmp_path / "dataset"
    halves = (0.5, 0.25, 0.25)
    convert_dataset(meshes, out, pairs=[(8, 32)], split=halves, workers=1)
    convert_dataset(meshes, out, pairs=[(4, 16)], split=halves, workers=1)
    places = {}
    for name in pair_paths(out):
        split, file = name.split("/")
        places.setdefault(file.rsplit("_", 2)[0], set()).add(split)
    assert len(places) == 6
    assert all(len(splits) == 1 for splits in places.values())
    assert len(set.union(*places.values())) > 1
    assert json.loads((out / "dataset.json").read_text())["pairs"] == [[4, 16], [8, 32]]


def test_two_edges_in_one_go_are_what_they_are_one_after_the_other(meshes, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    convert_dataset(meshes, one, pairs=[(8, 32), (4, 16)], workers=1)
    convert_dataset(meshes, two, pairs=[(4, 16)], workers=1)
    convert_dataset(meshes, two, pairs=[(8, 32)], workers=1)
    assert content(one) == content(two)


def test_the_description_has_the_hash_of_every_split(meshes, tmp_path):
    out = tmp_path / "dataset"
    convert_dataset(meshes, out, pairs=[(8, 32)], workers=1)
    before = json.loads((out / "dataset.json").read_text())["hashes"]["8:32"]
    assert set(before) == {"train", "val", "test"}
    assert all(len(digest) == 64 for digest in before.values())
    write_box(meshes / "new.obj", (0.2, 0.2, 1.0))
    convert_dataset(meshes, out, pairs=[(8, 32)], split=(0.8, 0.1, 0.1), workers=1)
    after = json.loads((out / "dataset.json").read_text())["hashes"]["8:32"]
    assert sum(before[split] != after[split] for split in before) == 1


def stored(out, pattern):
    return {path.name.split("_")[0]: read_pair(path) for path in sorted(out.glob(pattern))}


@pytest.mark.parametrize("turn", ["none", "up", "any"])
def test_copies_are_of_training_shapes_and_lie_elsewhere(meshes, tmp_path, turn):
    out = tmp_path / "dataset"
    halves = (0.5, 0.25, 0.25)
    convert_dataset(
        meshes, out, pairs=[(8, 32)], split=halves, copies=CopyRecipe(2, turn), workers=1
    )
    trained = stored(out, "train/*.npz")
    plain = [name for name in trained if "+" not in name]
    assert plain
    assert sorted(trained) == sorted(f"{n}{end}" for n in plain for end in ("", "+1", "+2"))
    assert not [name for name in pair_paths(out) if "+" in name and not name.startswith("train")]
    for name in plain:
        odms = [trained[f"{name}{end}"].odms for end in ("", "+1", "+2")]
        assert not np.array_equal(odms[1], odms[2])
        spans = [_longest(o) for o in odms]
        assert spans[0] == 30
        if turn == "none":
            assert all(0.55 * 30 - 1 <= span <= 31 for span in spans[1:])


def _longest(odms):
    """The longest side of a shape, voxels, from its silhouettes."""
    silhouettes = odms < 32
    return max(
        int(np.ptp(np.flatnonzero(s.any(axis=1 - axis)))) + 1
        for s in silhouettes
        for axis in (0, 1)
    )


def test_turning_about_the_vertical_keeps_the_height_upright():
    recipe = CopyRecipe(1, "up")
    for axis, up in enumerate("xyz"):
        rotation, _ = recipe.draw("ab" * 32, 1, up)
        assert np.allclose(rotation[axis], np.eye(3)[axis])
        assert not np.allclose(rotation, np.eye(3), atol=1e-3)


def test_rotations_are_rotations_and_copies_depend_on_seed_shape_and_number_alone():
    recipe = CopyRecipe(1, "any")
    rotation, placement = recipe.draw("ab" * 32, 1, "y")
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.array_equal(recipe.draw("ab" * 32, 1, "y")[0], rotation)
    others = [
        recipe.draw("ab" * 32, 2, "y"),
        recipe.draw("cd" * 32, 1, "y"),
        CopyRecipe(1, "any", seed=1).draw("ab" * 32, 1, "y"),
    ]
    assert all(not np.allclose(other[0], rotation) for other in others)
    assert 0.55 <= placement.share <= 1


def test_a_dataset_may_get_more_copies_but_no_others(meshes, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    convert_dataset(meshes, one, pairs=[(8, 32)], copies=CopyRecipe(1, "up"), workers=1)
    report = convert_dataset(meshes, one, pairs=[(8, 32)], copies=CopyRecipe(2, "up"), workers=1)
    assert report.with_status("made")
    convert_dataset(meshes, two, pairs=[(8, 32)], copies=CopyRecipe(2, "up"), workers=1)
    assert content(one) == content(two)
    copies = CopyRecipe(2, "up", seed=1)
    with pytest.raises(UsageError, match="its copies have seed 0, expected the same, found 1"):
        convert_dataset(meshes, one, pairs=[(8, 32)], copies=copies, workers=1)


def test_voxel_files_are_fine_grids_and_coarse_ones_are_told(tmp_path):
    folder, out = tmp_path / "voxels", tmp_path / "dataset"
    folder.mkdir()
    fine = np.zeros((32, 32, 32), bool)
    fine[4:20, 6:30, 9:12] = True
    grid = VoxelGrid.from_dense(fine, (1.0, 2.0, 3.0), 0.5)
    io.save(grid, folder / "chair_32.binvox")
    io.save(ops.pool(grid, 4, "any"), folder / "chair_8.binvox")
    io.save(VoxelGrid.from_dense(np.ones((64, 64, 20), bool)), folder / "board.binvox")
    io.save(VoxelGrid.from_dense(np.ones((40, 40, 40), bool)), folder / "odd.binvox")
    report = convert_dataset(folder, out, pairs=[(8, 32)], copies=CopyRecipe(2), workers=1)
    statuses = {outcome.source.stem: outcome.status for outcome in report.outcomes}
    assert statuses == {
        "chair_32": "made", "chair_8": "coarse", "board": "made", "odd": "failed"
    }  # fmt: skip
    again = convert_dataset(folder, out, pairs=[(8, 32)], copies=CopyRecipe(2), workers=1)
    assert len(again.with_status("skipped")) == 2
    pairs = stored(out, "*/*.npz")
    assert len(pairs) == 2
    (chair,) = (pair for name, pair in pairs.items() if name.startswith("chair"))
    assert np.array_equal(chair.odms, ops.extract_odms(grid))
    assert chair.origin == (1.0, 2.0, 3.0)
    told = {
        row["source"]: row["why"]
        for row in json.loads((out / "dataset.json").read_text())["left_out"]
    }
    assert "a coarse grid" in told[str(folder / "chair_8.binvox")]
    assert "expected an edge that 32 divides, found 40" in told[str(folder / "odd.binvox")]


def test_modelnet_with_its_broken_headers_becomes_pairs(tmp_path):
    corners = "\n".join("{:g} {:g} {:g}".format(*corner) for corner in BOX * (1, 2, 3))
    faces = "\n".join("3 {} {} {}".format(*face) for face in BOX_FACES)
    for part, name, header in (
        ("train", "box_0001", "OFF8 12 0"),
        ("test", "box_0002", "OFF\n8 12 0"),
    ):
        place = tmp_path / "ModelNet" / "box" / part / f"{name}.off"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{header}\n{corners}\n{faces}\n")
    report = convert_dataset(tmp_path / "ModelNet", tmp_path / "out", pairs=[(8, 32)], workers=1)
    assert [outcome.status for outcome in report.outcomes] == ["made", "made"]
    one, two = stored(tmp_path / "out", "*/*.npz").values()
    assert np.array_equal(one.odms, two.odms)


def test_mat_files_are_fine_grids_too(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    fine = np.zeros((32, 32, 32), np.uint8)
    fine[4:20, 6:30, 9:12] = 1
    (tmp_path / "mats").mkdir()
    scipy_io.savemat(tmp_path / "mats" / "chair.mat", {"model": fine})
    convert_dataset(tmp_path / "mats", tmp_path / "dataset", pairs=[(8, 32)], workers=1)
    (chair,) = stored(tmp_path / "dataset", "*/*.npz").values()
    assert np.array_equal(chair.odms, ops.extract_odms(VoxelGrid.from_dense(fine > 0)))


def test_two_processes_do_not_write_into_one_dataset(meshes, tmp_path):
    with only_writer(tmp_path / "dataset"), pytest.raises(OutputExistsError, match="is writing"):
        convert_dataset(meshes, tmp_path / "dataset", pairs=[(8, 32)], workers=1)
    convert_dataset(meshes, tmp_path / "dataset", pairs=[(8, 32)], workers=1)


def test_shards_write_beside_each_other_and_beside_nobody_else(meshes, tmp_path):
    out, one, two = tmp_path / "dataset", Shard(1, 2), Shard(2, 2)
    with writer_beside_others(out):
        convert_dataset(meshes, out, pairs=[(8, 32)], shard=one, workers=1)
        with pytest.raises(OutputExistsError, match="is writing"):
            convert_dataset(meshes, out, pairs=[(8, 32)], workers=1)
    half = out / "train" / ".half.npz.0123456789abcdef.tmp"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half")
    convert_dataset(meshes, out, pairs=[(8, 32)], shard=two, workers=1)
    assert not half.exists()
    whole = tmp_path / "whole"
    convert_dataset(meshes, whole, pairs=[(8, 32)], workers=1)
    assert content(out) == content(whole)


def test_another_split_of_a_dataset_is_refused(meshes, tmp_path):
    out = tmp_path / "dataset"
    convert_dataset(meshes, out, pairs=[(8, 32)], workers=1)
    with pytest.raises(UsageError, match="was split"):
        convert_dataset(meshes, out, pairs=[(8, 32)], split=(1.0, 0.0, 0.0), workers=1)


@pytest.mark.parametrize(("low", "high"), [(8, 30), (0, 32), (32, 32), (32, 4096)])
def test_impossible_edges_are_refused(meshes, tmp_path, low, high):
    with pytest.raises(UsageError, match="multiple of it"):
        convert_dataset(meshes, tmp_path / "dataset", pairs=[(low, high)])


def test_a_folder_without_meshes_is_an_input_error(tmp_path):
    (tmp_path / "meshes").mkdir()
    with pytest.raises(InputError, match="found none"):
        convert_dataset(tmp_path / "meshes", tmp_path / "dataset")


CRASH = """
import os, sys
from pathlib import Path
from mvd_toolkit.convert_dataset import ConvertShape, convert_dataset

def crash_on_killer(self, shape, convert=ConvertShape.__call__):
    if shape.path.stem == "killer":
        os._exit(9)
    return convert(self, shape)

ConvertShape.__call__ = crash_on_killer

if __name__ == "__main__":
    report = convert_dataset(
        Path(sys.argv[1]), Path(sys.argv[2]), pairs=[(8, 32)], workers=2
    )
    for outcome in report.outcomes:
        print(outcome.source.name, outcome.status, outcome.why)
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


KILLED = """
import sys
from mvd_toolkit.augmented_copies import CopyRecipe
from mvd_toolkit.convert_dataset import convert_dataset

if __name__ == "__main__":
    convert_dataset(
        sys.argv[1], sys.argv[2], pairs=[(8, 32), (16, 32)], copies=CopyRecipe(2, "any"), workers=2
    )
"""


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_killed_at_any_moment_the_same_command_ends_with_the_same_files(meshes, tmp_path):
    (meshes / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    script, whole, parts = tmp_path / "script.py", tmp_path / "whole", tmp_path / "parts"
    script.write_text(KILLED)
    subprocess.run([sys.executable, script, meshes, whole], check=True)
    finished = len(pair_paths(whole))
    moments = random.Random(0)
    kills = 0
    while kills < 3:
        wanted = len(pair_paths(parts)) + moments.randint(1, 3)
        process = subprocess.Popen([sys.executable, script, meshes, parts])
        wait_until(
            lambda process=process: (len(pair_paths(parts)), process.poll()),
            lambda state, wanted=wanted: state[0] >= wanted or state[1] is not None,
        )
        process.kill()
        if process.wait() == -signal.SIGKILL:
            kills += 1
        else:
            shutil.rmtree(parts)  # it was quicker than the kill
    (parts / "train").mkdir(exist_ok=True)
    half = parts / "train" / ".half.npz.0123456789abcdef.tmp"  # what a kill may leave
    half.write_bytes(b"half")
    subprocess.run([sys.executable, script, meshes, parts], check=True)
    assert len(pair_paths(parts)) == finished >= 12
    assert content(parts) == content(whole)


HANG = """
import os, sys, time
from pathlib import Path
from mvd_toolkit.convert_dataset import ConvertShape, convert_dataset

def hang(self, shape):
    Path(sys.argv[2], f"{os.getpid()}.pid").touch()
    time.sleep(600)

ConvertShape.__call__ = hang

if __name__ == "__main__":
    convert_dataset(Path(sys.argv[1]), Path(sys.argv[2]), pairs=[(8, 32)], workers=2)
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
        time.sleep(0.01)
    return answer


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_converting_loads_no_torch():
    code = "import sys; from mvd_toolkit import convert_dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
