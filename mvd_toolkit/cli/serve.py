"""`mvd serve`: upscaling in a browser, or over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from mvd_toolkit.cli._options import (
    DebugFlag,
    DeviceOption,
    JsonFlag,
    ModelOption,
    QuietFlag,
    output,
)


def serve(
    ctx: typer.Context,
    model: ModelOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default this machine's own.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8420,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that browsers may call the service by; repeat."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Files upscaled at once.")] = 1,
    waiting: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Files that may wait; more are refused (503)."),
    ] = 64,
    timeout: Annotated[
        float, typer.Option(min=1, max=86_400, help="Seconds for one file.")
    ] = 120.0,
    memory: Annotated[int, typer.Option(min=1024, help="Address space of a worker, MiB.")] = 4096,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest file, MiB.")] = 64,
    max_edge: Annotated[
        int, typer.Option(min=3, max=256, help="Longest edge of a coarse grid, voxels.")
    ] = 128,
    device: DeviceOption = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Of one worker; 0: one a core.")] = 1,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Serve a page, and an HTTP API, that upscales what is dropped on it.

    Ctrl-C ends it. Nothing that is sent is kept.
    """
    from mvd_toolkit import model_directory
    from mvd_toolkit.errors import UnavailableError
    from mvd_toolkit.serve.settings import Settings

    out = output(ctx)
    try:
        from mvd_toolkit.serve import run
    except ImportError as error:
        raise UnavailableError(
            f"mvd serve: the package {error.name!r} is missing; "
            "`pip install 'mvd_toolkit[serve]'` brings it"
        ) from error
    from mvd_toolkit.serve.guards import is_loopback

    model_directory.read_config(model_directory.find_model(model))  # a bad one is told at once
    settings = Settings(
        model=model,
        device=device,
        workers=workers,
        waiting=waiting,
        timeout=timeout,
        memory=memory << 20,
        max_upload=max_upload << 20,
        max_edge=max_edge,
        threads=threads,
        hosts=(host, *(allow_host or ())),
    )
    bound = run.bind(host, port)
    url = run.url(bound)
    if not is_loopback(host):
        out.warn(f"--host {host}: everyone who reaches this machine can use the service")
    out.item({"url": url})
    out.say("loading the model")

    def ready() -> None:
        out.say(f"serving on {url}, Ctrl-C ends it")
        out.data(url)

    run.serve(settings, bound, ready)
    out.finish()
