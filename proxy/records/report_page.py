"""A report's document as one HTML file: nothing from outside, no script, readable in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

WIDTH, HEIGHT = 720, 150
PARTS = {"block": "#1b6e53", "redact": "#5aa98c", "report": "#c62828"}
"""Verdicts of findings, from the ground up, and their colours."""


def page(document: Mapping[str, Any]) -> str:
    """The page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda value: f"{value:,}" if isinstance(value, int) else value
    environment.filters["minute"] = lambda ts: ts[:16].replace("T", " ")
    forwarded = sum(
        row["count"]
        for row in document["violations"]["rows"]
        if row["verdict"] == "report" and row["confidence"] == "high"
    )
    template = environment.from_string((files("proxy") / "assets" / "report.html").read_text(encoding="utf-8"))
    return template.render(
        d=document, bars=bars(document["days"]), parts=PARTS, width=WIDTH, height=HEIGHT, forwarded=forwarded
    )


def bars(days: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rectangles of a stacked plot, findings a day (a month, if there are many) by verdict."""
    buckets: dict[str, dict[str, int]] = {}
    for row in days:
        bucket = buckets.setdefault(row["day"] if len(days) <= 62 else row["day"][:7], dict.fromkeys(PARTS, 0))
        for verdict in PARTS:
            bucket[verdict] += row.get(verdict, 0)
    most = max((sum(bucket.values()) for bucket in buckets.values()), default=0)
    step = WIDTH / max(len(buckets), 12)
    found = []
    for index, bucket in enumerate(buckets.values()):
        ground = float(HEIGHT)
        for verdict, value in bucket.items():
            tall = value / most * (HEIGHT - 20) if most else 0
            ground -= tall
            if value:
                place = (round(index * step + 1, 1), round(ground, 1), round(step * 0.8, 1), round(tall, 1))
                found.append((verdict, value, *place))
    names = list(buckets)
    return {"most": most, "rects": found, "first": names[0] if names else "", "last": names[-1] if names else ""}
