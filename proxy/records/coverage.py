"""Coverage records: what was inspected since the last one, by lane, so that the audit file alone can tell.

A record holds the difference between two readings of the counters. One that could not be kept is made up for by the
next, which then covers the time since the last one that was.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from proxy.records.audit import stamp, utc_now
from proxy.records.ledger import Notes, complain

if TYPE_CHECKING:
    from proxy.metrics.sum import Counts
    from proxy.policy import Lane, Policy

ROWS: Mapping[str, tuple[str, ...]] = {
    "sekisho_messages_total": ("messages", "verdict"),
    "sekisho_inspected_bytes_total": ("inspected_bytes",),
    "sekisho_uninspected_bytes_total": ("uninspected_bytes",),
    "sekisho_gaps_total": ("gaps", "reason", "verdict"),
    "sekisho_refusals_total": ("refusals", "reason"),
    "sekisho_suppressed_findings_total": ("suppressed", "entity"),
    "sekisho_probes_total": ("probes", "result"),
}
"""Series → its entry in a lane's figures, and the labels by which the entry is divided."""

OWN: Mapping[str, tuple[str, ...]] = {
    "sekisho_internal_errors_total": ("internal_errors", "where"),
    "sekisho_audit_errors_total": ("audit_errors",),
}
"""The same, of the sidecar as a whole."""


class Coverage:
    """Writes coverage records of one sidecar; the first covers the time since this was made."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._lock = threading.Lock()
        self._since = stamp(utc_now())
        self._before: Counter[tuple[str, ...]] = Counter()

    def write(self, counts: Counts) -> None:
        """Keeps a record of what ``counts`` has more than the last one had. Raises nothing."""
        with self._lock:
            now, read = stamp(utc_now()), tally(counts)
            try:
                self._notes.note("coverage", coverage=figures(read, self._before, self._since, self._notes.policy))
            except Exception as error:  # noqa: BLE001 - no message hangs on it: the next record makes up for it
                complain("coverage", error)
            else:
                self._since, self._before = now, read

    async def run(self, write: Callable[[], Awaitable[None]]) -> None:
        """Calls ``write`` again and again, as often as the policy says, until it is cancelled."""
        while True:
            await asyncio.sleep(60 * self._notes.policy.audit.coverage_minutes)
            await write()


def tally(counts: Counts) -> Counter[tuple[str, ...]]:
    """The counts of ``ROWS`` and ``OWN`` by lane (empty: the sidecar), entry and labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for rows in counts.values():
        for name, labels, value, _ in rows:
            if (row := ROWS.get(name) or OWN.get(name)) is not None:
                found[labels.get("lane", ""), row[0], *(labels[label] for label in row[1:])] += int(value)
    return found


def figures(
    read: Counter[tuple[str, ...]], before: Counter[tuple[str, ...]], since: str, policy: Policy
) -> dict[str, Any]:
    """The ``coverage`` of a record. Every lane of the policy is in it, also a silent one."""
    whole: dict[str, Any] = {"since": since, "lanes": {}, **_empty(OWN.values())}
    for lane in policy.lanes:
        whole["lanes"][lane.name] = {"mode": _mode(lane), **_empty(ROWS.values())}
    for (lane_name, *path), value in sorted((read - before).items()):
        place = whole
        if lane_name:  # one that the policy has no longer may have had traffic until then
            place = whole["lanes"].setdefault(lane_name, {"mode": "", **_empty(ROWS.values())})
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value
    return whole


def _mode(lane: Lane) -> str:
    """``monitor``, ``enforce``, or ``enforce 25 %``: the least that is in force for a destination of the lane."""
    if any(route.mode == "monitor" for _, route in lane.routes):
        return "monitor"
    share = min((route.percent for _, route in lane.routes), default=100)
    return "enforce" if share == 100 else f"enforce {share} %"


def _empty(rows: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    return {entry: {} if labels else 0 for entry, *labels in rows}
