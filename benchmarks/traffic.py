"""What the contestants are sent: clean events of a shop, one by one and in batches."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from tests.published_numbers import luhn

PAYLOADS = {
    "log": "1 KB log events: clock, trace id, customer, amounts",
    "order": "1 KB order events: the same, and four 13-digit article codes (JAN), which begin like a Visa number",
}
BATCHES = "1 MB batches of log events in one JSON document"
BATCH_BYTES = 1024 * 1024


def events(payload: str, count: int = 16, size: int = 1024) -> list[bytes]:
    """What a shop's log shipper sends, ``size`` bytes each, without a card."""
    dice = random.Random(20261122)
    return [_event(dice, payload, size) for _ in range(count)]


def batches(count: int = 2) -> list[bytes]:
    """Whole documents of many log events."""
    dice = random.Random(20261122)
    made = []
    for _ in range(count):
        rows: list[bytes] = []
        while sum(map(len, rows)) < BATCH_BYTES - 1024:
            rows += [_event(dice, "log", 1024) for _ in range(8)]
        made.append(b'{"events": [' + b",\n".join(rows) + b"]}")
    return made


def _event(dice: random.Random, payload: str, size: int) -> bytes:
    event: dict[str, Any] = {
        "ts": f"2026-11-22T09:{dice.randrange(60):02d}:{dice.randrange(60):02d}.{dice.randrange(1000):03d}+09:00",
        "level": dice.choice(["info", "info", "warn"]),
        "trace_id": _trace(dice),
        "order_id": f"ORD-{dice.randrange(10**8):08d}",
        "customer": {"id": dice.randrange(10**6), "prefecture": dice.choice(["東京都", "大阪府", "福岡県"])},
        "prices": [dice.randrange(500, 20000) for _ in range(4)],
        "articles": [_article(dice) for _ in range(4)] if payload == "order" else [],
        "duration_ms": dice.randrange(2000),
        "message": "",
    }
    room = size - len(json.dumps(event, ensure_ascii=False).encode())
    event["message"] = " ".join(["order accepted and handed to the warehouse"] * 30)[:room]
    return json.dumps(event, ensure_ascii=False).encode()


def _trace(dice: random.Random) -> str:
    """A random id without 13 digits in a row, in which ModSecurity would now and then find a card."""
    found = (f"{dice.getrandbits(128):032x}" for _ in range(100))
    return next(trace for trace in found if not re.search(r"\d{13}", trace))


def _article(dice: random.Random) -> str:
    """A 13-digit code that fails Luhn: Presidio would take another for a card, and refuse instead of forwarding."""
    return next(jan for _ in range(100) if not luhn(jan := f"49{dice.randrange(10**11):011d}"))
