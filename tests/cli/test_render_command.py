"""`mvd render`: files of the kinds that people want."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Mvd = Callable[..., Any]
SMALL = ("--size", "40", "--samples", "1")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture(mvd: Mvd, ball_file: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "out" / f"ball.{suffix}"
    result = mvd("render", ball_file, "-o", path, *SMALL)
    assert result.code == 0
    assert result.out.split() == [str(path)]
    assert Image.open(path).size == (40, 40)
    again = mvd("render", ball_file, "-o", path, *SMALL)
    assert again.code == 6
    assert mvd("render", ball_file, "-o", path, *SMALL, "--on-exists", "overwrite").code == 0


def test_several_side_by_side(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    colours = ("--colour", "ff0000", "--colour", "#00ff00")
    assert mvd("render", ball_file, ball_file, "-o", path, *SMALL, *colours).code == 0
    image = Image.open(path)
    assert image.size == (80, 80)
    red, green = image.getpixel((20, 20)), image.getpixel((60, 20))
    assert red[0] > red[1] + 50
    assert green[1] > green[0] + 50


def test_one_that_turns(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "ball.gif"
    options = ("--frames", "3", "--elevation", "10")
    assert mvd("render", ball_file, "-o", path, *SMALL, *options).code == 0
    assert Image.open(path).n_frames == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-o", "a.bmp"), "expected .png .jpg .jpeg .webp for a picture"),
        (("-o", "a.png", "--frames", "3"), "or .gif .webp for one file that turns"),
        (("-o", "a.png", "--colour", "red"), "--colour: expected RRGGBB"),
    ],
)
def test_options_that_make_no_sense(
    mvd: Mvd, ball_file: Path, arguments: tuple[str, ...], text: str
) -> None:
    result = mvd("render", ball_file, *arguments)
    assert result.code == 2
    assert text in result.err


def test_a_page_to_turn(mvd: Mvd, ball_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "view.html"
    result = mvd("view", ball_file, ball_file, "-o", path)
    assert result.code == 0
    assert result.out.split() == [str(path)]
    text = path.read_text(encoding="utf-8")
    assert text.count('class="grid"') == 2
    assert 'data-open="yes"' in text
    assert mvd("view", ball_file, "-o", path).code == 6
