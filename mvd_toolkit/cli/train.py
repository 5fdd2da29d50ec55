"""`mvd train`: both predictors, from a dataset of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    DeviceOption,
    JsonFlag,
    QuietFlag,
    ThreadsOption,
    output,
)


def train(
    ctx: typer.Context,
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A folder that `mvd convert --pairs` made.")
    ],
    run: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run: state, model.")
    ],
    preset: Annotated[
        Literal["default", "paper"] | None,
        typer.Option(help="Settings to start from: ours, or those of the paper's authors."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Backbone of both predictors: see `mvd plugins`.")
    ] = None,
    silhouette: Annotated[
        str | None, typer.Option(help="Backbone or predictor of the silhouettes alone.")
    ] = None,
    depth: Annotated[
        str | None, typer.Option(help="Backbone or predictor of the depths alone.")
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Which pairs, when there are several.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the backbone: width=64."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Length of the run in epochs.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run in steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length of the run in minutes.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Shapes in a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and draws.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in RUN, by its own settings.")
    ] = False,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Train a silhouette and a depth predictor.

    Writes RUN/run.json, metrics.jsonl, state/ and at the end model/, which `mvd upscale -m` takes.
    The same command goes on with a run that was stopped.
    """
    from mvd_toolkit.train import train as train_model

    out = output(ctx)
    _use_threads(threads)
    low, high = _edges(pairs)
    with out.progress(1, "train") as progress:
        progress.start(run.name)

        def tell(line: Mapping[str, Any], done: float) -> None:
            out.item(line)
            loss = ", ".join(
                f"{name} {value:.4g}"
                for name, value in line.items()
                if name not in ("seconds", "lr") and isinstance(value, (int, float))
            )
            progress.step(f"{done:.0%}, {loss}", done)
            if "val_iou" in line:
                out.say(f"step {line['step']}: validation IoU {line['val_iou']:.4f}")

        result = train_model(
            dataset,
            run,
            low=low,
            high=high,
            device=device,
            resume=resume,
            report=tell,
            preset=preset,
            backbone=backbone,
            silhouette=silhouette,
            depth=depth,
            options=_assignments(assign),
            epochs=epochs,
            steps=steps,
            minutes=minutes,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        )
    out.summary = {
        "run": str(result.run),
        "model": str(result.model),
        "steps": result.steps,
        "best_iou": result.best_iou,
        "best_step": result.best_step,
        "seconds": round(result.seconds, 1),
    }
    out.say(f"trained {result.steps} steps in {result.seconds:.0f} s")
    out.data(str(result.model))
    out.finish()


def _assignments(texts: list[str] | None) -> dict[str, str] | None:
    """What ``--set`` says, by name."""
    from mvd_toolkit.errors import UsageError

    values = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--set: expected NAME=VALUE, found {text!r}")
        values[name] = value
    return values or None


def _edges(text: str | None) -> tuple[int | None, int | None]:
    """The edges that ``--pairs 32:256`` names."""
    from mvd_toolkit.errors import UsageError

    if text is None:
        return None, None
    low, _, high = text.partition(":")
    if not (low.isdigit() and high.isdigit()):
        raise UsageError(f"--pairs: expected LOW:HIGH, 32:256 say, found {text!r}")
    return int(low), int(high)


def _use_threads(threads: int) -> None:
    import torch

    if threads > 0:
        torch.set_num_threads(threads)
