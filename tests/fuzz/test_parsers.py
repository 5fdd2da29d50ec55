"""Every reader ends in a value or in an error of its own, whatever the bytes.

`run.py` beside this file does the same with a million inputs, in processes of little memory.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutate import mutate
from targets import Target, all_targets

from mvd_toolkit import io

OWN = ("pair", "dataset", "sidecar", "recipe", "log", "config", "weights")
NAMES = (*(known.name for known in io.known_formats()), *OWN)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return all_targets(tmp_path_factory.mktemp("fuzz"))


def test_every_reader_is_a_target(targets: dict[str, Target]) -> None:
    assert set(targets) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 2**32))
def test_value_or_error(
    targets: dict[str, Target], name: str, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    target = targets[name]
    rng = random.Random(number)
    target.end(mutate(rng.choice(target.seeds), rng, target.seeds))
    assert capfd.readouterr() == ("", "")
