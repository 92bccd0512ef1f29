"""Sekisho fails, its upstream fails, its client fails, one at a time: no number arrives, and the next request is served.

In monitor mode the same: everything that can be delivered is, and what happened is recorded.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import socket
import struct
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import proxy.addon
import proxy.examination
import proxy.guard
import proxy.records.ledger
from detectors import Inspector
from detectors.decoders import compressed
from detectors.presidio import Presidio
from detectors.sieve import Sieve
from proxy import addon, threads
from proxy.http import client as http_client
from proxy.http import server as http_server
from tests.e2e.origin import OK, exchange, get, origin, post, read_response, status_of
from tests.e2e.plane import PAN, boundary, until
from tests.proxy.doubles import RecordingAudit, RecordingMeter

SECONDS = 60
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
    limits = {"inspect_seconds": 0.5, "body_seconds": 0.5, "body": "1MiB", **options.pop("limits", {})}
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
    "the record": (proxy.records.ledger.record, "of_message"),
    "the audit file": (RecordingAudit, "append"),
    "the answer's text": (proxy.guard.problem, "card_data"),
    "the worker": (threads.Threads, "run"),
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
ON_THE_LOOP = ("the sieve, at first sight", "the sieve", "the worker", "the refusal", "all counters")
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
            for _ in range(2 * threads.MOST):
                assert status_of(await ask(running, LEAK)) == status
            assert await ask(running, CLEAN) == OK
        assert status_of(await ask(running, LEAK)) == (403 if mode == "enforce" else 200)
        assert running.origin.requests.count(LEAK) == (0 if mode == "enforce" else 2 * threads.MOST + 1)


@pytest.mark.parametrize(("mode", "status"), [("enforce", 503), ("monitor", 200)])
async def test_all_threads_have_ended(tmp_path, inspector, mode, status):
    async with faulty(tmp_path, inspector, mode=mode) as running:
        assert status_of(await ask(running, LEAK)) == (403 if mode == "enforce" else 200)
        running.host._threads.close()
        assert status_of(await ask(running, LEAK)) == status
        assert await ask(running, CLEAN) == OK
        assert running.meter.named("internal_error") == [("timeout",)]


# The upstream.

MODES = ["enforce", "monitor"]


@asynccontextmanager
async def upstream(fault):
    """The URL of a server that does ``fault(reader, writer)`` on each connection, until it is ``well``."""
    state = {"well": False}

    async def serve(reader, writer):
        try:
            if not state["well"]:
                await fault(reader, writer)
                return
            while await reader.readuntil(b"}"):
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state["url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield state
    server.close()


def answering(*pieces, end="close"):
    """Reads a request, sends the pieces, and then closes, resets or waits."""

    async def fault(reader, writer):
        await reader.readuntil(b"}")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if end == "reset":
            await asyncio.sleep(0.02)  # or the reset would overtake the bytes
            writer.transport.abort()
        elif end == "wait":
            await reader.read()

    return fault


async def resetting(_reader, writer):
    writer.transport.abort()


async def answering_early(reader, writer):
    await reader.readexactly(4)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + CARD)
    await writer.drain()
    writer.transport.abort()


HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH, CHUNKED = b"Content-Length: 50\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
UPSTREAMS = {
    "resets at once": (resetting, 502),
    "closes at once": (answering(), 502),
    "resets in its head": (answering(HEAD, b"X: " + CARD, end="reset"), 502),
    "resets in its body": (answering(HEAD, LENGTH, CARD, end="reset"), 502),
    "closes in its body": (answering(HEAD, LENGTH, CARD), 502),
    "closes in a chunk": (answering(HEAD, CHUNKED, b"32\r\n", CARD), 502),
    "resets between chunks": (answering(HEAD, CHUNKED, b"10\r\n", CARD, b"\r\n", end="reset"), 502),
    "never answers": (answering(end="wait"), 504),
    "stalls in its head": (answering(HEAD, b"X: " + CARD, end="wait"), 504),
    "stalls in its body": (answering(HEAD, LENGTH, CARD, end="wait"), 504),
    "stalls between chunks": (answering(HEAD, CHUNKED, b"10\r\n", CARD, b"\r\n", end="wait"), 504),
    "answers before it has the request, and resets": (answering_early, 502),
    "speaks something else": (answering(b"220 mail " + CARD + b" ready\r\n", end="wait"), 504),
    "sends an endless head": (answering(HEAD, *[b"X: " + CARD + b"\r\n"] * 9000, end="wait"), 502),
    "sends endless interim answers": (answering(*[b"HTTP/1.1 102 X\r\n\r\n"] * 99, end="wait"), 502),
    "gives two lengths": (answering(HEAD, b"Content-Length: 16\r\nContent-Length: 17\r\n\r\n", CARD), 502),
    "gives a length and chunks": (answering(HEAD, b"Content-Length: 16\r\n" + CHUNKED, b"10\r\n" + CARD), 502),
    "sends a chunk that is none": (answering(HEAD, CHUNKED, CARD + b"z\r\n", end="wait"), 502),
    "sends a chunk without its end": (answering(HEAD, CHUNKED, b"10\r\n" + CARD + b"xx0\r\n\r\n", end="wait"), 502),
    "folds a field": (answering(HEAD, b"X: a\r\n " + CARD + b"\r\nContent-Length: 0\r\n\r\n", end="wait"), 502),
    "ends a line with CR": (answering(HEAD, b"X: a\rY: " + CARD + b"\r\nContent-Length: 0\r\n\r\n", end="wait"), 502),
    "says more than it announced": (answering(OK + CARD, end="wait"), 200),
    "answers twice": (answering(OK + HEAD + b"Content-Length: 16\r\n\r\n" + CARD, end="wait"), 200),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("fault", "status"), UPSTREAMS.values(), ids=UPSTREAMS)
async def test_the_upstream_fails(tmp_path, inspector, fault, status, mode):
    """No piece of a broken answer is passed on in any mode, for none is a message; and it is counted."""
    async with upstream(fault) as server, faulty(tmp_path, inspector, upstream=server["url"], mode=mode) as running:
        running.host.snapshot.tcp_timeout = 0.7 if status == 504 else 60
        response = await ask(running, CLEAN)
        assert status_of(response) == status
        assert CARD not in response
        if status != 200:
            assert b'"type": "urn:sekisho:problem:upstream-' in response
            assert running.meter.named("upstream_error")
        server["well"] = True
        running.host.snapshot.tcp_timeout = 300
        assert await ask(running, CLEAN) == OK
        assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("mode", MODES)
async def test_the_upstream_is_not_there(tmp_path, inspector, mode):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        async with faulty(tmp_path, inspector, upstream=f"http://127.0.0.1:{port}", mode=mode) as running:
            for sent in (CLEAN, LEAK):
                response = await ask(running, sent)
                assert status_of(response) == (403 if sent is LEAK and mode == "enforce" else 502)
            assert running.kinds() == ["retention"]
            place.listen()
            place.setblocking(False)
            asked = asyncio.create_task(ask(running, CLEAN))
            served, _ = await asyncio.get_running_loop().sock_accept(place)
            served.sendall(OK)
            assert await asked == OK
            served.close()


# The client.


async def fails(running, *pieces, end="wait", pause=0.0):
    """Sends the pieces, then closes its half, resets or waits: the status of the answer, 0 if there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    try:
        async with asyncio.timeout(SECONDS):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            if end == "half":
                writer.write_eof()
            elif end == "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return 0
            return status_of(await read_response(reader))
    except ConnectionError:
        return 0
    finally:
        writer.close()


WHOLE = post("/log", b'{"card": "' + CARD + b'"}')
CUT = WHOLE[:-6]
CLIENTS = {
    # what is sent, how it ends, and the answer in each mode
    "resets in its head": ([b"POST /log HTTP/1.1\r\nX: " + CARD], "reset", 0, 0),
    "resets in its body": ([CUT], "reset", 0, 0),
    "closes its half in its head": ([b"POST /log HTTP/1.1\r\nX: " + CARD], "half", 0, 0),
    "closes its half in its body": ([CUT], "half", 400, 400),
    "closes its half after a request": ([WHOLE], "half", 403, 0),  # who closes wants no answer
    "stops in its head": ([b"POST /log HTTP/1.1\r\nX: " + CARD], "wait", 408, 408),
    "stops in its body": ([CUT], "wait", 408, 408),
    "stops in a chunk": ([get("/", "Transfer-Encoding: chunked"), b"99\r\n" + CARD], "wait", 408, 408),
    "sends a head as large as it likes": (
        [b"GET / HTTP/1.1\r\n", (b"X: " + CARD + b"\r\n") * 6000],
        "wait",
        431,
        431,
    ),
    "sends one endless field": ([b"GET / HTTP/1.1\r\nX: ", *[CARD * 1000] * 20], "wait", 431, 431),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CLIENTS)
async def test_the_client_fails(tmp_path, inspector, name, mode):
    pieces, end, *statuses = CLIENTS[name]
    status = statuses[MODES.index(mode)]
    async with faulty(tmp_path, inspector, mode=mode) as running:
        assert await fails(running, *pieces, end=end) == status
        await until(lambda: not running.host.listeners.connections)
        assert CARD not in running.origin.received or mode == "monitor"
        assert set(running.origin.requests) <= {WHOLE}
        assert await ask(running, CLEAN) == OK
        assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_slow_loris(tmp_path, inspector, mode):
    """A byte now and then keeps neither a head nor a body alive, and others are served meanwhile."""
    async with faulty(tmp_path, inspector, mode=mode) as running:
        slow = [fails(running, *[bytes([byte]) for byte in data], pause=0.05) for data in (WHOLE, CUT) * 10]
        slow += [fails(running, WHOLE[:-30], *[b"x"] * 29, pause=0.05) for _ in range(10)]
        asked = asyncio.gather(*slow)
        for _ in range(5):
            assert await ask(running, CLEAN) == OK
        assert set(await asked) <= {0, 408}
        assert set(running.origin.requests) == {CLEAN}


HIDDEN = b"POST /hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n" + CARD
END = b"0\r\n\r\n"


def smuggled(*fields, body):
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


TE, CL = b"Transfer-Encoding: chunked", b"Content-Length: 5"
SMUGGLED = {
    "length, then chunks": smuggled(CL, TE, body=END + HIDDEN),
    "chunks, then length": smuggled(TE, CL, body=END + HIDDEN),
    "chunks twice": smuggled(TE, TE, body=END + HIDDEN),
    "chunks, then identity": smuggled(TE, b"Transfer-Encoding: identity", body=END + HIDDEN),
    "another coding": smuggled(b"Transfer-Encoding: xchunked", CL, body=END + HIDDEN),
    "a list of codings": smuggled(b"Transfer-Encoding: chunked, identity", body=END + HIDDEN),
    "space before the colon": smuggled(b"Transfer-Encoding : chunked", CL, body=END + HIDDEN),
    "tab in the coding": smuggled(b"Transfer-Encoding: chunked\x0b", CL, body=END + HIDDEN),
    "quoted coding": smuggled(b'Transfer-Encoding: "chunked"', CL, body=END + HIDDEN),
    "folded coding": smuggled(b"Transfer-Encoding:\r\n chunked", CL, body=END + HIDDEN),
    "folded field": smuggled(b"X: a\r\n Transfer-Encoding: chunked", CL, body=END + HIDDEN),
    "coding behind a bare CR": smuggled(b"X: a\rTransfer-Encoding: chunked", CL, body=END + HIDDEN),
    "coding behind a bare LF": smuggled(b"X: a\nTransfer-Encoding: chunked", CL, body=END + HIDDEN),
    "coding behind a NUL": smuggled(b"X: a\x00" + TE, CL, body=END + HIDDEN),
    "two lengths": smuggled(CL, b"Content-Length: 0", body=END + HIDDEN),
    "a list of lengths": smuggled(b"Content-Length: 5, 0", body=END + HIDDEN),
    "a length with a sign": smuggled(b"Content-Length: +5", body=END + HIDDEN),
    "a length in hex": smuggled(b"Content-Length: 0x5", body=END + HIDDEN),
    "a negative length": smuggled(b"Content-Length: -5", body=END + HIDDEN),
    "an empty length": smuggled(b"Content-Length: ", body=HIDDEN),
    "a length of digits that are none": smuggled("Content-Length: ٥".encode(), body=END + HIDDEN),
    "a chunk size that overflows": smuggled(TE, body=b"10000000000000005\r\n" + END + HIDDEN),
    "a chunk size with a prefix": smuggled(TE, body=b"0x0\r\n\r\n" + HIDDEN),
    "a chunk size behind a space": smuggled(TE, body=b" 0\r\n\r\n" + HIDDEN),
    "a chunk without its end": smuggled(TE, body=b"1\r\naX" + END + HIDDEN),
    "a chunk that ends with LF": smuggled(TE, body=b"1\r\na\n" + END + HIDDEN),
    "a chunk extension with LF": smuggled(TE, body=b"1;a\nb\r\na\r\n" + END + HIDDEN),
    "two hosts": smuggled(b"Host: b", CL, body=END + HIDDEN),
    "no host": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n" + END + HIDDEN,
    "HTTP/0.9": b"GET /\r\n\r\n" + HIDDEN,
    "a line of LF": b"GET / HTTP/1.1\nHost: a\n\n" + HIDDEN,
    "a body of a GET without a length": get("/") + HIDDEN,
    "an upgrade to h2c": get("/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AA") + HIDDEN,
    "a handshake of a WebSocket that is none": get("/", "Upgrade: websocket", "Connection: Upgrade") + HIDDEN,
    "an answer expected": smuggled(CL, b"Expect: 100-continue", body=END + HIDDEN),
}


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
async def test_smuggling(tmp_path, inspector, sent):
    """Whatever the two ends could read differently: the hidden request is refused, or it has been read as one."""
    async with faulty(tmp_path, inspector) as running:
        heard = await ask(running, sent + get("/last", "Connection: close"), close=True)
        assert CARD not in running.origin.received
        assert CARD not in heard
        assert not [request for request in running.origin.requests if b"/hidden" in request]
        assert not any(request.count(b"HTTP/1.1\r\n") != 1 for request in running.origin.requests)
        assert await ask(running, CLEAN) == OK
        assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
async def test_smuggling_in_monitor_mode(tmp_path, inspector, sent):
    """The hidden request is delivered as the request that it is, and recorded, or with what hides it not at all."""
    async with faulty(tmp_path, inspector, mode="monitor") as running:
        await ask(running, sent + get("/last", "Connection: close"), close=True)
        hidden = [request for request in running.origin.requests if b"/hidden" in request]
        assert hidden in ([], [HIDDEN])
        assert running.kinds().count("retention") == len(hidden)
        assert CARD not in bytes(running.origin.received).replace(HIDDEN, b"")
        assert await ask(running, CLEAN) == OK


# More connections than there is room for.

CARD_IN_JSON = post("/log", b'{"card": "' + CARD + b'"}')


def resident(process):
    """Bytes of memory, as Linux tells."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def descriptors(process):
    """How many files and sockets it has open."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@asynccontextmanager
async def idle_connections(port, count):
    """As many that say nothing, or stop in the midst of a head."""
    made = []
    try:
        for number in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /log HTTP/1.1\r\nX: " + CARD if number % 2 else b"")
            made.append(writer)
        yield
    finally:
        for writer in made:
            writer.transport.abort()


@pytest.mark.parametrize("mode", MODES)
async def test_thousands_of_idle_connections(start_sidecar, mode):
    """They take some memory each, and no time from those who have something to say."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(2000, hard // 2)
    async with origin() as server:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * count + 500)), hard))
        lanes = [{"name": "lane", "upstream": server.url, "role": "logging", "limits": {"connections": count + 10}}]
        sidecar = await asyncio.to_thread(start_sidecar, lanes, mode=mode)
        before = resident(sidecar.process)
        port = sidecar.port("lane")
        async with idle_connections(port, count):
            assert await exchange(port, CLEAN, seconds=SECONDS) == OK
            refused = await exchange(port, CARD_IN_JSON, seconds=SECONDS)
            assert status_of(refused) == (403 if mode == "enforce" else 200)
            assert resident(sidecar.process) - before < count * 64 * 1024
        assert await exchange(port, CLEAN, seconds=SECONDS) == OK
        assert server.requests.count(CLEAN) == 2
        assert server.received.count(CARD) == (0 if mode == "enforce" else 1)
        assert CARD not in sidecar.output()
        assert b"Traceback" not in sidecar.output()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("mode", MODES)
async def test_no_file_descriptor_is_left(start_sidecar, mode):
    """Who is connected is served, without an upstream if there is none yet; when there is room again, all are."""
    async with origin() as server:
        lanes = [{"name": "lane", "upstream": server.url, "role": "logging"}]
        sidecar = await asyncio.to_thread(start_sidecar, lanes, mode=mode)
        port, number = sidecar.port("lane"), sidecar.process.pid
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CLEAN)
        assert await read_response(reader) == OK  # its upstream stays open
        held = descriptors(sidecar.process)
        limits = resource.prlimit(number, resource.RLIMIT_NOFILE)
        resource.prlimit(number, resource.RLIMIT_NOFILE, (held + 10, limits[1]))
        async with idle_connections(port, 40), asyncio.timeout(SECONDS):
            await until(lambda: descriptors(sidecar.process) >= held + 10)
            writer.write(CARD_IN_JSON)
            assert status_of(await read_response(reader)) == (403 if mode == "enforce" else 200)
            writer.write(CLEAN)
            assert await read_response(reader) == OK
        writer.close()
        assert await exchange(port, CLEAN, seconds=SECONDS) == OK
        assert server.requests.count(CLEAN) == 3
        assert server.received.count(CARD) == (0 if mode == "enforce" else 1)
        assert len(sidecar.audit_lines()) == 2  # the start, and the number
        assert CARD not in sidecar.output()
        assert b"Traceback" not in sidecar.output()
        resource.prlimit(number, resource.RLIMIT_NOFILE, limits)
