from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from proxy.records.audit import JsonLinesAudit
from proxy.records.report import CARD_DATA, add, records_of, report

SECRET = b"a key that is only used in tests"
START = datetime(2026, 11, 5, 12, tzinfo=UTC)
FINDING = {"entity": "PAN", "brand": "visa", "confidence": "high", "test": False, "verdict": "block"}
LEAK = {"kind": "retention", "lane": "logs", "role": "logging", "direction": "request", "verdict": "block"}
POLICY = {"policy_id": "one", "policy_sha256": "1" * 64}
LANE = {
    "mode": "enforce",
    "messages": {"allow": 5, "block": 1},
    "inspected_bytes": 100,
    "uninspected_bytes": 7,
    "gaps": {"timeout": {"block": 1}},
    "refusals": {},
    "suppressed": {},
    "probes": {"passed": 60},
}


def coverage(since, **lanes):
    figures = {"since": since, "lanes": lanes, "internal_errors": {"timeout": 1}, "audit_errors": 0}
    return {"kind": "coverage", "coverage": figures}


class Clock:
    def __init__(self, path):
        self.time = START
        self.sink = JsonLinesAudit(path, SECRET, now=lambda: self.time)

    def write(self, event, **later):
        self.time += timedelta(**later)
        self.sink.append(event)


@pytest.fixture
def path(tmp_path):
    """A start on the fifth; a change of policy, a leak, a gap and a probe on the sixth; a crash; another run."""
    path = tmp_path / "audit.jsonl"
    clock = Clock(path)
    clock.write({"kind": "start", **POLICY})
    clock.write(LEAK | {"findings": [FINDING]}, hours=1)
    clock.write({"kind": "policy", **POLICY, "policy_id": "two"}, hours=22)
    clock.write(LEAK | {"findings": [FINDING, FINDING | {"entity": "EXPIRY", "brand": ""}]}, hours=1)
    more = {"part": "", "reason": "not-listed", "start": 0, "end": 0, "count": 3}
    gap = {"part": "body", "reason": "timeout", "start": 0, "end": 7}
    clock.write({"kind": "gap", "lane": "logs", "verdict": "block", "gaps": [gap, more]}, hours=1)
    clock.write({"kind": "probe", "lane": "logs", "outcome": "the number was not found"}, hours=1)
    clock.write(coverage("2026-11-05T12:00:00.000Z", logs=LANE), hours=1)
    clock.write(coverage("2026-11-06T15:00:00.000Z", logs=LANE, new=LANE | {"mode": "monitor"}), hours=1)
    clock.write(LEAK | {"findings": [FINDING]}, hours=4)
    clock.write({"kind": "start", **POLICY}, hours=2)
    clock.write(coverage("2026-11-06T22:00:00.000Z", logs=LANE), minutes=30)
    clock.write({"kind": "stop", **POLICY}, minutes=1)
    clock.write({"kind": "start", **POLICY}, days=2)
    clock.sink.close()
    return path


SIXTH = date(2026, 11, 6)


def test_a_day_of_it(path):
    found = report([path], SECRET, SIXTH, SIXTH)
    assert (found["version"], found["from"], found["to"], found["ok"]) == (1, "2026-11-06", "2026-11-06", True)
    (chain,) = found["chains"]
    assert (chain["ok"], chain["files"], chain["first_seq"]) == (True, 3, 1)
    assert [(row["kind"], row["policy_id"]) for row in found["policies"]] == [
        *(("start", "one"), ("policy", "two"), ("start", "one"))
    ]
    rows = [(row["entity"], row["verdict"], row["count"]) for row in found["violations"]["rows"]]
    assert rows == [("EXPIRY", "block", 1), ("PAN", "block", 2)]
    assert (found["violations"]["total"], found["violations"]["not_listed"]) == (3, 3)
    assert found["gaps"] == [{"lane": "logs", "reason": "timeout", "verdict": "block", "count": 1}]
    assert found["probes"] == [
        {"ts": "2026-11-06T14:00:00.000Z", "lane": "logs", "outcome": "the number was not found"}
    ]
    logs, new = found["lanes"]["logs"], found["lanes"]["new"]
    assert (logs["messages"], logs["inspected_bytes"]) == ({"allow": 15, "block": 3}, 300)
    assert (logs["modes"], new["modes"]) == (["enforce"], ["monitor"])
    assert found["sidecar"] == {"internal_errors": {"timeout": 3}, "audit_errors": 0}
    (day,) = found["days"]
    assert day == {
        "day": "2026-11-06",
        "block": 3,
        "gaps": 1,
        "messages": 24,
        "inspected_bytes": 400,
        "uninspected_bytes": 28,
    }


def test_ways_around_by_lane_and_kind_and_times_without_records(tmp_path):
    clock = Clock(tmp_path / "audit.jsonl")
    around = {"kind": "bypass", "lane": "logs", "outcome": "direct", "uid": 33}
    clock.write(around)
    clock.write(around, days=1)
    clock.write(around | {"lane": "", "outcome": "egress"}, hours=1)
    clock.write(around | {"outcome": "silent", "uid": ""}, hours=1)
    clock.write(around, hours=1)
    lost = {"since": "2026-11-06T15:10:00.000Z", "until": "2026-11-06T15:20:00.000Z", "lost": 4}
    clock.write({"kind": "outage", "outage": lost}, hours=1)
    clock.sink.close()
    found = report([tmp_path / "audit.jsonl"], SECRET, SIXTH, SIXTH)
    times = [f"2026-11-06T{hour}:00:00.000Z" for hour in (12, 13, 14, 15)]
    assert found["bypasses"] == [
        {"lane": "", "kind": "egress", "count": 1, "first": times[1], "last": times[1]},
        {"lane": "logs", "kind": "direct", "count": 2, "first": times[0], "last": times[3]},
        {"lane": "logs", "kind": "silent", "count": 1, "first": times[2], "last": times[2]},
    ]
    assert found["outages"] == [lost]


def test_when_nothing_was_said_about_what_was_inspected(path):
    spans = report([path], SECRET, date(2026, 11, 1), date(2026, 11, 30))["spans"]
    assert [span["until"][8:16] for span in spans["covered"]] == ["06T15:00", "06T16:00", "06T22:30"]
    assert spans["uncovered"] == [{"since": "2026-11-06T16:00:00.000Z", "until": "2026-11-06T22:00:00.000Z"}]
    assert spans["not_running"] == [{"since": "2026-11-06T22:31:00.000Z", "until": "2026-11-08T22:31:00.000Z"}]


def test_every_number_adds_up_with_the_records(path):
    whole = report([path], SECRET, date(2026, 11, 1), date(2026, 11, 30))
    records = list(records_of(path, SECRET))
    assert whole["records"]["kinds"] == Counter(record["kind"] for record in records)
    assert whole["records"]["total"] == whole["chains"][0]["lines"] == len(records)
    leaks = [finding for record in records if record["kind"] in CARD_DATA for finding in record["findings"]]
    assert whole["violations"]["total"] == len(leaks) == sum(row["count"] for row in whole["violations"]["rows"])
    total = {}
    for record in records:
        if record["kind"] == "coverage":
            for name, lane in record["coverage"]["lanes"].items():
                add(total.setdefault(name, {}), {entry: value for entry, value in lane.items() if entry != "mode"})
    assert {n: {k: v for k, v in lane.items() if k != "modes"} for n, lane in whole["lanes"].items()} == total
    parts = [report([path], SECRET, day, day) for day in (date(2026, 11, 5), SIXTH, date(2026, 11, 8))]
    assert sum(part["records"]["total"] for part in parts) == len(records)
    json.dumps(whole)


def test_a_line_that_was_altered_does_not_count(path):
    path = path.parent / "audit-2026-11-06.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"EXPIRY"', b'"PAN"', 1))
    found = report([path.parent / "audit.jsonl"], SECRET, SIXTH, SIXTH)
    assert not found["ok"]
    assert (found["chains"][0]["bad_file"], found["chains"][0]["line"]) == ("audit-2026-11-06.jsonl", 3)
    assert found["violations"]["total"] == 1
