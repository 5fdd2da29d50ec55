"""`mvd formats`: what can be read and written, and what each keeps."""

from __future__ import annotations

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output


def formats(
    ctx: typer.Context,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the file formats, with what each of them keeps."""
    from mvd_toolkit import io

    out = output(ctx)
    rows = [
        {
            "name": form.name,
            "kind": form.kind,
            "suffixes": list(form.suffixes),
            "reads": form.reads,
            "writes": form.writes,
            "place": form.place,
            "unit": form.unit,
            "up": form.up,
            "keeps": form.keeps,
        }
        for form in io.known_formats()
    ]
    for row in rows:
        out.item(row)
    out.table(rows)
    out.finish()
