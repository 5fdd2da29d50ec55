"""The template does what its README says: copied, renamed, installed by pip, trained, used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mvd_toolkit.testing import make_tiny_dataset

ROOT = Path(__file__).parent.parent
MVD = "import sys; from mvd_toolkit.cli import main; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The renamed copy, and an environment in which it is installed."""
    pytest.importorskip("setuptools")
    work = tmp_path_factory.mktemp("stranger")
    shutil.copytree(ROOT / "plugins" / "template", work / "plugins" / "template")
    readme = (ROOT / "plugins" / "template" / "README.md").read_text(encoding="utf-8")
    block = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[0]
    rename = [line for line in block.splitlines() if not line.startswith(("pip", "mvd"))]
    assert [line.split()[0] for line in rename] == ["cp", "mv", "sed"]
    subprocess.run(["bash", "-ec", "\n".join(rename)], cwd=work, check=True)
    copy, target = work / "mine", work / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--target", target, copy], check=True)
    path = os.pathsep.join([str(target), *filter(None, map(str, sys.path))])
    return copy, {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def mvd(environment: dict[str, str], cwd: Path, *arguments: object) -> str:
    """Run `mvd` in a process of its own; what it prints."""
    command = [sys.executable, "-c", MVD, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stranger_trains_and_uses_it(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, environment = installed
    listed = [line.split() for line in mvd(environment, tmp_path, "plugins").splitlines()]
    (row,) = (line for line in listed if line[0] == "mine")
    assert {"ok", "mvd-mine", "0.1.0"} <= set(row)
    make_tiny_dataset(tmp_path / "dataset", low=8, scale=8)
    train = ("train", "dataset", "-o", "run", "--backbone", "mine", "--set", "width=8")
    mvd(environment, tmp_path, *train, "--steps", 20, "--batch-size", 4)
    chair = ROOT / "examples" / "chair_32.binvox"
    mvd(environment, tmp_path, "convert", chair, "-o", "chair_8.npz", "--resolution", 8)
    mvd(environment, tmp_path, "upscale", "chair_8.npz", "-m", "run/model", "-o", "fine.npz")
    assert (tmp_path / "fine.npz").is_file()


def test_its_own_tests_pass(installed: tuple[Path, dict[str, str]]) -> None:
    copy, environment = installed
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
