"""`docs/code.md` names every module, and imports go up that page, never down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mvd_toolkit"


def groups() -> list[list[str]]:
    """The modules that each section of the page names."""
    sections = (ROOT / "docs" / "code.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return [re.findall(r"`(\w+)`", section) for section in sections]


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports when it is loaded."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "mvd_toolkit":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("mvd_toolkit."):
            yield str(node.module).split(".")[1]


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def test_every_module_is_on_the_page_once() -> None:
    names = [name for group in groups() for name in group if not name[0].isupper()]
    assert sorted(names) == sorted({module_of(path) for path in FILES})


def test_no_module_imports_from_a_later_group() -> None:
    place = {name: number for number, group in enumerate(groups()) for name in group}
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in FILES
        for name in imported(path)
        if place.get(name, 0) > place[module_of(path)]
    ]
    assert not wrong
