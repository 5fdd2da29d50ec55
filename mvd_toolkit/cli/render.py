"""`mvd render`: pictures of grids and meshes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, ThreadsOption, output

if TYPE_CHECKING:
    from mvd_toolkit.grid import VoxelGrid

MOVING = (".gif", ".webp")
STILL = (".png", ".jpg", ".jpeg", ".webp")


def render(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Grids or meshes.")],
    out_path: Annotated[
        Path, typer.Option("-o", "--output", help="The picture: .png, .jpg or .webp; a .gif turns.")
    ],
    size: Annotated[int, typer.Option(min=8, max=8192, help="Edge of a picture, pixels.")] = 512,
    azimuth: Annotated[
        float, typer.Option(help="Where the eye is around the vertical, degrees.")
    ] = -60.0,
    elevation: Annotated[
        float, typer.Option(min=-90, max=90, help="How far the eye is above the horizon, degrees.")
    ] = 22.0,
    up: Annotated[Literal["x", "y", "z"], typer.Option(help="The vertical axis.")] = "z",
    background: Annotated[
        Literal["light", "dark", "none"], typer.Option(help="none is transparent.")
    ] = "light",
    colour: Annotated[
        list[str] | None,
        typer.Option(metavar="RRGGBB", help="Colour of the shapes, ecb264 say; repeat."),
    ] = None,
    style: Annotated[
        Literal["auto", "smooth", "cubes"],
        typer.Option(help="auto: cubes for grids of up to 64 voxels."),
    ] = "auto",
    samples: Annotated[
        int, typer.Option(min=1, max=8, help="Samples of a pixel, each way: more is smoother.")
    ] = 2,
    zoom: Annotated[float, typer.Option(help="1 shows all of it, 2 half as much, larger.")] = 1.0,
    caption: Annotated[
        list[str] | None, typer.Option(help="Below each of several; by default the names.")
    ] = None,
    heat: Annotated[
        Path | None, typer.Option(metavar="TRUTH", help="Red where the surface is far from it.")
    ] = None,
    frames: Annotated[
        int, typer.Option(min=0, max=720, help="Turn in so many pictures: a .gif or .webp.")
    ] = 0,
    resolution: Annotated[
        int, typer.Option(min=8, max=2048, help="Longest edge a mesh is voxelized at.")
    ] = 256,
    on_exists: Annotated[
        Literal["error", "overwrite"], typer.Option(help="When the picture exists.")
    ] = "error",
    threads: ThreadsOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Make a picture of a grid or mesh, of several side by side, or of one that turns."""
    from mvd_toolkit import io, pictures
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.io.atomic import make_folder
    from mvd_toolkit.picture_view import GREY, View

    out = output(ctx)
    suffix = out_path.suffix.lower()
    frames = frames or (36 if suffix == ".gif" else 0)
    if suffix not in (MOVING if frames else STILL) or (frames and len(files) > 1):
        raise UsageError(
            f"-o {out_path}: expected {' '.join(STILL)} for a picture, "
            f"or {' '.join(MOVING)} for one file that turns"
        )
    colours = [_colour(text) for text in colour or []]
    if len(colours) not in (0, 1, len(files)):
        raise UsageError(f"--colour: expected 1 or {len(files)}, found {len(colours)}")
    io.check_target(out_path, overwrite=on_exists == "overwrite")
    view = View(
        size=size,
        azimuth=azimuth,
        elevation=elevation,
        up=up,
        background=background,
        colour=colours[0] if colours else GREY,
        style=style,
        samples=samples,
        zoom=zoom,
        heat=load_any(heat, resolution) if heat else None,
    )
    grids = [load_any(path, resolution) for path in files]
    make_folder(out_path.parent)
    with io.atomic(out_path, overwrite=on_exists == "overwrite") as file:
        form = "JPEG" if suffix in (".jpg", ".jpeg") else suffix[1:].upper()
        if frames:
            pictures.save_frames(pictures.render_turntable(grids[0], frames, view), file, form)
        elif len(grids) == 1 and not caption:
            pictures.render(grids[0], view, threads=threads).save(file, form)
        else:
            names = caption or [path.stem for path in files]
            strip = pictures.render_strip(
                grids, names, view, colours=colours if len(colours) == len(grids) else ()
            )
            strip.save(file, form)
    out.item({"inputs": [str(path) for path in files], "output": str(out_path)})
    out.data(str(out_path))
    out.finish()


def load_any(path: Path, resolution: int) -> VoxelGrid:
    """A grid as it is, a mesh voxelized."""
    from mvd_toolkit import io
    from mvd_toolkit.voxelize import voxelize

    if io.sniff(path).kind == "grid":
        return io.load(path)
    mesh = io.load_mesh(path)
    return voxelize(mesh.vertices, mesh.faces, resolution).grid


def _colour(text: str) -> tuple[int, int, int]:
    from mvd_toolkit.errors import UsageError

    digits = text.removeprefix("#")
    try:
        if len(digits) != 6:
            raise ValueError
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        raise UsageError(f"--colour: expected RRGGBB, ecb264 say, found {text!r}") from None
    return red, green, blue
