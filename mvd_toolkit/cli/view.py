"""`mvd view`: grids and meshes to turn with the mouse."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output


def view(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Grids or meshes.")],
    out_path: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the page here; else a temporary one is opened."),
    ] = None,
    up: Annotated[Literal["x", "y", "z"], typer.Option(help="The vertical axis.")] = "z",
    resolution: Annotated[
        int, typer.Option(min=8, max=2048, help="Longest edge a mesh is voxelized at.")
    ] = 256,
    on_exists: Annotated[
        Literal["error", "overwrite"], typer.Option(help="When the page exists.")
    ] = "error",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Open a page on which grids and meshes turn together; one file, nothing is fetched."""
    from mvd_toolkit import io
    from mvd_toolkit.cli.render import load_any
    from mvd_toolkit.io.atomic import make_folder
    from mvd_toolkit.report.page import Card, Page, Panel, write_page

    out = output(ctx)
    overwrite = on_exists == "overwrite"
    if out_path is not None:
        io.check_target(out_path, overwrite=overwrite)
    panels = [Panel(path.name, load_any(path, resolution)) for path in files]
    title = ", ".join(path.name for path in files)
    page = Page(title, [Card("", panels, turning=True)], up=up)
    target = out_path or Path(tempfile.mkdtemp(prefix="mvd-view-")) / "view.html"
    make_folder(target.parent)
    write_page(page, target, overwrite=overwrite)
    out.item({"inputs": [str(path) for path in files], "output": str(target)})
    out.data(str(target))
    if out_path is None:
        import webbrowser

        if not webbrowser.open(target.resolve().as_uri()):
            out.warn("no browser could be opened; open the page by hand")
    out.finish()
