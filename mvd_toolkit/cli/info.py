"""`mvd info`: what is in a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, output


def info(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Grids or meshes.")],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Show format, extent and content of voxel and mesh files."""
    from mvd_toolkit import batch

    out = output(ctx)

    def tell(outcome: batch.Outcome[batch.Source, dict[str, Any]]) -> None:
        facts: dict[str, Any] = {"file": str(outcome.source.path), **(outcome.result or {})}
        if outcome.error is None:
            if len(files) > 1 and outcome.source.path != files[0]:
                out.data("")
            out.facts({**facts, "header": " ⏎ ".join(facts["header"])[:100]})
        else:
            facts["error"] = {"type": type(outcome.error).__name__, "message": str(outcome.error)}
        out.item(facts)

    items = [batch.Source(path, Path(path.name)) for path in files]
    outcomes = batch.run(items, lambda source: describe(source.path), tell)
    batch.raise_failures(outcomes, single=len(files) == 1)
    out.finish()


def describe(path: Path) -> dict[str, Any]:
    """What is known of a file, JSON-able.

    Raises:
        InputError: it cannot be read.
    """
    from mvd_toolkit import io
    from mvd_toolkit.io.header import header_lines

    form = io.sniff(path)
    head = {
        "format": form.name,
        "kind": form.kind,
        "bytes": path.stat().st_size,
        "header": header_lines(path),
        "unit": form.unit or None,
        "up": form.up or None,
    }
    return head | (_mesh(path) if form.kind == "mesh" else _grid(path))


def _grid(path: Path) -> dict[str, Any]:
    from mvd_toolkit import ops, sidecar
    from mvd_toolkit.low_rule import guess_low_rule

    grid = sidecar.load_grid(path)
    voxels = grid.shape[0] * grid.shape[1] * grid.shape[2]
    occupied = grid.count()
    solid = ops.hull(grid)
    facts = {
        "shape": list(grid.shape),
        "origin": list(grid.origin),
        "spacing": list(grid.spacing),
        "extent": [n * s for n, s in zip(grid.shape, grid.spacing, strict=True)],
        "occupied": occupied,
        "occupancy": occupied / voxels if voxels else 0.0,
        "parts": ops.count_parts(grid),
        "filled_by_hull": solid.count() - occupied,
        "packed_bytes": int(grid.packed.nbytes),
    }
    if occupied and max(grid.shape) <= 256:
        guess = guess_low_rule(solid)
        facts |= {"low_rule": guess.rule, "low_rule_confidence": round(guess.confidence, 3)}
    return facts


def _mesh(path: Path) -> dict[str, Any]:
    import numpy as np

    from mvd_toolkit import io
    from mvd_toolkit.mesh_facts import mesh_facts

    mesh = io.load_mesh(path)
    used = mesh.vertices[np.unique(mesh.faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    return {
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.faces),
        "lowest": low.tolist(),
        "highest": high.tolist(),
        "extent": (high - low).tolist(),
        **asdict(mesh_facts(mesh)),
    }
