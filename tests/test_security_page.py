"""docs/security.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_tests_that_the_page_names_are_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|csrc)/[\w/.]+)`", text))
    assert len(named) > 10
    assert not {name for name in named if not (ROOT / name).exists()}
