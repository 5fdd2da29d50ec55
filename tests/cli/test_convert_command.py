"""`mvd convert`: formats, resolutions, places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mvd_toolkit import VoxelGrid, hull, load, pool, save

Mvd = Callable[..., Any]


def test_grid_to_grid_keeps_all(mvd: Mvd, ball_file: Path, ball: VoxelGrid) -> None:
    output = ball_file.with_suffix(".npz")
    result = mvd("convert", ball_file, "-o", output)
    assert (result.code, result.out) == (0, f"{output}\n")
    assert load(output) == ball


def test_mesh_to_grid_in_its_place(mvd: Mvd, cube: Path) -> None:
    output = cube.with_suffix(".npz")
    assert mvd("convert", cube, "-o", output, "--resolution", 32).code == 0
    grid = load(output)
    assert grid.shape == (32, 32, 32)
    assert grid.count() == 30**3
    centre = np.array(grid.origin) + np.array(grid.spacing) * 16
    assert np.allclose(centre, [12, 22, 32])
    assert np.allclose(np.array(grid.spacing) * 30, 4, rtol=0.01)


def test_mesh_to_surface(mvd: Mvd, cube: Path) -> None:
    output = cube.with_suffix(".npz")
    assert mvd("convert", cube, "-o", output, "--resolution", 16, "--fill", "none").code == 0
    assert load(output).count() == 14**3 - 12**3


def test_open_mesh_is_noticed(mvd: Mvd, cube: Path) -> None:
    cube.write_text(cube.read_text().replace("f 5 6 7 8", "f 5 6 7"))
    result = mvd("convert", cube, "-o", cube.with_suffix(".npz"), "--fill", "flood", "--json")
    (item,) = result.document["items"]
    assert item["filling"]["fill"] == "flood"
    assert item["filling"]["disagreement"] > 0.05
    assert "the mesh leaks" in result.document["warnings"][0]
    result = mvd("convert", cube, "-o", cube.with_name("b.npz"), "--fill", "centre")
    assert result.code == 0
    assert "the mesh is not closed: parity along x, y and z differs" in result.err


def test_mesh_to_grid_of_a_frame(mvd: Mvd, cube: Path) -> None:
    output = cube.with_suffix(".npz")
    args = ("--fill", "centre", "--on-exists", "overwrite")
    assert mvd("convert", cube, "-o", output, "--voxel-size", 0.5, *args).code == 0
    assert load(output).spacing == (0.5,) * 3
    assert load(output).shape == (11, 11, 11)
    bounds = ("--bounds", "10,20,30,12,24,40", "--resolution", 20)
    assert mvd("convert", cube, "-o", output, *bounds, *args).code == 0
    assert load(output).shape == (4, 8, 20)
    assert load(output).origin == (10, 20, 30)
    assert load(output).count() == 4 * 8 * 8
    assert mvd("convert", cube, "-o", output, "--voxel-size", 1, "--up", "y", *args).code == 0
    middle = np.array(load(output).origin) + np.array(load(output).shape) / 2
    assert np.allclose(middle, [12, -32, 22])


def test_grid_is_flooded(mvd: Mvd, tmp_path: Path) -> None:
    shell = np.ones((5, 5, 5), bool)
    shell[1:-1, 1:-1, 1:-1] = False
    save(VoxelGrid.from_dense(shell), tmp_path / "shell.npy")
    solid = tmp_path / "solid.npz"
    assert mvd("convert", tmp_path / "shell.npy", "-o", solid, "--fill", "flood").code == 0
    assert load(solid).count() == 125
    result = mvd("convert", tmp_path / "shell.npy", "-o", tmp_path / "b.npz", "--fill", "centre")
    assert result.code == 2
    assert "are for meshes, and this is a grid" in result.err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--bounds", "0,0,0,1"), "--bounds: expected six numbers, 0,0,0,1,1,2 say"),
        (("--bounds", "0,0,0,1,1,0"), "the lowest corner x y z and a higher one"),
        (("--voxel-size", "0"), "voxel size: expected a positive number"),
        (("--voxel-size", "1", "--resolution", "8"), "expected one of them, found both"),
        (("--up", "q"), "Invalid value for '--up': 'q' is not one of 'x', 'y', 'z'"),
        (("--up", "x"), "--up: expected y or z without --pairs, found x"),
        (("--resolution", "2"), "--resolution: expected at least 3 for a mesh"),
        (("--resolution", "2", "--low-rule", "any"), "--resolution: expected at least 3 for a"),
        (("--pairs", "8:16", "--size", "8mm"), "--faces and --size are for meshes, and --pairs"),
    ],
)
def test_frame_that_makes_no_sense(mvd: Mvd, cube: Path, args: tuple[str, ...], text: str) -> None:
    result = mvd("convert", cube, "-o", cube.with_suffix(".npz"), *args)
    assert result.code == 2
    assert text in result.err


@pytest.mark.parametrize("rule", ["any", "half", "centre"])
def test_mesh_to_grid_by_a_low_rule(mvd: Mvd, cube: Path, rule: str) -> None:
    low, high = cube.with_name("low.npz"), cube.with_name("high.npz")
    mvd("convert", cube, "-o", low, "--resolution", 16, "--low-rule", rule)
    mvd("convert", cube, "-o", high, "--resolution", 128)
    assert load(low).shape == (16, 16, 16)
    assert 13**3 <= load(low).count() <= 15**3


@pytest.mark.parametrize("rule", ["any", "half", "centre"])
def test_grid_is_pooled(mvd: Mvd, ball_file: Path, ball: VoxelGrid, rule: str) -> None:
    output = ball_file.with_name("small.npz")
    assert mvd("convert", ball_file, "-o", output, "--resolution", 4, "--low-rule", rule).code == 0
    assert load(output) == pool(ball, 4, rule)


def test_fractions_of_a_mesh_lead_back_to_its_volume(mvd: Mvd, tmp_path: Path) -> None:
    """What bits of coarse voxels cannot say: how thick the shape is."""
    box = trimesh.creation.box((1.0, 0.437, 0.219))
    box.apply_translation((5, 6, 7))
    box.export(tmp_path / "box.stl")
    soft, fine = tmp_path / "soft.npz", tmp_path / "fine.stl"
    args = ("--resolution", 16, "--low-rule", "soft")
    assert mvd("convert", tmp_path / "box.stl", "-o", soft, *args).code == 0
    assert load(soft).coverage is not None
    item = mvd("upscale", soft, "-o", fine, "--no-smooth", "--json").document["items"][0]
    assert item["low_rule"] == "soft"
    found, voxel = trimesh.load(fine), 1 / 112  # 14 coarse voxels are 1 long
    assert box.volume < found.volume < np.prod(box.extents + 2 * voxel)  # touched voxels count
    assert np.abs(found.bounds - box.bounds).max() < 4 * voxel


def test_fractions_need_a_format_that_keeps_them(mvd: Mvd, cube: Path, tmp_path: Path) -> None:
    result = mvd("convert", cube, "-o", tmp_path / "a.binvox", "--low-rule", "soft")
    assert result.code == 2
    assert "low rule soft: binvox keeps no fractions, npz does" in result.err


def test_grid_is_filled(mvd: Mvd, tmp_path: Path) -> None:
    shell = np.ones((5, 5, 5), bool)
    shell[1:-1, 1:-1, 1:-1] = False
    save(VoxelGrid.from_dense(shell), tmp_path / "shell.npy")
    mvd("convert", tmp_path / "shell.npy", "-o", tmp_path / "same.npz")
    mvd("convert", tmp_path / "shell.npy", "-o", tmp_path / "solid.npz", "--fill", "hull")
    assert load(tmp_path / "same.npz").count() == 98
    assert load(tmp_path / "solid.npz") == hull(VoxelGrid.from_dense(shell))


@pytest.mark.parametrize(
    ("resolution", "text"),
    [
        (32, "--resolution 32 is finer than its 16; `mvd upscale"),
        (5, "--resolution 5 does not divide its 16; these do: 8, 4, 2, 1"),
    ],
)
def test_resolution_that_cannot_be_made(
    mvd: Mvd, ball_file: Path, resolution: int, text: str
) -> None:
    result = mvd("convert", ball_file, "-o", "x.npz", "--resolution", resolution)
    assert result.code == 2
    assert text in result.err


def test_grid_to_mesh_in_its_place(mvd: Mvd, ball_file: Path, ball: VoxelGrid) -> None:
    output = ball_file.with_suffix(".ply")
    assert mvd("convert", ball_file, "-o", output).code == 0
    facts = mvd("info", output, "--json").document["items"][0]
    inside = np.argwhere(ball.dense())
    assert np.allclose(facts["lowest"], ball.origin + inside.min(0) * 0.125, atol=0.0625)
    assert np.allclose(facts["highest"], ball.origin + (inside.max(0) + 1) * 0.125, atol=0.0625)


def test_mesh_to_mesh(mvd: Mvd, cube: Path) -> None:
    output = cube.with_suffix(".stl")
    assert mvd("convert", cube, "-o", output).code == 0
    facts = mvd("info", output, "--json").document["items"][0]
    assert (facts["kind"], facts["triangles"]) == ("mesh", 12)
    result = mvd("convert", cube, "-o", cube.with_suffix(".vtu"))
    assert (result.code, result.out) == (0, f"{cube.with_suffix('.vtu')}\n")
    assert "cube.obj → 12 triangles, " in result.err
    result = mvd("convert", cube, "-o", cube.with_name("b.stl"), "--resolution", 32)
    assert result.code == 2
    assert "mesh to mesh takes no --resolution" in result.err


def test_needs_a_format(mvd: Mvd, ball_file: Path) -> None:
    result = mvd("convert", ball_file)
    assert result.code == 2
    assert "--format: expected the name of one when -o is no file" in result.err


def test_suffix_that_no_format_has(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    result = mvd("convert", ball_file, "-o", tmp_path / "ball.foo")
    assert result.code == 2
    assert "expected a suffix of " in result.err
    assert result.err.count("foo") == 2  # the option and what was found, said once
    assert "taken as a folder" not in result.err


def test_suffix_that_is_only_read(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    result = mvd("convert", ball_file, "-o", tmp_path / "ball.su2", "--format", "stl")
    assert result.code == 2
    assert "found .su2: su2 files are only read" in result.err
    assert not (tmp_path / "ball.su2").exists()


def test_suffix_of_a_folder_of_several_is_said(
    mvd: Mvd, ball_file: Path, cube: Path, tmp_path: Path
) -> None:
    args = ("-o", tmp_path / "both.npz", "--format", "npz", "--resolution", 16)
    result = mvd("convert", ball_file, cube, *args)
    assert result.code == 0
    assert "both.npz: is taken as a folder, as there are several inputs" in result.err
    again = mvd("convert", tmp_path, "-o", tmp_path / "out", "--format", "stl")
    assert (tmp_path / "out" / "both.npz" / "cube.stl").is_file()
    assert "both.npz: " not in again.err  # the folder is no input


def test_bounds_that_the_mesh_does_not_reach(mvd: Mvd, cube: Path) -> None:
    output = cube.with_suffix(".npz")
    args = ("--bounds", "0,0,0,1,1,1", "--resolution", 4, "--json")
    result = mvd("convert", cube, "-o", output, *args)
    assert (result.code, result.document["items"][0]["occupied"]) == (0, 0)
    empty = "the grid is empty, and so is the result"
    outside = f"{cube}: nothing of the mesh lies within --bounds: {empty}"
    assert result.document["warnings"] == [outside]
    again = mvd("convert", output, "-o", cube.with_suffix(".stl"), "--json")
    assert again.document["warnings"] == [f"{output}: {empty}"]


def test_folder_of_grids(mvd: Mvd, ball: VoxelGrid, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    save(ball, tmp_path / "in" / "sub" / "a.npz")
    result = mvd("convert", tmp_path / "in", "-o", tmp_path / "out", "--format", "binvox")
    assert result.code == 0
    assert load(tmp_path / "out" / "sub" / "a.binvox") == ball
    again = mvd("convert", tmp_path / "in", "-o", tmp_path / "out", "--format", "binvox", "--json")
    assert again.document["summary"]["skipped"] == 1


def test_dataset_of_pairs(mvd: Mvd, cube: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    args = ("convert", cube.parent, "-o", dataset, "--pairs", "8:64", "--split", "1,0,0")
    result = mvd(*args, "--threads", 1, "--json")
    assert result.code == 0
    assert result.document["summary"]["pairs"] == {"8:64": {"train": 1, "val": 0, "test": 0}}
    assert json.loads((dataset / "dataset.json").read_text())["schema"].startswith("mvd.dataset/")
    again = mvd(*args, "--threads", 1, "--json").document
    assert [item["status"] for item in again["items"]] == ["skipped"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--pairs", "32"), "--pairs: expected LOW:HIGH, 32:256 say, found '32'"),
        (("--pairs", "32:256", "--split", "most"), "--split: expected three numbers"),
        (("--pairs", "32:256", "--fill", "none"), "--pairs takes no --format, --resolution"),
    ],
)
def test_pairs_that_make_no_sense(mvd: Mvd, cube: Path, args: tuple[str, ...], text: str) -> None:
    result = mvd("convert", cube, "-o", cube.with_name("data"), *args)
    assert result.code == 2
    assert text in result.err


def test_pairs_need_a_place(mvd: Mvd, cube: Path) -> None:
    result = mvd("convert", cube, "--pairs", "32:256")
    assert result.code == 2
    assert "--pairs: -o says where the dataset goes" in result.err


@pytest.mark.parametrize("suffix", [".npy", ".vox", ".mat"])
def test_the_sidecar_keeps_the_place(
    mvd: Mvd, ball_file: Path, ball: VoxelGrid, suffix: str
) -> None:
    there, back = ball_file.with_suffix(suffix), ball_file.with_name("back.npz")
    assert mvd("convert", ball_file, "-o", there).code == 0
    assert load(there).origin == (0, 0, 0)
    assert mvd("info", there, "--json").document["items"][0]["spacing"] == [0.125] * 3
    assert mvd("convert", there, "-o", back).code == 0
    assert load(back) == ball


def test_a_sidecar_of_another_file_is_no_place(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    there = ball_file.with_suffix(".npy")
    mvd("convert", ball_file, "-o", there)
    np.save(there, np.ones((16, 16, 16), bool))
    mvd("convert", there, "-o", tmp_path / "back.npz")
    assert load(tmp_path / "back.npz").origin == (0, 0, 0)


def test_what_a_reader_leaves_out_is_a_note(mvd: Mvd, tmp_path: Path) -> None:
    import scipy.io

    voxels = np.ones((2, 2, 2))
    scipy.io.savemat(tmp_path / "a.mat", {"model": voxels, "low_model": voxels})
    result = mvd("convert", tmp_path / "a.mat", "-o", tmp_path / "a.npz", "--json")
    assert any("read model, left out low_model" in text for text in result.document["warnings"])
    assert "mvd: note: " in result.err
