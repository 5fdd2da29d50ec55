"""What a picture shows: a grid on a floor, lit by a lamp of some size and by the sky.

Normals come from the voxels around a point, and corners are darkened by how crowded the
neighbourhood is. No mesh is made, and nothing dense but a coarse blur.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import ops
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.picture_view import PALETTES, View
from mvd_toolkit.rays import raycast, surface_normals
from mvd_toolkit.surface_samples import occupied_box, sample_surface

Floats = npt.NDArray[np.float32]

CUBES_BELOW: Final = 65
"""Grids with a longest edge below this show their voxels; finer ones look smooth."""

LAMP: Final = (-40.0, 48.0)
"""Where the lamp is: degrees around from the eye, and above the horizon."""
LAMP_SIZE: Final = 0.12
LAMPS: Final = 8
"""Points of the lamp; each sample of a pixel sees some of them, the pixel all."""

CROWD_EDGE: Final = 64
"""Longest edge of the blurred grid that darkens corners."""
HEAT_SAMPLES: Final = 40_000
HEAT_SHARE: Final = 0.02
"""Distance to the other surface that is drawn red, of the longest edge."""
FADE: Final = 0.14
"""How far from the picture's border shadows on the floor begin to fade, of its edge."""


class Scene:
    """A grid, a lamp and a floor."""

    def __init__(self, grid: VoxelGrid, view: View, threads: int) -> None:
        self.grid = grid
        self.view = view
        self.threads = threads
        self.edge = max(grid.shape)
        fine = self.edge >= CUBES_BELOW
        self.cubes = view.style == "cubes" or (view.style == "auto" and not fine)
        self.basis = _basis(view.up)
        box = occupied_box(grid) or (np.zeros(3), np.array(grid.shape, float))
        self.middle = (np.array(grid.shape) / 2).astype(np.float32)
        self.lowest = float(box[0] @ self.basis[2])
        self.palette = PALETTES["dark" if view.background == "dark" else "light"]
        rng = np.random.default_rng(0)
        lamp = _direction(view.azimuth + LAMP[0], LAMP[1], self.basis)
        jitter = rng.normal(size=(LAMPS, 3)) * LAMP_SIZE
        self.lamps = _unit((lamp + jitter).astype(np.float32))
        self.factor = max(1, self.edge // CROWD_EDGE)
        self.crowd = self._crowd()

    def paint(self, at: Floats, along: Floats, sample: npt.NDArray[np.intp]) -> Floats:
        """(P, 3) colours from 0 to 1 of points of the surface."""
        normals = _flat(at, along) if self.cubes else self._smooth(at)
        colour = self._heat(at) if self.view.heat else np.array(self.view.colour, np.float32) / 255
        light = self.light(at, normals, sample)
        if self.cubes:
            light *= _edges(at, normals)[:, None]
        return np.clip(colour * light, 0, 1).astype(np.float32)

    def light(self, at: Floats, normals: Floats, sample: npt.NDArray[np.intp]) -> Floats:
        """(P, 3) what reaches the points from the lamp and the sky."""
        lit = self._lamplight(at, normals, sample)
        step = np.float32(self.factor)
        crowd = sum(self._crowded(at + reach * step * normals) for reach in (1.0, 2.25, 4.5))
        upward = normals @ self.basis[2].astype(np.float32)
        sky = np.clip(1.08 - 0.75 * crowd, 0.15, 1) * (0.75 + 0.25 * upward)
        sun = np.array(self.palette.sun, np.float32)
        light: Floats = lit[:, None] * sun + sky[:, None] * np.array(self.palette.sky, np.float32)
        return light

    def floor(
        self, starts: Floats, along: Floats, free: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """(R, 4) the picture behind the shape: a floor with its shadow, fading into the paper."""
        image = np.zeros((len(starts), 4), np.float32)
        if self.view.background == "none":
            return image
        image[:, :3] = np.array(self.palette.paper, np.float32) / 255
        image[:, 3] = 1
        up = self.basis[2].astype(np.float32)
        fall = float(along @ up)
        if fall >= -0.02:
            return image
        t = (self.lowest - starts @ up) / fall
        at = starts + t[:, None] * along
        away = np.linalg.norm((at - self.middle) @ self.basis[:2].T, axis=1) / (0.9 * self.edge)
        seen = np.flatnonzero(free & (away < 1))
        normals = np.broadcast_to(up, (len(seen), 3))
        light = self.light(at[seen], normals, seen).mean(axis=1)
        open_floor = self.palette.sun[1] * float(np.max(self.lamps @ up)) + self.palette.sky[1]
        fade = np.clip(2 - 2 * away[seen], 0, 1) * _inside(seen, self.view)
        image[seen, :3] *= (1 - 0.55 * fade * np.clip(1 - light / open_floor, 0, 1))[:, None]
        return image

    def _lamplight(self, at: Floats, normals: Floats, sample: npt.NDArray[np.intp]) -> Floats:
        """(P,) from 0 to 1: each sample of a pixel sees its share of the lamp's points."""
        count = self.view.samples
        width = self.view.size * count
        which = (sample // width % count) * count + sample % count  # of the pixel's samples
        groups = min(count * count, LAMPS)
        lit = np.zeros(len(at), np.float32)
        origins = at + np.float32(0.05 if self.cubes else 2.0) * normals
        for index, lamp in enumerate(self.lamps):
            mine = np.flatnonzero(which % groups == index % groups)
            facing = normals[mine] @ lamp
            mine, facing = mine[facing > 0], facing[facing > 0]
            clear = np.isinf(raycast(self.grid, origins[mine], lamp, threads=self.threads))
            lit[mine] += clear * facing
        return lit * np.float32(groups / LAMPS)

    def _smooth(self, at: Floats) -> Floats:
        radius = float(np.clip(self.edge / 60, 2.5, 5))
        return surface_normals(self.grid, at, radius, threads=self.threads)

    def _crowd(self) -> Floats:
        from scipy.ndimage import gaussian_filter

        coverage = ops.coverage(self.grid, self.factor).coverage
        assert coverage is not None
        share = np.pad(coverage, 2)
        crowd: Floats = gaussian_filter(share, 1.5, mode="constant")
        return crowd

    def _crowded(self, at: Floats) -> Floats:
        """(P,) how full the neighbourhood of each point is."""
        from scipy.ndimage import map_coordinates

        places = (at / self.factor + 1.5).T
        found: Floats = map_coordinates(self.crowd, places, order=1, mode="nearest")
        return found

    def _heat(self, at: Floats) -> Floats:
        """(P, 3) grey on the other's surface, red away from it."""
        from scipy.spatial import cKDTree

        assert self.view.heat is not None
        bare = VoxelGrid(self.view.heat.packed, self.view.heat.shape)
        points = sample_surface(bare, HEAT_SAMPLES, threads=self.threads).points
        if not len(points):
            return np.tile(np.array([0.85, 0.2, 0.15], np.float32), (len(at), 1))
        distance = cKDTree(points).query(at, distance_upper_bound=2 * HEAT_SHARE * self.edge)[0]
        share = np.clip(distance / (HEAT_SHARE * self.edge) - 0.2, 0, 1)[:, None]
        cold, hot = np.array([[0.80, 0.82, 0.84], [0.86, 0.18, 0.13]], np.float32)
        mixed: Floats = (cold + (hot - cold) * share).astype(np.float32)
        return mixed


def _basis(up: str) -> Floats:
    """(3, 3) rows: two horizontal axes and the vertical one, right-handed."""
    axis = "xyz".index(up)
    return np.eye(3, dtype=np.float32)[[(axis + 1) % 3, (axis + 2) % 3, axis]]


def _direction(around: float, above: float, basis: Floats) -> Floats:
    """The unit vector ``around`` degrees about the vertical and ``above`` from the horizon."""
    a, b = np.radians((around, above))
    local = np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)], np.float32)
    return np.asarray(local @ basis, np.float32)


def rays_of(scene: Scene, view: View) -> tuple[Floats, Floats]:
    """Parallel rays, row by row from the top left: (R, 3) starts and their (3,) direction."""
    eye = _direction(view.azimuth, view.elevation, scene.basis)
    a = np.radians(view.azimuth)
    right = np.array([-np.sin(a), np.cos(a), 0], np.float32) @ scene.basis
    above = np.cross(eye, right).astype(np.float32)
    reach = 0.62 * scene.edge / view.zoom
    count = view.size * view.samples
    steps = ((np.arange(count, dtype=np.float32) + 0.5) / count * 2 - 1) * np.float32(reach)
    across, down = np.meshgrid(steps, -steps)
    plane = across.reshape(-1, 1) * right + down.reshape(-1, 1) * above
    starts = scene.middle + plane + np.float32(2 * scene.edge) * eye
    return starts.astype(np.float32), (-eye).astype(np.float32)


def _inside(samples: npt.NDArray[np.intp], view: View) -> Floats:
    """(P,) 1 well inside the picture, falling to 0 at its border."""
    count = view.size * view.samples
    row, column = np.divmod(samples, count)
    border = np.minimum(np.minimum(row, column), count - 1 - np.maximum(row, column)) / count
    return np.asarray(np.clip(border / FADE, 0, 1), np.float32)


def _flat(at: Floats, along: Floats) -> Floats:
    """(P, 3) normals of the voxel faces that rays came in by."""
    beside = np.abs(at - np.round(at))
    beside[:, along == 0] = np.inf
    axis = beside.argmin(axis=1)
    normals = np.zeros_like(at)
    normals[np.arange(len(at)), axis] = -np.sign(along)[axis]
    return normals


def _edges(at: Floats, normals: Floats) -> Floats:
    """(P,) 1, less where one voxel meets the next on a face."""
    beside = np.abs(at - np.round(at))
    beside[normals != 0] = np.inf
    return np.where(beside.min(axis=1) < 0.06, np.float32(0.86), np.float32(1))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), np.float32)
