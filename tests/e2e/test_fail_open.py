"""Every way in which the host is known to let bytes pass by default, row by row, and that here none does.

Real sockets: a client, the plane with the real guard and inspector, and an origin that keeps every byte it is sent. Each
test is named after its row. The client must get a clear answer within seconds, and the origin must hold no card number.
"""

from __future__ import annotations

import asyncio
import codecs
import gzip
import json
import threading
import time
import zlib

import pytest

from detectors import Inspection, Inspector
from proxy import addon
from proxy.http import request as http_request
from tests.e2e.origin import OK, body_of, exchange, get, origin, post, read_response, status_of
from tests.e2e.plane import ALLOW, PAN, ScriptedGuard, boundary, plane, policy

BODY = json.dumps({"event": "paid", "card": PAN}).encode()
CLEAN = b'{"event": "paid", "order": "A-17"}'
SECONDS = 60
PROTOBUF = "Content-Type: application/x-protobuf"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


class Faulty:
    """An inspector that does as the test says once it is asked about a body."""

    def __init__(self, fault):
        self.fault = fault

    def quiet(self, _data):
        return False

    def fields(self, *_):
        return iter(())

    def inspect(self, body, *_args, **_options):
        self.fault(body)
        return Inspection()


def raising(error):
    def fault(_body):
        raise error

    return fault


async def ask(running, request):
    return await exchange(running.port(), request, seconds=SECONDS)


def assert_problem(response, *statuses):
    """A refusal that a program and a person can read, and that gives nothing away."""
    assert status_of(response) in statuses, response[:200]
    assert b"content-type: application/problem+json" in response
    document = json.loads(body_of(response))
    assert document["status"] == status_of(response)
    assert document["detail"]
    assert PAN.encode() not in response
    assert b"server:" not in response.lower()
    assert b"mitmproxy" not in response.lower()


def assert_nothing_arrived(running):
    assert bytes(running.origin.received) == b""
    assert running.origin.connections == 0


# Row: a hook raises, or ends in TimeoutError -> stock logs it and forwards the message unchanged.

FAULTS = {
    "raises": raising(RuntimeError("broken")),
    "raises-timeout": raising(TimeoutError()),
    "raises-cancelled": raising(asyncio.CancelledError()),
    "raises-system-exit": raising(SystemExit(1)),
    "raises-memory-error": raising(MemoryError()),
    "raises-recursion": raising(RecursionError()),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_request_hook_raises(tmp_path, fault):
    async with boundary(tmp_path, Faulty(fault)) as running:
        assert_problem(await ask(running, post("/log", BODY)), 503)
        assert_nothing_arrived(running)
        assert running.meter.named("internal_error")
        assert [event["kind"] for event in running.audit.events] == ["failure"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_request_hook_raises_in_monitor_mode_forwards_and_records(tmp_path, fault):
    async with boundary(tmp_path, Faulty(fault), mode="monitor") as running:
        assert status_of(await ask(running, post("/log", CLEAN))) == 200
        assert running.origin.requests[0].endswith(CLEAN)
        assert running.meter.named("internal_error")
        assert {event["verdict"] for event in running.audit.events} == {"allow"}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_response_hook_raises(tmp_path, fault):
    """The request is clean; the answer holds a card, and its inspection fails."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)

    def only_answers(body):
        if PAN.encode() in body:
            fault(body)

    async with boundary(tmp_path, Faulty(only_answers), answer) as running:
        assert_problem(await ask(running, get("/log/1")), 503)
        assert len(running.origin.requests) == 1


@pytest.mark.parametrize("direction", ["request", "response"])
async def test_the_gate_itself_raises(tmp_path, inspector, monkeypatch, direction):
    """Not the guard but the hook around it: before there is a message to ask about."""

    def broken(*_):
        raise KeyError(PAN)

    monkeypatch.setattr(addon, f"{direction}_message", broken)
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, post("/log", CLEAN)), 503)
        assert len(running.origin.requests) == (direction == "response")


async def test_the_guard_hangs(tmp_path, monkeypatch):
    """A regular expression that never ends: the client has its answer when the route's time is over."""
    monkeypatch.setattr(addon, "GRACE_SECONDS", 0.1)
    over = threading.Event()
    async with boundary(tmp_path, Faulty(lambda _: over.wait(30)), limits={"inspect_seconds": 0.2}) as running:
        assert_problem(await ask(running, post("/log", BODY)), 503)
        assert_nothing_arrived(running)
        assert ("timeout",) in running.meter.named("internal_error")
        over.set()


async def test_everything_fails_at_once(tmp_path):
    """Inspector, audit and meter: the refusal needs none of them."""

    def broken(*_):
        raise OSError("disk full")

    async with boundary(tmp_path, Faulty(broken)) as running:
        running.audit.append = broken
        for name in ("message", "gap", "internal_error", "audit_error", "added_latency", "upstream_error"):
            setattr(running.meter, name, broken)
        assert_problem(await ask(running, post("/log", BODY)), 503)
        assert_nothing_arrived(running)


async def test_the_guard_answers_with_nothing(tmp_path):
    async with origin() as server:
        guard = ScriptedGuard(policy(tmp_path, {"upstream": server.url}), lambda _: None, lambda _: None)
        async with plane(guard) as running:
            assert_problem(await exchange(running.port(), post("/log", BODY), seconds=SECONDS), 503)
        assert bytes(server.received) == b""


# Row: the hook's task is cancelled -> stock closes nothing, answers nothing, hangs for ever.


async def test_hook_task_cancelled(tmp_path):
    begun, over = threading.Event(), threading.Event()

    def fault(_body):
        begun.set()
        over.wait(30)

    async with boundary(tmp_path, Faulty(fault)) as running:
        asked = asyncio.create_task(ask(running, post("/log", BODY)))
        assert await asyncio.to_thread(begun.wait, SECONDS)
        (handler,) = running.host.listeners.connections.values()
        for task in list(handler._tasks):
            task.cancel()
        assert_problem(await asked, 503)
        assert_nothing_arrived(running)
        assert ("cancelled",) in running.meter.named("internal_error")
        over.set()


# Row: a Content-Encoding that cannot be read -> stock raises, and forwards.


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("foo", bytes),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("x-gzip", gzip.compress),
        ("aws-chunked", lambda body: b"%x;chunk-signature=0\r\n%s\r\n0;chunk-signature=0\r\n\r\n" % (len(body), body)),
        ("compress", lambda body: b"\x1f\x9d\x90" + body),
        ("", gzip.compress),
        ("br", bytes),
    ],
    ids=["foo", "gzip-gzip", "x-gzip", "aws-chunked", "compress", "none-but-gzip", "br-but-plain"],
)
async def test_unknown_content_encoding(tmp_path, inspector, coding, encode):
    headers = [f"Content-Encoding: {coding}"] if coding else []
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, post("/log", encode(BODY), *headers)), 403, 422)
        assert_nothing_arrived(running)


# Row: a Content-Encoding that is a Python codec -> stock raises another error, and forwards.


@pytest.mark.parametrize("codec", ["rot13", "hex", "bz2", "uu", "zip"])
async def test_content_encoding_that_is_a_python_codec(tmp_path, inspector, codec):
    if codec == "rot13":
        body = codecs.encode(BODY.decode(), "rot13").encode()
    elif codec == "zip":
        body = zlib.compress(BODY)
    else:
        body = codecs.encode(BODY, codec)
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, post("/log", body, f"Content-Encoding: {codec}")), 403, 422)
        assert_nothing_arrived(running)


# Row: gzip with two members, the secret in the second -> stock reads the first only.


async def test_gzip_with_two_members(tmp_path, inspector):
    body = gzip.compress(CLEAN) + gzip.compress(BODY)
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, post("/log", body, "Content-Encoding: gzip")), 403)
        assert_nothing_arrived(running)


# Row: truncated gzip -> stock decodes a part, without an error.


async def test_truncated_gzip(tmp_path, inspector):
    body = gzip.compress(CLEAN * 50 + BODY)
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, post("/log", body[:-12], "Content-Encoding: gzip")), 403, 422)
        assert_nothing_arrived(running)


# Rows: a stream callable raises -> later chunks flow; flow.kill() while streaming -> the rest of the upload is sent.


def as_protobuf(request):
    """The same as a message that can only be read whole."""
    return request.replace(b"\r\n", b"\r\n%s\r\n" % PROTOBUF.encode(), 1)


def chunked(*chunks, end=True):
    head = b"POST /log HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + (b"0\r\n\r\n" if end else b"")


async def test_a_layer_breaks_in_the_middle_of_an_upload(tmp_path, inspector, monkeypatch):
    """The layer raises at the second chunk: the connection ends with an answer and no byte of any chunk leaves."""
    consume = http_request.RequestHalf.state_consume_request_body

    def breaking(self, event):
        yield from consume(self, event)
        if len(self.request_body_buf) > len(CLEAN):
            raise AssertionError(PAN)

    monkeypatch.setattr(http_request.RequestHalf, "state_consume_request_body", breaking)
    async with boundary(tmp_path, inspector) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(chunked(CLEAN, end=False))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
            assert_problem(await read_response(reader, close=True), 503)
        writer.close()
        assert_nothing_arrived(running)
        assert ("handler",) in running.meter.named("internal_error")


async def test_an_upload_is_refused_before_its_first_byte_leaves(tmp_path, inspector):
    """The card is in the last of many chunks: none of the earlier ones may have left by then."""
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, chunked(*[CLEAN] * 200, BODY)), 403)
        assert_nothing_arrived(running)


async def test_a_number_split_over_two_chunks(tmp_path, inspector):
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, chunked(BODY[:-9], BODY[-9:])), 403)
        assert_nothing_arrived(running)


# Row: an answer set while the request streams -> ignored, the upstream's answer is used.


async def test_a_refusal_in_the_middle_of_a_body_is_the_answer(tmp_path, inspector):
    body = CLEAN * 3000
    async with boundary(tmp_path, inspector, limits={"body": 4096}) as running:
        assert_problem(await ask(running, as_protobuf(chunked(body[:2000], body))), 413)
        assert_nothing_arrived(running)


# Row: an answer set together with streaming in requestheaders -> crash, the client hangs.


async def test_a_refusal_at_the_headers_of_an_upload_does_not_hang(tmp_path, inspector):
    """The length alone is too much: the answer comes at once, while the client still sends."""
    async with boundary(tmp_path, inspector, limits={"body": 4096}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(post("/log", b"", PROTOBUF).replace(b"Length: 0", b"Length: 1000000000"))
            assert_problem(await read_response(reader), 413)
            writer.write(b"x" * 100_000)
            assert await reader.read() == b""
        writer.close()
        assert_nothing_arrived(running)


# Row: an answer set in requestheaders -> sent only after the whole body, and Expect has had its 100 already.


async def test_expect_is_refused_without_100_continue(tmp_path, inspector):
    async with boundary(tmp_path, inspector, limits={"body": 4096}) as running:
        head = post("/log", b"", PROTOBUF, "Expect: 100-continue").replace(b"Length: 0", b"Length: 5000")
        response = await ask(running, head)
        assert_problem(response, 413)
        assert b" 100 " not in response.partition(b"\r\n\r\n")[0]
        assert_nothing_arrived(running)


async def test_expect_is_answered_and_the_body_inspected(tmp_path, inspector):
    async with boundary(tmp_path, inspector) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            head = post("/log", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: %d" % len(BODY))
            writer.write(head)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(BODY)
            assert_problem(await read_response(reader), 403)
        writer.close()
        assert_nothing_arrived(running)


# Row: a chunked body reaches stream_large_bodies -> bytes leave before any hook has run.


async def test_a_chunked_body_over_the_limit(tmp_path, inspector):
    body = CLEAN * 1000
    async with boundary(tmp_path, inspector, limits={"body": 4096}) as running:
        assert_problem(await ask(running, as_protobuf(chunked(BODY, body, body, end=False))), 403, 413)
        assert_nothing_arrived(running)
        assert [event["kind"] for event in running.audit.events] in (["retention"], ["gap"])


# Row: body_size_limit is not enforced on streamed chunked bodies, and never on what they expand to.


async def test_a_body_that_expands_over_the_limit(tmp_path, inspector):
    body = gzip.compress(b" " * 8_000_000 + BODY)
    async with boundary(tmp_path, inspector, limits={"expanded": 1_000_000}) as running:
        assert_problem(await ask(running, post("/log", body, "Content-Encoding: gzip")), 403, 422)
        assert_nothing_arrived(running)


async def test_an_endless_chunked_response_over_the_limit(tmp_path, inspector):
    piece = b"%x\r\n%s\r\n" % (len(CLEAN) * 100, CLEAN * 100)
    answer = b"HTTP/1.1 200 OK\r\n%s\r\ntransfer-encoding: chunked\r\n\r\n" % PROTOBUF.encode() + piece * 10
    async with boundary(tmp_path, inspector, answer, limits={"body": 4096}) as running:
        assert_problem(await ask(running, get("/log")), 502)


# Row: a 101 with an unknown Upgrade -> stock relays raw bytes that no HTTP hook sees.


@pytest.mark.parametrize("upgrade", ["websocket", "tls/1.0", "my-protocol", "h2c, my-protocol"])
async def test_upgrade_is_refused(tmp_path, inspector, upgrade):
    async with boundary(tmp_path, inspector, SWITCH) as running:
        assert_problem(await ask(running, get("/ws", "Connection: Upgrade", f"Upgrade: {upgrade}")), 501)
        assert_nothing_arrived(running)
        assert running.meter.named("gap")


async def test_a_101_that_nobody_asked_for(tmp_path, inspector):
    async with boundary(tmp_path, inspector, SWITCH + BODY) as running:
        response = await ask(running, get("/log"))
        assert_problem(response, 502)
        assert running.meter.named("upstream_error") == [("lane", "protocol")]


# Row: a WebSocket message is refused by hook, or its hook raises -> stock forwards it.


async def test_websocket_messages_do_not_flow_uninspected(tmp_path, inspector):
    """Not even those that the client sends right behind its handshake. See test_websockets.py."""
    handshake = get(
        "/ws",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    frame = bytes([0x81, 0x80 | len(PAN), 0, 0, 0, 0]) + PAN.encode()
    accepted = SWITCH.replace(b"\r\n\r\n", b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    async with boundary(tmp_path, inspector, accepted) as running:
        running.host.snapshot.tcp_timeout = 0.5
        response = await exchange(running.port(), handshake + frame, close=True, seconds=SECONDS)
        assert response == accepted + b"\x88\x13\x03\xf0refused by policy"
        assert PAN.encode() not in running.origin.received
        assert [event["protocol"] for event in running.audit.events] == ["websocket"]


async def test_upgrade_passes_in_monitor_mode_and_is_recorded(tmp_path, inspector):
    async with boundary(tmp_path, inspector, SWITCH, mode="monitor") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(get("/ws", "Connection: Upgrade", "Upgrade: websocket"))
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
            running.origin.heard.clear()
            writer.write(b"frames")
            await running.origin.heard.wait()
        writer.close()
        assert bytes(running.origin.received).endswith(b"frames")
        assert ("lane", "upgrade", "report") in [
            (lane, why, done) for lane, why, _, done, _ in running.meter.named("gap")
        ]


# The facts beside the table: trailers crash the stock stream, and its errors quote what they were sent.


async def test_trailers_are_inspected(tmp_path, inspector):
    request = chunked(CLEAN, end=False) + b"0\r\nx-note: %s\r\n\r\n" % PAN.encode()
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, request), 403)
        assert_nothing_arrived(running)


async def test_trailers_pass_when_clean(tmp_path, inspector):
    request = chunked(CLEAN, end=False) + b"0\r\nx-note: tea\r\n\r\n"
    async with boundary(tmp_path, inspector) as running:
        assert status_of(await ask(running, request)) == 200
        assert running.origin.requests == [request]


PLACES = {
    "path": post(f"/cards/{PAN}", CLEAN),
    "query": post(f"/log?note={PAN}", CLEAN),
    "method": post("/log", CLEAN).replace(b"POST", PAN.encode(), 1),
    "header": post("/log", CLEAN, f"X-Note: {PAN}"),
    "second-of-two-headers": post("/log", CLEAN, "X-Note: tea", f"X-Note: {PAN}"),
    "header-name": post("/log", CLEAN, f"X-{PAN}: tea"),
    "cookie": post("/log", CLEAN, f"Cookie: a=b; card={PAN}"),
    "cookie-name": post("/log", CLEAN, f"Cookie: {PAN}=1"),
    "basic-authorization": post(
        "/log", CLEAN, "Authorization: Basic " + codecs.encode(f"u:{PAN}".encode(), "base64").decode().strip()
    ),
    "user-agent": post("/log", CLEAN, f"User-Agent: {PAN}"),
    "body": post("/log", BODY),
    "get-body": post("/log", BODY).replace(b"POST", b"GET", 1),
    "form": post("/log", b"a=1&number=" + PAN.encode(), "Content-Type: application/x-www-form-urlencoded"),
    "gzip": post("/log", gzip.compress(BODY), "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("request_", PLACES.values(), ids=PLACES.keys())
async def test_no_part_of_a_request_is_left_out(tmp_path, inspector, request_):
    async with boundary(tmp_path, inspector) as running:
        assert_problem(await ask(running, request_), 403)
        assert_nothing_arrived(running)


ANSWERS = {
    "reason": b"HTTP/1.1 200 card %s\r\ncontent-length: 2\r\n\r\nok" % PAN.encode(),
    "header": b"HTTP/1.1 200 OK\r\nx-note: %s\r\ncontent-length: 2\r\n\r\nok" % PAN.encode(),
    "set-cookie": b"HTTP/1.1 200 OK\r\nset-cookie: c=%s; path=/\r\ncontent-length: 2\r\n\r\nok" % PAN.encode(),
    "location": b"HTTP/1.1 302 Found\r\nlocation: /a?c=%s\r\ncontent-length: 0\r\n\r\n" % PAN.encode(),
    "body": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY),
    "error-body": b"HTTP/1.1 500 Oops\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY),
    "until-close": b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n" + BODY,
    "chunked-trailer": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-note: %s\r\n\r\n"
    % PAN.encode(),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_no_part_of_a_response_is_left_out(tmp_path, inspector, answer):
    async with boundary(tmp_path, inspector, answer) as running:
        assert_problem(await ask(running, get("/log")), 403)


LENGTHS = {
    "head": (b"HEAD /log HTTP/1.1\r\nHost: a\r\n\r\n", b"200 OK"),
    "304": (get("/log"), b"304 Not Modified"),
    "204": (get("/log"), b"204 No Content"),
}


@pytest.mark.parametrize("on_violation", ["block", "redact"])
@pytest.mark.parametrize(("request_", "status"), LENGTHS.values(), ids=LENGTHS.keys())
async def test_a_length_of_no_body_is_free_text(tmp_path, inspector, request_, status, on_violation):
    """Content-Length of an answer that has no body: a number of up to 19 digits that nothing bears out."""
    answer = b"HTTP/1.1 %s\r\ncontent-length: %s\r\n\r\n" % (status, PAN.encode())
    async with boundary(tmp_path, inspector, answer, on_violation=on_violation) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(request_)
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert PAN.encode() not in head
        assert head.startswith(b"HTTP/1.1 403" if on_violation == "block" else b"HTTP/1.1 " + status)


async def test_a_length_of_no_body_that_is_none_passes(tmp_path, inspector):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1234567\r\n\r\n"
    async with boundary(tmp_path, inspector, answer) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(LENGTHS["head"][0])
            assert await reader.readuntil(b"\r\n\r\n") == answer
        writer.close()


@pytest.mark.parametrize("count", [900, 1])
async def test_a_header_full_of_card_numbers(tmp_path, inspector, count):
    """The longest that anything else on the event loop waits while a header block of them is inspected and redacted."""
    cookies = f"Cookie: {'a=4242424242424242;' * count}"
    async with boundary(tmp_path, inspector, on_violation="redact", limits={"inspect_seconds": 20}) as running:
        longest, before = 0.0, time.perf_counter()
        asked = asyncio.create_task(exchange(running.port(), post("/log", CLEAN, cookies), seconds=30))
        while not asked.done():
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        assert status_of(await asked) == 200
        assert b"4242424242424242" not in running.origin.received
        assert running.origin.received.count(b"a=424242******4242;") == count
        assert longest < 2  # a crowded machine; it was nine seconds on an idle one


async def test_nothing_else_opens_the_upstream(tmp_path, inspector):
    """After a refusal the same connection serves the next request, and only that one reaches the origin."""
    async with boundary(tmp_path, inspector) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(post("/log", BODY))
            assert_problem(await read_response(reader), 403)
            writer.write(post("/log", CLEAN))
            assert await read_response(reader) == OK
        writer.close()
        assert [request.partition(b"\r\n\r\n")[2] for request in running.origin.requests] == [CLEAN]


async def test_a_mark_from_the_guard_is_needed(tmp_path):
    """A guard that says ALLOW forwards: the tests above do not pass because nothing ever does."""
    async with origin() as server:
        guard = ScriptedGuard(policy(tmp_path, {"upstream": server.url}), lambda _: ALLOW)
        async with plane(guard) as running:
            assert await exchange(running.port(), post("/log", BODY), seconds=SECONDS) == OK
        assert server.requests[0].endswith(BODY)
