"""`mvd convert` to meshes: smoothing, fewer faces, size and units."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid, save
from mvd_toolkit.io import load_mesh

Mvd = Callable[..., Any]


@pytest.fixture
def slab_file(tmp_path: Path) -> Path:
    """A slanted slab: a staircase."""
    x, y, z = np.indices((24, 24, 24))
    path = tmp_path / "slab.npz"
    save(VoxelGrid.from_dense((abs(x + y / 3 - z - 4) < 4) & (y > 2) & (y < 20)), path)
    return path


@pytest.mark.parametrize(("flags", "flat"), [((), False), (("--no-smooth",), True)])
def test_smooth_or_not(mvd: Mvd, slab_file: Path, flags: tuple[str, ...], flat: bool) -> None:
    output = slab_file.with_suffix(".ply")
    assert mvd("convert", slab_file, "-o", output, *flags).code == 0
    mesh = load_mesh(output)
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    along_axes = (np.abs(normals) > 1e-6 * np.abs(normals).max()).sum(axis=1) == 1
    assert along_axes.all() == flat
    options = json.loads(Path(f"{output}.mvd.json").read_text())["options"]
    assert (options["smooth"], options["faces"]) == (not flat, None)


def test_fewer_faces(mvd: Mvd, slab_file: Path) -> None:
    pytest.importorskip("fast_simplification")
    fine, coarse = slab_file.with_name("fine.stl"), slab_file.with_name("coarse.stl")
    mvd("convert", slab_file, "-o", fine)
    assert len(load_mesh(fine).faces) > 1000
    document = mvd("convert", slab_file, "-o", coarse, "--faces", "0.4k", "--json").document
    assert document["items"][0]["triangles"] == pytest.approx(400, abs=20)
    assert len(load_mesh(coarse).faces) == document["items"][0]["triangles"]
    again = slab_file.with_name("again.stl")
    assert mvd("convert", fine, "-o", again, "--faces", "400").code == 0
    assert len(load_mesh(again).faces) == pytest.approx(400, abs=20)


def test_mesh_options_are_for_meshes(mvd: Mvd, slab_file: Path, cube: Path) -> None:
    for flag in ("--smooth", "--faces=50k"):
        result = mvd("convert", slab_file, "-o", slab_file.with_suffix(".binvox"), flag)
        assert result.code == 2
        assert "--smooth, --faces and --size are for meshes, and binvox holds a grid" in result.err
    result = mvd("convert", cube, "-o", cube.with_suffix(".stl"), "--no-smooth")
    assert result.code == 2
    assert "mesh to mesh takes no --resolution, --voxel-size, --bounds" in result.err
    assert mvd("convert", slab_file, "-o", cube.with_suffix(".stl"), "--faces", "many").code == 2


def test_fewer_faces_without_the_extra(
    mvd: Mvd, slab_file: Path, ball_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is missed before any work is done, once for all files."""
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    args = ("-o", slab_file.with_name("out"), "--format", "stl", "--faces", 400)
    result = mvd("convert", slab_file, ball_file, *args)
    assert result.code == 5
    assert result.err.count("pip install 'mvd_toolkit[decimate]'") == 1
    assert not slab_file.with_name("out").exists()
    assert mvd("convert", slab_file, ball_file, *args[:-1], 3).code == 2


def test_faces_of_an_open_mesh_stay(mvd: Mvd, cube: Path) -> None:
    pytest.importorskip("fast_simplification")
    text = cube.read_text().replace("f 4 1 5 8\n", "")
    cube.write_text(text)
    document = mvd("convert", cube, "-o", cube.with_suffix(".stl"), "--faces", 4, "--json").document
    assert document["items"][0]["triangles"] == 10
    assert "all 10 triangles are kept: decimate: expected a closed mesh" in document["warnings"][0]


@pytest.mark.parametrize(("name", "longest"), [("a.stl", 80.0), ("a.3mf", 80.0), ("a.glb", 0.08)])
def test_size_of_a_print(mvd: Mvd, ball_file: Path, name: str, longest: float) -> None:
    output = ball_file.with_name(name)
    document = mvd("convert", ball_file, "-o", output, "--size", "80mm", "--json").document
    facts = mvd("info", output, "--json").document["items"][0]
    assert max(facts["extent"]) == pytest.approx(longest, rel=1e-6)
    assert facts["closed"]
    assert document["items"][0]["scale"] == pytest.approx(longest / (12 * 0.125), rel=0.1)


@pytest.mark.parametrize(
    ("name", "size", "text"),
    [
        ("a.npz", "80mm", "--smooth, --faces and --size are for meshes, and npz holds a grid"),
        ("a.stl", "80", "expected a length above 0 in mm, cm, m, in"),
    ],
)
def test_size_that_makes_no_sense(
    mvd: Mvd, ball_file: Path, name: str, size: str, text: str
) -> None:
    result = mvd("convert", ball_file, "-o", ball_file.with_name(name), "--size", size)
    assert result.code == 2
    assert text in " ".join(result.err.replace("│", "").split())
    assert not ball_file.with_name(name).exists()


def test_notes_on_units_and_axes(mvd: Mvd, ball_file: Path) -> None:
    vox, glb, stl = (ball_file.with_suffix(s) for s in (".vox", ".glb", ".stl"))
    mvd("convert", ball_file, "-o", vox)
    warnings = mvd("convert", vox, "-o", glb, "--json").document["warnings"]
    assert [w.split(": ", 1)[1] for w in warnings] == [
        "vox is z up and glb y up; nothing is turned"
    ]
    assert "glb counts in m and stl in mm" in mvd("convert", glb, "-o", stl).err
    sized = mvd("convert", glb, "-o", stl, "--size", "1in", "--on-exists", "overwrite")
    assert "counts in" not in sized.err
