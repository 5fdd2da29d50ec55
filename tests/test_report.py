"""Pages: their numbers, and what headless Chromium makes of them."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, FLAGS

from mvd_toolkit import VoxelGrid, extract_odms, save
from mvd_toolkit.comparison import Sampling
from mvd_toolkit.evaluate import evaluate, find_items, summarise
from mvd_toolkit.report import Card, Panel, write_report
from mvd_toolkit.report.evaluation_page import chosen
from mvd_toolkit.report.page import Page, page_html

VIRTUAL_TIME = "--virtual-time-budget=90000"
DRIVER = Path(__file__).with_name("report_driver.js")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def ball(edge: int, radius: float) -> VoxelGrid:
    distance = np.linalg.norm(np.indices((edge,) * 3).T - (edge - 1) / 2, axis=-1)
    return VoxelGrid.from_dense(distance < radius)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A report on three balls, one of them called what HTML would take for a tag."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "shapes").mkdir()
    for index, name in enumerate(("ball_1", "ball_2", "<b>&amp;_3")):
        save(ball(32, 8 + 2 * index), folder / "shapes" / f"{name}.npz")
    items = find_items(folder / "shapes", edges=(8, 32))
    methods = ["nearest", "sdf"]
    rows = list(evaluate(items, methods, ["iou", "chamfer"], sampling=Sampling(200)))
    summary = summarise(rows)
    path = folder / "report.html"
    assert write_report(path, rows, summary, items, {"seed": 0}, methods, cards=2) == 2
    return path, summary


def data_of(text: str) -> dict[str, Any]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', text)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


class Outline(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                self.links.append(value or "")
        if tag not in ("meta", "link", "img", "rect", "line", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))


def test_the_page_is_one_file_with_the_numbers(report: tuple[Path, dict[str, Any]]) -> None:
    path, summary = report
    text = path.read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.open == [], "every tag is closed"
    assert all(link.startswith(("data:", "#")) for link in outline.links)
    data = data_of(text)
    assert data["summary"] == json.loads(json.dumps(summary))
    assert len(data["rows"]) == 6
    cells = [t.strip() for tag, t in outline.texts if tag == "td"]
    for of in summary["methods"].values():
        for metric in ("iou", "chamfer"):
            assert f"{of[metric]['mean']:.4g}" in cells
    assert "<b>&amp;_3" in [t for tag, t in outline.texts if tag in ("h3", "a")]


def test_what_is_shown_is_the_worst_and_up_to_the_best(
    report: tuple[Path, dict[str, Any]],
) -> None:
    path, summary = report
    from mvd_toolkit.evaluate import Row

    rows = [Row(**row) for row in data_of(path.read_text(encoding="utf-8"))["rows"]]
    order = sorted((row.scores["iou"], row.name) for row in rows if row.method == "sdf")
    assert chosen(rows, summary, "sdf", 2) == [order[0][1], order[-1][1]]
    assert chosen(rows, summary, "sdf", 99) == [name for _, name in order]


def test_the_oracle_is_no_result(tmp_path: Path) -> None:
    save(ball(16, 6), tmp_path / "ball.npz")
    items = find_items(tmp_path, edges=(4, 16))
    methods = ["nearest", "sdf", "oracle"]
    rows = list(evaluate(items, methods, ["iou"], sampling=Sampling(50)))
    write_report(tmp_path / "page.html", rows, summarise(rows), items, {}, methods)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "iou of sdf" in text
    best = re.findall(r'<td class="best">([0-9.]+)', text)
    (sdf,) = (row.scores["iou"] for row in rows if row.method == "sdf")
    assert best == [f"{sdf:.4g}"]


def test_scripts_in_names_stay_text() -> None:
    name = "</script><script>alert(1)</script>"
    text = page_html(Page(name, [Card(name, [Panel(name, ball(8, 3))])], data={"name": name}))
    assert "<script>alert" not in text


def chromium(page: Path, *, width: int = 1100) -> dict[str, Any]:
    """What the driver tells after it has turned the first card of a page.

    Under virtual time a busy machine may draw no frame at all, so frames come from a timer here.
    """
    text = page.read_text(encoding="utf-8")
    catch = (
        "<script>window.mvdErrors = [];"
        "addEventListener('error', (e) => mvdErrors.push(e.message));"
        "addEventListener('unhandledrejection', (e) => mvdErrors.push(String(e.reason)));"
        "addEventListener('securitypolicyviolation', (e) => mvdErrors.push(e.blockedURI));"
        "console.error = (...a) => mvdErrors.push(a.join(' '));"
        "requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 16);</script>"
    )
    driver = f"<script>{DRIVER.read_text(encoding='utf-8')}</script>"
    driven = page.with_name(f"driven-{width}.html")
    driven.write_text(
        text.replace("<style>", f"{catch}<style>", 1).replace("</body>", f"{driver}</body>"),
        encoding="utf-8",
    )
    profile = page.with_name(f"profile-{width}")
    flags = [
        *FLAGS,
        VIRTUAL_TIME,
        f"--user-data-dir={profile}",
        f"--window-size={width},900",
        "--dump-dom",
    ]
    done = subprocess.run(
        [str(CHROMIUM), *flags, driven.resolve().as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    match = re.search(r'<script id="told" type="application/json">(.*?)</script>', done.stdout)
    assert match, "the driver did not come to its end"
    told: dict[str, Any] = json.loads(match[1])
    return told


@needs_chromium
@pytest.mark.parametrize("width", [1100, 500])
def test_views_turn_together(report: tuple[Path, dict[str, Any]], width: int) -> None:
    told = chromium(report[0], width=width)
    assert told["errors"] == []
    assert told["requests"] == []
    assert told["ready"] == "yes"
    assert told["canvases"] == 4, "input, two methods, truth"
    assert told["before"] != told["after"]
    for before, after in zip(told["drawn"], told["turned"], strict=True):
        assert 0.05 < before["share"] < 0.9
        assert before["sum"] != after["sum"]
    assert not told["wide"], "nothing sticks out"


@needs_chromium
def test_the_views_show_what_the_grid_is(tmp_path: Path) -> None:
    """The share of the view that is drawn is that of the grid's silhouettes."""
    grid = ball(64, 30)
    path = tmp_path / "page.html"
    path.write_text(page_html(Page("x", [Card("x", [Panel("ball", grid)])])), encoding="utf-8")
    told = chromium(path)
    assert told["errors"] == []
    shadow = (extract_odms(grid)[0] < 64).mean() / 1.24**2
    assert told["drawn"][0]["share"] == pytest.approx(shadow, rel=0.08)
