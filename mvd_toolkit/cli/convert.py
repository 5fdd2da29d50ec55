"""`mvd convert`: any format to any other, and meshes to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mvd_toolkit.cli._options import (
    DaskOption,
    DebugFlag,
    FacesOption,
    FilesFromOption,
    FormatOption,
    JsonFlag,
    OnExistsOption,
    OutputOption,
    QuietFlag,
    ShardOption,
    SizeOption,
    SlurmOption,
    SmoothFlag,
    ThreadsOption,
    output,
)


def convert(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SRC", help="Grids, meshes, folders, patterns; -: a list on stdin."),
    ] = None,
    out_path: OutputOption = None,
    form: FormatOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(min=1, help="Longest edge of the grid: 256 for a mesh, else its own."),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(help="Edge of a mesh's voxels, in its units, instead of --resolution."),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z,X,Y,Z",
            help="Lowest and highest corner of a mesh's grid, in the mesh's units.",
        ),
    ] = None,
    low_rule: Annotated[
        Literal["any", "half", "centre", "soft"] | None,
        typer.Option(
            help="When a voxel of a coarser grid is set: where any of it is, half, or its centre; "
            "soft: fractions. Default: any."
        ),
    ] = None,
    fill: Annotated[
        Literal["hull", "flood", "centre", "none"] | None,
        typer.Option(
            help="hull fills what no face sees into, flood what a flood from outside does not "
            "reach, centre the voxels with their centre inside a closed mesh; default: hull for a "
            "mesh, none for a grid."
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH,...",
            help="Make a training dataset: of each shape a coarse and a fine grid, 32:256 say.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="T,V,T", help="Shares of train, val and test in --pairs.")
    ] = "0.8,0.1,0.1",
    copies: Annotated[
        int,
        typer.Option(
            min=0, help="So many more pairs of each training mesh, at other sizes and places."
        ),
    ] = 0,
    turn: Annotated[
        Literal["none", "up", "any"],
        typer.Option(help="Turn the copies, about the vertical or anyhow."),
    ] = "none",
    views: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures of each mesh from around it too, for --pairs."),
    ] = None,
    image: Annotated[
        int | None, typer.Option(min=16, help="Edge of those pictures, pixels. Default: 128.")
    ] = None,
    frame: Annotated[
        Literal["object", "viewer"] | None,
        typer.Option(
            help="Whose axes the grids of the pictures have: the object's (default), or the eye's."
        ),
    ] = None,
    up: Annotated[
        Literal["x", "y", "z"] | None,
        typer.Option(help="A mesh's vertical: y is turned to z; for --pairs their layout's, or y."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws of copies and pictures.")] = 0,
    smooth: SmoothFlag = None,
    faces: FacesOption = None,
    size: SizeOption = None,
    files_from: FilesFromOption = None,
    shard: ShardOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes that share the inputs; 0: one a core, as for --pairs; else 1."
        ),
    ] = None,
    dask: DaskOption = None,
    slurm: SlurmOption = None,
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
    from mvd_toolkit.cli._workers import Workers
    from mvd_toolkit.convert_file import ConvertFile
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.executors import core_count
    from mvd_toolkit.meshing import Meshing

    out = output(ctx)
    if pairs is not None:
        if (smooth, faces, size) != (None, None, None):
            raise UsageError(
                "--smooth, --faces and --size are for meshes, and --pairs makes a dataset"
            )
        of_files = (form, resolution, voxel_size, bounds, low_rule, fill)
        if any(option is not None for option in of_files):
            raise UsageError(
                "--pairs takes no --format, --resolution, --voxel-size, --bounds, --low-rule or "
                "--fill: a pair holds the low grids of every rule, and `mvd train --low-rule` "
                "chooses"
            )
        shapes = _pairs.find(_files.named(inputs, files_from), files_from, up)
        if workers is None and dask is None and slurm is None:
            workers = min(core_count(), len(shapes))
        who = Workers(1 if workers is None else workers, dask, slurm)
        _pairs.convert(
            out,
            shapes,
            out_path,
            pairs,
            split,
            CopyRecipe(copies, turn, seed=seed),
            _pairs.view_recipe(views, image, frame, seed),
            shard,
            who,
            who.threads(threads),
        )
        return
    if (views, image, frame) != (None, None, None):
        raise UsageError("--views, --image and --frame are for --pairs")
    if copies or turn != "none":
        raise UsageError("--copies and --turn are for --pairs")
    if up == "x":
        raise UsageError("--up: expected y or z without --pairs, found x")
    if resolution is not None and voxel_size is not None:
        raise UsageError("--resolution and --voxel-size: expected one of them, found both")
    who = Workers(1 if workers is None else workers, dask, slurm)
    wanted = _files.suffixes(reads=True)
    files = _files.gather(out, inputs, out_path, form, wanted, files_from, shard, has_format=False)
    job = ConvertFile(
        files.destination,
        form,
        resolution,
        low_rule,
        fill,
        on_exists,
        who.threads(threads),
        Meshing(smooth, faces, size),
        voxel_size,
        _bounds(bounds),
        up,
    )
    _files.run(out, files, job, who)


def _bounds(text: str | None) -> tuple[float, ...] | None:
    """The six numbers that ``--bounds`` names."""
    from mvd_toolkit.errors import UsageError

    if text is None:
        return None
    try:
        corners = tuple(float(number) for number in text.split(","))
    except ValueError:
        corners = ()
    if len(corners) != 6:
        raise UsageError(f"--bounds: expected six numbers, 0,0,0,1,1,2 say, found {text!r}")
    return corners
