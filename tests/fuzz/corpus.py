"""The files that fuzzing starts from: small, whole, one of each kind that the toolkit reads."""

from __future__ import annotations

import json
from pathlib import Path

import meshio
import numpy as np
import scipy.io
import trimesh

from mvd_toolkit import io, sidecar
from mvd_toolkit.data import write_description
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import write_pair
from mvd_toolkit.voxelize import make_pair

OPEN3D = Path(__file__).parent.parent / "data" / "open3d"

BALL = trimesh.creation.icosphere(subdivisions=1)
BALL.vertices = BALL.vertices.round(4)  # meshio writes no longer ones to Nastran files

POLYDATA = "# vtk DataFile Version {}\nx\n{}\nDATASET POLYDATA\nPOINTS 3 float\n"
NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 5 6\nspacings: 1 2 3\nencoding: "

RECIPE = """
[convert]
shapes = ["meshes"]
to = "dataset"
pairs = "8:32"
split = [0.5, 0.25, 0.25]
copies = 1
turn = "up"

[train]
to = "run"
backbone = "unet"
steps = 20
lr = 1e-3
set = { width = 8 }

[upscale]
low_rule = "any"
limit = 3

[evaluate]
fail_under = 0.5
"""


def write_by_meshio(path: Path, name: str) -> None:
    mesh = meshio.Mesh(BALL.vertices, {"triangle": BALL.faces})
    if name != "su2":
        meshio.write(path, mesh, {"vtk": "vtk42", "gmsh": "gmsh22"}.get(name, name))
        return
    cells = "".join(f"5 {a} {b} {c}\n" for a, b, c in BALL.faces)  # meshio cannot write it
    points = "".join(f"{x} {y} {z}\n" for x, y, z in BALL.vertices)
    counts = len(BALL.faces), len(BALL.vertices)
    path.write_text(f"NDIME= 3\nNELEM= {counts[0]}\n{cells}NPOIN= {counts[1]}\n{points}")


def one_of_each_format(folder: Path) -> dict[str, Path]:
    """A file of each format, written to the folder, by the format's name."""
    dense = np.linalg.norm(np.indices((9, 8, 7)).T - 4, axis=-1).T < 3.2
    files = {}
    for known in io.known_formats():
        path = files[known.name] = folder / f"a{known.suffixes[0]}"
        if known.name == "open3d":
            path.write_bytes((OPEN3D / "voxels_binary.ply").read_bytes())
        elif known.kind == "grid":
            io.save(VoxelGrid.from_dense(dense), path)
        elif known.writes:
            io.save_mesh(io.Mesh(BALL.vertices, BALL.faces), path)
        else:
            write_by_meshio(path, known.name)
    return files


def flavours(folder: Path) -> None:
    """Files of formats that come in several flavours, other than those the toolkit writes."""
    dense = np.random.default_rng(0).random((4, 5, 6)) < 0.5
    np.save(folder / "fortran.npy", np.asfortranarray(dense, np.float32))
    np.savez(folder / "foreign.npz", voxels=dense)
    cube = trimesh.creation.box()
    (folder / "ascii.stl").write_text(cube.export(file_type="stl_ascii"))
    (folder / "ascii.ply").write_bytes(cube.export(file_type="ply", encoding="ascii"))
    (folder / "text.off").write_text(cube.export(file_type="off"))
    (folder / "voxels.ply").write_bytes((OPEN3D / "voxels.ply").read_bytes())
    scipy.io.savemat(folder / "plain.mat", {"model": dense, "low_model": dense[:2]})
    voxels = dense.astype(np.uint8).tobytes(order="F")
    (folder / "raw.nrrd").write_bytes(f"{NRRD}raw\n\n".encode() + voxels)
    (folder / "text.nrrd").write_text(f"{NRRD}ascii\n\n{' '.join(map(str, voxels))}\n")
    long = np.zeros((1, 2, 300), bool)
    long[0, :, ::37] = True
    io.save(VoxelGrid.from_dense(long), folder / "scene.vox")
    (folder / "polydata.vtk").write_text(
        POLYDATA.format("3.0", "ASCII") + "0 0 0\n1 0 0\n0 1 0\nPOLYGONS 1 4\n3 0 1 2\n"
    )
    (folder / "new.vtk").write_bytes(
        POLYDATA.format("5.1", "BINARY").encode()
        + np.eye(3).astype(">f4").tobytes()
        + b"\nPOLYGONS 2 3\nOFFSETS vtktypeint64\n"
        + np.array([0, 3]).astype(">i8").tobytes()
        + b"\nCONNECTIVITY vtktypeint64\n"
        + np.array([0, 1, 2]).astype(">i8").tobytes()
    )


def tiny_model(folder: Path) -> Path:
    """A model directory of two small networks."""
    import torch

    from mvd_toolkit.model import Model
    from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor

    torch.manual_seed(0)
    config = {"backbone": "unet", "scale": 2, "options": {"width": 8, "blocks": 1}}
    model = Model.from_predictors(
        SilhouettePredictor.from_config(config), DepthPredictor.from_config(config), scale=2
    )
    return model.save(folder)


def files_of_our_own(folder: Path) -> dict[str, list[bytes]]:
    """Contents of the files of our own, by what reads them."""
    cube = trimesh.creation.box((1, 2, 3))
    pair = write_pair(folder / "dataset" / "test", "a", make_pair(cube.vertices, cube.faces, 4, 2))
    write_description(folder / "dataset", [(4, 8)], left_out=[])
    grid = VoxelGrid.from_dense(np.ones((2, 3, 4)))
    io.save(grid, folder / "a.npy")
    with sidecar.making(folder / "a.npy", sidecar.Recipe("convert"), "0" * 64) as facts:
        facts.update(sidecar.grid_facts(grid))
    model = tiny_model(folder / "model")
    rows = [
        {"schema": "mvd.rows/1", "recipe": {"methods": ["nearest"]}},
        {"name": "a", "method": "nearest", "scores": {"iou": 0.5}, "seconds": 0.1},
    ]
    return {
        "pair": [pair.read_bytes()],
        "dataset": [(folder / "dataset" / "dataset.json").read_bytes()],
        "sidecar": [sidecar.sidecar_path(folder / "a.npy").read_bytes()],
        "recipe": [RECIPE.encode()],
        "config": [(model / "config.json").read_bytes()],
        "weights": [(model / "depth.safetensors").read_bytes()],
        "log": ["".join(json.dumps(row) + "\n" for row in rows).encode()],
    }
