"""A mesh made solid voxels, against VTK's image stencil."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.voxelize import voxelize
from rows.measure import THREADS, Row, Settings, compare, faster, peer
from rows.shapes import Mesh, blob


def hull(settings: Settings) -> Iterator[Row]:
    """a mesh of 50k triangles to the hull of its voxels, against VTK's image stencil

    The two answers differ: ours has every voxel that the surface touches, VTK's those whose centre
    is inside.
    """
    vtk = peer("vtkmodules.all")
    vtk.vtkSMPTools.Initialize(THREADS)
    vtk.vtkMultiThreader.SetGlobalMaximumNumberOfThreads(THREADS)
    mesh = blob()
    surface = _poly_data(vtk, mesh)
    for size in settings.sizes:
        grid = voxelize(*mesh, size).grid
        inside = _stencil(vtk, surface, grid)
        if (inside & ~grid.dense()).any():
            raise AssertionError("VTK found a voxel that the hull has not")
        yield compare(
            settings,
            f"mesh of {len(mesh[1]):,} triangles to hull",
            size,
            lambda size: voxelize(*mesh, size, threads=THREADS),
            "VTK stencil",
            lambda _, grid=grid: _stencil(vtk, surface, grid),
            [size],
            faster(1),
        )


def _poly_data(vtk: ModuleType, mesh: Mesh) -> Any:
    convert = peer("vtkmodules.util.numpy_support")
    vertices, faces = mesh
    points, cells, surface = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetData(convert.numpy_to_vtk(vertices, deep=1))
    corners = np.insert(faces, 0, 3, axis=1).ravel()
    cells.SetCells(len(faces), convert.numpy_to_vtkIdTypeArray(corners, deep=1))
    surface.SetPoints(points)
    surface.SetPolys(cells)
    return surface


def _stencil(vtk: ModuleType, surface: Any, grid: VoxelGrid) -> Any:
    """(N, N, N) bool: whether the centre of each voxel of ``grid`` is inside the surface."""
    convert = peer("vtkmodules.util.numpy_support")
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputData(surface)
    stencil.SetOutputSpacing(grid.spacing)
    stencil.SetOutputOrigin([o + s / 2 for o, s in zip(grid.origin, grid.spacing, strict=True)])
    stencil.SetOutputWholeExtent([i for n in grid.shape for i in (0, n - 1)])
    image = vtk.vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    scalars = convert.vtk_to_numpy(image.GetOutput().GetPointData().GetScalars())
    return scalars.reshape(grid.shape[::-1]).transpose().view(bool)
