"""A page of cards: grids side by side, as pictures that become views to turn with the mouse.

All is in the one file: styles, the viewer (`viewer.js` over three.js, see `vendor/`), pictures, and
the grids as deflated packed bits, some ten kilobytes each. The viewer makes surfaces of them when a
card is first turned. Without JavaScript the pictures stay.
"""

from __future__ import annotations

import base64
import html
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mvd_toolkit import ops
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.atomic import atomic
from mvd_toolkit.picture_scene import CUBES_BELOW
from mvd_toolkit.picture_view import GREY, Up, View
from mvd_toolkit.pictures import render

if TYPE_CHECKING:
    from PIL.Image import Image

HERE: Final = Path(__file__).parent
LARGEST_VIEW: Final = 256
"""Longest edge of a grid in a page; finer ones are pooled."""
PICTURE_EDGE: Final = 260


@dataclass(frozen=True)
class Panel:
    """One grid of a card.

    Attributes:
        caption: plain text.
        grid: what to show.
        colour: of the shape.
        heat: as of `picture_view.View`: a still picture of how far it is from this one.
    """

    caption: str
    grid: VoxelGrid
    colour: tuple[int, int, int] = GREY
    heat: VoxelGrid | None = None


@dataclass(frozen=True)
class Card:
    """Grids that are compared: they turn together.

    Attributes:
        title: plain text.
        panels: from left to right.
        note: HTML below the title, trusted.
        after: HTML below the panels, trusted.
        anchor: what links to the card end in.
        turning: whether it is to be turned at once, without a click.
    """

    title: str
    panels: Sequence[Panel]
    note: str = ""
    after: str = ""
    anchor: str = ""
    turning: bool = False


@dataclass(frozen=True)
class Page:
    """What a page holds.

    Attributes:
        title: plain text.
        cards: in order.
        before: HTML before the cards, trusted.
        after: HTML after them, trusted.
        data: JSON-able, in the page as ``<script id="data" type="application/json">``.
        up: the vertical axis of the pictures and views.
    """

    title: str
    cards: Sequence[Card]
    before: str = ""
    after: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    up: Up = "z"


def write_page(page: Page, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a page, whole or not at all.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
    """
    with atomic(path, overwrite=overwrite) as file:
        file.write(page_html(page).encode())


def page_html(page: Page) -> str:
    """The page as text."""
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(page.title),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        before=page.before,
        cards="\n".join(_card(card, page.up) for card in page.cards),
        after=page.after,
        data=_json(page.data),
        three=(HERE / "vendor" / "three.js").read_text(encoding="utf-8"),
        viewer=(HERE / "viewer.js").read_text(encoding="utf-8"),
    )


def picture(image: Image, alt: str) -> str:
    """An ``<img>`` that holds its picture."""
    content = io.BytesIO()
    image.save(content, "WEBP", quality=82, method=4)
    text = base64.b64encode(content.getvalue()).decode()
    return (
        f'<img src="data:image/webp;base64,{text}" alt="{html.escape(alt)}" '
        f'width="{image.width}" height="{image.height}">'
    )


def _card(card: Card, up: Up) -> str:
    panels = "\n".join(_panel(panel, up) for panel in card.panels)
    anchor = f' id="{html.escape(card.anchor)}"' if card.anchor else ""
    opened = ' data-open="yes"' if card.turning else ""
    return (
        f'<section class="card"{anchor}{opened} data-up="{up}">'
        f"<header><h3>{html.escape(card.title)}</h3>"
        f'<button type="button" class="turn" hidden>turn in 3-D</button></header>{card.note}'
        f'<div class="panels">{panels}</div>{card.after}</section>'
    )


def _panel(panel: Panel, up: Up) -> str:
    view = View(
        PICTURE_EDGE, up=up, background="none", colour=panel.colour, heat=panel.heat, samples=2
    )
    still = picture(render(panel.grid, view), panel.caption)
    grid = "" if panel.heat is not None else _grid(panel)
    return f"<figure>{still}{grid}<figcaption>{html.escape(panel.caption)}</figcaption></figure>"


def _grid(panel: Panel) -> str:
    return f'<script class="grid" type="application/json">{_json(view_facts(panel))}</script>'


def view_facts(panel: Panel) -> dict[str, Any]:
    """What the viewer makes a surface of, JSON-able: the packed bits of a grid, deflated."""
    grid = panel.grid
    factor = -(-max(grid.shape) // LARGEST_VIEW)
    if factor > 1:
        grid = ops.pool(grid, factor, "half")
    bits = zlib.compress(np.ascontiguousarray(grid.packed, "<u8").tobytes(), 9)
    return {
        "shape": grid.shape,
        "cubes": max(grid.shape) < CUBES_BELOW,
        "colour": panel.colour,
        "bits": base64.b64encode(bits).decode(),
    }


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
