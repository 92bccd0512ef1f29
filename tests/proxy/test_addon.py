from __future__ import annotations

import asyncio
import json

import pytest
from mitmproxy import connection, http

from detectors.model import Limits
from proxy.addon import INLINE_BYTES, Gate, carry_out, is_heavy
from proxy.http import marks
from proxy.http.flows import Context, request_message
from proxy.message import Action, Decision
from proxy.policy.routes import Route
from proxy.threads import Threads
from tests.e2e.plane import BLOCK, GAP, PAN, ScriptedGuard, policy
from tests.proxy.doubles import RecordingMeter

NUMBER = PAN.encode()


@pytest.fixture
def threads():
    made = Threads()
    yield made
    made.close()


@pytest.fixture
def made(tmp_path, threads):
    """``made(row, **script)``: a gate, its guard and the lane."""

    def build(row=None, mode="enforce", **script):
        guard = ScriptedGuard(policy(tmp_path, {"upstream": "http://a:1", **(row or {})}, mode=mode), **script)
        meter = RecordingMeter()
        return Gate(guard, threads, meter), guard, guard.policy.lanes[0]

    return build


def flow(content=b"", fields=(), host="a", method=b"POST"):
    client = connection.Client(peername=("10.0.0.9", 4567), sockname=("127.0.0.1", 2))
    found = http.HTTPFlow(client, connection.Server(address=None))
    headers = http.Headers([(b"Host", b"a"), *fields])
    found.request = http.Request(host, 1, method, b"http", b"", b"/x", b"HTTP/1.1", headers, content, None, 0, 0)
    return found


def answered(found, content=b"ok", fields=()):
    found.response = http.Response(b"HTTP/1.1", 200, b"OK", http.Headers(list(fields)), content, None, 0, 0)
    return found


async def settle(pending):
    if pending is not None:
        await pending


async def test_a_clean_request_passes_without_waiting(made):
    gate, guard, lane = made()
    found = flow(b"clean")
    assert gate.request(found, lane) is None
    assert marks.passed(found, "request")
    (message,) = guard.asked
    assert (message.peer, message.host, message.port) == ("10.0.0.9:4567", "a", 1)
    assert message.route is lane.route("a")


async def test_a_card_is_refused(made):
    gate, _, lane = made()
    found = flow(NUMBER)
    await settle(gate.request(found, lane))
    assert not marks.passed(found, "request")
    assert found.response is marks.refusal(found)
    assert (found.response.status_code, found.response.data.content) == (403, BLOCK.problem)
    assert found.response.headers["content-type"] == "application/problem+json"


async def test_a_card_in_the_answer_is_refused(made):
    gate, _, lane = made()
    found = answered(flow(), NUMBER)
    await settle(gate.response(found, lane))
    assert not marks.passed(found, "response")
    assert found.response.status_code == 403


async def test_large_messages_leave_the_event_loop(made):
    gate, guard, lane = made(quickly=lambda _: pytest.fail("asked on the event loop"))
    found = flow(b"x" * (INLINE_BYTES + 1))
    await settle(gate.request(found, lane))
    assert marks.passed(found, "request")
    assert len(guard.asked) == 1


@pytest.mark.parametrize("decision", [BLOCK, Decision(Action.REPORT), Decision(Action.REDACT), None, "allow"])
async def test_only_allow_passes_quickly(made, decision):
    gate, _, lane = made(quickly=lambda _: decision, slowly=lambda _: BLOCK)
    found = flow(b"clean")
    await settle(gate.request(found, lane))
    assert not marks.passed(found, "request")


@pytest.mark.parametrize(("mode", "passes"), [("enforce", False), ("monitor", True)])
@pytest.mark.parametrize("error", [RuntimeError("x"), TimeoutError(), asyncio.CancelledError()])
async def test_a_guard_that_raises(made, mode, passes, error):
    def broken(_):
        raise error

    gate, guard, lane = made(mode=mode, quickly=lambda _: None, slowly=broken)
    found = flow(NUMBER)
    await settle(gate.request(found, lane))
    assert marks.passed(found, "request") is passes
    assert guard.failures == ["timeout" if isinstance(error, TimeoutError) else "worker"]


@pytest.mark.parametrize(("mode", "passes"), [("enforce", False), ("monitor", True)])
async def test_a_guard_whose_last_word_raises(made, mode, passes):
    def broken(*_):
        raise OSError

    gate, guard, lane = made(mode=mode, quickly=lambda _: None, slowly=broken)
    guard.failed = broken
    found = flow(NUMBER)
    await settle(gate.request(found, lane))
    assert marks.passed(found, "request") is passes
    if not passes:
        assert json.loads(found.response.data.content)["type"] == "urn:sekisho:problem:internal"


async def test_a_redaction_that_cannot_be_put_in(made, caplog):
    """The new bytes would be two header fields."""
    split = Decision(Action.REDACT, parts={1: b"a\r\nX: 1"})
    gate, guard, lane = made(quickly=lambda _: None, slowly=lambda _: split)
    found = flow(b"clean")
    await settle(gate.request(found, lane))
    assert not marks.passed(found, "request")
    assert guard.failures == ["carry-out"]
    (said,) = caplog.messages
    assert said.startswith("carrying out failed: ")


GAPS = {"body-too-large": 413, "upgrade": 501, "event-stream": 501, "encrypted": 501}


@pytest.mark.parametrize(("gap", "status"), GAPS.items())
async def test_what_the_layers_could_not_hand_over(made, gap, status):
    gate, guard, lane = made()
    found = flow()
    marks.set_gap(found, "request", gap)
    await settle(gate.request(found, lane))
    document = json.loads(found.response.data.content)
    assert (found.response.status_code, document["status"]) == (status, status)
    assert document["detail"].startswith("gap. ")
    assert guard.asked[0].gap == gap


async def test_an_answer_that_is_too_large_is_the_upstreams_fault(made):
    gate, _, lane = made()
    found = answered(flow())
    marks.set_gap(found, "response", "body-too-large")
    await settle(gate.response(found, lane))
    assert found.response.status_code == 502


async def test_a_gap_of_the_inspector_keeps_its_status(made):
    gate, _, lane = made(quickly=lambda _: None, slowly=lambda _: GAP)
    found = flow()
    await settle(gate.request(found, lane))
    assert (found.response.status_code, found.response.data.content) == (422, GAP.problem)


async def test_a_refused_head_request_gets_no_body(made):
    gate, _, lane = made(quickly=lambda _: None, slowly=lambda _: BLOCK)
    found = flow(method=b"HEAD")
    await settle(gate.request(found, lane))
    assert found.response.data.content == b""
    assert found.response.headers["content-length"] == str(len(BLOCK.problem))


FORWARD = {"upstream": "forward", "destinations": [{"hosts": ["listed.example"], "role": "logging"}]}


@pytest.mark.parametrize(
    ("row", "mode", "host", "passes"),
    [
        (FORWARD, "enforce", "listed.example", True),
        (FORWARD, "enforce", "LISTED.example", True),
        (FORWARD, "enforce", "other.example", False),
        (FORWARD, "enforce", "listed.example.evil.example", False),
        (FORWARD, "monitor", "other.example", True),
        ({**FORWARD, "mode": "monitor"}, "enforce", "other.example", True),
        ({**FORWARD, "on_gap": "report"}, "enforce", "other.example", False),
        ({**FORWARD, "unlisted": "external"}, "enforce", "other.example", True),
    ],
)
async def test_destinations(made, row, mode, host, passes):
    """Only monitor mode lets unlisted destinations pass: they are a rule of the policy, not a gap it may report."""
    gate, _, lane = made(row, mode=mode)
    found = flow(b"clean", host=host)
    await settle(gate.request(found, lane))
    assert marks.passed(found, "request") is passes
    if not passes:
        assert found.response.status_code == 403


@pytest.mark.parametrize(
    ("mode", "host", "readable", "passes"),
    [
        ("enforce", "listed.example", True, True),
        ("enforce", "listed.example", False, False),
        ("enforce", "other.example", True, False),
        ("monitor", "listed.example", False, True),
        ("monitor", "other.example", True, True),
    ],
)
async def test_connect(made, mode, host, readable, passes):
    gate, _, lane = made(FORWARD, mode=mode)
    found = flow(host=host, method=b"CONNECT")
    await settle(gate.connect(found, lane, readable=readable))
    assert marks.passed(found, "request") is passes
    assert marks.readable(found) is readable


async def test_broken(made):
    gate, guard, lane = made()
    found = answered(flow(), NUMBER)
    gate.broken(found, lane, "response", "plane")
    assert guard.failures == ["plane"]
    assert not marks.passed(found, "response")
    assert found.response.status_code == 503


async def test_monitor_mode_leaves_fields_alone(made):
    gate, _, lane = made(mode="monitor")
    found = answered(flow(fields=[(b"Accept-Encoding", b"compress")]), fields=[(b"Alt-Svc", b"h3")])
    await settle(gate.request(found, lane))
    await settle(gate.response(found, lane))
    assert found.request.headers["accept-encoding"] == "compress"
    assert found.response.headers["alt-svc"] == "h3"


async def test_a_response_hook_without_a_response(made):
    gate, _, lane = made()
    with pytest.raises(ValueError, match="without a response"):
        gate.response(flow(), lane)


def test_carry_out_redaction():
    found = flow(NUMBER, [(b"Content-Length", b"16")])
    message = request_message(found.request, Context(Route("l", "logging", on_violation="redact")))
    body = next(index for index, part in enumerate(message.parts) if part.name == "body")
    carry_out(found, message, Decision(Action.REDACT, parts={body: b"*"}))
    assert (found.request.data.content, found.request.headers["content-length"]) == (b"*", "1")
    assert marks.passed(found, "request")


@pytest.mark.parametrize("decision", [None, object(), "allow", True])
def test_carry_out_takes_only_decisions(decision):
    found = flow()
    message = request_message(found.request, Context(Route("l", "logging")))
    with pytest.raises(TypeError):
        carry_out(found, message, decision)
    assert not marks.passed(found, "request")


async def test_a_meter_that_fails_refuses_nothing(made):
    """Neither on the loop nor after a thread."""

    def broken(*_):
        raise OSError(PAN)

    for script in ({}, {"quickly": lambda _: None}):
        gate, guard, lane = made(**script)
        gate._meter.added_latency = broken
        found = flow(b"clean")
        await settle(gate.request(found, lane))
        assert marks.passed(found, "request")
        assert guard.failures == []


@pytest.mark.parametrize(
    ("size", "limits", "heavy"),
    [
        (1000, Limits(), False),
        (100_000, Limits(), True),
        (100_000, Limits(ratio=10), False),
        (100_000, Limits(expanded=1024), False),
        (100_000_000, Limits(ratio=1, expanded=1 << 40), True),
    ],
)
def test_what_may_grow_large_is_heavy(size, limits, heavy):
    route = Route("lane", "logging", limits=limits)
    assert is_heavy(request_message(flow(b"x" * size).request, Context(route))) is heavy


@pytest.mark.parametrize(
    ("row", "mode", "asked"),
    [
        ({}, "enforce", 1),
        ({"on_violation": "redact"}, "enforce", 1),
        ({"on_violation": "report"}, "enforce", 0),
        ({"role": "payment-gateway"}, "enforce", 0),
        ({}, "monitor", 0),
    ],
)
async def test_a_head_is_asked_about_where_it_can_be_refused(made, row, mode, asked):
    """And is no message of its own to the counters: the whole request will be."""
    gate, guard, lane = made(row, mode)
    found = flow(None)
    await settle(gate.head(found, lane))
    assert marks.take_passed(found, "request")
    assert [message.moving for message in guard.asked] == [True] * asked


@pytest.mark.parametrize(("percent", "passes"), [(0, True), (100, False)])
async def test_a_share_that_is_not_enforced_is_treated_as_in_monitor_mode(made, percent, passes):
    """The request, its response, a piece of either, and what Sekisho itself fails at."""
    gate, guard, lane = made({"percent": percent, "on_violation": "block"})
    found = flow(NUMBER)
    await settle(gate.request(found, lane))
    assert marks.passed(found, "request") is passes
    found = answered(flow(b"clean"), NUMBER)
    await settle(gate.response(found, lane))
    assert marks.passed(found, "response") is passes
    found = flow(b"clean")
    gate.broken(found, lane, "request", "plane")
    assert marks.passed(found, "request") is passes
    assert {message.route.mode for message in guard.asked} == {"monitor" if passes else "enforce"}


async def test_a_flow_is_enforced_in_both_directions_or_in_neither(made):
    gate, guard, lane = made({"percent": 50})
    modes = []
    for _ in range(64):
        guard.asked.clear()
        found = answered(flow(b"clean"))
        await settle(gate.request(found, lane))
        await settle(gate.response(found, lane))
        (mode,) = {message.route.mode for message in guard.asked}
        modes.append(mode)
    assert set(modes) == {"enforce", "monitor"}


async def test_a_share_does_not_open_the_way_to_unlisted_hosts(made):
    gate, _, lane = made({**FORWARD, "percent": 0})
    found = flow(b"clean", host="other.example")
    await settle(gate.request(found, lane))
    assert not marks.passed(found, "request")
