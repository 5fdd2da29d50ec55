"""What is released is whole, and says the same version everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import mvd_toolkit
from mvd_toolkit import plugins

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILT = {".so", ".pyd", ".pyc"}


def test_one_version() -> None:
    version = mvd_toolkit.__version__
    assert PROJECT["project"]["version"] == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.M) == [version]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", changelog, re.M)
    assert newest
    assert newest[1] == version


@pytest.mark.parametrize("package", PROJECT["tool"]["scikit-build"]["wheel"]["packages"])
def test_what_is_installed_is_what_is_here(package: str) -> None:
    """Pages, scripts, weights and the mark of types are in the wheel as in the sources."""
    here = ROOT / package
    name = package.rpartition("/")[2]
    module = __import__(name)
    assert module.__file__
    installed = Path(module.__file__).parent
    files = [path for path in here.rglob("*") if path.is_file() and path.suffix not in BUILT]
    assert files
    for path in files:
        assert (installed / path.relative_to(here)).read_bytes() == path.read_bytes(), path


def test_every_plugin_is_in_the_wheel() -> None:
    packages = PROJECT["tool"]["scikit-build"]["wheel"]["packages"]
    entry_points = PROJECT["project"]["entry-points"]["mvd_toolkit"]
    assert {f"plugins/{module}" for module in entry_points.values()} <= set(packages)
    found = {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}
    assert found == {package.rpartition("/")[2] for package in packages} - {"mvd_toolkit"}
    assert plugins.backbones().keys() >= {"resnet", "unet"}


def test_the_extras_of_the_documentation_are_there() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        extra
        for page in pages
        for extra in re.findall(r"mvd_toolkit\[(\w+)\]", page.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(extras)
