"""Pictures of grids: shaded, antialiased, on a floor with soft shadows; a CPU and no display.

One parallel ray a sample through the packed grid; `picture_scene` says what it sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import UsageError
from mvd_toolkit.grid import VoxelGrid, check_is_grid
from mvd_toolkit.picture_scene import Floats, Scene, rays_of
from mvd_toolkit.picture_view import PALETTES, View
from mvd_toolkit.rays import raycast

if TYPE_CHECKING:
    from PIL.Image import Image

CAPTION: Final = 40
"""Height of a caption, pixels."""


def render(grid: VoxelGrid, view: View | None = None, *, threads: int = 0, **options: Any) -> Image:
    """A square picture of a grid.

    Args:
        grid: (X, Y, Z); voxels are drawn as cubes, whatever their spacing.
        view: how it is looked at.
        threads: how many to use, 0 for one a core; the picture is the same.
        **options: fields of `View`, over those of ``view``.

    Returns:
        A Pillow image, RGB, or RGBA with ``background="none"``.

    Raises:
        UsageError: an option makes no sense.

    >>> render(VoxelGrid.from_dense([[[1]]]), size=64).size
    (64, 64)
    """
    from PIL import Image

    check_is_grid(grid)
    seen = _look(view, options)
    scene = Scene(grid, seen, threads)
    starts, along = rays_of(scene, seen)
    depth = raycast(grid, starts, along, threads=threads)
    hit = np.isfinite(depth)
    image = scene.floor(starts, along, ~hit)
    at = starts[hit] + depth[hit, None] * along
    image[hit] = np.column_stack([scene.paint(at, along, np.flatnonzero(hit)), np.ones(len(at))])
    return Image.fromarray(_downsample(image, seen), "RGBA" if seen.background == "none" else "RGB")


def render_turntable(
    grid: VoxelGrid, frames: int = 36, view: View | None = None, **options: Any
) -> Iterator[Image]:
    """Pictures of a grid that turns once about the vertical; arguments as for `render`."""
    seen = _look(view, options)
    for frame in range(frames):
        yield render(grid, replace(seen, azimuth=seen.azimuth + 360 * frame / frames))


def render_strip(
    grids: Sequence[VoxelGrid],
    captions: Sequence[str] = (),
    view: View | None = None,
    *,
    colours: Sequence[tuple[int, int, int]] = (),
    **options: Any,
) -> Image:
    """Pictures of several grids side by side, seen alike, with a caption below each.

    Args:
        grids: at least one; each is shown as large as the others, whatever its resolution.
        captions: one a grid, or none.
        view: as for `render`.
        colours: one a grid, or those of ``view``.
        **options: as for `render`.
    """
    from PIL import Image

    seen = _look(view, options)
    panels = [
        render(grid, replace(seen, colour=colours[i] if colours else seen.colour))
        for i, grid in enumerate(grids)
    ]
    palette = PALETTES["dark" if seen.background == "dark" else "light"]
    height = seen.size + (CAPTION if captions else 0)
    mode = panels[0].mode
    empty = palette.paper if mode == "RGB" else (0, 0, 0, 0)
    sheet = Image.new(mode, (seen.size * len(panels), height), empty)
    for column, panel in enumerate(panels):
        sheet.paste(panel, (column * seen.size, 0))
    for column, caption in enumerate(captions):
        _write(sheet, ((column + 0.5) * seen.size, seen.size + 24), caption, palette.ink)
    return sheet


def save_frames(
    frames: Iterator[Image], file: Path | BinaryIO, form: str = "GIF", *, seconds: float = 4.0
) -> None:
    """Write a moving picture, GIF or WEBP, that repeats for ever."""
    pictures = list(frames)
    pictures[0].save(
        file,
        form,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 * seconds / len(pictures)),
        loop=0,
    )


def _look(view: View | None, options: dict[str, Any]) -> View:
    unknown = set(options) - set(View.__dataclass_fields__)
    if unknown:
        raise UsageError(f"render: there is no option {min(unknown)!r}")
    return replace(view or View(), **options)


def _downsample(image: Floats, view: View) -> npt.NDArray[np.uint8]:
    """(size, size, 3 or 4) bytes of a pixel's samples' mean; colours weigh by their opacity."""
    n, s = view.size, view.samples
    image[:, :3] *= image[:, 3:]
    mean = image.reshape(n, s, n, s, 4).mean(axis=(1, 3))
    opacity = np.maximum(mean[..., 3:], 1e-6)
    mean[..., :3] /= opacity
    channels = 4 if view.background == "none" else 3
    return np.ascontiguousarray((mean[..., :channels] * 255 + 0.5).astype(np.uint8))


def _write(sheet: Image, middle: tuple[float, float], text: str, ink: tuple[int, int, int]) -> None:
    """A line of text; ³, which Pillow's own font lacks, is a small raised 3."""
    from PIL import ImageDraw, ImageFont

    pen = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(18), ImageFont.load_default(11)
    parts = [part for piece in text.split("³") for part in (piece, "³")][:-1]
    widths = [small.getlength("3") if part == "³" else font.getlength(part) for part in parts]
    x, y = middle[0] - sum(widths) / 2, middle[1]
    for part, width in zip(parts, widths, strict=True):
        if part == "³":
            pen.text((x, y - 7), "3", ink, small, anchor="ls")
        else:
            pen.text((x, y), part, ink, font, anchor="ls")
        x += width
