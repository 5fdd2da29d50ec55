"""Make the pictures of the documentation with the package's own renderer.

    python examples/picture.py [FOLDER] [SHAPE...]

``strip.png`` shows what goes into `mvd upscale`, what comes out, and the truth, a row a shape;
``steps.png`` the method's steps on one shape; ``turn.webp`` a result that turns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from make_examples import HERE, pair
from PIL import Image

import mvd_toolkit as mvd
from mvd_toolkit import baselines, pictures
from mvd_toolkit.picture_view import GREY, OCHRE, View

SCALE = 8
PANEL = 340
AZIMUTHS = {"chair": -58.0, "lamp": -70.0, "rocket": -72.0, "mug": -40.0}
"""Where the eye is, degrees around z from +x."""
ELEVATIONS = {"chair": 20.0, "lamp": 8.0, "rocket": 10.0, "mug": 30.0}


def view(name: str, size: int = PANEL) -> View:
    """How a shape is looked at."""
    return View(size, AZIMUTHS[name], ELEVATIONS[name])


def row(name: str, upscaler: mvd.Upscaler, size: int = PANEL) -> Image.Image:
    """The input, a Gaussian blur, the upscaled grid and the truth of a shape."""
    made = pair(name)
    low, truth = made.low, made.high
    edge = low.shape[0]
    fine = {"Gaussian blur": baselines.gaussian(low, SCALE), "mvd upscale": upscaler(low)}
    captions = [
        f"input {edge}³",
        *(f"{title} {edge * SCALE}³   IoU {mvd.iou(g, truth):.3f}" for title, g in fine.items()),
        f"truth {edge * SCALE}³",
    ]
    colours = [GREY, GREY, OCHRE, GREY]
    grids = [low, *fine.values(), truth]
    return pictures.render_strip(grids, captions, view(name, size), colours=colours)


def steps(name: str, upscaler: mvd.Upscaler, size: int = PANEL) -> Image.Image:
    """The input, its blocks, what silhouettes alone carve of them, and the result."""
    low = pair(name).low
    odms = upscaler.predict_odms(low)
    edge = odms.shape[-1]
    outlines = odms.copy()
    outlines[outlines < edge] = 0
    grids = [
        low,
        mvd.upsample_nearest(low, SCALE),
        mvd.carve(low, outlines, SCALE),
        mvd.carve(low, odms, SCALE),
    ]
    captions = ["the coarse grid", "as fine blocks", "carved by silhouettes", "and by depths"]
    return pictures.render_strip(grids, captions, view(name, size))


def stacked(strips: list[Image.Image]) -> Image.Image:
    """Strips below each other."""
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def write(folder: Path, names: list[str]) -> Iterator[Path]:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    upscaler = mvd.Upscaler.load()
    stacked([row(name, upscaler) for name in names]).save(folder / "strip.png", optimize=True)
    yield folder / "strip.png"
    steps(names[0], upscaler).save(folder / "steps.png", optimize=True)
    yield folder / "steps.png"
    frames = pictures.render_turntable(upscaler(pair(names[0]).low), 36, view(names[0], 320))
    pictures.save_frames(frames, folder / "turn.webp", "WEBP")
    yield folder / "turn.webp"


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs/images"
    for path in write(where, sys.argv[2:] or ["chair", "rocket"]):
        print(path)
