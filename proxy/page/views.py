"""What the inspector page shows, as plain values: lanes, rows of violations, one violation in full. No markup here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from proxy import advice
from proxy.admin import LISTENING, PASSED, Readiness
from proxy.metrics.sum import Counts
from proxy.policy import Lane, Policy
from proxy.records.coverage import tally
from proxy.scrub import HIDDEN
from proxy.texts import Lang, say

KINDS = ("passthrough", "retention", "stored", "gap", "failure")
"""Kinds of records that are shown: those about messages."""
SUPPRESSED_DAYS = 90
MOST_SUPPRESSED = 20
MOST_ENTITIES = 3

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which violations are shown; an empty field means any."""

    lane: str = ""
    kind: str = ""
    entity: str = ""

    def fits(self, record: Record) -> bool:
        """Whether ``record`` is a violation that is asked for."""
        if record["kind"] not in KINDS or self.lane not in ("", record["lane"]):
            return False
        entities = {finding["entity"] for finding in record["findings"]}
        return self.kind in ("", record["kind"]) and (not self.entity or self.entity in entities)


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane, and how it fares."""

    name: str
    upstream: str
    role: str
    state: str
    is_up: bool
    mode: str
    is_enforced: bool
    probe: str
    is_probed: bool
    inspected: str
    uninspected: str
    gaps: int
    covered: str


@dataclass(frozen=True, slots=True)
class Row:
    """A violation in one line."""

    id: str
    verdict: str
    cells: tuple[str, ...]
    """Time, lane, kind, what, where, what was done."""


def lanes(policy: Policy, readiness: Readiness, counts: Counts, lang: Lang) -> list[LaneRow]:
    """All lanes of the policy, in its order."""
    figures = tally(counts)

    def count(lane: str, entry: str) -> int:
        return sum(value for (name, kind, *_), value in figures.items() if (name, kind) == (lane, entry))

    rows: list[LaneRow] = []
    for lane in policy.lanes:
        state, probe = readiness.lanes.get(lane.name, ""), readiness.probes.get(lane.name, "none")
        inspected, uninspected = count(lane.name, "inspected_bytes"), count(lane.name, "uninspected_bytes")
        mode, share = _mode(lane), min((route.percent for _, route in lane.routes), default=100)
        is_whole = share == 100 or mode == "monitor"
        row = LaneRow(
            name=lane.name,
            upstream=str(lane.upstream),
            role=", ".join(dict.fromkeys(route.role for _, route in lane.routes)),
            state=say(f"state.{state}", lang, state or "?"),
            is_up=state == LISTENING,
            mode=say(f"mode.{mode}", lang) if is_whole else say("mode.share", lang).format(percent=share),
            is_enforced=mode == "enforce" and share == 100,
            probe=say(f"probe.{probe}", lang, probe),
            is_probed=probe in (PASSED, "none"),
            inspected=size(inspected),
            uninspected=size(uninspected),
            gaps=count(lane.name, "gaps"),
            covered=percent(inspected, inspected + uninspected),
        )
        rows.append(row)
    return rows


def _mode(lane: Lane) -> str:
    modes = {route.mode for _, route in lane.routes}
    return modes.pop() if len(modes) == 1 else "mixed" if modes else "enforce"


def percent(part: int, whole: int) -> str:
    """Rounded down: 100 % is all."""
    return f"{part * 10_000 // whole / 100:g} %" if whole else "–"


def size(count: int) -> str:
    """Bytes as people read them."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if unit != "B" else f"{count} B"


def row(record: Record, lang: Lang) -> Row:
    """``record`` in one line."""
    findings, gaps = record["findings"], record["gaps"]
    names = list(dict.fromkeys(say(f"entity.{finding['entity']}", lang, finding["entity"]) for finding in findings))
    if len(names) > MOST_ENTITIES:
        names[MOST_ENTITIES:] = [say("page.more", lang).format(count=len(names) - MOST_ENTITIES)]
    names += [] if names else list(dict.fromkeys(gap["reason"] for gap in gaps))[:MOST_ENTITIES]
    return Row(
        id=record["id"],
        verdict=record["verdict"],
        cells=(
            clock(record["ts"]),
            record["lane"],
            say(f"kind.{record['kind']}", lang),
            ", ".join(names),
            _where(findings or gaps, lang),
            _done(record, lang),
        ),
    )


def _done(record: Record, lang: Lang) -> str:
    """What was done, and what an enforced lane would have done."""
    done, would = record["verdict"], record.get("would", "")  # records of a former version do not say
    said = say(f"verdict.{done}", lang, done)
    return f"{said} ({say(f'would.{would}', lang, would)})" if would else said


def clock(ts: str) -> str:
    """``2026-11-05 01:02:03``, of a record's time."""
    return ts[:19].replace("T", " ")


def _where(places: Sequence[Record], lang: Lang) -> str:
    """The first place, and how many more there are."""
    if not places:
        return ""
    first = places[0]
    named = [first["part"], *([first["path"]] if first.get("path") not in (None, first["part"]) else [])]
    if first.get("trail"):
        named.append(f"({say('page.inside', lang).format(trail=', '.join(first['trail']))})")
    if len(places) > 1:
        named.append(f"({say('page.more', lang).format(count=len(places) - 1)})")
    return " ".join(word for word in named if word)


def detail(record: Record, policy: Policy, today: date, lang: Lang) -> dict[str, Any]:
    """Everything about one violation."""
    findings = [{**finding, "why": [_why(why, lang) for why in finding["why"]]} for finding in record["findings"]]
    return {
        "row": row(record, lang),
        "record": record,
        "findings": findings,
        "advice": [say(name, lang) for name in advised(record, policy)],
        "suppression": suppression(record, today, say("one.suppression-reason", lang)),
        "json": json.dumps(record, ensure_ascii=False, indent=2),
    }


def _why(why: str, lang: Lang) -> str:
    return say(f"why.{why}", lang, why)


def advised(record: Record, policy: Policy) -> list[str]:
    """What to do, as the refused client was told; by the rules that the lane has now."""
    if record["kind"] == "failure":
        return ["fix.failure"]
    if not record["findings"]:
        return advice.for_gaps(gap["reason"] for gap in record["gaps"])
    acted_on = [finding for finding in record["findings"] if finding["verdict"] == record["verdict"]]
    facts = [
        advice.Fact(finding["entity"], finding["test"], finding["why"]) for finding in acted_on or record["findings"]
    ]
    host = record["destination"].rpartition(":")[0] or record["destination"]
    lane = next((lane for lane in policy.lanes if lane.name == record["lane"]), None)
    route = lane.route(host) if lane is not None else None
    unmended = route is not None and route.on_violation == "redact" and record["verdict"] == "block"
    case = advice.Case(record["role"], record["direction"], host, record["path"], facts, unmended)
    return advice.for_card_data(case)


def suppression(record: Record, today: date, reason: str) -> str:
    """The policy's YAML that would declare these findings false alarms; empty where nothing could name them."""
    until = today + timedelta(days=SUPPRESSED_DAYS)
    rows = [
        f"  - lane: {record['lane']}\n    path: {_quoted(path)}\n    entity: {entity}\n"
        f"    reason: {_quoted(reason)}\n    until: {until}\n"
        for path, entity in list(_places(record["findings"]))[:MOST_SUPPRESSED]
    ]
    return "suppress:\n" + "".join(rows) if rows else ""


def _places(findings: Iterable[Record]) -> dict[tuple[str, str], None]:
    """Path and entity of each finding whose place the record names in full."""
    found: dict[tuple[str, str], None] = {}
    for finding in findings:
        path = re.sub(r"\[[0-9]+\]", "[*]", finding["path"]) or finding["part"]
        if HIDDEN not in path and 0 < len(path) <= 500 and path.isprintable():
            found[path, finding["entity"]] = None
    return found


def _quoted(text: str) -> str:
    """As YAML reads it: a JSON string of printable characters is one."""
    return json.dumps(text, ensure_ascii=False)
