"""The documentation is true: its code runs, its commands and options exist, its links lead on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

import mvd_toolkit
from mvd_toolkit import hookspecs, io, plugins
from mvd_toolkit.cli import app, run
from mvd_toolkit.errors import MVDError
from mvd_toolkit.model_directory import DEFAULT_NAME, packaged_models

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = ROOT_COMMAND.commands  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text and its first line's number."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```(\S*)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(3)) + 1
        found.append(Block(match[1], tuple(match[2].split()), match[3], line))
    return found


def runnable(page: Path) -> list[Block]:
    return [b for b in blocks(page) if b.words or b.language in ("python", "console")]


def section(page: Path, title: str) -> str:
    """The text under a heading, up to the next of its level or above."""
    text = page.read_text(encoding="utf-8")
    level, after = re.split(rf"^(#+) {re.escape(title)}$", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the examples in it, as the root of a clone has them, to run code in."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]
    monkeypatch.undo()
    plugins.reload_plugins()


def run_console(text: str, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Run each ``$ [NAME=VALUE] mvd …`` line; all must end well."""
    for line in (line for line in text.splitlines() if line.startswith("$ ")):
        words = shlex.split(line[2:])
        program = next(i for i, word in enumerate(words) if "=" not in word)
        if words[program] != "mvd":
            continue
        with monkeypatch.context() as patch:
            for setting in words[:program]:
                patch.setenv(*setting.split("=", 1))
            plugins.reload_plugins()
            assert run(words[program + 1 :]) == 0, f"{where}: {line}"
        plugins.reload_plugins()


@pytest.mark.parametrize("page", [p for p in PAGES if runnable(p)], ids=lambda page: page.stem)
def test_code_runs_as_it_stands(page: Path, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in runnable(page):
        where = f"{page.name}, line {block.line}"
        if block.language == "console":
            run_console(block.text, monkeypatch, where)
        elif block.words:
            (option,) = block.words
            (clone / option.removeprefix("file=")).write_text(block.text, encoding="utf-8")
        else:
            padding = "\n" * (block.line - 1)
            exec(compile(padding + block.text, str(page), "exec"), names)


def test_pages_have_something_to_run() -> None:
    counted = {page.name: len(runnable(page)) for page in PAGES}
    for name in ("README.md", "cli.md", "formats.md", "method.md", "plugins.md", "python.md"):
        assert counted[name] >= 1, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            there = page.parent / file if file else page
            assert there.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def anchors(page: Path) -> list[str]:
    """What a heading of a page is called in a link."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_readme_lists_the_commands_there_are() -> None:
    listed = re.findall(r"^\| `mvd (\w+)", section(ROOT / "README.md", "Command line"), re.M)
    assert listed == list(COMMANDS)


def test_cli_page_has_a_section_for_each_command() -> None:
    headings = re.findall(
        r"^## mvd (\w+)$", (ROOT / "docs/cli.md").read_text(encoding="utf-8"), re.M
    )
    assert headings == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_cli_page_tells_each_option_and_no_other(name: str) -> None:
    page = ROOT / "docs/cli.md"
    told = section(page, f"mvd {name}")
    common = page.read_text(encoding="utf-8").split("\n## ")[0]
    options = {
        flag
        for parameter in COMMANDS[name].params
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if parameter.param_type_name == "option"
    }
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*|(?<![\w-])-[a-z]\b", told))
    everywhere = set(re.findall(r"`(--?[a-z][a-z-]*)", common))
    undocumented = options - mentioned - everywhere
    assert not undocumented, f"docs/cli.md, mvd {name}: not mentioned: {sorted(undocumented)}"
    synopsis = next(b.text for b in blocks(page) if b.text.startswith(f"mvd {name}"))
    invented = set(re.findall(r"--[a-z][a-z-]*", synopsis)) - options
    assert not invented, f"docs/cli.md, mvd {name}: no such option: {sorted(invented)}"
    missing = {f for f in options if f.startswith("--")} - set(re.findall(r"--[a-z-]+", synopsis))
    assert missing <= {"--help", "--output", "--model", "--quiet"}, f"mvd {name}: {missing}"


def test_cli_page_has_the_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+)[ ,]", section(ROOT / "docs/cli.md", "Exit codes"), re.M)
    codes = {error.exit_code for error in MVDError.__subclasses__() if named(error)}
    assert codes | {0, 1, 130} == {int(row) for row in rows}


def test_python_page_has_the_errors() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d)", section(ROOT / "docs/python.md", "Errors"), re.M)
    expected = {e.__name__: e.exit_code for e in MVDError.__subclasses__() if named(e)}
    assert {name: int(code) for name, code in rows} == expected


def named(error: type[MVDError]) -> bool:
    """Whether an error is of the public tree."""
    return error.__module__ == "mvd_toolkit.errors"


def test_formats_page_has_the_table_of_formats() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (.+) \|$",
        (ROOT / "docs/formats.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    expected = [
        (
            form.name,
            ", ".join(f"`{suffix}`" for suffix in form.suffixes),
            form.kind,
            "yes" if form.reads else "no",
            "yes" if form.writes else "no",
            form.unit or "any",
            form.up or "any",
            form.keeps,
        )
        for form in io.known_formats()
    ]
    assert rows == expected


def test_plugins_page_tells_each_hook_and_field() -> None:
    page = ROOT / "docs/plugins.md"
    hooks = [name for name in vars(hookspecs) if name.startswith("mvd_register_")]
    assert len(hooks) >= 2
    specs = {
        "mvd_register_backbones": hookspecs.BackboneSpec,
        "mvd_register_predictors": hookspecs.PredictorSpec,
        "mvd_register_reconstructors": hookspecs.ReconstructorSpec,
        "mvd_register_formats": hookspecs.Format,
        "mvd_register_metrics": hookspecs.MetricSpec,
    }
    for hook in hooks:
        told = section(page, hook)
        assert len(told.split()) > 10, hook
        for field in specs[hook].__dataclass_fields__:
            assert f"`{field}`" in told, f"{hook}: {field}"


def test_environment_variables_are_told() -> None:
    told = set(re.findall(r"`(MVD_\w+)`", section(ROOT / "docs/cli.md", "Environment")))
    used = set()
    for file in (ROOT / "mvd_toolkit").rglob("*.py"):
        used |= set(re.findall(r"\bMVD_[A-Z]+(?:_[A-Z]+)*\b", file.read_text(encoding="utf-8")))
    used -= {"MVD_CUDA", "MVD_WERROR"}  # of the build
    assert told == used


def test_the_default_model_is_there() -> None:
    assert DEFAULT_NAME in packaged_models()


@pytest.mark.skipif(os.name == "nt", reason="shell syntax")
def test_readme_commands_name_files_that_exist() -> None:
    for block in (b for b in blocks(ROOT / "README.md") if b.language == "sh"):
        for word in shlex.split(block.text):
            if word.startswith("examples/"):
                assert (ROOT / word).is_file(), word


def test_the_reference_has_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("pdoc")
    block = next(b.text for b in blocks(ROOT / "docs/python.md") if "pdoc --docformat" in b.text)
    command = block.replace("\\\n", " ").splitlines()[1].split()
    command[command.index("api")] = str(tmp_path)
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "mvd_toolkit.html").read_text(encoding="utf-8")
    missing = {name for name in mvd_toolkit.__all__ if f'id="{name}"' not in page}
    assert missing <= {"__version__"}
    for module in (word for word in command if word.startswith("mvd_toolkit.")):
        assert (tmp_path / f"{module.replace('.', '/')}.html").is_file(), module
