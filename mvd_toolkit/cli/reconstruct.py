"""`mvd reconstruct`: from one picture to a fine shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvd_toolkit.cli._options import (
    DaskOption,
    DebugFlag,
    DeviceOption,
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
    WorkersOption,
    output,
)


def reconstruct(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE", help="Pictures of one object each, folders, patterns."),
    ] = None,
    out_path: OutputOption = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "-m",
            "--model",
            help="A reconstructor's directory; repeated, they vote. Default: what comes with mvd.",
        ),
    ] = None,
    upscaler: Annotated[
        str | None, typer.Option(help="The model that makes the grids fine, as for upscale.")
    ] = None,
    to: Annotated[
        int | None, typer.Option(min=1, help="Longest edge of the result, voxels. Default: 256.")
    ] = None,
    form: FormatOption = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Let several looks at each picture vote.")
    ] = False,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Take the objects to be symmetric.")
    ] = False,
    keep_parts: Annotated[
        bool,
        typer.Option("--keep-parts", help="Keep all parts, however small, not the largest alone."),
    ] = False,
    device: DeviceOption = "cpu",
    smooth: SmoothFlag = None,
    faces: FacesOption = None,
    size: SizeOption = None,
    files_from: FilesFromOption = None,
    shard: ShardOption = None,
    workers: WorkersOption = 1,
    dask: DaskOption = None,
    slurm: SlurmOption = None,
    threads: ThreadsOption = 0,
    on_exists: OnExistsOption = "error",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Make a fine shape of one picture of an object.

    A network guesses a coarse grid, which is upscaled like any other. Each result is written as
    <stem>_<N>.glb beside its picture or under -o, with a sidecar that says how sure it is.
    """
    from mvd_toolkit.cli import _files
    from mvd_toolkit.cli._workers import Workers
    from mvd_toolkit.image_input import suffixes
    from mvd_toolkit.meshing import Meshing
    from mvd_toolkit.reconstruct_file import ReconstructFile, ReconstructorOnDemand

    out = output(ctx)
    who = Workers(workers, dask, slurm)
    files = _files.gather(out, inputs, out_path, form, suffixes(), files_from, shard)
    job = ReconstructFile(
        ReconstructorOnDemand(model or (), upscaler, device),
        files.destination,
        to,
        form,
        ensemble,
        mirror,
        keep_parts,
        on_exists,
        who.threads(threads),
        Meshing(smooth, faces, size),
    )
    _files.run(out, files, job, who)
