"""The report of an evaluation: tables, a histogram, and cards of items to look at."""

from __future__ import annotations

import html
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import __version__, ops
from mvd_toolkit.conventions import FACES
from mvd_toolkit.errors import MVDError
from mvd_toolkit.evaluate import Row
from mvd_toolkit.evaluation_summary import better, worst_first
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.io.atomic import make_folder
from mvd_toolkit.methods import PREDICTION, Method, find_method
from mvd_toolkit.picture_scene import HEAT_SHARE
from mvd_toolkit.picture_view import GREY, OCHRE, Up
from mvd_toolkit.report.page import Card, Page, Panel, picture, write_page

if TYPE_CHECKING:
    from mvd_toolkit.cases import Case, Item

BINS: Final = 20
SHOWN_METHODS: Final = 3
ODM_EDGE: Final = 96
FULL_ERROR: Final = 8
"""Difference of depth, voxels, that is drawn as the full colour."""


def write_report(
    path: str | Path,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    items: Sequence[Item] = (),
    recipe: Mapping[str, Any] | None = None,
    methods: Sequence[str | Method] = (),
    *,
    cards: int = 8,
    up: Up = "z",
    device: str = "cpu",
) -> int:
    """Write the page of an evaluation; one that is there is replaced.

    Args:
        path: the page.
        rows: of `evaluate`.
        summary: of `summarise`, of these rows.
        items: what was evaluated; those that are shown are loaded and made again.
        recipe: what decided the rows, JSON-able.
        methods: they or their names; the last one but the oracle is what is evaluated; none for
            predictions.
        cards: how many items are shown: the worst half, the others spread up to the best.
        up: the vertical axis of the shapes.
        device: where networks run.

    Returns:
        How many items are shown.
    """
    main = ([*_without_ceiling(summary["methods"])] or [PREDICTION.name])[-1]
    by_name = {item.name: item for item in items}
    wanted = chosen(rows, summary, main, cards)
    shown = [
        card
        for name in wanted
        if name in by_name
        for card in [_card(by_name[name], rows, methods, device)]
        if card is not None
    ]
    page = Page(
        title="Evaluation",
        cards=shown,
        before="\n".join(_before(rows, summary, main, [c.title for c in shown], bool(wanted))),
        after=_configuration(recipe or {}),
        data=_data(rows, summary, recipe or {}),
        up=up,
    )
    make_folder(Path(path).parent)
    write_page(page, path, overwrite=True)
    return len(shown)


def chosen(rows: Sequence[Row], summary: Mapping[str, Any], method: str, count: int) -> list[str]:
    """The names of the items to show: the worst half, then others spread up to the best."""
    if not summary["metrics"] or not count:
        return []
    mine = [row for row in rows if row.method == method]
    ordered = [row.name for row in worst_first(mine, summary["metrics"][0])]
    worst = ordered[: (count + 1) // 2]
    rest = ordered[len(worst) :]
    picks = np.linspace(len(rest) - 1, 0, min(count - len(worst), len(rest))).round().astype(int)
    return worst + [rest[i] for i in sorted(picks.tolist())]


# --- tables ---------------------------------------------------------------------------------------


def _before(
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    main: str,
    shown: Sequence[str],
    missing: bool,
) -> Iterator[str]:
    count = len({row.name for row in rows if not row.error})
    rules = ", ".join(summary["low_rules"])
    failed = f", {summary['failed']} failed" if summary["failed"] else ""
    yield (
        f'<p class="faint">{count} {"item" if count == 1 else "items"}{failed}'
        f"{f', coarse grids made by the rule {rules}' if rules else ''}. Means over the items, "
        "with 95 % bootstrap intervals.</p>"
    )
    yield _table(summary["methods"], summary["metrics"], rules)
    if len(summary["categories"]) > 1:
        for category, statistics in summary["categories"].items():
            yield f"<details><summary>{html.escape(category)}</summary>"
            yield _table(statistics, summary["metrics"], rules) + "</details>"
    if summary["metrics"]:
        metric = summary["metrics"][0]
        yield f"<h2>{html.escape(metric)} of each item</h2>"
        yield _histogram(rows, metric, main)
    if shown:
        links = _links(shown, rows, main)
        yield f"<h2>Items</h2><p>The worst, then others up to the best: {links}.</p>"
    elif missing:
        yield "<h2>Items</h2><p>None is shown: their shapes were not to be found.</p>"


def _links(names: Sequence[str], rows: Sequence[Row], method: str) -> str:
    """Links to the cards, each with its first score."""
    scores = {row.name: next(iter(row.scores.values())) for row in rows if row.method == method}
    return ", ".join(
        f'<a href="#item-{_anchor(name)}">{html.escape(name)}</a> {scores[name]:.3g}'
        for name in names
    )


def _anchor(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _table(methods: Mapping[str, Any], metrics: Sequence[str], rules: str) -> str:
    """Methods across and metrics down, which fits a page; the best of each metric stands out."""
    head = "".join(f"<th>{html.escape(method)}</th>" for method in methods)
    lines = []
    for metric in metrics:
        means = [of[metric]["mean"] for of in _without_ceiling(methods).values() if metric in of]
        best = None
        if better(metric) != "neither" and len(means) > 1:
            best = max(means) if better(metric) == "higher" else min(means)
        cells = "".join(_cell(of.get(metric), best) for of in methods.values())
        lines.append(f"<tr><td>{html.escape(metric)}</td>{cells}</tr>")
    corner = f"low rule: {html.escape(rules)}" if rules else ""
    return (
        f'<div class="wide"><table><thead><tr><th>{corner}</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _without_ceiling(methods: Mapping[str, Any]) -> dict[str, Any]:
    """All methods but the oracle, which is no one's result; it alone when it is alone."""
    return {name: of for name, of in methods.items() if name != "oracle"} or dict(methods)


def _cell(statistics: Mapping[str, float] | None, best: float | None) -> str:
    if statistics is None:
        return "<td>–</td>"
    mean, half = statistics["mean"], (statistics["high"] - statistics["low"]) / 2
    mark = ' class="best"' if mean == best else ""
    return f'<td{mark}>{mean:.4g} <span class="spread">± {half:.2g}</span></td>'


def _histogram(rows: Sequence[Row], metric: str, method: str) -> str:
    """How many items have which score, as SVG."""
    values = [row.scores.get(metric, math.nan) for row in rows if row.method == method]
    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return "<p>None is defined.</p>"
    low, high = (0.0, 1.0) if known.min() >= 0 and known.max() <= 1 else (known.min(), known.max())
    counts, edges = np.histogram(known, BINS, (float(low), float(high) + 1e-12))
    width, height = 560, 140
    bars = "".join(
        f'<rect class="bar" x="{i * width / BINS + 1:.1f}" width="{width / BINS - 2:.1f}" '
        f'y="{height - height * n / counts.max():.1f}" height="{height * n / counts.max():.1f}">'
        f"<title>{edges[i]:.3g} to {edges[i + 1]:.3g}: {n}</title></rect>"
        for i, n in enumerate(counts.tolist())
    )
    return (
        f'<figure class="histogram"><svg viewBox="0 -4 {width} {height + 5}" role="img" '
        f'aria-label="histogram of {html.escape(metric)} of {html.escape(method)}">{bars}'
        f'<line class="axis" x1="0" x2="{width}" y1="{height}" y2="{height}"/></svg>'
        f"<figcaption><span>{low:.3g}</span><span>{html.escape(metric)} of {html.escape(method)}; "
        f"highest bar: {counts.max()} items</span><span>{high:.3g}</span></figcaption></figure>"
    )


def _configuration(recipe: Mapping[str, Any]) -> str:
    versions = {
        "mvd_toolkit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    text = json.dumps({**recipe, "versions": versions}, indent=1, ensure_ascii=False)
    return f"<details><summary>Configuration</summary><pre>{html.escape(text)}</pre></details>"


def _data(
    rows: Sequence[Row], summary: Mapping[str, Any], recipe: Mapping[str, Any]
) -> dict[str, Any]:
    plain = []
    for row in rows:
        scores = {k: v if math.isfinite(v) else None for k, v in row.scores.items()}
        plain.append(row.to_dict() | {"scores": scores})
    return {
        "schema": "mvd.report/1",
        "recipe": dict(recipe),
        "summary": dict(summary),
        "rows": plain,
    }


# --- cards ----------------------------------------------------------------------------------------


def _card(
    item: Item, rows: Sequence[Row], methods: Sequence[str | Method], device: str
) -> Card | None:
    """The coarse grid, what methods make of it, and the truth; None when it cannot be made."""
    found = [m if isinstance(m, Method) else find_method(m, device) for m in methods]
    found = found or [PREDICTION]
    kept = [method for method in found if method.name != "oracle"] or found
    scores = {row.method: row.scores for row in rows if row.name == item.name}
    try:
        case = item.load()
        grids = {m.name: m.make(case) for m in [*kept[: SHOWN_METHODS - 1], kept[-1]]}
    except (MVDError, OSError, MemoryError):
        return None
    return Card(
        title=item.name,
        panels=_panels(case, grids, scores),
        note=f'<p class="faint">{html.escape(item.category)}</p>' if item.category else "",
        after=_odms(list(grids.values())[-1], case.truth, list(grids)[-1]) + _scores(scores),
        anchor=f"item-{_anchor(item.name)}",
    )


def _panels(
    case: Case, grids: Mapping[str, VoxelGrid], scores: Mapping[str, Mapping[str, float]]
) -> list[Panel]:
    panels = []
    if case.low is not None:
        panels.append(Panel(f"input, {max(case.low.shape)} voxels", case.low))
    last = list(grids)[-1]
    for name, grid in grids.items():
        iou = scores.get(name, {}).get("iou")
        caption = name if iou is None else f"{name}, IoU {iou:.3f}"
        panels.append(Panel(caption, grid, OCHRE if name == last else GREY))
    panels.append(Panel(f"truth, {max(case.truth.shape)} voxels", case.truth))
    heat = f"{last}, red where {HEAT_SHARE:.0%} of the edge off the truth"
    panels.append(Panel(heat, grids[last], heat=case.truth))
    return panels


def _scores(scores: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for of in scores.values() for name in of))
    head = "".join(f"<th>{html.escape(method)}</th>" for method in scores)
    lines = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{of.get(name, math.nan):.4g}</td>" for of in scores.values())
        + "</tr>"
        for name in names
    )
    return (
        '<details><summary>scores</summary><div class="wide"><table><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{lines}</tbody></table></div></details>"
    )


def _odms(pred: VoxelGrid, truth: VoxelGrid, name: str) -> str:
    """Six depth maps of the truth, of the prediction, and their differences, as one picture."""
    from PIL import Image

    a, b = ops.extract_odms(truth), ops.extract_odms(pred)
    rows = [[_depth(odm) for odm in maps] for maps in (a, b)]
    rows.append([_difference(one, other) for one, other in zip(a, b, strict=True)])
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    faces = ", ".join(FACES)
    return (
        "<details><summary>depth maps</summary>"
        f'<div class="odms">{picture(Image.fromarray(sheet), f"depth maps: {faces}")}</div>'
        f'<p class="faint">{faces}. Above the truth, in the middle {html.escape(name)}, below '
        f"their difference: red lies too near the eye, blue too far, full colour at {FULL_ERROR} "
        "voxels; orange is silhouette that should not be, green is missing.</p></details>"
    )


def _depth(odm: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """(E, E, 3) near is light, far is dark, background a cold grey."""
    edge = odm.shape[-1]
    small = _thin(odm)
    grey = np.where(small < edge, 235 - 190 * (small / edge), 0).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    image[small >= edge] = (96, 108, 128)
    return np.ascontiguousarray(image.transpose(1, 0, 2)[::-1])


def _difference(
    truth: npt.NDArray[np.uint16], pred: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint8]:
    """(E, E, 3) where the prediction is too near, too far, too much or missing."""
    edge = truth.shape[-1]
    a, b = _thin(truth).astype(np.int32), _thin(pred).astype(np.int32)
    inside, there = a < edge, b < edge
    share = np.clip((b - a) / FULL_ERROR, -1, 1)[..., None]
    near, far, even = np.array([[214, 48, 39], [49, 90, 201], [226, 226, 224]], np.float64)
    image = even + np.where(share < 0, near - even, far - even) * np.abs(share)
    image[~inside & ~there] = (96, 108, 128)
    image[there & ~inside] = (240, 150, 40)
    image[inside & ~there] = (60, 160, 90)
    return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 0, 2)[::-1])


def _thin(odm: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """(E, E) every so many pixels of a depth map, E at most about ODM_EDGE."""
    step = max(1, odm.shape[-1] // ODM_EDGE)
    return odm[::step, ::step]
