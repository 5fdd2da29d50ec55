"""`mvd pipeline`: convert, train, upscale and evaluate by one recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvd_toolkit.cli._options import DebugFlag, JsonFlag, QuietFlag, ThreadsOption, output


def pipeline(
    ctx: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file with a table for each stage.")
    ],
    threads: ThreadsOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Run the stages of a recipe: convert, train, upscale, evaluate.

    A stage whose recipe and inputs are unchanged is skipped, one that was cut off goes on.
    """
    from mvd_toolkit.pipeline import StageOutcome, run_pipeline
    from mvd_toolkit.pipeline_recipe import STAGES

    out = output(ctx)
    if threads > 0:
        import torch

        torch.set_num_threads(threads)
    with out.progress(len(STAGES), "pipeline") as progress:

        def tell(outcome: StageOutcome) -> None:
            progress.finish()
            item = {"stage": outcome.stage, "status": outcome.status, **outcome.facts}
            out.item(item | {"output": str(outcome.output), "seconds": round(outcome.seconds, 3)})
            out.say(f"{outcome.status:8} {outcome.stage}, {outcome.seconds:.1f} s")
            out.data(str(outcome.output))

        progress.start(recipe.stem)
        outcomes = run_pipeline(recipe, on_stage=tell, tell=progress.step)
    counts = {what: sum(o.status == what for o in outcomes) for what in ("made", "skipped")}
    out.summary = {**counts, "recipe": str(recipe)}
    out.finish()
