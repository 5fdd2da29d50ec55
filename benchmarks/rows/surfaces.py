"""The surface of a grid against VTK, and mesh files against trimesh."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit import io, ops
from mvd_toolkit.voxelize import voxelize
from rows.measure import THREADS, Row, Settings, Target, compare, faster, peer
from rows.shapes import Sample, blob, samples

MANY_FACES = 1_000_000

PEAK = """
status = open("/proc/self/status").read().split()
print(status[status.index("VmHWM:") + 1])
"""

OURS = """
import sys
from mvd_toolkit import io
mesh = io.surface_mesh(io.load(sys.argv[1]), smooth=sys.argv[2] == "smooth", threads=1)
"""

VTK = """
import sys
sys.path.insert(0, sys.argv[2])
from rows.surfaces import flying_edges, vtk_image
from rows.measure import peer
from mvd_toolkit import io
vtk = peer("vtkmodules.all")
vtk.vtkSMPTools.Initialize(1)
mesh = flying_edges(vtk, vtk_image(vtk, io.load(sys.argv[1]).dense()))
"""


def surface(settings: Settings) -> Iterator[Row]:
    """grid to mesh, against VTK's flying edges; smooth, against VTK's surface nets

    Flying edges are told to compute no normals and gradients, and give another surface: at half
    the way between voxel centres. What they must agree on is how many vertices there are, within a
    thousandth.
    """
    vtk = peer("vtkmodules.all")
    vtk.vtkSMPTools.Initialize(THREADS)
    for size in settings.sizes:
        inputs = [(sample, vtk_image(vtk, sample.dense)) for sample in samples(size)]
        for sample, image in inputs:
            theirs = flying_edges(vtk, image).GetNumberOfPoints()
            if abs(len(_ours(sample, smooth=False).vertices) / theirs - 1) > 1e-3:
                raise AssertionError("the two surfaces do not have as many vertices")
        for what, smooth, name, other, target in (
            ("surface", False, "VTK flying edges", flying_edges, faster(5)),
            ("surface, smooth", True, "VTK surface nets", surface_nets, None),
        ):
            yield compare(
                settings,
                what,
                size,
                lambda pair, smooth=smooth: _ours(pair[0], smooth),
                name,
                lambda pair, other=other: other(vtk, pair[1]),
                inputs,
                target,
            )


def surface_memory(settings: Settings) -> Iterator[Row]:
    """peak resident memory of a grid file to a mesh at 512³ and 1024³, against flying edges"""
    peer("vtkmodules.all")
    rows = str(Path(__file__).parents[1])
    with tempfile.TemporaryDirectory() as folder:
        for size in (512, 1024):
            path = Path(folder) / f"{size}.npz"
            grid = voxelize(*blob(), 512).grid
            io.save(ops.upsample_nearest(grid, size // 512), path)
            theirs = _peak(VTK, str(path), rows)
            for what, how in (("surface", "plain"), ("surface, smooth", "smooth")):
                ours = _peak(OURS, str(path), how)
                limit = Target(2048, "MiB") if size == 1024 else None
                yield Row(
                    f"{what}, peak resident",
                    f"{size}³",
                    ours,
                    "MiB",
                    "VTK flying edges",
                    theirs,
                    target=limit,
                )


def mesh_files(settings: Settings) -> Iterator[Row]:
    """binary STL and PLY of a million triangles read and written, against trimesh"""
    trimesh = peer("trimesh")
    export = peer("trimesh.exchange.export")
    mesh = _many_faces()

    def theirs_write(path: Path) -> None:
        # A new one each time: it remembers normals, which STL files hold, and ours counts them.
        export.export_mesh(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), path)

    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("stl", "ply"):
            path = Path(folder) / f"mesh.{suffix}"
            io.save_mesh(mesh, path)
            _check_read(io.load_mesh(path), trimesh.load(path, process=False), mesh)
            yield _files_row(
                settings, f"{suffix}, read", io.load_mesh, lambda path: trimesh.load(path), path
            )
            yield _files_row(
                settings,
                f"{suffix}, write",
                lambda path: io.save_mesh(mesh, path, overwrite=True),
                theirs_write,
                path,
            )


def _files_row(
    settings: Settings,
    what: str,
    ours: Callable[[Path], Any],
    theirs: Callable[[Path], Any],
    path: Path,
) -> Row:
    row = compare(settings, what, 0, ours, "trimesh", theirs, [path], faster(1))
    return Row(
        what, "1M triangles", row.ours, row.unit, row.peer, row.theirs, row.ratio, row.target
    )


def _many_faces() -> io.Mesh:
    """The surface of a bumpy ball, the first million of its triangles."""
    mesh = io.surface_mesh(voxelize(*blob(), 400).grid)
    if len(mesh.faces) < MANY_FACES:
        raise AssertionError(f"expected {MANY_FACES} triangles, found {len(mesh.faces)}")
    return io.Mesh(mesh.vertices, mesh.faces[:MANY_FACES])


def _check_read(ours: io.Mesh, theirs: Any, mesh: io.Mesh) -> None:
    for found in (ours.vertices[ours.faces], theirs.triangles):
        if not np.allclose(found, mesh.vertices[mesh.faces], atol=1e-5):
            raise AssertionError("what was read is not what was written")


def _ours(sample: Sample, smooth: bool) -> io.Mesh:
    return io.surface_mesh(sample.grid, smooth=smooth, threads=THREADS)


def _peak(code: str, *arguments: str) -> float:
    """The largest resident size, MiB, of a Python that runs ``code``."""
    ran = subprocess.run(
        [sys.executable, "-c", code + PEAK, *arguments], capture_output=True, text=True, check=True
    )
    return int(ran.stdout) / 1024


def vtk_image(vtk: ModuleType, dense: npt.NDArray[np.bool_]) -> Any:
    """A grid with a margin of a voxel as an image of bytes."""
    convert = peer("vtkmodules.util.numpy_support")
    padded = np.pad(dense, 1).view(np.uint8)
    image = vtk.vtkImageData()
    image.SetDimensions(padded.shape[::-1])
    image.GetPointData().SetScalars(convert.numpy_to_vtk(padded.ravel(), deep=1))
    return image


def flying_edges(vtk: ModuleType, image: Any) -> Any:
    """The surface half way between occupied and empty voxels."""
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    return edges.GetOutput()


def surface_nets(vtk: ModuleType, image: Any) -> Any:
    """VTK's own smooth surface, as it comes: 16 steps of constrained smoothing."""
    nets = vtk.vtkSurfaceNets3D()
    nets.SetInputData(image)
    nets.SetValue(0, 1)
    nets.Update()
    return nets.GetOutput()
