"""Hostile bodies on one lane: what clients of the other lanes notice, and what is left of the memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from pathlib import Path

import pytest

from detectors import Inspector
from proxy.guard import Guard
from tests.e2e.origin import OK, body_of, exchange, origin, post, status_of
from tests.e2e.plane import plane, policy, until
from tests.proxy.doubles import RecordingAudit, RecordingMeter

PAN = "4242424242424242"
CARDS = b"".join(b'{"id": %d, "card": "%s"}\n' % (n, PAN.encode()) for n in range(9000))
"""So many numbers that no inspection weighs all of them in time."""
HANGS = CARDS[:100]
CLEAN = json.dumps({"event": "paid", "lines": ["text"] * 20}).encode()
HOSTILE = post("/log", CARDS)
ZIPPED = post("/log", gzip.compress(CLEAN), "Content-Encoding: gzip")


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


def of(server, name, **options):
    return {"name": name, "upstream": server.url, **options}


async def test_other_lanes_answer_while_hostile_bodies_are_inspected(tmp_path, inspector):
    """Each keeps a thread busy until its time is over. Clean gzipped messages, which need a thread, too, do not wait."""
    async with origin() as server:
        rules = policy(tmp_path, of(server, "a"), of(server, "b"), limits={"inspect_seconds": 2})
        guard = Guard(policy=rules, inspector=inspector, meter=RecordingMeter(), audit=RecordingAudit())
        async with plane(guard) as running:
            floods = [asyncio.create_task(exchange(running.port("a"), HOSTILE, seconds=60)) for _ in range(8)]
            for _ in range(5):
                assert await exchange(running.port("b"), ZIPPED, seconds=10) == OK
            assert not all(flood.done() for flood in floods)
            assert {status_of(await flood) for flood in floods} <= {403, 422, 503}
        assert PAN.encode() not in server.received


async def test_other_lanes_answer_while_inspections_of_one_hang(tmp_path, inspector):
    """They notice no deadline, and never come back: their lane is refused from then on, and no other."""
    over = threading.Event()
    async with origin() as server:
        rules = policy(tmp_path, of(server, "a"), of(server, "b"), limits={"inspect_seconds": 0.1})
        guard = Guard(policy=rules, inspector=Hung(inspector, over), meter=RecordingMeter(), audit=RecordingAudit())
        async with plane(guard) as running:
            try:
                floods = [exchange(running.port("a"), post("/log", HANGS), seconds=60) for _ in range(8)]
                assert {status_of(response) for response in await asyncio.gather(*floods)} == {503}
                for _ in range(20):
                    assert await exchange(running.port("b"), ZIPPED, seconds=10) == OK
                assert status_of(await exchange(running.port("a"), ZIPPED, seconds=10)) == 503
            finally:
                over.set()
        assert len(server.requests) == 20


class Hung:
    """An inspector that never ends when it is given ``HANGS``."""

    def __init__(self, inspector, over):
        self._inspector, self._over = inspector, over

    def quiet(self, *given):
        return self._inspector.quiet(*given)

    def inspect(self, body, *given, **named):
        if body == HANGS:
            self._over.wait()
        return self._inspector.inspect(body, *given, **named)


async def test_an_inspection_that_takes_too_long_is_a_gap_that_says_so(tmp_path, inspector):
    """Reported by the inspector in time: 422 and the reason, in the answer, the metrics and the record."""
    meter, audit = RecordingMeter(), RecordingAudit()
    async with origin() as server:
        rules = policy(tmp_path, of(server, "lane"), limits={"inspect_seconds": 0.3})
        guard = Guard(policy=rules, inspector=Late(inspector), meter=meter, audit=audit)
        async with plane(guard, meter) as running:
            response = await running.ask(post("/log", CLEAN, "X-Note: a"))
            assert status_of(response) == 422
            document = json.loads(body_of(response))
            assert {"where": "body", "reason": "timeout"} in document["gaps"]
        assert server.connections == 0
    assert ("lane", "timeout") in {call[:2] for call in meter.named("gap")}
    assert meter.named("internal_error") == []
    assert [event["kind"] for event in audit.events] == ["gap"]


class Late:
    """An inspector that needs all of its time for whatever it is given."""

    def __init__(self, inspector):
        self._inspector = inspector

    def quiet(self, data, *_):
        return len(data) < 16  # names in its own records

    def inspect(self, *given, limits=None, **named):
        time.sleep(limits.seconds)
        return self._inspector.inspect(*given, limits=limits, **named)


BOMB = gzip.compress(b'{"text": "nothing in here"},' * (120 * 1024 * 1024 // 28), 9)
MIB = 1024 * 1024


def status(process, field) -> int:
    """Bytes, as Linux tells: ``VmRSS`` are in memory now, ``VmHWM`` were at the most."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


async def test_memory_under_bombs_is_bounded_and_given_back(start_sidecar):
    """Six at once, on two lanes, each 120 MiB when unpacked: two at a time are, and nothing of them is kept."""
    async with origin() as server:
        lanes = [{"name": name, "upstream": server.url, "role": "logging"} for name in ("a", "b")]
        sidecar = await asyncio.to_thread(start_sidecar, lanes)
        idle = status(sidecar.process, "VmRSS")
        request = post("/log", BOMB, "Content-Encoding: gzip", "Content-Type: application/json")
        asked = [exchange(sidecar.port(name), request, seconds=60) for name in "ababab"]
        assert {status_of(response) for response in await asyncio.gather(*asked)} <= {200, 422, 503}
        assert status(sidecar.process, "VmHWM") - idle < 700 * MIB
        await until(lambda: status(sidecar.process, "VmRSS") - idle < 60 * MIB)
