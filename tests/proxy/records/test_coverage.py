from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from proxy.metrics.meter import PrometheusMeter
from proxy.metrics.series import SERIES
from proxy.metrics.sum import added, counted, lasting
from proxy.policy import Policy
from proxy.records.audit import AuditError
from proxy.records.coverage import OWN, ROWS, Coverage, figures, tally
from tests.e2e.plane import policy
from tests.proxy.guard_parts import message

UP = {"upstream": "http://127.0.0.1:9"}
EMPTY = {
    "messages": {},
    "inspected_bytes": 0,
    "uninspected_bytes": 0,
    "gaps": {},
    "refusals": {},
    "suppressed": {},
    "probes": {},
}


class Notes:
    def __init__(self, rules):
        self.policy = rules
        self.kept = []
        self.error = None

    def note(self, kind, **own):
        if self.error:
            raise self.error
        self.kept.append((kind, own))


@pytest.fixture
def meter():
    return PrometheusMeter()


@pytest.fixture
def notes(tmp_path, meter):
    rules = policy(tmp_path, UP | {"name": "logs"}, UP | {"name": "watched", "mode": "monitor"})
    meter.policy(rules)
    return Notes(rules)


def some(meter, lane="logs", times=1):
    for _ in range(times):
        about = message(b"x" * 40, lane=lane)
        meter.message(about, "allow", 40, 0.001)
        meter.message(about, "block", 0, 0.001)
        meter.gap(about, "timeout", 25, "block", "")
        meter.gap(about, "timeout", 5, "report", "")
        meter.refused(lane, "too-many-connections")
        meter.probe(lane, 1.0, success=True)
        meter.probe(lane, 2.0, success=False)


SOME = {
    "messages": {"allow": 1, "block": 1},
    "inspected_bytes": 40,
    "uninspected_bytes": 30,
    "gaps": {"timeout": {"block": 1, "report": 1}},
    "refusals": {"too-many-connections": 1},
    "suppressed": {},
    "probes": {"passed": 1, "failed": 1},
}


def test_every_series_named_here_has_these_labels():
    known = {row.name: row.labels for row in SERIES}
    for name, (_, *labels) in {**ROWS, **OWN}.items():
        assert set(labels) <= set(known[name])
        assert ("lane" in known[name]) == (name in ROWS)


def test_a_record_holds_what_was_counted_since_the_last(notes, meter):
    coverage = Coverage(notes)
    some(meter)
    coverage.write(counted(meter.registry))
    coverage.write(counted(meter.registry))
    meter.internal_error("timeout")
    meter.audit_error()
    some(meter, "watched")
    coverage.write(counted(meter.registry))
    first, second, third = (own["coverage"] for kind, own in notes.kept if kind == "coverage")
    lanes = {"logs": {"mode": "enforce", **SOME}, "watched": {"mode": "monitor", **EMPTY}}
    assert {name: first[name] for name in ("lanes", "internal_errors", "audit_errors")} == {
        "lanes": lanes,
        "internal_errors": {},
        "audit_errors": 0,
    }
    assert second["lanes"]["logs"] == {"mode": "enforce", **EMPTY}
    assert third["lanes"]["watched"] == {"mode": "monitor", **SOME}
    assert (third["internal_errors"], third["audit_errors"]) == ({"timeout": 1}, 1)
    assert first["since"] <= second["since"] <= third["since"]
    json.dumps(third)


def test_what_could_not_be_kept_is_in_the_next(notes, meter):
    coverage = Coverage(notes)
    notes.error = AuditError("full")
    some(meter)
    coverage.write(counted(meter.registry))
    notes.error = None
    some(meter)
    coverage.write(counted(meter.registry))
    ((_, own),) = notes.kept
    assert own["coverage"]["lanes"]["logs"]["messages"] == {"allow": 2, "block": 2}


def test_what_a_worker_that_has_died_had_counted_stays(notes, meter):
    coverage, worker = Coverage(notes), PrometheusMeter()
    worker.policy(notes.policy)
    some(worker)
    coverage.write(added(counted(meter.registry), counted(worker.registry)))
    departed = lasting(counted(worker.registry))
    some(meter)
    coverage.write(added(counted(meter.registry), departed))
    for _, own in notes.kept:
        assert own["coverage"]["lanes"]["logs"] == {"mode": "enforce", **SOME}


def test_a_lane_that_the_policy_has_no_longer(notes, meter, tmp_path):
    some(meter)
    now = policy(tmp_path, UP | {"name": "watched"})
    found = figures(tally(counted(meter.registry)), tally({}), "", now)
    assert found["lanes"] == {"watched": {"mode": "enforce", **EMPTY}, "logs": {"mode": "", **SOME}}


async def test_it_is_written_again_and_again(notes, monkeypatch):
    waits, written = [], []
    sleep = asyncio.sleep

    async def wait(seconds):
        waits.append(seconds)
        await sleep(0)
        if len(waits) == 3:
            raise asyncio.CancelledError

    async def write():
        written.append(len(waits))

    monkeypatch.setattr(asyncio, "sleep", wait)
    with pytest.raises(asyncio.CancelledError):
        await Coverage(notes).run(write)
    assert (waits, written) == ([3600] * 3, [1, 2])


@pytest.mark.parametrize(
    ("lane", "mode"),
    [({"percent": 25}, "enforce 25 %"), ({"percent": 100}, "enforce"), ({"mode": "monitor"}, "monitor")],
)
def test_what_was_in_force_on_a_lane_is_told(lane, mode):
    row = {"name": "logs", "listen": "127.0.0.1:1", "upstream": "http://loki", "role": "logging", **lane}
    rules = Policy.model_validate(
        {"version": 1, "policy_id": "p", "audit": {"fingerprint_key_file": "k"}, "lanes": (row,)}
    )
    assert figures(Counter(), Counter(), "", rules)["lanes"]["logs"]["mode"] == mode
