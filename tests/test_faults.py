"""Disks that are full, folders that cannot be written to, archives that reach outside.

Each command is run where it cannot write: it says so, exits with a code of its own, leaves what
was there as it was and nothing half done, and comes through when the fault is gone. Kills, cut-off
files and several processes in one folder have their tests beside what they are about;
docs/security.md lists them all.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import shutil
import signal
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvd_toolkit import VoxelGrid, io, save
from mvd_toolkit.cli import run
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.model import Model
from mvd_toolkit.pair_file import read_pair
from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor
from mvd_toolkit.testing import make_tiny_dataset

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(sys.platform != "linux", reason="limits and capabilities of Linux"),
]

FULL = 400
"""Bytes that a file may have on the full disk: fewer than any result takes."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something for each command to read."""
    folder = tmp_path_factory.mktemp("sources")
    noise = np.random.default_rng(0).random((16, 16, 16)) < 0.5
    save(VoxelGrid.from_dense(noise), folder / "a.npy")
    (folder / "meshes").mkdir()
    trimesh.creation.box((1, 2, 3)).export(folder / "meshes" / "box.stl")
    make_tiny_dataset(folder / "dataset", low=4, scale=2, count=8)
    config = {"backbone": "unet", "scale": 2, "options": {"width": 8, "blocks": 1}}
    Model.from_predictors(
        SilhouettePredictor.from_config(config), DepthPredictor.from_config(config), scale=2
    ).save(folder / "model")
    (folder / "recipe.toml").write_text(
        f'[convert]\nshapes = ["{folder}/meshes"]\npairs = "4:8"\nworkers = 1\n'
    )
    return folder


TRAIN = "--steps 2 --batch-size 2 --set width=8 --set blocks=1"
COMMANDS = {
    "upscale": "upscale {s}/a.npy -m {s}/model -o {o}/fine.npy --threads 1",
    "upscale folder": "upscale {s}/a.npy {s}/a.npy -m {s}/model -o {o}/fine --format npy",
    "convert": "convert {s}/a.npy -o {o}/a.stl",
    "convert pairs": "convert {s}/meshes -o {o}/dataset --pairs 4:8 --workers 1",
    "train": f"train {{s}}/dataset -o {{o}}/run {TRAIN}",
    "evaluate": "evaluate {s}/a.npy {s}/a.npy -o {o}/scores.json",
    "pipeline": "pipeline {o}/recipe.toml",
    "render": "render {s}/a.npy -o {o}/a.png --size 64",
    "view": "view {s}/a.npy -o {o}/a.html",
}


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write to a folder, root included: without its power to override modes."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    powers = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, powers) == 0
    fewer = (ctypes.c_uint32 * 6)(*powers)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of the effective ones
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o555)
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, powers) == 0
        folder.chmod(mode)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    with full_disk():
        yield


@pytest.mark.parametrize("fault", [full, read_only])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_cannot_write(
    sources: Path,
    tmp_path: Path,
    command: str,
    fault: Callable[[Path], contextlib.AbstractContextManager[None]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "theirs.txt").write_text("theirs")
    shutil.copy(sources / "recipe.toml", out)
    words = [word.format(s=sources, o=out) for word in COMMANDS[command].split()]
    with fault(out):
        code = run(words)
    said = capfd.readouterr().err
    assert code in (2, 3, 4), said
    assert "bug" not in said
    assert str(out) in said
    left = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".tmp", ".npy", ".stl", ".png", ".html")]
    assert (out / "theirs.txt").read_text() == "theirs"
    assert run(words) == 0, capfd.readouterr().err


MEMBERS = ["../evil.npy", "/tmp/evil.npy", "a/../../evil.npy", "..\\evil.npy", "~/evil.npy"]


@pytest.mark.parametrize("member", MEMBERS)
def test_an_archive_never_reaches_outside(tmp_path: Path, member: str) -> None:
    """Zip slip: members are read into memory by name, none is unpacked."""
    inside = tmp_path / "deep" / "folder"
    inside.mkdir(parents=True)
    array = tmp_path / "array.npy"
    np.save(array, np.ones((2, 2, 2), bool))
    for suffix in (".npz", ".3mf"):
        with zipfile.ZipFile(inside / f"a{suffix}", "w") as archive:
            archive.write(array, member)
            link = zipfile.ZipInfo("3D/3dmodel.model")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    with contextlib.suppress(InputError):
        io.load(inside / "a.npz")
    with pytest.raises(InputError):
        io.load_mesh(inside / "a.3mf")
    with pytest.raises(InputError):
        read_pair(inside / "a.npz")
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/evil.npy").exists()


def test_a_temporary_file_is_no_link_that_somebody_laid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a guessed name is not written through: it is made anew or not at all."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    with contextlib.suppress(KeyError), io.atomic(tmp_path / "a.npy"):
        (hidden,) = tmp_path.iterdir()
        raise KeyError
    (tmp_path / "victim").write_text("theirs")
    hidden.symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="File exists"), io.atomic(tmp_path / "a.npy"):
        pytest.fail("the block must not run")
    assert (tmp_path / "victim").read_text() == "theirs"
    assert not (tmp_path / "a.npy").exists()
