"""What holds for every command: help, version, exit codes, the JSON document."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mvd_toolkit
from mvd_toolkit.cli import app

COMMANDS = (
    *("upscale", "convert", "train", "evaluate", "info"),
    *(
        "pipeline",
        "render",
        "view",
        "formats",
        "models",
        "plugins",
        "doctor",
        "serve",
        "reconstruct",
    ),
)


def program(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`mvd` as a program of its own."""
    code = "from mvd_toolkit.cli import main; main()"
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.mark.parametrize("args", [["--help"], ["upscale", "--help"], ["-h"], []])
def test_help_loads_neither_torch_nor_numpy(args: list[str]) -> None:
    code = (
        "import sys\n"
        "from mvd_toolkit.cli import run\n"
        f"code = run({args!r})\n"
        "loaded = [m for m in ('torch', 'numpy', 'meshio', 'safetensors') if m in sys.modules]\n"
        "print(code, loaded, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "0 []\n"
    assert "Usage: mvd" in done.stdout


def test_help_is_quick() -> None:
    """Processor time, not wall time: other tests may be running."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        program("--help", check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)

    assert min(seconds() for _ in range(5)) < 0.5


def test_help_lists_every_command(mvd: Callable[..., Any]) -> None:
    result = mvd("--help")
    assert [name for name in COMMANDS if name not in result.out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_common_options(mvd: Callable[..., Any], command: str) -> None:
    result = mvd(command, "--help")
    assert result.code == 0
    assert [o for o in ("--json", "--quiet", "--debug", "--help") if o not in result.out] == []


def test_version(mvd: Callable[..., Any]) -> None:
    result = mvd("--version")
    assert (result.code, result.out) == (0, f"mvd_toolkit {mvd_toolkit.__version__}\n")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["upscal"], "No such command 'upscal'"),
        (["upscale"], "expected files or folders, - for a list of them, or --files-from"),
        (["info"], "Missing argument 'FILE'.\n  `mvd info --help` says more"),
        (["upscale", "a", "--to", "big"], "Invalid value for '--to'"),
        (["upscale", "a", "--low-rule", "most"], "Invalid value for '--low-rule'"),
        (["upscale", "a", "--sharpen"], "No such option: --sharpen"),
    ],
)
def test_usage_errors(mvd: Callable[..., Any], args: list[str], text: str) -> None:
    result = mvd(*args)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("mvd: error: ")
    assert text in result.err
    document = mvd(*args, "--json").document
    assert document["error"]["type"] == "UsageError"
    assert document["error"]["exit_code"] == 2
    assert text in document["error"]["message"]


def break_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `mvd info` end in ``error``, after a library has printed something."""
    from mvd_toolkit import batch

    def broken(*args: Any, **kwargs: Any) -> None:
        print("a library's chatter")
        raise error

    monkeypatch.setattr(batch, "run", broken)


def test_a_bug_says_so(mvd: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    break_command(monkeypatch, ZeroDivisionError("division by zero"))
    result = mvd("info", "a.npy")
    assert result.code == 1
    assert "this is a bug in mvd_toolkit: ZeroDivisionError: division by zero" in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in mvd("info", "a.npy", "--debug").err


def test_document_is_alone_on_stdout(
    mvd: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_command(monkeypatch, ZeroDivisionError("division by zero"))
    result = mvd("info", "a.npy", "--json")
    assert result.document["schema"] == "mvd.info/1"
    assert result.document["error"]["type"] == "bug"
    assert "a library's chatter" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 3),
        (PermissionError(13, "Permission denied", "a.npy"), 3),
        (mvd_toolkit.UsageError("x"), 2),
        (mvd_toolkit.InputError("x"), 3),
        (mvd_toolkit.BatchError("x"), 4),
        (mvd_toolkit.UnavailableError("x"), 5),
        (mvd_toolkit.OutputExistsError("x"), 6),
        (mvd_toolkit.ThresholdError("x"), 7),
    ],
)
def test_exit_codes(
    mvd: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    break_command(monkeypatch, error)
    assert mvd("info", "a.npy").code == code
    assert mvd("info", "a.npy", "--json").document["error"]["exit_code"] == code


def test_sigterm_outside_a_batch() -> None:
    code = (
        "import os, signal\n"
        "from mvd_toolkit import batch, cli\n"
        "def broken(*args, **kwargs): os.kill(os.getpid(), signal.SIGTERM)\n"
        "batch.run = broken\n"
        "import sys; sys.argv = ['mvd', 'info', 'a.npy', '--json']\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 143
    assert json.loads(done.stdout)["error"]["message"] == "terminated"


def test_reader_of_stdout_that_goes_away() -> None:
    code = "from mvd_toolkit.cli import main; main()"
    command = [sys.executable, "-c", code, "formats"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.wait()
    assert "Traceback" not in errors
    assert "bug" not in errors


def test_commands_are_all_tested() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert sorted(names) == sorted(COMMANDS)


def test_formats(mvd: Callable[..., Any]) -> None:
    rows = mvd("formats", "--json").document["items"]
    binvox = next(row for row in rows if row["name"] == "binvox")
    assert (binvox["kind"], binvox["reads"], binvox["writes"]) == ("grid", True, True)
    assert ".binvox" in mvd("formats").out


def test_plugins(mvd: Callable[..., Any]) -> None:
    rows = {row["name"]: row for row in mvd("plugins", "--json").document["items"]}
    assert rows["unet"]["backbones"] == ["unet"]
    lines = mvd("plugins").out.splitlines()
    assert ["ok", "backbone", "resnet"] in [line.split()[-3:] for line in lines]
    formats = str(len(rows["formats"]["formats"]))
    assert [formats, "formats"] in [line.split()[-2:] for line in lines]


def test_models(mvd: Callable[..., Any], tiny_model: Path, tmp_path: Path) -> None:
    rows = mvd("models", tiny_model.parent, "--json").document["items"]
    assert [(row["name"], row["scale"], row["depth"]) for row in rows] == [("tiny", 8, "unet")]
    assert mvd("models", tmp_path).code == 3


def test_files_of_a_predictor_are_no_model(mvd: Callable[..., Any]) -> None:
    names = [item["name"] for item in mvd("models", "--json").document["items"]]
    assert "reconstruct/upscaler" in names  # whose silhouette has a config.json of its own
    assert not [name for name in names if name.endswith("silhouette")]


def test_models_that_cannot_be_loaded(
    mvd: Callable[..., Any], tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    shutil.copytree(tiny_model, tmp_path / "tiny")
    result = mvd("models", tmp_path, "--json")
    assert result.code == 5
    assert [item["name"] for item in result.document["items"]] == ["tiny"]
    assert "broken" in result.document["warnings"][0]
    assert "1 of 2 models cannot be loaded: broken" in result.document["error"]["message"]


def test_doctor(mvd: Callable[..., Any], monkeypatch: Any) -> None:
    from mvd_toolkit import model_directory

    document = mvd("doctor", "--json").document
    assert all(item["ok"] for item in document["items"])
    monkeypatch.setattr(model_directory, "DEFAULT_NAME", "none")
    monkeypatch.setattr(model_directory, "RECONSTRUCTOR_NAME", "none")
    result = mvd("doctor")
    assert result.code == 5
    assert "not usable: default model, pictures; the lines above say why" in result.err
