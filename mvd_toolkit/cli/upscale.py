"""`mvd upscale`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    DeviceOption,
    FacesOption,
    Fill,
    FormatOption,
    JsonFlag,
    LowRule,
    ModelOption,
    OnExistsOption,
    OutputOption,
    QuietFlag,
    SizeOption,
    SmoothFlag,
    ThreadsOption,
    output,
)


def upscale(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IN...", help="Voxel files, or folders of them.")
    ],
    out_path: OutputOption = None,
    model: ModelOption = None,
    to: Annotated[
        int | None, typer.Option(min=1, help="Longest edge of the result, voxels.")
    ] = None,
    form: FormatOption = None,
    low_rule: Annotated[LowRule, typer.Option(help="How the coarse grid was made.")] = "auto",
    fill: Annotated[
        Fill, typer.Option(help="Fill what no face can see into, or take the grid as it is.")
    ] = "hull",
    device: DeviceOption = "cpu",
    smooth: SmoothFlag = None,
    faces: FacesOption = None,
    size: SizeOption = None,
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
    from mvd_toolkit.meshing import Meshing
    from mvd_toolkit.upscale_file import UpscaleFile, UpscalerOnDemand

    out = output(ctx)
    _files.writable(form)
    destination = _files.destination(out, out_path, inputs)
    items = _files.find(out, inputs, _files.suffixes("grid", reads=True), destination)
    on_demand, meshing = UpscalerOnDemand(model, device), Meshing(smooth, faces, size)
    job = UpscaleFile(on_demand, destination, to, form, low_rule, fill, on_exists, threads, meshing)
    _files.run(out, items, job, single=_files.is_single(inputs))
