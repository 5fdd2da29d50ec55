"""The options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mvd_toolkit.cli._output import Output
from mvd_toolkit.sidecar import OnExists as OnExists

LowRule = Literal["auto", "any", "half", "centre", "soft"]
Fill = Literal["hull", "none"]


def output(ctx: typer.Context) -> Output:
    """What this run prints to."""
    out = ctx.find_root().obj
    assert isinstance(out, Output)
    return out


def _json(ctx: typer.Context, value: bool) -> bool:
    output(ctx).json |= value
    return value


def _quiet(ctx: typer.Context, value: bool) -> bool:
    output(ctx).quiet |= value
    return value


def _debug(ctx: typer.Context, value: bool) -> bool:
    output(ctx).debug |= value
    return value


JsonFlag = Annotated[
    bool, typer.Option("--json", callback=_json, help="One JSON document on stdout.")
]
QuietFlag = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_quiet, help="Say errors and notes alone.")
]
DebugFlag = Annotated[
    bool, typer.Option("--debug", callback=_debug, help="Errors come with a traceback.")
]
OnExistsOption = Annotated[
    OnExists,
    typer.Option(
        help="What to do when an output exists and is no finished result of this command."
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Where to write: a file for one input, chair.stl say; else a folder. "
        "Default: beside each input.",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="Format of what is written, stl say: see `mvd formats`."),
]
FilesFromOption = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="A list of inputs, one a line; -: standard input."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="The I-th of N parts of the inputs, 1/4 say, for N machines."),
]
WorkersOption = Annotated[
    int,
    typer.Option(min=0, help="Processes that share the inputs; 0: one a core of the processor."),
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|N", help="Workers of Dask: a scheduler's, or N processes started here."
    ),
]
SlurmOption = Annotated[
    str | None,
    typer.Option(
        metavar="N[,NAME=VALUE]...", help="N jobs of Slurm, with parameters of submitit's."
    ),
]
ThreadsOption = Annotated[
    int, typer.Option(min=0, help="Threads to use; 0: one a core of the processor.")
]
DeviceOption = Annotated[str, typer.Option(help="Where the networks run: cpu, cuda, cuda:1 …")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="A model directory, or a name that `mvd models` lists. Default: the one that comes "
        "with mvd.",
    ),
]
SmoothFlag = Annotated[
    bool | None,
    typer.Option(
        "--smooth/--no-smooth",
        help="Smooth the steps that voxels leave on a mesh, as is the default, or keep them.",
        show_default=False,
    ),
]


def _count(text: str) -> int:
    """A number of triangles: 50000, 50k or 1.5M."""
    scale = {"k": 10**3, "K": 10**3, "m": 10**6, "M": 10**6}.get(text[-1:], 1)
    try:
        count = float(text if scale == 1 else text[:-1]) * scale
        return int(count)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"expected a number, 50000 or 50k say, found {text!r}") from None


def _length(text: str) -> float:
    """A length in millimetres: 80mm, 8cm, 0.08m or 3.15in."""
    from mvd_toolkit.errors import UsageError
    from mvd_toolkit.io import parse_length

    try:
        return parse_length(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


SizeOption = Annotated[
    float | None,
    typer.Option(
        metavar="LENGTH",
        parser=_length,
        help="Scale a mesh until its longest side is this long: 80mm, 8cm, 0.08m, 3.15in. "
        "Default: as it is.",
    ),
]
FacesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=_count,
        help="Make a mesh of at most about so many triangles: 50000 or 50k. Default: all.",
    ),
]
