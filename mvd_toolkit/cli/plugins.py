"""`mvd plugins`: what is installed, what each brings, and which are broken and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output

if TYPE_CHECKING:
    from mvd_toolkit.plugin_loading import PluginRow

MOST_NAMES = 3
"""More names of a kind than these are counted; `mvd formats` and ``--json`` list them."""


def plugins(
    ctx: typer.Context,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the plugins; a broken one is a row that says why."""
    from mvd_toolkit.plugins import plugin_report

    out = output(ctx)
    rows = plugin_report()
    for row in rows:
        out.item(asdict(row))
    out.table([_line(row) for row in rows])
    out.finish()


def _line(row: PluginRow) -> dict[str, str]:
    """A row for people: what a plugin gives in a few words, and what is wrong with it last."""
    given = {
        "backbone": row.backbones,
        "predictor": row.predictors,
        "reconstructor": row.reconstructors,
        "format": row.formats,
        "metric": row.metrics,
    }
    said = [
        f"{kind} {', '.join(names)}" if len(names) <= MOST_NAMES else f"{len(names)} {kind}s"
        for kind, names in given.items()
        if names
    ]
    return {
        "name": row.name,
        "module": row.module,
        "distribution": row.distribution,
        "version": row.version,
        "status": row.status,
        "gives": "; ".join(said),
        "error": row.error,
    }
