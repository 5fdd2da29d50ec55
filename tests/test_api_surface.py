"""The public names are promises: `api_surface.json` changes only on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mvd_toolkit

SURFACE = json.loads(Path(__file__).with_name("api_surface.json").read_text())


def test_public_names_are_the_promised_ones() -> None:
    assert sorted(mvd_toolkit.__all__) == sorted(SURFACE)


@pytest.mark.parametrize("name", SURFACE)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(mvd_toolkit, name)
    assert name in dir(mvd_toolkit)
    assert not callable(value) or value.__doc__


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'mvd_toolkit' has no attribute 'upscael'"):
        _ = mvd_toolkit.upscael


@pytest.mark.parametrize("statement", ["import mvd_toolkit", "import mvd_toolkit.cli"])
def test_import_loads_no_heavy_library(statement: str) -> None:
    code = f"import sys; {statement}; print([m for m in ('torch', 'meshio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_grids_and_operations_load_no_torch() -> None:
    code = (
        "import sys, mvd_toolkit as mvd\n"
        "grid = mvd.VoxelGrid.from_dense([[[1]]])\n"
        "mvd.upsample_nearest(mvd.hull(grid), 8)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
