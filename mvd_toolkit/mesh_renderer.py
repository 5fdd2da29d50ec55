"""Pictures of a mesh for training, by VTK: small, plain, transparent around it; no display needed.

Lamp, colours and gloss are drawn at random for each picture. Parts that touch nowhere may differ in
colour. VTK draws through EGL, which Mesa's software renderer gives to machines without a GPU.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.augmented_copies import Axis
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.io.mesh import Mesh
from mvd_toolkit.views import Camera, ViewRecipe, Views, encode, upright
from mvd_toolkit.voxelize import voxelize

_SAMPLES: Final = 4
"""Of a pixel."""

_COLOURS: Final = 4
"""Most colours of one shape."""

Floats = npt.NDArray[np.float64]


def make_views(
    mesh: Mesh, up: Axis, recipe: ViewRecipe, sha256: str, edges: tuple[int, int]
) -> Views:
    """The pictures of a mesh; the same arguments give the same pictures on one machine.

    Args:
        mesh: in any place and size.
        up: its vertical.
        recipe: which pictures.
        sha256: of its file; with the recipe's seed it decides all that is drawn at random.
        edges: of the coarse and the fine grids, for frame "viewer".

    Raises:
        InputError: no triangle is usable.
        UnavailableError: VTK or EGL is not there.
    """
    points, faces = _unit(mesh, up)
    renderer = _renderer(recipe.size)
    renderer.show(points, faces)
    radius = float(np.linalg.norm(points[faces], axis=2).max())
    cameras, pictures = [], []
    for number in range(recipe.count):
        random = recipe.random(sha256, number)
        camera = recipe.camera(random, radius)
        renderer.paint(random)
        cameras.append(camera)
        pictures.append(renderer.picture(camera))
    lows = {}
    if recipe.frame == "viewer":
        seen = [_viewer_lows(points, faces, camera, edges) for camera in cameras]
        lows = {rule: np.stack([low[rule] for low in seen]) for rule in LOW_RULES}
    return Views(recipe.frame, up, tuple(cameras), encode(pictures), lows)


def check_available() -> None:
    """Check that pictures of meshes can be made here.

    Raises:
        UnavailableError: VTK or EGL is not there; the text says how to get it.
    """
    _vtk()


def _unit(mesh: Mesh, up: Axis) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Upright points (V, 3), the middle of the box at 0 and its longest side 1; usable faces."""
    faces = np.asarray(mesh.faces, np.int64)
    finite = np.asarray(np.isfinite(mesh.vertices).all(axis=1))
    faces = faces[finite[faces].all(axis=1)]
    if not len(faces):
        raise InputError("mesh: expected a usable triangle, found none")
    corners = mesh.vertices[faces]
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    longest = float((high - low).max()) or 1.0
    with np.errstate(invalid="ignore"):
        return upright((mesh.vertices - (low + high) / 2) / longest, up), faces


def _viewer_lows(
    points: Floats, faces: npt.NDArray[np.int64], camera: Camera, edges: tuple[int, int]
) -> dict[str, npt.NDArray[np.uint64]]:
    """The coarse grids of a shape turned until the eye is at azimuth 0: rule -> (N, N, W)."""
    low, high = edges
    angle = -np.radians(camera.azimuth)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])
    fine = voxelize(turned, faces, high, threads=1).grid
    return {
        rule: ops.hull(ops.pool(fine, high // low, rule, threads=1), threads=1).packed
        for rule in LOW_RULES
    }


@cache
def _vtk() -> Any:
    """VTK's module of classes, once it is known that it can draw."""
    if sys.platform == "linux" and "VTK_DEFAULT_OPENGL_WINDOW" not in os.environ:
        if ctypes.util.find_library("EGL") is None:  # VTK would crash
            raise UnavailableError(
                "pictures of meshes need EGL, which is not here: "
                "`apt install libegl1 libgl1-mesa-dri` or its like brings it"
            )
        os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = "vtkEGLRenderWindow"
    os.environ.setdefault("LP_NUM_THREADS", "1")  # shapes are drawn in parallel already
    try:
        import vtkmodules.all as vtk
    except ImportError as error:
        raise UnavailableError(
            "VTK is not installed: pip install 'mvd_toolkit[pictures]'"
        ) from error
    vtk.vtkObject.GlobalWarningDisplayOff()
    return vtk


def _numpy_support() -> Any:
    """VTK's module that makes its arrays of NumPy's."""
    from vtkmodules.util import numpy_support

    return numpy_support


@cache
def _renderer(size: int) -> _Renderer:
    """One window a process: to open one takes longer than to draw a shape."""
    return _Renderer(size)


class _Renderer:
    """A window that nobody sees, and one shape in it."""

    def __init__(self, size: int) -> None:
        vtk = _vtk()
        self._size = size
        self._parts = np.zeros(0, np.int64)
        self._actor = vtk.vtkActor()
        self._scene = vtk.vtkRenderer()
        self._scene.SetBackground(0, 0, 0)
        self._scene.SetBackgroundAlpha(0)
        self._scene.AddActor(self._actor)
        self._scene.AutomaticLightCreationOff()
        self._lights = [vtk.vtkLight() for _ in range(2)]
        for light in self._lights:
            light.SetLightTypeToCameraLight()
            self._scene.AddLight(light)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetAlphaBitPlanes(1)
        self._window.SetMultiSamples(_SAMPLES)
        self._window.SetSize(size, size)
        self._window.AddRenderer(self._scene)
        self._pixels = vtk.vtkWindowToImageFilter()
        self._pixels.SetInput(self._window)
        self._pixels.SetInputBufferTypeToRGBA()
        self._pixels.ReadFrontBufferOff()
        self._pixels.ShouldRerenderOff()

    def show(self, points: Floats, faces: npt.NDArray[np.int64]) -> None:
        """Put a mesh into the window; its parts are found for `paint`."""
        vtk, support = _vtk(), _numpy_support()
        flat = np.nan_to_num(points).astype(np.float32)
        self._parts = _parts(len(points), faces)
        vertices, cells = vtk.vtkPoints(), vtk.vtkCellArray()
        vertices.SetData(support.numpy_to_vtk(flat, deep=1))
        cells.SetData(
            support.numpy_to_vtkIdTypeArray(np.arange(0, 3 * len(faces) + 1, 3), deep=1),
            support.numpy_to_vtkIdTypeArray(np.ascontiguousarray(faces).ravel(), deep=1),
        )
        self._mesh = vtk.vtkPolyData()
        self._mesh.SetPoints(vertices)
        self._mesh.SetPolys(cells)
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputData(self._mesh)
        mapper.SetScalarModeToUsePointData()
        self._actor.SetMapper(mapper)

    def paint(self, random: np.random.Generator) -> None:
        """Draw colours, gloss and lamps."""
        support = _numpy_support()
        palette = random.uniform(0.15, 0.95, (_COLOURS, 3))
        palette += random.uniform(0, 1) * (palette.mean(axis=1, keepdims=True) - palette)  # greyer
        number = random.integers(1, _COLOURS + 1)
        which = random.integers(number, size=self._parts.max() + 1)
        colours = np.rint(palette[which] * 255).astype(np.uint8)[self._parts]
        self._mesh.GetPointData().SetScalars(support.numpy_to_vtk(colours, deep=1))
        gloss = self._actor.GetProperty()
        gloss.SetInterpolationToFlat()
        gloss.SetAmbient(random.uniform(0.15, 0.45))
        gloss.SetDiffuse(random.uniform(0.5, 0.9))
        gloss.SetSpecular(random.uniform(0.0, 0.4))
        gloss.SetSpecularPower(random.uniform(5.0, 40.0))
        key, fill = self._lights
        key.SetPosition(random.uniform(-2, 2), random.uniform(0, 2.5), 1)
        key.SetIntensity(random.uniform(0.6, 1.0))
        fill.SetPosition(random.uniform(-2, 2), random.uniform(-1, 1), 1)
        fill.SetIntensity(random.uniform(0.0, 0.4))

    def picture(self, camera: Camera) -> npt.NDArray[np.uint8]:
        """(S, S, 4) uint8, RGBA with straight alpha, from the top left."""
        eye = self._scene.GetActiveCamera()
        eye.SetFocalPoint(0, 0, 0)
        eye.SetPosition(*camera.eye)
        eye.SetViewUp(0, 0, 1)
        eye.SetViewAngle(camera.field_of_view)
        self._scene.ResetCameraClippingRange()
        self._window.Render()
        self._pixels.Modified()
        self._pixels.Update()
        flat = _numpy_support().vtk_to_numpy(self._pixels.GetOutput().GetPointData().GetScalars())
        picture = flat.reshape(self._size, self._size, 4)[::-1]
        return _straight(picture)


def _straight(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colours of half-covered pixels as if they were whole: they were blended with black."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    colour = np.where(alpha > 0, picture[..., :3] / np.maximum(alpha, 1 / 255), 0)
    straight = np.empty_like(picture)
    straight[..., :3] = np.rint(np.minimum(colour, 255)).astype(np.uint8)
    straight[..., 3] = picture[..., 3]
    return straight


def _parts(points: int, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(V,) number of the part each vertex belongs to; parts share no vertex."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts, ends = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(starts), bool), (starts, ends)), shape=(points, points))
    labels: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return labels
