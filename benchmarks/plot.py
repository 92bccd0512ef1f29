"""Horizontal bars as SVG, one group for each scenario."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Group = tuple[str, Sequence[tuple[str, float]]]

WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 900, 230, 90, 20, 6, 44
OURS, OTHERS = "#1f6f8b", "#b8c4c8"


def svg(groups: Sequence[Group]) -> str:
    """The drawing. The first bar of each group is the one that it is about; each group has a scale of its own."""
    shapes: list[str] = []
    top = 10
    for title, bars in groups:
        shapes.append(_text(10, top + 20, title, weight="bold"))
        top += HEAD - 10
        longest = max((value for _, value in bars), default=0.0) or 1.0
        for number, (name, value) in enumerate(bars):
            length = (WIDTH - LEFT - RIGHT) * value / longest
            fill = OTHERS if number else OURS
            shapes.append(_text(LEFT - 8, top + 15, name, anchor="end"))
            shapes.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{fill}"/>')
            shapes.append(_text(LEFT + length + 6, top + 15, f"{value:,.0f}" if value >= 10 else f"{value:.1f}"))
            top += BAR + GAP
        top += 10
    size = f'viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>', *shapes, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
