import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mvd_toolkit import io
from mvd_toolkit.errors import OutputExistsError, UsageError


def test_writes_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    with io.atomic(tmp_path / "a.bin") as file:
        file.write(b"all of it")
    assert (tmp_path / "a.bin").read_bytes() == b"all of it"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_mode_is_that_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with io.atomic(tmp_path / "a.bin"):
        pass
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_folder_as_it_was(tmp_path: Path, failure: type[BaseException]) -> None:
    (tmp_path / "old.bin").write_bytes(b"old")
    for name in ("old.bin", "new.bin"):
        with pytest.raises(failure):
            _fail_half_way(tmp_path / name, failure)
    assert os.listdir(tmp_path) == ["old.bin"]
    assert (tmp_path / "old.bin").read_bytes() == b"old"


def _fail_half_way(path: Path, failure: type[BaseException]) -> None:
    with io.atomic(path, overwrite=True) as file:
        file.write(b"half")
        raise failure


def test_refuses_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="already exists"), io.atomic(path):
        pytest.fail("the block must not run")
    with io.atomic(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_never_replaces_what_came_up_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(OutputExistsError), io.atomic(path):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    with io.atomic(tmp_path / "a.bin") as file:
        file.write(b"x")
    assert os.listdir(tmp_path) == ["a.bin"]


def test_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with io.atomic(tmp_path / "link", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("name", [".", "missing/a.bin"])
def test_impossible_targets(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError), io.atomic(tmp_path / name, overwrite=True):
        pytest.fail("the block must not run")


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="ordinary file"), io.atomic(tmp_path / "pipe"):
        pytest.fail("the block must not run")


def test_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = (
        "import os, signal, sys\n"
        "from mvd_toolkit import io\n"
        "with io.atomic(sys.argv[1], overwrite=True) as file:\n"
        "    file.write(b'x' * 100000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
