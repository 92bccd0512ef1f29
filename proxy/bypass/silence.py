"""A lane that falls silent while the others go on: what was sent there may go another way now.

A quiet night is no sign, nor is a lane that talks now and then. So only a lane counts that had ``FEWEST`` requests or
more in each of ``BUSY`` slices of five minutes, and none in the ``QUIET`` slices since, while all others together went
on at half their former rate or more. At random, what comes five times in five minutes pauses for so long once in some
millions of times.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from proxy.records.ledger import Notes, complain

if TYPE_CHECKING:
    from proxy.metrics.sum import Counts

SLICE_SECONDS = 300.0
BUSY, QUIET, FEWEST = 24, 3, 3


class Meter(Protocol):
    """The part of the meter that this uses."""

    def bypass(self, lane: str, kind: str, new: int) -> None:
        """Something goes around the lane."""


class Silence:
    """Told every five minutes what has been counted so far; counts and records each lane that falls silent, once."""

    def __init__(self, guard: Notes, meter: Meter) -> None:
        self._guard = guard
        self._meter = meter
        self._before: Counter[str] = Counter()
        self._slices: deque[Counter[str]] = deque(maxlen=BUSY + QUIET)

    async def run(self, counts: Callable[[], Awaitable[Counts]]) -> None:
        """Looks again and again, until it is cancelled. ``counts``: what all processes have counted."""
        while True:
            await asyncio.sleep(SLICE_SECONDS)
            self.look(await counts())

    def look(self, counts: Counts) -> None:
        """Five minutes have passed. Raises nothing."""
        now = requests(counts)
        self._slices.append(now - self._before)
        self._before = now
        for lane in self._guard.policy.lanes:
            if fell_silent(lane.name, self._slices):
                self._meter.bypass(lane.name, "silent", 1)
                try:
                    self._guard.note("bypass", lane=lane.name, outcome="silent")
                except Exception as error:  # noqa: BLE001 - it is counted, and the ledger has counted what failed
                    complain("bypass", error)


def requests(counts: Counts) -> Counter[str]:
    """The requests of each lane so far."""
    found: Counter[str] = Counter()
    for rows in counts.values():
        for name, labels, value, _ in rows:
            if name == "sekisho_messages_total" and labels["direction"] == "request":
                found[labels["lane"]] += int(value)
    return found


def fell_silent(lane: str, slices: deque[Counter[str]]) -> bool:
    """Whether the lane has fallen silent by the last slice: it is told at that one only."""
    if len(slices) < BUSY + QUIET:
        return False
    busy, quiet = list(slices)[:BUSY], list(slices)[BUSY:]
    if any(row[lane] for row in quiet) or any(row[lane] < FEWEST for row in busy):
        return False
    others_then = sum(row.total() - row[lane] for row in busy) / BUSY
    others_now = sum(row.total() for row in quiet) / QUIET
    return 0 < others_then <= 2 * others_now
