"""The command line: `mvd`, one command a file, each importing what it needs when it runs.

Exit codes: 0 done · 1 a bug · 2 usage · 3 input unreadable or over a limit · 4 a batch with
failures · 5 device, extra, model or plugin unavailable · 6 output exists · 7 below `--fail-under`
· 130/143 signals.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NoReturn

import typer

from mvd_toolkit.cli import (
    convert,
    doctor,
    evaluate,
    formats,
    info,
    models,
    pipeline,
    plugins,
    reconstruct,
    render,
    serve,
    train,
    upscale,
    view,
)
from mvd_toolkit.cli._options import output
from mvd_toolkit.cli._output import Output
from mvd_toolkit.errors import FormatWarning, MVDError

app = typer.Typer(
    name="mvd",
    help="Upscale coarse voxel grids by multi-view decomposition.\n\n"
    "Begin with `mvd upscale chair.binvox -o chair.stl`; `mvd upscale --help` tells its options.",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(*commands: Callable[..., None]) -> None:
    """Add commands under their own names; a docstring's paragraphs are the help's."""
    for command in commands:
        paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        app.command(help="\n\n".join(" ".join(p.split()) for p in paragraphs))(command)


_add(
    upscale.upscale,
    reconstruct.reconstruct,
    convert.convert,
    train.train,
    evaluate.evaluate,
    pipeline.pipeline,
    render.render,
    view.view,
    serve.serve,
    info.info,
    formats.formats,
    models.models,
    plugins.plugins,
    doctor.doctor,
)


def _version(ctx: typer.Context, value: bool) -> None:
    if value:
        from mvd_toolkit import __version__

        output(ctx).data(f"mvd_toolkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    output(ctx).command = ctx.invoked_subcommand or "cli"


def main() -> NoReturn:
    """The `mvd` program."""
    signal.signal(signal.SIGTERM, _terminate)
    code = run(sys.argv[1:])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.exit(code)


def run(args: Sequence[str]) -> int:
    """Run `mvd` with these arguments; every error is told, none escapes: the exit code."""
    out = Output()
    arguments = list(args) or ["--help"]
    try:
        with _stray_prints_become_talk(arguments), _format_warnings_become_notes(out):
            code = app(args=arguments, prog_name="mvd", standalone_mode=False, obj=out)
        if code == 128 + signal.SIGINT:  # what Typer makes of a KeyboardInterrupt
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except SystemExit as leaving:  # how Typer ends when the reader of stdout went away
        return leaving.code if isinstance(leaving.code, int) else 1
    except BaseException as error:  # whatever it is, it is told here and nowhere else
        out.json = out.json or _asks_for_json(arguments)
        out.debug = out.debug or "--debug" in arguments
        kind, message, code = _diagnose(error)
        out.fail(error, kind, message, code)
        return code


@contextlib.contextmanager
def _format_warnings_become_notes(out: Output) -> Iterator[None]:
    """What readers and writers of files warn of is told as a note, each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", FormatWarning)
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, FormatWarning):
                out.warn(str(message))
            else:
                show(message, category, *where)

        warnings.showwarning = tell  # type: ignore[assignment]
        yield


class _Terminated(BaseException):
    """SIGTERM came; temporary files are cleaned up on its way out."""


def _terminate(number: int, frame: object) -> NoReturn:
    raise _Terminated


def _diagnose(error: BaseException) -> tuple[str, str, int]:
    """The kind, the text and the exit code of whatever ended a command."""
    if isinstance(error, MVDError):
        return type(error).__name__, str(error), error.exit_code
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "Interrupted", "interrupted", 128 + signal.SIGINT
    if isinstance(error, _Terminated):
        return "Interrupted", "terminated", 128 + signal.SIGTERM
    if hasattr(error, "format_message"):  # what Typer raises on arguments it cannot parse
        where = getattr(getattr(error, "ctx", None), "command_path", "mvd")
        message = error.format_message().replace(": Value error, ", ": ")
        return "UsageError", f"{message}\n  `{where} --help` says more", 2
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "Interrupted", "the reader of the output went away", 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.filename is not None:
        return "InputError", f"{error.filename}: {error.strerror}", 3
    if isinstance(error, MemoryError):
        return "InputError", "this machine has too little memory for it", 3
    return (
        "bug",
        f"this is a bug in mvd_toolkit: {type(error).__name__}: {error}\n"
        "  please report it with what --debug prints",
        1,
    )


def _asks_for_json(arguments: Sequence[str]) -> bool:
    return "--json" in arguments


def _stray_prints_become_talk(
    arguments: Sequence[str],
) -> contextlib.AbstractContextManager[object]:
    """Keeps what libraries print out of the JSON document."""
    helping = {"--help", "-h"} & set(arguments)
    if _asks_for_json(arguments) and not helping:
        return contextlib.redirect_stdout(sys.stderr)
    return contextlib.nullcontext()
