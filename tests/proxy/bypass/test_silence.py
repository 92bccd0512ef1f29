from __future__ import annotations

import asyncio
from collections import Counter, deque

import pytest

from proxy.bypass import silence
from proxy.bypass.silence import BUSY, QUIET, Silence, fell_silent, requests
from proxy.metrics.meter import PrometheusMeter
from proxy.metrics.sum import counted
from proxy.records.audit import AuditError
from tests.e2e.plane import policy
from tests.proxy.bypass.keeping import Guard
from tests.proxy.doubles import RecordingMeter
from tests.proxy.guard_parts import message

UP = {"upstream": "http://127.0.0.1:9"}


def slices(gmo: list[int], logs: list[int]) -> deque[Counter[str]]:
    return deque(Counter(gmo=one, logs=other) for one, other in zip(gmo, logs, strict=True))


STEADY, NONE = [5] * BUSY, [0] * QUIET
HISTORIES = {
    "it was busy, and the other lane still is": (STEADY + NONE, [100] * (BUSY + QUIET), True),
    "the other lane has half as much": (STEADY + NONE, [100] * BUSY + [50] * QUIET, True),
    "the other lane has less than half as much": (STEADY + NONE, [100] * BUSY + [49] * QUIET, False),
    "everything is silent": (STEADY + NONE, [100] * BUSY + NONE, False),
    "there is no other traffic": (STEADY + NONE, [0] * (BUSY + QUIET), False),
    "it still talks": ([*STEADY, 0, 0, 1], [100] * (BUSY + QUIET), False),
    "it was never that busy": ([5] * 10 + [2] + [5] * (BUSY - 11) + NONE, [100] * (BUSY + QUIET), False),
    "it fell silent five minutes ago": ([5] * (BUSY - 1) + [0, *NONE], [100] * (BUSY + QUIET), False),
    "too little is known": ([5] * (BUSY - 1) + NONE, [100] * (BUSY + QUIET - 1), False),
    "it never talked": ([0] * (BUSY + QUIET), [100] * (BUSY + QUIET), False),
}


@pytest.mark.parametrize(("gmo", "logs", "expected"), HISTORIES.values(), ids=HISTORIES)
def test_a_history(gmo, logs, expected):
    assert fell_silent("gmo", slices(gmo, logs)) is expected


@pytest.fixture
def guard(tmp_path):
    return Guard(policy(tmp_path, UP | {"name": "gmo"}, UP | {"name": "logs"}))


def live(guard, meter, gmo: list[int], logs: list[int]) -> None:
    """Five minutes for each number of requests on the two lanes."""
    traffic = PrometheusMeter()
    traffic.policy(guard.policy)
    watch = Silence(guard, meter)
    for numbers in zip(gmo, logs, strict=True):
        for lane, number in zip(("gmo", "logs"), numbers, strict=True):
            for _ in range(number):
                traffic.message(message(b"x", lane=lane), "allow", 1, 0.001)
        watch.look(counted(traffic.registry))


def test_it_is_counted_and_recorded_once(guard):
    meter = RecordingMeter()
    live(guard, meter, STEADY + [0] * 10, [8] * (BUSY + 10))
    assert meter.calls == [("bypass", "gmo", "silent", "1")]
    assert guard.kept == [{"kind": "bypass", "lane": "gmo", "outcome": "silent"}]


def test_and_again_when_it_has_talked_meanwhile(guard):
    meter = RecordingMeter()
    live(guard, meter, [*STEADY, *NONE, *STEADY, *NONE], [8] * 2 * (BUSY + QUIET))
    assert len(meter.calls) == len(guard.kept) == 2


def test_what_cannot_be_recorded_is_counted(guard):
    guard.error = AuditError("disk full")
    meter = RecordingMeter()
    live(guard, meter, STEADY + NONE, [8] * (BUSY + QUIET))
    assert meter.calls == [("bypass", "gmo", "silent", "1")]


def test_only_requests_count():
    row = ("sekisho_messages_total", {"lane": "gmo", "direction": "request"}, 3.0, None)
    answer = ("sekisho_messages_total", {"lane": "gmo", "direction": "response"}, 5.0, None)
    other = ("sekisho_probes_total", {"lane": "gmo", "result": "passed"}, 7.0, None)
    assert requests({"sekisho_messages": [row, answer, row], "sekisho_probes": [other]}) == {"gmo": 6}


async def test_it_looks_again_and_again(guard, monkeypatch):
    monkeypatch.setattr(silence, "SLICE_SECONDS", 0.001)
    looked, twice = [], asyncio.Event()

    async def counts():
        looked.append(1)
        if len(looked) == 2:
            twice.set()
        return {}

    running = asyncio.create_task(Silence(guard, RecordingMeter()).run(counts))
    await asyncio.wait_for(twice.wait(), 10)
    running.cancel()
    assert looked[:2] == [1, 1]
