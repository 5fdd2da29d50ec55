"""`mvd upscale`: the main job."""

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
    Fill,
    FormatOption,
    JsonFlag,
    LowRule,
    ModelOption,
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


def upscale(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IN", help="Voxel files, folders, patterns; -: a list on stdin."),
    ] = None,
    out_path: OutputOption = None,
    model: ModelOption = None,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Longest edge of the result, voxels: the input's times the model's scale, 8 for "
            "the default one, or a divisor of that. Default: the largest up to 1024.",
        ),
    ] = None,
    form: FormatOption = None,
    low_rule: Annotated[
        LowRule,
        typer.Option(
            help="How the coarse grid was made: a voxel is set where any of it was inside, half of "
            "it, or its centre; soft: it holds fractions; auto: a guess, which is told."
        ),
    ] = "auto",
    fill: Annotated[
        Fill,
        typer.Option(help="hull fills what cannot be seen from any of six sides; none: nothing."),
    ] = "hull",
    keep_parts: Annotated[
        bool,
        typer.Option(
            "--keep-parts",
            help="Keep crumbs: parts smaller than a coarse voxel that the coarse grid does not "
            "tell from larger ones.",
        ),
    ] = False,
    device: DeviceOption = "cpu",
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Run the networks on tiles of so many coarse pixels an edge: less memory, "
            "the same result. Default: on all at once.",
        ),
    ] = None,
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
    """Upscale coarse voxel grids, 8 times by default.

    Each result is written as <stem>_<N>.<ext> beside its input or under -o, in the same place in
    the world, with a sidecar <output>.mvd.json. A result that is finished already is skipped.
    """
    from mvd_toolkit.cli import _files
    from mvd_toolkit.cli._workers import Workers
    from mvd_toolkit.meshing import Meshing
    from mvd_toolkit.upscale_file import UpscaleFile, UpscalerOnDemand

    out = output(ctx)
    who = Workers(workers, dask, slurm)
    wanted = _files.suffixes("grid", reads=True)
    files = _files.gather(out, inputs, out_path, form, wanted, files_from, shard)
    job = UpscaleFile(
        UpscalerOnDemand(model, device, tile),
        files.destination,
        to,
        form,
        low_rule,
        fill,
        on_exists,
        who.threads(threads),
        Meshing(smooth, faces, size),
        keep_parts,
    )
    _files.run(out, files, job, who)
