"""Sekisho fails, its upstream fails, its client fails, one at a time: no number arrives, and the next request is served.

In monitor mode the same: everything that can be delivered is, and what happened is recorded.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading

import pytest

import proxy.addon
import proxy.examination
import proxy.guard
import proxy.ledger
from detectors import Inspector
from detectors.decoders import compressed
from detectors.presidio import Presidio
from detectors.sieve import Sieve
from proxy import addon, http_client, http_server, workers
from proxy.audit import RecordingAudit
from proxy.metrics import RecordingMeter
from tests.e2e.boundary import boundary
from tests.e2e.origin import OK, exchange, post, status_of
from tests.e2e.plane import PAN

SECONDS = 10
CARD = PAN.encode()
LEAK = post(
    "/log", gzip.compress(json.dumps({"event": "paid", "card": PAN}).encode(), mtime=0), "Content-Encoding: gzip"
)
CLEAN = post("/log", b'{"event": "paid", "order": "A-17"}')
FORWARDED = (200, OK)


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch):
    monkeypatch.setattr(addon, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.2)
    monkeypatch.setattr(http_client, "HEAD_SECONDS", 0.4)


def faulty(base, inspector, **options):
    limits = {"inspect_seconds": 0.2, "body_seconds": 0.5, "body": "1MiB", **options.pop("limits", {})}
    return boundary(base, inspector, limits=limits, **options)


async def ask(running, sent, **options):
    return await exchange(running.port(), sent, seconds=SECONDS, **options)


# Sekisho itself.

STAGES = {
    "the sieve, at first sight": (Inspector, "quiet"),
    "the sieve": (Sieve, "scan"),
    "a decoder": (compressed, "unwrap"),
    "a recognizer": (Presidio, "ours"),
    "the whole inspector": (Inspector, "inspect"),
    "the review of the flow": (proxy.examination, "review"),
    "the judge": (proxy.guard, "judge"),
    "the record": (proxy.ledger.record, "of_message"),
    "the audit file": (RecordingAudit, "append"),
    "the answer's text": (proxy.guard.problem, "card_data"),
    "the worker": (workers.Workers, "run"),
    "the refusal": (proxy.addon, "_refusal"),
    "all counters": (RecordingMeter, "message violation gap internal_error audit_error added_latency"),
}
ERRORS = (RuntimeError, MemoryError)
KINDS = {
    "raises": RuntimeError,
    "has no memory": MemoryError,
    "is cancelled": asyncio.CancelledError,
    "ends the process": SystemExit,
    "hangs": None,
}
ON_THE_LOOP = ("the sieve, at first sight", "the worker", "the refusal", "all counters")
"""What they do is over when they return, so there is nothing to hang in, and nothing to cancel."""
FAULTS = [(stage, kind) for stage in STAGES for kind in KINDS if KINDS[kind] in ERRORS or stage not in ON_THE_LOOP]


@pytest.fixture
def broken(monkeypatch):
    """``broken(stage, kind)``: breaks it. ``broken.mend()``: it is well again, and what hung goes on."""
    over = threading.Event()

    def fault(error):
        def fails(*_given, **_named):
            if error is None:
                over.wait(60)
                raise RuntimeError(PAN)
            raise error(PAN)

        return fails

    with monkeypatch.context() as patch:

        def breaks(stage, kind):
            place, names = STAGES[stage]
            for name in names.split():
                patch.setattr(place, name, fault(KINDS[kind]))

        def mend():
            over.set()
            patch.undo()

        breaks.mend = mend
        yield breaks
        over.set()


@pytest.mark.parametrize(("stage", "kind"), FAULTS)
async def test_a_stage_fails(tmp_path, inspector, broken, stage, kind):
    async with faulty(tmp_path, inspector) as running:
        broken(stage, kind)
        response = await ask(running, LEAK)
        assert status_of(response) in (403, 422, 503)
        assert b'"type": "urn:sekisho:problem:' in response
        assert CARD not in response
        broken.mend()
        assert await ask(running, CLEAN) == OK
        assert running.origin.requests == [CLEAN]


@pytest.mark.parametrize(("stage", "kind"), FAULTS)
async def test_a_stage_fails_in_monitor_mode(tmp_path, inspector, broken, stage, kind):
    async with faulty(tmp_path, inspector, mode="monitor") as running:
        broken(stage, kind)
        assert await ask(running, LEAK) == OK
        broken.mend()
        assert await ask(running, CLEAN) == OK
        assert running.origin.requests == [LEAK, CLEAN]
        assert running.kinds() or running.meter.named("audit_error")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hangs"])
async def test_clean_messages_pass_while_a_stage_behind_the_first_look_fails(tmp_path, inspector, broken, kind):
    """They never get there."""
    async with faulty(tmp_path, inspector) as running:
        broken("the judge", kind)
        assert status_of(await ask(running, LEAK)) == 503
        assert await ask(running, CLEAN) == OK


@pytest.mark.parametrize("stage", [stage for stage, kind in FAULTS if kind == "hangs"])
async def test_clean_messages_pass_while_a_stage_hangs(tmp_path, inspector, broken, stage):
    """More than there are threads: those that hang are given up, and what needs none of them is served."""
    async with faulty(tmp_path, inspector) as running:
        broken(stage, "hangs")
        floods = [asyncio.create_task(ask(running, LEAK)) for _ in range(12)]
        for _ in range(5):
            assert await ask(running, CLEAN) == OK
        assert not all(flood.done() for flood in floods)
        assert {status_of(response) for response in await asyncio.gather(*floods)} == {503}
        broken.mend()
        assert await ask(running, CLEAN) == OK
        assert CARD not in running.origin.received
        assert set(running.origin.requests) == {CLEAN}


def no_thread(_thread):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(("mode", "status"), [("enforce", 503), ("monitor", 200)])
async def test_no_thread_can_be_started(tmp_path, inspector, monkeypatch, mode, status):
    """Once they can be, they are: no place is lost to those that could not."""
    async with faulty(tmp_path, inspector, mode=mode) as running:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            for _ in range(2 * workers.MOST):
                assert status_of(await ask(running, LEAK)) == status
            assert await ask(running, CLEAN) == OK
        assert status_of(await ask(running, LEAK)) == (403 if mode == "enforce" else 200)
        assert running.origin.requests.count(LEAK) == (0 if mode == "enforce" else 2 * workers.MOST + 1)


@pytest.mark.parametrize(("mode", "status"), [("enforce", 503), ("monitor", 200)])
async def test_all_threads_have_ended(tmp_path, inspector, mode, status):
    async with faulty(tmp_path, inspector, mode=mode) as running:
        assert status_of(await ask(running, LEAK)) == (403 if mode == "enforce" else 200)
        running.host._workers.close()
        assert status_of(await ask(running, LEAK)) == status
        assert await ask(running, CLEAN) == OK
        assert running.meter.named("internal_error") == [("timeout",)]
