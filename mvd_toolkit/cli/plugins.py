"""`mvd plugins`: what is installed, what each brings, and which are broken and why."""

from __future__ import annotations

from dataclasses import asdict

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output


def plugins(
    ctx: typer.Context,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the plugins; a broken one is a row that says why."""
    from mvd_toolkit.plugins import plugin_report

    out = output(ctx)
    rows = [asdict(row) for row in plugin_report()]
    for row in rows:
        out.item(row)
    out.table(rows)
    out.finish()
