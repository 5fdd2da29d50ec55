import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mvd_toolkit.convert_dataset import convert_dataset
from mvd_toolkit.data import split_of
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import read_pair

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
    convert_dataset(meshes, one, low=8, high=32, workers=1)
    convert_dataset(meshes, two, low=8, high=32, workers=2)
    assert pair_paths(one) == pair_paths(two)
    for name in pair_paths(one):
        assert np.array_equal(read_pair(one / name).odms, read_pair(two / name).odms)


def test_the_same_command_again_does_what_is_missing(meshes, tmp_path):
    out = tmp_path / "dataset"
    convert_dataset(meshes, out, low=8, high=32, workers=1)
    before = {name: (out / name).stat().st_mtime_ns for name in pair_paths(out)}
    gone = pair_paths(out)[2]
    (out / gone).unlink()
    write_box(meshes / "new.obj", (0.2, 0.2, 1.0))
    report = convert_dataset(meshes, out, low=8, high=32, workers=1)
    statuses = sorted(outcome.status for outcome in report.outcomes)
    assert statuses == ["made"] * 2 + ["skipped"] * 5
    after = {name: (out / name).stat().st_mtime_ns for name in pair_paths(out)}
    assert {name for name in before if before[name] == after[name]} == set(before) - {gone}
    assert len(after) == 7


def test_failures_are_listed_and_stop_nothing(meshes, tmp_path):
    (meshes / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    (meshes / "empty.stl").write_bytes(b"")
    out = tmp_path / "dataset"
    report = convert_dataset(meshes, out, low=8, high=32, workers=2)
    assert len(report.with_status("made")) == 6
    failed = {outcome.source.name: outcome.error for outcome in report.with_status("failed")}
    assert set(failed) == {"broken.obj", "empty.stl"}
    assert all(failed.values())
    listed = json.loads((out / "dataset.json").read_text())["failures"]
    assert {os.path.basename(row["source"]) for row in listed} == set(failed)


def test_the_same_mesh_twice_is_one_pair(meshes, tmp_path):
    write_box(meshes / "c" / "model.obj", (0.3, 1.0, 0.4))
    report = convert_dataset(meshes, tmp_path / "dataset", low=8, high=32, workers=1)
    assert [o.source.parent.name for o in report.with_status("duplicate")] == ["c"]
    assert sum(report.counts.values()) == 6


def test_a_shape_is_in_the_same_split_at_every_edge(meshes, tmp_path):
    out = tmp_path / "dataset"
    halves = (0.5, 0.25, 0.25)
    convert_dataset(meshes, out, low=8, high=32, split=halves, workers=1)
    convert_dataset(meshes, out, low=4, high=16, split=halves, workers=1)
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
    convert_dataset(meshes, out, low=8, high=32, workers=1)
    with pytest.raises(UsageError, match="was split"):
        convert_dataset(meshes, out, low=8, high=32, split=(1.0, 0.0, 0.0), workers=1)


@pytest.mark.parametrize(("low", "high"), [(8, 30), (0, 32), (32, 32), (32, 4096)])
def test_impossible_edges_are_refused(meshes, tmp_path, low, high):
    with pytest.raises(UsageError, match="multiple of it"):
        convert_dataset(meshes, tmp_path / "dataset", low=low, high=high)


def test_a_folder_without_meshes_is_an_input_error(tmp_path):
    (tmp_path / "meshes").mkdir()
    with pytest.raises(InputError, match="found none"):
        convert_dataset(tmp_path / "meshes", tmp_path / "dataset")


CRASH = """
import os, sys
from pathlib import Path
from mvd_toolkit import convert_dataset

def crash_on_killer(item, convert=convert_dataset._convert):
    if item.source.stem == "killer":
        os._exit(9)
    return convert(item)

convert_dataset._convert = crash_on_killer

if __name__ == "__main__":
    report = convert_dataset.convert_dataset(
        Path(sys.argv[1]), Path(sys.argv[2]), low=8, high=32, workers=2
    )
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
from mvd_toolkit import convert_dataset

def hang(item):
    Path(sys.argv[2], f"{os.getpid()}.pid").touch()
    time.sleep(600)

convert_dataset._convert = hang

if __name__ == "__main__":
    convert_dataset.convert_dataset(
        Path(sys.argv[1]), Path(sys.argv[2]), low=8, high=32, workers=2
    )
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
    code = "import sys; from mvd_toolkit import convert_dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
