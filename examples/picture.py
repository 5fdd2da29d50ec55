"""Make docs/images/strip.png: what goes into `mvd upscale`, what comes out, and the truth.

    python examples/picture.py [FILE.png] [SHAPE...]

A plain renderer of voxel grids: one ray a pixel, normals from blurred occupancy, a lamp with soft
shadows, and corners darkened by a wider blur. It needs NumPy and Pillow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from make_examples import HERE, pair
from PIL import Image, ImageDraw, ImageFont

import mvd_toolkit as mvd
from mvd_toolkit import baselines, ops

Array = npt.NDArray[np.float32]

SCALE = 8
PANEL = 340
SUPERSAMPLING = 2
CAPTION = 44
EYES = {"chair": (-58.0, 20.0), "lamp": (-70.0, 8.0), "rocket": (-72.0, 10.0), "mug": (-40.0, 30.0)}
"""Where the eye is: degrees around z from +x, and above the horizon."""
LAMP = (-40.0, 48.0)
"""Where the lamp is: degrees around z from the eye, and above the horizon."""
LAMP_SIZE = 0.12
COARSER = 4
"""The wide blur is made of a grid this much coarser."""
PAPER = np.array([251, 250, 247], np.float32)
INK = (70, 70, 72)
GREY = np.array([196, 200, 205], np.float32)
OCHRE = np.array([236, 178, 100], np.float32)
SKY = np.array([0.36, 0.39, 0.45], np.float32)
SUN = np.array([0.74, 0.71, 0.66], np.float32)
FLOOR = 165
"""How far the floor reaches, voxels."""
FAR = 1e9


class Scene:
    """A fine grid on a floor, ready to be looked at.

    Attributes:
        near: (N, N, N) uint8, how many voxels a ray may safely go from here; 0 where occupied.
        fine: blurred occupancy, whose gradient is the normal.
        wide: occupancy blurred further and `COARSER`, which darkens corners and the floor.
        lamp: towards the lamp.
    """

    def __init__(self, dense: npt.NDArray[np.bool_], lamp: Array, cell: int = 1) -> None:
        margin = 16
        self.lamp = lamp
        self.cell = cell
        low, high = bounds(dense)
        whole = tuple(map(slice, low, high))
        self.dense = np.pad(dense[whole], [(margin, margin + -n % COARSER) for n in high - low])
        self.near = np.where(self.dense, 0, 1).astype(np.uint8)
        for reach in (4, 16):
            close = ops.dilate(ops.pool(self.dense, reach))
            self.near[~ops.upsample_nearest(close, reach)[tuple(map(slice, self.near.shape))]] = (
                reach
            )
        occupancy = self.dense.astype(np.float32)
        self.fine = blur(occupancy, 3 if cell == 1 else 1)
        blocks = [part for n in occupancy.shape for part in (n // COARSER, COARSER)]
        self.wide = blur(occupancy.reshape(blocks).mean((1, 3, 5)), 7)
        self.middle = (np.array(dense.shape, np.float32) / 2 - low + margin).astype(np.float32)
        self.floor = float(margin)

    def trace(self, start: Array, along: Array) -> Array:
        """How far each ray (R, 3) goes from ``start`` before it meets a voxel; FAR if never."""
        reached = np.full(len(start), FAR, np.float32)
        ray = np.arange(len(start))
        t = self._enter(start, along)
        while len(ray):
            at = (start[ray] + t[ray, None] * along[ray]).astype(np.int32)
            inside = ((at >= 0) & (at < self.near.shape)).all(1)
            ray, at = ray[inside], at[inside]
            step = self.near[at[:, 0], at[:, 1], at[:, 2]]
            hit = step == 0
            reached[ray[hit]] = t[ray[hit]]
            ray = ray[~hit]
            t[ray] += np.where(step[~hit] > 1, step[~hit], np.float32(0.4))
        return reached

    def _enter(self, start: Array, along: Array) -> Array:
        """Where rays enter the box."""
        with np.errstate(divide="ignore", invalid="ignore"):
            sides = np.stack([-start / along, (np.array(self.near.shape) - 1e-3 - start) / along])
        enter: Array = np.nanmax(np.nanmin(sides, 0), 1)
        return np.maximum(enter, 0).astype(np.float32) + np.float32(1e-3)

    def normals(self, at: Array) -> Array:
        """Unit normals of the blurred surface at (R, 3) points."""
        slopes = []
        for axis in np.eye(3, dtype=np.float32) * 1.5:
            slopes.append(sample(self.fine, at - axis) - sample(self.fine, at + axis))
        return unit(np.stack(slopes, 1))

    def edges(self, at: Array, normal: Array) -> Array:
        """(R,) 1, less where one cell meets the next on a face."""
        if self.cell == 1:
            return np.ones(len(at), np.float32)
        beside = np.abs((at / self.cell + 0.5) % 1 - 0.5) * self.cell
        beside[np.abs(normal) > 0.6] = np.inf
        return np.where(beside.min(1) < 0.45, np.float32(0.84), np.float32(1))

    def light(self, at: Array, normal: Array) -> Array:
        """(R, 3) what reaches the points from the lamp and the sky."""
        lamps = np.random.default_rng(0).normal(size=(6, 3)) * LAMP_SIZE
        lit = np.zeros(len(at), np.float32)
        for offset in lamps:
            towards = unit(self.lamp + offset.astype(np.float32))
            clear = self.trace(at + 2.5 * normal, np.broadcast_to(towards, at.shape)) == FAR
            lit += clear * np.maximum(normal @ towards, 0) / len(lamps)
        crowd = sum(sample(self.wide, (at + reach * normal) / COARSER) for reach in (4, 9, 15))
        open_sky = np.clip(1.08 - crowd * 0.75, 0.15, 1) * (0.75 + 0.25 * normal[:, 2])
        return lit[:, None] * SUN * 1.15 + open_sky[:, None] * SKY * 1.25


def bounds(dense: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first occupied voxel along each axis, and the one after the last."""
    occupied = [np.flatnonzero(dense.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return np.array([i[0] for i in occupied]), np.array([i[-1] + 1 for i in occupied])


def blur(volume: Array, passes: int) -> Array:
    """The mean of three voxels along each axis, ``passes`` times; zeros outside."""
    for axis in (0, 1, 2) * passes:
        lines = np.moveaxis(np.pad(volume, [(int(i == axis),) * 2 for i in range(3)]), axis, 0)
        volume = np.moveaxis((lines[:-2] + lines[1:-1] + lines[2:]) / np.float32(3), 0, axis)
    return np.ascontiguousarray(volume)


def sample(volume: Array, at: Array) -> Array:
    """``volume`` between its voxel centres at (R, 3) points; the border goes on outside."""
    at = np.clip(at - 0.5, 0, np.array(volume.shape) - 1.001).astype(np.float32)
    low = at.astype(np.int32)
    part = at - low
    value = np.zeros(len(at), np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, part, 1 - part).prod(1)
        i, j, k = (low + corner).T
        value += weight * volume[i, j, k]
    return value


def unit(vectors: Array) -> Array:
    """Vectors of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def render(
    grid: mvd.VoxelGrid, eye: tuple[float, float], colour: Array, cell: int = 1
) -> Image.Image:
    """A square picture of a grid on a pale floor, each ``cell`` voxels edged by a line."""
    scene = Scene(grid.dense(), direction(eye[0] + LAMP[0], LAMP[1]), cell)
    start, along = rays(scene.middle, grid.shape[0] * 0.61, eye, PANEL * SUPERSAMPLING)
    depth = scene.trace(start, along)
    hit = depth < FAR
    image = floor(scene, start, along, hit)
    at = start[hit] + depth[hit, None] * along[hit]
    normal = scene.normals(at)
    painted = colour * scene.light(at, normal) * scene.edges(at, normal)[:, None]
    image[hit] = np.clip(painted, 0, 255)
    size = PANEL * SUPERSAMPLING
    large = Image.fromarray(image.reshape(size, size, 3).astype(np.uint8))
    return large.resize((PANEL, PANEL), Image.Resampling.BOX)


def rays(middle: Array, reach: float, eye: tuple[float, float], pixels: int) -> tuple[Array, Array]:
    """Parallel rays, one a pixel from the top left: (R, 3) starts and directions.

    The picture spans ``reach`` voxels on every side of ``middle``.
    """
    towards_eye = direction(*eye)
    right = unit(np.cross([0, 0, 1], towards_eye)).astype(np.float32)
    up = np.cross(towards_eye, right).astype(np.float32)
    steps = np.linspace(-reach, reach, pixels, dtype=np.float32)
    across, down = np.meshgrid(steps, -steps)
    start = middle + across.reshape(-1, 1) * right + down.reshape(-1, 1) * up + 400 * towards_eye
    return start, np.broadcast_to(-towards_eye, start.shape)


def direction(around: float, above: float) -> Array:
    """The unit vector ``around`` degrees from +x about z and ``above`` degrees from the horizon."""
    a, b = np.radians((around, above))
    return np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)], np.float32)


def floor(scene: Scene, start: Array, along: Array, hit: npt.NDArray[np.bool_]) -> Array:
    """(R, 3) the floor below the grid, with its shadow, fading into the paper."""
    image = np.broadcast_to(PAPER, start.shape).copy()
    t = (scene.floor - start[:, 2]) / along[:, 2]
    at = start + t[:, None] * along
    away = np.linalg.norm(at[:, :2] - scene.middle[:2], axis=1) / FLOOR
    seen = ~hit & (away < 1)
    up = np.broadcast_to(np.array([0, 0, 1], np.float32), at[seen].shape)
    light = scene.light(at[seen], up).mean(1) / (SUN * 1.15 * 0.78 + SKY * 1.3).mean()
    fade = np.clip(2 - 2 * away[seen], 0, 1)
    image[seen] *= (1 - 0.5 * fade * np.clip(0.94 - light, 0, 1))[:, None]
    return image


def panels(name: str, upscaler: mvd.Upscaler) -> Iterator[tuple[str, Image.Image]]:
    """What the strip shows of one shape, with captions."""
    made = pair(name)
    truth, low = made.high, made.low
    n = low.shape[0]
    fine = {
        "Gaussian blur": baselines.gaussian(low, SCALE),
        "mvd upscale": upscaler(low),
    }
    eye = EYES[name]
    yield f"input {n}³", render(ops.upsample_nearest(low, SCALE), eye, GREY, SCALE)
    for title, grid in fine.items():
        colour = OCHRE if title == "mvd upscale" else GREY
        score = ops.iou(grid, truth)
        yield f"{title} {n * SCALE}³   IoU {score:.3f}", render(grid, eye, colour)
    yield f"truth {n * SCALE}³", render(truth, eye, GREY)


def strip(names: list[str]) -> Image.Image:
    """One row of panels a shape."""
    upscaler = mvd.Upscaler.load()
    rows = [list(panels(name, upscaler)) for name in names]
    height = PANEL + CAPTION
    sheet = Image.new("RGB", (len(rows[0]) * PANEL, len(rows) * height), tuple(PAPER.astype(int)))
    for row, shown in enumerate(rows):
        for column, (caption, image) in enumerate(shown):
            sheet.paste(image, (column * PANEL, row * height))
            write(sheet, ((column + 0.5) * PANEL, row * height + PANEL + 24), caption)
    return sheet


def write(sheet: Image.Image, middle: tuple[float, float], text: str) -> None:
    """A line of text; ³, which Pillow's own font lacks, is a small raised 3."""
    pen = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(18), ImageFont.load_default(11)
    parts = [part for piece in text.split("³") for part in (piece, "³")][:-1]
    widths = [small.getlength("3") if part == "³" else font.getlength(part) for part in parts]
    x, y = middle[0] - sum(widths) / 2, middle[1]
    for part, width in zip(parts, widths, strict=True):
        if part == "³":
            pen.text((x, y - 7), "3", INK, small, anchor="ls")
        else:
            pen.text((x, y), part, INK, font, anchor="ls")
        x += width


def main(path: Path, names: list[str]) -> None:
    """Write the strip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strip(names).save(path, optimize=True)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs/images/strip.png"
    main(where, sys.argv[2:] or ["chair", "rocket"])
