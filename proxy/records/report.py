"""``sekisho report``: what the records of a period say, as one document. Its fields: ``docs/evidence.md``.

Nothing is counted but lines whose hash is right. Of cards it holds counts only: no masked number, no fingerprint.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from proxy.records.audit_verify import files_of, verify
from proxy.records.chain import EXPIRY, REPAIR, chain_key, unseal
from proxy.records.outage import OUTAGE
from proxy.records.report_page import page
from proxy.records.report_requirements import requirements
from proxy.records.segments import audit_file

VERSION = 1
"""Of the document's format."""

CARD_DATA = ("passthrough", "retention", "stored")
ABOUT = ("kind", "lane", "role", "direction", "entity", "brand", "confidence", "test", "verdict")
"""What a row of violations is counted by."""


def main(paths: Sequence[Path], secret: bytes, first: date, last: date, out: Path | None) -> bool:
    """Writes the report as a page to ``out`` and as JSON beside it, or as JSON to standard output; whether the chains
    are whole. ``paths`` may be directories of one. Raises ``OSError`` if a file cannot be read or written."""
    document = report([audit_file(path) for path in paths], secret, first, last)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        twin = out.with_suffix(".json")
        out.write_text(page(document), encoding="utf-8")
        twin.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{out} and {twin.name}: {document['records']['total']} records\n")
    for chain in document["chains"]:
        if not chain["ok"]:
            sys.stderr.write(f"{Path(chain['file']).with_name(chain['bad_file'])}:{chain['line']}: {chain['why']}\n")
    return bool(document["ok"])


def report(paths: Sequence[Path], secret: bytes, first: date, last: date) -> dict[str, Any]:
    """What the chains written to ``paths`` say of the days ``first`` to ``last`` (UTC), both included.

    Raises ``OSError`` if a file cannot be read.
    """
    chains = [{"file": str(path), "bad_file": (found := verify(path, secret)).file, **_rest(found)} for path in paths]
    period = Period(f"{first}", f"{last}")
    for path in paths:
        period.begin(path)
        for record in records_of(path, secret):
            period.take(record)
        period.end()
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    head = {"version": VERSION, "made": made, "from": f"{first}", "to": f"{last}"}
    whole = {**head, "ok": all(chain["ok"] for chain in chains), "chains": chains, **period.document()}
    return {**whole, "requirements": requirements(whole)}


def _rest(found: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "file"}


def records_of(path: Path, secret: bytes) -> Iterator[Mapping[str, Any]]:
    """The records of a chain, in order; lines that were altered, and torn ones, are left out."""
    key = chain_key(secret)
    with ExitStack() as stack:
        for _, file in files_of(path, key, stack):
            for raw in file:
                if unseal(raw.rstrip(b"\n"), key) is not None:
                    yield json.loads(raw)


class Period:
    """Adds up the records of a period; ``take`` all of a chain, also those before it, which say how it began."""

    def __init__(self, first: str, last: str) -> None:
        self._first, self._last = first, last
        self._kinds: Counter[str] = Counter()
        self._violations: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._gaps: Counter[tuple[str, ...]] = Counter()
        self._not_listed = 0
        self._days: dict[str, Counter[str]] = {}
        self._lanes: dict[str, dict[str, Any]] = {}
        self._sidecar: dict[str, Any] = {"internal_errors": {}, "audit_errors": 0}
        self._policies: list[dict[str, str]] = []
        self._probes: list[dict[str, str]] = []
        self._bypasses: dict[tuple[str, str], dict[str, Any]] = {}
        self._outages: list[dict[str, Any]] = []
        self._expired: list[dict[str, Any]] = []
        self._spans: dict[str, list[dict[str, str]]] = {"covered": [], "not_running": [], "uncovered": []}

    def begin(self, path: Path) -> None:
        """A chain begins."""
        self._file = path.name
        self._former: dict[str, str] | None = None
        self._running, self._covers, self._until, self._seen = False, False, "", ""

    def take(self, record: Mapping[str, Any]) -> None:
        """Counts one record."""
        kind, ts = record["kind"], record.get("ts", "")
        self._seen = ts
        self._note_span(kind, ts, record)
        if ts[:10] > self._last:
            return
        if kind in ("start", "policy"):
            self._note_policy(kind, ts, record)
        if ts[:10] < self._first:
            return
        self._kinds[kind] += 1
        day = self._days.setdefault(ts[:10], Counter())
        if kind in CARD_DATA:
            self._note_findings(record, day)
        if kind in (*CARD_DATA, "gap", "failure"):
            for gap in record["gaps"]:
                if gap["reason"] == "not-listed":
                    self._not_listed += gap["count"]
                else:
                    self._gaps[record["lane"], gap["reason"], record["verdict"]] += 1
                    day["gaps"] += 1
        elif kind == "coverage":
            self._note_coverage(record["coverage"], day)
        elif kind == "probe":
            self._probes.append({"ts": ts, "lane": record["lane"], "outcome": record["outcome"]})
        elif kind == "bypass":
            about = {"lane": record["lane"], "kind": record["outcome"]}
            row = self._bypasses.setdefault((*about.values(),), {**about, "count": 0, "first": ts})
            row |= {"count": row["count"] + 1, "last": ts}
        elif kind == OUTAGE:
            self._outages.append({name: record["outage"][name] for name in ("since", "until", "lost")})
        elif kind == EXPIRY:
            self._expired.append({"ts": ts, **{name: record["anchor"][name] for name in ("file", "seq")}})

    def end(self) -> None:
        """A chain ends."""
        if self._running and self._until < self._seen:
            self._span("uncovered", self._until, self._seen)

    def document(self) -> dict[str, Any]:
        """Everything that was counted."""
        rows = sorted(self._violations.values(), key=lambda row: [str(row[name]) for name in ABOUT])
        return {
            "records": {"total": self._kinds.total(), "kinds": dict(sorted(self._kinds.items()))},
            "policies": self._policies,
            "spans": self._spans,
            "lanes": dict(sorted(self._lanes.items())),
            "sidecar": self._sidecar,
            "violations": {"total": sum(row["count"] for row in rows), "not_listed": self._not_listed, "rows": rows},
            "gaps": [
                {"lane": lane, "reason": reason, "verdict": verdict, "count": count}
                for (lane, reason, verdict), count in sorted(self._gaps.items())
            ],
            "probes": self._probes,
            "bypasses": [self._bypasses[about] for about in sorted(self._bypasses)],
            "outages": self._outages,
            "expired": self._expired,
            "repairs": self._kinds[REPAIR],
            "days": [{"day": day, **dict(sorted(counts.items()))} for day, counts in sorted(self._days.items())],
        }

    def _note_policy(self, kind: str, ts: str, record: Mapping[str, Any]) -> None:
        row = {"ts": ts, "kind": kind, "policy_id": record["policy_id"], "sha256": record["policy_sha256"]}
        row["file"] = self._file
        if ts[:10] < self._first:
            if self._former in self._policies:
                self._policies.remove(self._former)
            self._former = row  # the one in force as the period begins
        self._policies.append(row)

    def _note_findings(self, record: Mapping[str, Any], day: Counter[str]) -> None:
        for finding in record["findings"]:
            about = {name: finding.get(name, record.get(name)) for name in ABOUT}
            row = self._violations.setdefault(tuple(about.values()), {**about, "count": 0, "first": record["ts"]})
            row["count"] += 1
            row["last"] = record["ts"]
            day[about["verdict"]] += 1

    def _note_coverage(self, coverage: Mapping[str, Any], day: Counter[str]) -> None:
        for name, figures in coverage["lanes"].items():
            lane = self._lanes.setdefault(name, {"modes": []})
            if figures["mode"] and figures["mode"] not in lane["modes"]:
                lane["modes"].append(figures["mode"])
            add(lane, {entry: value for entry, value in figures.items() if entry != "mode"})
            day["messages"] += sum(figures["messages"].values())
            day["inspected_bytes"] += figures["inspected_bytes"]
            day["uninspected_bytes"] += figures["uninspected_bytes"]
        add(self._sidecar, {name: coverage[name] for name in ("internal_errors", "audit_errors")})

    def _note_span(self, kind: str, ts: str, record: Mapping[str, Any]) -> None:
        if kind == "start":
            if self._until:
                self._span("uncovered" if self._running else "not_running", self._until, ts)
            self._running, self._until, self._covers = True, ts, False
        elif kind == "coverage":
            self._span("covered", record["coverage"]["since"], ts)
            self._until, self._covers = ts, True
        elif kind == "stop":
            if self._running and not self._covers:  # by a version that wrote no coverage
                self._span("uncovered", self._until, ts)
            self._running, self._until = False, ts

    def _span(self, name: str, since: str, until: str) -> None:
        if until[:10] >= self._first and since[:10] <= self._last:
            self._spans[name].append({"since": since, "until": until})


def add(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds counts, and counts in counts, to ``total``."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value
