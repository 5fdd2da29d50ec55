"""`mvd info`: what is told of a grid, a mesh, a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trimesh

from mvd_toolkit import VoxelGrid

Mvd = Callable[..., Any]


def test_info_of_a_grid(mvd: Mvd, ball_file: Path, ball: VoxelGrid) -> None:
    (facts,) = mvd("info", ball_file, "--json").document["items"]
    assert facts["format"] == "binvox"
    assert facts["shape"] == [16, 16, 16]
    assert facts["origin"] == list(ball.origin)
    assert facts["extent"] == [2.0, 2.0, 2.0]
    assert facts["occupied"] == ball.count()
    assert facts["filled_by_hull"] == 0
    assert facts["low_rule"] == "any"
    assert "shape" in mvd("info", ball_file).out


def test_info_of_several_files(mvd: Mvd, ball_file: Path, cube: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.xyz").write_bytes(b"junk")
    result = mvd("info", ball_file, tmp_path / "junk.xyz", cube, "--json")
    assert result.code == 4
    grid, junk, mesh = result.document["items"]
    assert (grid["kind"], mesh["kind"], mesh["triangles"]) == ("grid", "mesh", 12)
    assert junk["error"]["type"] == "InputError"
    assert mvd("info", tmp_path / "junk.xyz").code == 3


def test_info_looks_inside_a_grid(mvd: Mvd, ball_file: Path) -> None:
    facts = mvd("info", ball_file, "--json").document["items"][0]
    assert facts["header"][:2] == ["#binvox 1", "dim 16 16 16"]
    assert facts["parts"] == 1
    assert 0 < facts["occupancy"] < 1
    assert facts["low_rule"] in ("any", "half", "centre")


def test_info_shows_no_numbers_as_text(mvd: Mvd, tmp_path: Path) -> None:
    """The count of triangles follows the text of an STL file, and may look like some: 80 does."""
    path = tmp_path / "a.stl"
    trimesh.creation.icosphere(1).export(path)
    content = path.read_bytes()
    assert content[80:84] == b"P\0\0\0"
    path.write_bytes(b"cut by a saw".ljust(80) + content[80:])
    facts = mvd("info", path, "--json").document["items"][0]
    assert facts["header"] == ["cut by a saw"]


def test_info_of_a_folder(mvd: Mvd, tmp_path: Path) -> None:
    result = mvd("info", tmp_path)
    assert (result.code, result.err) == (
        3,
        f"mvd: error: {tmp_path}: expected a file, found a folder\n",
    )


def test_info_of_an_open_mesh(mvd: Mvd, cube: Path) -> None:
    cube.write_text(cube.read_text().replace("f 1 2 3 4\n", ""))
    facts = mvd("info", cube, "--json").document["items"][0]
    assert (facts["closed"], facts["parts"], facts["volume"]) == (False, 1, None)
    assert facts["open_edges"] == 4
    assert "closed" in mvd("info", cube).out
