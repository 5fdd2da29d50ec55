"""`mvd train`: both predictors, from a dataset of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    DeviceOption,
    JsonFlag,
    QuietFlag,
    ThreadsOption,
    output,
)

if TYPE_CHECKING:
    from mvd_toolkit.training_loop import TrainResult


def train(
    ctx: typer.Context,
    dataset: Annotated[
        Path | None,
        typer.Argument(metavar="DATASET", help="A folder that `mvd convert --pairs` made."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="RUN", help="Folder of the run; the model will be RUN/model."
        ),
    ] = None,
    target: Annotated[
        Literal["upscale", "reconstruct"],
        typer.Option(help="The two predictors of upscaling, or a network from pictures to grids."),
    ] = "upscale",
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
    reconstructor: Annotated[
        str | None, typer.Option(help="Network of --target reconstruct: see `mvd plugins`.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Learn on from this model's networks: default, say."),
    ] = None,
    predicted_by: Annotated[
        str | None,
        typer.Option(
            metavar="RECONSTRUCTOR",
            help="Learn to upscale the grids that this model makes of the dataset's pictures.",
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Which pairs, when the dataset has several."),
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option: width=64, train.ema=0.99 …"),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Length of the run in epochs. Default: 40.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Or in steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Or in minutes.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Shapes in a step, of all devices together.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    low_rule: Annotated[
        str | None,
        typer.Option(metavar="RULES", help="Low rules to learn, any=2,half=1,soft=1 say."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many validations without a better IoU.")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(help="bf16 is quicker where the device has it; auto asks the device."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and draws.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Only algorithms that repeat exactly.")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Go on with a run, by its own settings."),
    ] = None,
    device: DeviceOption = "cpu",
    devices: Annotated[
        int, typer.Option(min=1, help="Devices of this machine that share each batch.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Machines that share it, each with so many devices.")
    ] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write RUN/tensorboard/ too.")
    ] = False,
    threads: ThreadsOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Train a silhouette and a depth predictor, or a reconstructor of pictures.

    Writes RUN/run.json, metrics.jsonl, curves.svg, state/ and at the end model/, which
    `mvd upscale -m` takes. The same command, or --resume RUN, goes on with a run that was stopped.
    """
    from mvd_toolkit.parallel import is_first_process
    from mvd_toolkit.training_settings import parse_rules

    out = output(ctx)
    if devices * nodes > 1 and not is_first_process():
        out.mute()
    _use_threads(threads)
    low, high = _edges(pairs)
    place = _place(run, resume)
    with out.progress(1, "train") as progress:
        progress.start(place.name)

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

        result = _trainer(target, reconstructor, start, predicted_by)(
            dataset,
            place,
            low=low,
            high=high,
            device=device,
            devices=devices,
            nodes=nodes,
            resume=resume is not None,
            board=tensorboard,
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
            rules=None if low_rule is None else parse_rules(low_rule),
            patience=patience,
            precision=precision,
            seed=seed,
            deterministic=deterministic or None,
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


def _trainer(
    target: str, reconstructor: str | None, start: str | None, predicted_by: str | None
) -> Callable[..., TrainResult]:
    """What trains the target."""
    from mvd_toolkit.errors import UsageError

    if target == "reconstruct":
        if start is not None or predicted_by is not None:
            raise UsageError("--start and --predicted-by are for --target upscale")
        from mvd_toolkit.train_reconstructor import train_reconstructor

        return partial(train_reconstructor, reconstructor=reconstructor)
    if reconstructor is not None:
        raise UsageError("--reconstructor is for --target reconstruct")
    from mvd_toolkit.train import train as train_predictors

    return partial(train_predictors, start=start, predicted_by=predicted_by)


def _place(run: Path | None, resume: Path | None) -> Path:
    """The folder of the run."""
    from mvd_toolkit.errors import UsageError

    place = run or resume
    if place is None:
        raise UsageError("train: -o says where the run goes")
    if run is not None and resume is not None and run.resolve() != resume.resolve():
        raise UsageError(f"train: --resume {resume} goes on there, not in {run}")
    return place


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
