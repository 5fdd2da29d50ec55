"""`mvd convert`: any format to any other, and meshes to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    FacesOption,
    Fill,
    FormatOption,
    JsonFlag,
    OnExistsOption,
    OutputOption,
    QuietFlag,
    SizeOption,
    SmoothFlag,
    ThreadsOption,
    output,
)


def convert(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="SRC...", help="Grids, meshes, or folders of them.")
    ],
    out_path: OutputOption = None,
    form: FormatOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(min=1, help="Longest edge of the grid: 256 for a mesh, else its own."),
    ] = None,
    low_rule: Annotated[
        Literal["any", "half", "centre"] | None, typer.Option(help="How a coarser grid is pooled.")
    ] = None,
    fill: Annotated[
        Fill | None,
        typer.Option(help="Fill what no face can see into, or keep the surface; meshes: hull."),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH,...", help="Make a dataset of pairs of shapes: 32:256."),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="T,V,T", help="Shares of train, val and test, for --pairs.")
    ] = "0.8,0.1,0.1",
    copies: Annotated[
        int, typer.Option(min=0, help="More of each training mesh at other sizes and places.")
    ] = 0,
    turn: Annotated[
        Literal["none", "up", "any"], typer.Option(help="Turn the copies: about the vertical, or.")
    ] = "none",
    up: Annotated[
        Literal["x", "y", "z"] | None,
        typer.Option(help="The meshes' vertical; by default their layout's, or y."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the copies.")] = 0,
    smooth: SmoothFlag = None,
    faces: FacesOption = None,
    size: SizeOption = None,
    threads: ThreadsOption = 0,
    on_exists: OnExistsOption = "error",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Convert voxel files and meshes, or make a training dataset of a folder of shapes.

    A mesh becomes a grid of --resolution, a grid becomes a mesh, in the same place in the world.
    """
    from mvd_toolkit.augmented_copies import CopyRecipe
    from mvd_toolkit.cli import _files, _pairs
    from mvd_toolkit.convert_file import ConvertFile
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.meshing import Meshing

    out = output(ctx)
    if pairs is not None:
        if smooth is not None or faces is not None:
            raise UsageError("--smooth and --faces are for meshes, and --pairs makes a dataset")
        if any(option is not None for option in (form, resolution, low_rule, fill)):
            raise UsageError(
                "--pairs takes no --format, --resolution, --low-rule or --fill: a pair holds the "
                "low grids of every rule, and `mvd train --low-rule` chooses"
            )
        recipe = CopyRecipe(copies, turn, seed=seed)
        _pairs.convert(out, inputs, out_path, pairs, split, recipe, up, threads)
        return
    if copies or turn != "none" or up:
        raise UsageError("--copies, --turn and --up are for --pairs")
    _files.writable(form)
    destination = _files.destination(out, out_path, inputs, has_format=form is not None)
    items = _files.find(out, inputs, _files.suffixes(reads=True), destination)
    meshing = Meshing(smooth, faces, size)
    job = ConvertFile(destination, form, resolution, low_rule, fill, on_exists, threads, meshing)
    _files.run(out, items, job, single=_files.is_single(inputs))
