"""WebSockets through a lane, with the real guard, between a real client and a real server that keeps what it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode
from websockets.protocol import State

from detectors import Inspection, Inspector
from proxy import addon
from proxy.guard import Guard
from tests.e2e.authority import authority, server_context
from tests.e2e.plane import PAN, boundary, plane, policy, until
from tests.proxy.doubles import RecordingAudit, RecordingMeter

MASKED = "411111******1111"
SECONDS = 60
ORDER = json.dumps({"event": "paid", "order": "A-17", "note": "お届け" * 20})
LEAK = json.dumps({"event": "paid", "card": PAN})


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


@dataclass
class Sink:
    """A WebSocket server: what it was told, and how it was told to close."""

    url: str = ""
    heard: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    closes: list[tuple[int | None, str | None]] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)

    def everything(self) -> bytes:
        """All of it as bytes."""
        told = [one.encode() if isinstance(one, str) else one for one in (*self.heard, *self.pings)]
        return b"\n".join([*told, *(str(close).encode() for close in self.closes)])


async def echo(connection, sink):
    async for message in connection:
        sink.heard.append(message)
        await connection.send(message)


@asynccontextmanager
async def sinking(handle=echo, **options):
    sink = Sink()

    async def handler(connection):
        sink.extensions.append(connection.request.headers.get("Sec-WebSocket-Extensions", ""))
        read = connection.protocol.recv_frame

        def recv_frame(frame):
            if frame.opcode in (Opcode.PING, Opcode.PONG):
                sink.pings.append(bytes(frame.data))
            read(frame)

        connection.protocol.recv_frame = recv_frame
        try:
            await handle(connection, sink)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            sink.closes.append((connection.close_code, connection.close_reason))

    async with serve(handler, "127.0.0.1", 0, ping_interval=None, **options) as server:
        sink.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield sink


@asynccontextmanager
async def between(base, inspector, handle=echo, *, server=(), **lane):
    """A sink, and the plane in front of it."""
    async with (
        sinking(handle, **dict(server)) as sink,
        boundary(base, inspector, upstream=sink.url, **lane) as running,
    ):
        running.sink = sink
        yield running


def calling(running, path="/feed", **options):
    return connect(f"ws://127.0.0.1:{running.port()}{path}", ping_interval=None, open_timeout=SECONDS, **options)


async def told(client):
    """How the client is told to close."""
    async with asyncio.timeout(SECONDS):
        while client.protocol.state is not State.CLOSED:
            try:
                await client.recv()
            except ConnectionClosed:
                await client.wait_closed()
    return client.close_code, client.close_reason


async def settled(running):
    """The sink has heard the end."""
    await until(lambda: running.sink.closes)
    await until(lambda: not running.host.listeners.connections)


MESSAGES = {
    "text": ORDER,
    "empty": "",
    "binary": bytes(range(256)) * 40,
    "fragmented text": ["{", '"note": "お', "届け", '"}'],
    "fragmented binary": [b"\x00", b"", b"\xff" * 5000],
    "large": "x" * 300_000,
    "without repetition": bytes(n * n * 7919 >> 5 & 0xFF for n in range(50_000)),
}


def whole(message):
    return message[0][:0].join(message) if isinstance(message, list) else message


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_clean_messages_are_unharmed(tmp_path, inspector, compression):
    async with between(tmp_path, inspector) as running:
        async with asyncio.timeout(SECONDS), calling(running, compression=compression) as client:
            for message in MESSAGES.values():
                await client.send(message)
                assert await client.recv() == whole(message)
            await client.close(4001, "bye")
        await settled(running)
        assert running.sink.heard == [whole(message) for message in MESSAGES.values()]
        assert running.sink.closes == [(4001, "bye")]
        assert bool(running.sink.extensions[0]) is (compression is not None)
        assert running.audit.events == []
        assert running.meter.named("internal_error") == []


LEAKS = {
    "text": LEAK,
    "binary": b"\x00\x01" + LEAK.encode() + b"\xff",
    "fragmented": [LEAK[:22], LEAK[22:30], LEAK[30:]],
    "in UTF-16": LEAK.encode("utf-16"),
    "ping": None,
    "pong": None,
    "close": None,
}


async def leak(connection, name):
    if name == "ping":
        await connection.ping(LEAK.encode())
    elif name == "pong":
        await connection.pong(LEAK.encode())
    elif name == "close":
        await connection.close(4000, LEAK)
    else:
        await connection.send(LEAKS[name])


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("name", LEAKS)
async def test_a_leaking_client_is_closed(tmp_path, inspector, name, compression):
    async with between(tmp_path, inspector) as running:
        async with calling(running, compression=compression) as client:
            await client.send(ORDER)
            assert await client.recv() == ORDER
            await leak(client, name)
            assert await told(client) == (1008, "refused by policy")
        await settled(running)
        assert running.sink.heard == [ORDER]
        assert running.sink.closes == [(1008, "refused by policy")]
        assert PAN.encode() not in running.sink.everything()
        (event,) = running.audit.events
        assert (event["kind"], event["protocol"], event["direction"]) == ("retention", "websocket", "request")
        assert (event["verdict"], event["path"], event["method"]) == ("block", "/feed", "GET")
        assert event["findings"][0]["part"] == (name if LEAKS[name] is None else "body")
        assert ("lane", "request", "block") in [call[:3] for call in running.meter.named("message")]


@pytest.mark.parametrize("name", LEAKS)
async def test_a_leaking_server_is_closed(tmp_path, inspector, name):
    async def handle(connection, sink):
        await connection.send(ORDER)
        await leak(connection, name)
        async for message in connection:
            sink.heard.append(message)

    async with between(tmp_path, inspector, handle) as running:
        async with calling(running) as client:
            heard = [ORDER]
            assert [await client.recv()] == heard
            assert await told(client) == (1008, "refused by policy")
        await settled(running)
        (event,) = running.audit.events
        assert (event["kind"], event["direction"], event["status"]) == ("stored", "response", 101)


async def test_what_is_said_before_a_leak_has_passed_and_nothing_after_it(tmp_path, inspector):
    async with between(tmp_path, inspector) as running:
        async with calling(running) as client:
            for message in ("one", "two", LEAK, "three"):
                await client.send(message)
            assert await told(client) == (1008, "refused by policy")
        await settled(running)
        assert running.sink.heard == ["one", "two"]


REDACTED = {
    "text": (LEAK, LEAK.replace(PAN, MASKED)),
    "binary": (LEAK.encode(), LEAK.replace(PAN, MASKED).encode()),
    "fragmented": ([LEAK[:25], LEAK[25:]], LEAK.replace(PAN, MASKED)),
}


@pytest.mark.parametrize(("said", "arrives"), REDACTED.values(), ids=REDACTED)
async def test_redaction_both_ways(tmp_path, inspector, said, arrives):
    async def handle(connection, sink):
        async for message in connection:
            sink.heard.append(message)
            await connection.send(said)

    async with between(tmp_path, inspector, handle, on_violation="redact") as running:
        async with asyncio.timeout(SECONDS), calling(running) as client:
            await client.send(said)
            assert await client.recv() == arrives
            await client.ping(LEAK.encode())
            await client.close(4000, LEAK)
        await settled(running)
        assert running.sink.heard == [arrives]
        assert [ping for ping in running.sink.pings if ping] == [LEAK.replace(PAN, MASKED).encode()]
        assert running.sink.closes == [(4000, LEAK.replace(PAN, MASKED))]
        assert {event["verdict"] for event in running.audit.events} == {"redact"}


async def test_monitor_mode_delivers_and_records(tmp_path, inspector):
    async with between(tmp_path, inspector, mode="monitor") as running:
        async with asyncio.timeout(SECONDS), calling(running) as client:
            await client.send(LEAK)
            assert await client.recv() == LEAK
            await client.ping(LEAK.encode())
            await client.close(4000, LEAK)
        await settled(running)
        assert running.sink.heard == [LEAK]
        assert LEAK.encode() in running.sink.pings
        assert running.sink.closes == [(4000, LEAK)]
        assert {event["verdict"] for event in running.audit.events} == {"report"}
        assert [event["direction"] for event in running.audit.events].count("response") >= 2


# The handshake is a request and a response like any other.


async def test_the_handshake_is_inspected(tmp_path, inspector):
    async with between(tmp_path, inspector) as running:
        for options in ({"path": f"/feed/{PAN}"}, {"subprotocols": [f"card.{PAN}"]}):
            with pytest.raises(InvalidStatus) as refused:
                await calling(running, **options)
            assert refused.value.response.status_code == 403
        assert running.sink.extensions == []


async def test_the_answer_to_the_handshake_is_inspected(tmp_path, inspector):
    def answer(_connection, _request, response):
        response.headers["X-Note"] = PAN

    async with between(tmp_path, inspector, server={"process_response": answer}) as running:
        with pytest.raises(InvalidStatus) as refused:
            await calling(running)
        assert refused.value.response.status_code == 403
        await settled(running)


async def test_a_server_may_decline(tmp_path, inspector):
    def decline(connection, _request):
        return connection.respond(401, "who are you?")

    async with between(tmp_path, inspector, server={"process_request": decline}) as running:
        with pytest.raises(InvalidStatus) as declined:
            await calling(running)
        assert declined.value.response.status_code == 401
        assert declined.value.response.body == b"who are you?"


async def test_a_subprotocol_is_agreed_on(tmp_path, inspector):
    offered = ["graphql-ws", "graphql-transport-ws"]
    async with (
        between(tmp_path, inspector, server={"subprotocols": offered[1:]}) as running,
        calling(running, subprotocols=offered) as client,
    ):
        assert client.subprotocol == "graphql-transport-ws"


# In TLS.


async def test_in_tls_to_the_upstream(tmp_path, inspector):
    public, _ = authority(tmp_path)
    async with sinking(ssl=server_context(tmp_path, "127.0.0.1")) as sink:
        lane = {"upstream": sink.url.replace("http:", "https:"), "tls": {"ca_file": str(public)}}
        guard = Guard(
            policy=policy(tmp_path, lane), inspector=inspector, meter=RecordingMeter(), audit=RecordingAudit()
        )
        async with plane(guard) as running, calling(running) as client:
            await client.send(ORDER)
            assert await client.recv() == ORDER
            await client.send(LEAK)
            assert await told(client) == (1008, "refused by policy")
        assert sink.heard == [ORDER]


async def test_in_a_tunnel_that_is_read(tmp_path, inspector):
    public, private = authority(tmp_path)
    tls = {"ca_file": str(public), "intercept_ca_file": str(private)}
    destinations = [{"hosts": ["127.0.0.1"], "role": "external"}]
    lane = {"upstream": "forward", "destinations": destinations, "tls": tls}
    trusting = ssl.create_default_context(cafile=public)
    async with sinking(ssl=server_context(tmp_path, "127.0.0.1")) as sink:
        guard = Guard(
            policy=policy(tmp_path, lane), inspector=inspector, meter=RecordingMeter(), audit=RecordingAudit()
        )
        async with plane(guard) as running:
            proxy = f"http://127.0.0.1:{running.port()}"
            async with connect(sink.url.replace("http:", "wss:") + "/feed", ssl=trusting, proxy=proxy) as client:
                await client.send(ORDER)
                assert await client.recv() == ORDER
                await client.send(LEAK)
                assert await told(client) == (1008, "refused by policy")
            async with connect(sink.url.replace("http:", "wss:") + "/feed", ssl=trusting, proxy=proxy) as client:
                drained = asyncio.create_task(running.host.drain(60))
                assert await told(client) == (1001, "going away")
                async with asyncio.timeout(SECONDS):
                    await drained
        assert sink.heard == [ORDER]


# The end of the lane.


async def test_a_lane_that_closes_says_so(tmp_path, inspector):
    """Both ends are told, and the connection is over before the grace period is."""
    async with between(tmp_path, inspector) as running, calling(running) as client:
        await client.send(ORDER)
        assert await client.recv() == ORDER
        drained = asyncio.create_task(running.host.drain(60))
        assert await told(client) == (1001, "going away")
        async with asyncio.timeout(SECONDS):
            await drained
        await settled(running)
        assert running.sink.closes == [(1001, "going away")]


# Sekisho itself fails.


class Faulty:
    """An inspector that fails where the body is ours."""

    def __init__(self, inspector, fault):
        self._inspector, self._fault = inspector, fault

    def quiet(self, data, *given):
        return b"A-17" not in data and self._inspector.quiet(data, *given)

    def fields(self, *_):
        return iter(())

    def inspect(self, body, *given, **named):
        return self._fault() if b"A-17" in body else self._inspector.inspect(body, *given, **named)


def raising(error):
    def fault():
        raise error

    return fault


FAULTS = {
    "raises": raising(RuntimeError("broken")),
    "raises-cancelled": raising(asyncio.CancelledError()),
    "raises-system-exit": raising(SystemExit(1)),
    "raises-memory-error": raising(MemoryError()),
    "lies": lambda: "nothing found",
    "lies about places": lambda: Inspection(findings=("?",)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_an_inspector_that_fails(tmp_path, inspector, fault):
    async with between(tmp_path, Faulty(inspector, fault)) as running:
        async with calling(running) as client:
            await client.send(ORDER)
            assert await told(client) == (1011, "message not inspected")
        await settled(running)
        assert running.sink.heard == []
        assert running.sink.closes == [(1011, "message not inspected")]
        assert [event["kind"] for event in running.audit.events] == ["failure"]
        assert running.meter.named("internal_error")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_an_inspector_that_fails_in_monitor_mode(tmp_path, inspector, fault):
    async with between(tmp_path, Faulty(inspector, fault), mode="monitor") as running:
        async with asyncio.timeout(SECONDS), calling(running) as client:
            await client.send(ORDER)
            assert await client.recv() == ORDER
        assert [event["kind"] for event in running.audit.events] == ["failure", "failure"]


async def test_an_inspector_that_hangs(tmp_path, inspector, monkeypatch):
    monkeypatch.setattr(addon, "GRACE_SECONDS", 0.2)
    over = threading.Event()
    async with between(tmp_path, Faulty(inspector, over.wait), limits={"inspect_seconds": 0.2}) as running:
        async with calling(running) as client:
            await client.send(ORDER)
            assert await told(client) == (1011, "message not inspected")
        await settled(running)
        over.set()
        assert running.sink.heard == []
        assert running.meter.named("internal_error") == [("timeout",)]


async def test_a_record_that_cannot_be_written(tmp_path, inspector):
    async with between(tmp_path, inspector, on_violation="redact") as running:
        running.audit.error = OSError("full")
        async with calling(running) as client:
            await client.send(LEAK)
            assert await told(client) == (1011, "message not inspected")
        await settled(running)
        assert running.sink.heard == []
