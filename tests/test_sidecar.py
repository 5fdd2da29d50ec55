"""Sidecars: what is finished, what a killed run left, what is a stranger's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mvd_toolkit.errors import OutputExistsError, UsageError
from mvd_toolkit.sidecar import (
    Recipe,
    file_hash,
    making,
    read,
    sidecar_path,
    status,
)

RECIPE = Recipe("upscale", {"size": 256})
INPUT = "00" * 32


def make(output: Path, text: str = "made", recipe: Recipe = RECIPE) -> None:
    with making(output, recipe, INPUT) as facts:
        output.write_text(text)
        facts["device"] = "cpu"


def test_sidecar_says_how_the_output_was_made(tmp_path: Path) -> None:
    output = tmp_path / "new" / "a.npy"
    make(output)
    document = json.loads((tmp_path / "new" / "a.npy.mvd.json").read_text())
    assert document == {
        "schema": "mvd.sidecar/1",
        "recipe_hash": RECIPE.hash,
        "input_sha256": INPUT,
        "command": "upscale",
        "options": {"size": 256},
        "version": RECIPE.version,
        "finished": True,
        "output_sha256": file_hash(output),
        "device": "cpu",
    }


def test_recipe_hash_is_of_command_options_and_version() -> None:
    same = Recipe("x", {"a": 1, "b": 2})
    assert same.hash == Recipe("x", {"b": 2, "a": 1}).hash
    others = [Recipe("y", {"a": 1, "b": 2}), Recipe("x", {"a": 1, "b": 3})]
    others.append(Recipe("x", {"a": 1, "b": 2}, version="0"))
    assert same.hash not in {other.hash for other in others}


@pytest.mark.parametrize("on_exists", ["error", "skip", "overwrite"])
def test_a_finished_item_is_skipped(tmp_path: Path, on_exists: str) -> None:
    output = tmp_path / "a.npy"
    assert status(output, RECIPE, INPUT, on_exists) == "made"  # type: ignore[arg-type]
    make(output)
    assert status(output, RECIPE, INPUT, on_exists) == "skipped"  # type: ignore[arg-type]


def spoil(output: Path, how: str) -> tuple[Recipe, str]:
    """Make ``output`` something else than finished; the recipe and input to ask with."""
    if how == "unrelated":
        output.write_text("mine")
    else:
        make(output)
    if how == "changed":
        output.write_text("made and changed")
    if how == "broken sidecar":
        sidecar_path(output).write_text("{")
    other = Recipe("upscale", {"size": 128})
    return (other if how == "recipe" else RECIPE), ("11" * 32 if how == "input" else INPUT)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("unrelated", "exists and was not made by this command"),
        ("broken sidecar", "exists and was not made by this command"),
        ("changed", "exists and was changed since it was made"),
        ("recipe", "exists and was made from another input or with other options"),
        ("input", "exists and was made from another input or with other options"),
    ],
)
def test_anything_else_stays_as_it_is(tmp_path: Path, how: str, text: str) -> None:
    output = tmp_path / "a.npy"
    recipe, input_hash = spoil(output, how)
    with pytest.raises(OutputExistsError) as caught:
        status(output, recipe, input_hash, "error")
    assert str(caught.value) == (
        f"{output}: {text}; --on-exists overwrite replaces it, --on-exists skip keeps it"
    )
    assert status(output, recipe, input_hash, "skip") == "kept"
    assert status(output, recipe, input_hash, "overwrite") == "made"


def test_what_a_killed_run_left_is_made_again(tmp_path: Path) -> None:
    """A kill between the output and its sidecar must not look like a stranger's file."""
    output = tmp_path / "a.npy"
    make(output)
    document = json.loads(sidecar_path(output).read_text())
    sidecar_path(output).write_text(json.dumps({**document, "finished": False}))
    assert status(output, RECIPE, INPUT, "error") == "made"
    with pytest.raises(OutputExistsError):
        status(output, Recipe("upscale", {"size": 1}), INPUT, "error")


def test_an_error_takes_the_claim_back(tmp_path: Path) -> None:
    output = tmp_path / "a.npy"
    claims: list[object] = []

    def fail() -> None:
        with making(output, RECIPE, INPUT):
            claims.append((read(output) or {}).get("finished"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert claims == [False]
    assert not sidecar_path(output).exists()


def test_failed_replacement_keeps_the_sidecar_of_what_is_there(tmp_path: Path) -> None:
    output = tmp_path / "a.npy"
    make(output)
    other = Recipe("upscale", {"size": 128})
    with pytest.raises(ZeroDivisionError), making(output, other, INPUT):
        raise ZeroDivisionError
    assert status(output, RECIPE, INPUT, "error") == "skipped"


def test_on_exists_is_one_of_three(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected error, skip, overwrite, found 'ask'"):
        status(tmp_path / "a.npy", RECIPE, INPUT, "ask")  # type: ignore[arg-type]
