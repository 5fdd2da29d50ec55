"""A picture of a training run, SVG: losses on a logarithmic scale and validation IoU by step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_WIDTH, _HEIGHT = 720, 300  # of a panel, pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 34, 34  # around the axes
_COLOURS: Final = ("#0b62a4", "#d1495b", "#2e8b57", "#8e6bbf", "#c98a1b", "#5b5b5b")
_BINS: Final = 300
"""Points of a curve: of more, neighbours are averaged."""

Points = list[tuple[float, float]]


def draw_curves(lines: Iterable[Mapping[str, Any]], across: str = "step") -> str:
    """The picture of the lines of metrics.jsonl, SVG text; ``across`` says what steps are called.

    >>> "val_iou" in draw_curves([{"step": 1, "val_iou": 0.5}, {"step": 9, "val_iou": 0.7}])
    True
    """
    rows = list(lines)
    panels = [
        _Panel("loss", _curves(rows, "loss"), logarithmic=True),
        _Panel("validation IoU", _curves(rows, "val_iou")),
    ]
    shown = [panel for panel in panels if panel.curves]
    last = max((row["step"] for row in rows), default=1)
    body = "".join(
        f'<g transform="translate(0 {index * _HEIGHT})">{panel.draw(last, across)}</g>'
        for index, panel in enumerate(shown)
    )
    height = _HEIGHT * max(1, len(shown))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>{body}</svg>\n'
    )


@dataclass(frozen=True)
class _Panel:
    """Some curves over the same axes."""

    title: str
    curves: Mapping[str, Points]
    logarithmic: bool = False

    def draw(self, last_step: float, across: str) -> str:
        values = [value for points in self.curves.values() for _, value in points]
        low, high = self._scale(min(values)), self._scale(max(values))
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

        def x(step: float) -> float:
            return _LEFT + (right - _LEFT) * step / last_step

        def y(value: float) -> float:
            return bottom - (bottom - _TOP) * (self._scale(value) - low) / (high - low)

        parts = [f'<text x="{_LEFT}" y="{_TOP - 12}" font-weight="bold">{self.title}</text>']
        for tick in range(5):
            level = low + (high - low) * tick / 4
            value = 10**level if self.logarithmic else level
            parts.append(_rule(y(value), right, f"{value:.3g}"))
            step = last_step * tick / 4
            label = f"{step:.3g}" if last_step < 100 else f"{step:.0f}"
            parts.append(_text(x(step), bottom + 18, label, "middle"))
        parts.append(_text(right + 20, bottom + 18, across, "start"))
        for index, (name, points) in enumerate(self.curves.items()):
            colour = _COLOURS[index % len(_COLOURS)]
            path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            )
            parts.append(_text(right + 8, _TOP + 10 + 16 * index, name, "start", colour))
        return "".join(parts)

    def _scale(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.logarithmic else value


def _rule(y: float, right: float, label: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
    return line + _text(_LEFT - 6, y + 4, label, "end")


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


def _curves(rows: Sequence[Mapping[str, Any]], part: str) -> dict[str, Points]:
    """The curves of the figures whose names hold ``part``."""
    names = dict.fromkeys(name for row in rows for name in row if part in name)
    curves = {name: _points(rows, name) for name in names}
    return {name: points for name, points in curves.items() if points}


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    """Steps and values of a figure, thinned by averaging; what is not finite is left out."""
    points = [(float(row["step"]), float(row[name])) for row in rows if name in row]
    points = [point for point in points if math.isfinite(point[1])]
    size = max(1, math.ceil(len(points) / _BINS))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(step for step, _ in group) / len(group), sum(v for _, v in group) / len(group))
        for group in groups
    ]
