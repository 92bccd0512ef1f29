from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
import zlib
from contextlib import asynccontextmanager

import pytest

from proxy.http import websocket as http_websocket
from proxy.message import Action, Decision
from tests.e2e.origin import OK, body_of, get, read_response, status_of
from tests.e2e.plane import ALLOW, PAN, lane, until

SECONDS = 60
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASK = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(kind, payload=b"", *, fin=True, rsv=0, masked=True):
    """As it stands on the wire; the mask is zero, so that a payload can be searched for."""
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + struct.pack("!H", size)
        if size < 65536
        else b"\x7f" + struct.pack("!Q", size)
    )
    head = bytes([fin << 7 | rsv << 4 | kind, length[0] | masked << 7]) + length[1:]
    return head + (bytes(4) if masked else b"") + payload


def close(status, reason=b""):
    return struct.pack("!H", status) + reason


class Peer:
    """One end of a connection that speaks frames."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def say(self, *frames):
        self.writer.write(b"".join(frames))

    async def hear(self):
        """First byte and payload of the next frame, unmasked; ``None`` at the end of the connection."""
        try:
            first, second = await self.reader.readexactly(2)
            size = second & 127
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            mask = await self.reader.readexactly(4) if second & 128 else bytes(4)
            payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return first, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    async def hear_all(self):
        heard = []
        while (one := await self.hear()) is not None:
            heard.append(one)
        return heard


def switching(*fields):
    accept = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", *fields, "", ""]).encode()


@asynccontextmanager
async def websocket(base, answer=None, *, ask=ASK, early=b"", **options):
    """A plane, its client behind the handshake, and the server, which both send the bytes that the test says."""
    arrived = asyncio.Queue()
    over = asyncio.Event()

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer if answer is not None else switching())
        peer = Peer(reader, writer)
        peer.head = head
        arrived.put_nowait(peer)
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with lane(base, upstream=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **options) as running:
        client = Peer(*await asyncio.open_connection("127.0.0.1", running.port()))
        try:
            async with asyncio.timeout(SECONDS):
                client.say(get("/feed", *ask), early)
                if answer is None or answer.startswith(b"HTTP/1.1 101"):
                    running.server = await arrived.get()
                    client.head = await client.reader.readuntil(b"\r\n\r\n")
                yield running, client, getattr(running, "server", None)
        finally:
            over.set()
            client.writer.transport.abort()
            server.close()


async def test_frames_right_behind_the_handshakes(tmp_path):
    """Sent before the answer, and in one piece with it."""
    async with websocket(tmp_path, switching() + frame(TEXT, b"hi", masked=False), early=frame(TEXT, b"ho")) as (
        _,
        client,
        server,
    ):
        assert await client.hear() == (0x81, b"hi")
        assert await server.hear() == (0x81, b"ho")


async def test_many_frames_before_the_answer(tmp_path):
    """More than may wait: they are read when there is an answer."""
    early = frame(BINARY, b"x" * 50_000) * 20
    async with websocket(tmp_path, early=early) as (_, _, server):
        assert [await server.hear() for _ in range(20)] == [(0x82, b"x" * 50_000)] * 20


async def test_masks_and_cuts(tmp_path):
    """To the server masked, to the client not; byte by byte, and cut into fragments with a ping in between."""
    async with websocket(tmp_path) as (_, client, server):
        said = frame(TEXT, "おと".encode()[:4], fin=False) + frame(PING, b"?") + frame(0, "おと".encode()[4:])
        for byte in said:
            client.say(bytes([byte]))
            await client.writer.drain()
        raw = await server.reader.readexactly(2)
        assert raw == bytes([0x89, 0x81])
        await server.reader.readexactly(5)
        assert await server.hear() == (0x81, "おと".encode())
        server.say(frame(PONG, b"!", masked=False), frame(BINARY, b"\x00", masked=False))
        assert await client.reader.readexactly(6) == b"\x8a\x01!\x82\x01\x00"


async def test_compression_with_a_ping_between_the_fragments(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = (packer.compress(b"hello hello hello") + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    async with websocket(tmp_path, switching(DEFLATE), ask=(*ASK, DEFLATE)) as (_, client, server):
        client.say(frame(TEXT, packed[:3], rsv=4, fin=False), frame(PING), frame(0, packed[3:]))
        assert await server.hear() == (0x89, b"")
        first, arrived = await server.hear()
        assert first == 0xC1
        assert zlib.decompressobj(-15).decompress(arrived + b"\x00\x00\xff\xff") == b"hello hello hello"


BROKEN = {
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007, "invalid data"),
    "half a character": (frame(TEXT, "届".encode()[:2]), 1007, "invalid data"),
    "a reason that is not UTF-8": (frame(CLOSE, close(1000, b"\xff")), 1007, "invalid data"),
    "no mask": (frame(TEXT, b"a", masked=False), 1002, "protocol error"),
    "reserved bit": (frame(TEXT, b"a", rsv=4), 1002, "protocol error"),
    "reserved opcode": (frame(3, b"a"), 1002, "protocol error"),
    "continuation of nothing": (frame(0, b"a"), 1002, "protocol error"),
    "a message in a message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002, "protocol error"),
    "a fragmented ping": (frame(PING, b"a", fin=False), 1002, "protocol error"),
    "a long ping": (frame(PING, b"a" * 126), 1002, "protocol error"),
    "a length that is longer than it must be": (b"\x81\xfe\x00\x05\x00\x00\x00\x00hello", 1002, "protocol error"),
    "a reserved status": (frame(CLOSE, close(1005)), 1002, "protocol error"),
    "half a status": (frame(CLOSE, b"\x03"), 1002, "protocol error"),
}


@pytest.mark.parametrize(("said", "status", "reason"), BROKEN.values(), ids=BROKEN)
async def test_a_client_that_breaks_the_protocol(tmp_path, said, status, reason):
    async with websocket(tmp_path) as (running, client, server):
        client.say(frame(TEXT, b"before"), said, frame(TEXT, b"after"))
        assert await server.hear() == (0x81, b"before")
        assert await server.hear() == (0x88, close(status, reason.encode()))
        assert await client.hear() == (0x88, close(status, reason.encode()))
        server.say(frame(CLOSE, close(status), masked=False))
        assert await server.hear_all() == []
        assert running.meter.named("refused") == [("lane", "malformed")]


async def test_a_server_that_breaks_the_protocol(tmp_path):
    async with websocket(tmp_path) as (running, client, server):
        server.say(frame(TEXT, b"masked"))
        for peer in (client, server):
            assert await peer.hear() == (0x88, close(1002, b"protocol error"))
        assert running.meter.named("upstream_error") == [("lane", "protocol")]


# Limits.


@pytest.fixture(name="small")
def small_fixture():
    return {"limits": {"body": "64KiB", "body_seconds": 0.2}}


LARGE = {
    "one frame": frame(BINARY, b"x" * 65_537),
    "fragments": b"".join(frame(BINARY if n == 0 else 0, b"x" * 1000, fin=False) for n in range(70)),
    "a frame that has only begun": frame(TEXT, b"x" * 10_000_000)[:70_000],
}


@pytest.mark.parametrize("said", LARGE.values(), ids=LARGE)
async def test_a_message_over_the_limit(tmp_path, small, said):
    async with websocket(tmp_path, **small) as (running, client, server):
        client.say(said)
        assert await server.hear() == (0x88, close(1009, b"message too big"))
        assert await client.hear() == (0x88, close(1009, b"message too big"))
        assert [message.gap for message in running.guard.asked if message.protocol == "websocket"] == ["body-too-large"]


async def test_a_message_as_large_as_the_limit(tmp_path, small):
    async with websocket(tmp_path, **small) as (_, client, server):
        client.say(frame(BINARY, b"x" * 65_536))
        assert await server.hear() == (0x82, b"x" * 65_536)


async def test_a_bomb(tmp_path, small):
    """64 MiB of zeros in 64 KiB: no more of them are made than a limit and a slice."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = (packer.compress(bytes(64 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    async with websocket(tmp_path, switching(DEFLATE), ask=(*ASK, DEFLATE), **small) as (running, client, server):
        client.say(frame(BINARY, packed, rsv=4))
        assert await server.hear() == (0x88, close(1009, b"message too big"))
        (asked,) = [message for message in running.guard.asked if message.protocol == "websocket"]
        assert len(asked.parts[0].data) < 65_536 + 1032 * http_websocket.SLICE


@pytest.mark.parametrize("options", [{"mode": "monitor"}, {"on_gap": "report"}])
async def test_a_large_message_streams_where_the_policy_lets_it(tmp_path, options, small):
    async with websocket(tmp_path, **small, **options) as (running, client, server):
        data = bytes(range(256)) * 1000
        client.say(frame(BINARY, data), frame(TEXT, b"next"))
        first, arrived = begun, _ = await server.hear()
        while not first & 0x80:
            first, piece = await server.hear()
            arrived += piece
        assert (begun & 0x0F, arrived) == (BINARY, data)
        assert await server.hear() == (0x81, b"next")
        asked = [message for message in running.guard.asked if message.protocol == "websocket"]
        assert [message.gap for message in asked] == ["body-too-large", ""]


async def test_the_first_part_of_a_large_message_is_still_inspected(tmp_path, small):
    async with websocket(tmp_path, on_gap="report", on_violation="redact", **small) as (running, client, server):
        client.say(frame(TEXT, PAN.encode() + b" " * 100_000))
        assert running is not None
        assert [one for one in await asyncio.gather(server.hear(), client.hear()) if PAN.encode() in one[1]] == []


async def test_a_message_that_is_never_whole(tmp_path, small):
    async with websocket(tmp_path, **small) as (running, client, server):
        client.say(frame(TEXT, b"so far", fin=False), frame(PING))
        assert await server.hear() == (0x89, b"")
        for peer in (server, client):
            assert await peer.hear() == (0x88, close(1008, b"message not whole in time"))
        assert running.meter.named("refused") == [("lane", "slow-body")]


async def test_the_deadline_is_for_one_message(tmp_path):
    async with websocket(tmp_path, limits={"body_seconds": 0.5}) as (running, client, server):
        for _ in range(6):
            client.say(frame(TEXT, b"so ", fin=False))
            await asyncio.sleep(0.1)
            client.say(frame(0, b"far"))
            assert await server.hear() == (0x81, b"so far")
        assert running.meter.named("refused") == []


async def test_a_server_that_never_ends_a_message(tmp_path, small):
    async with websocket(tmp_path, **small) as (running, client, server):
        server.say(frame(TEXT, b"so far", fin=False, masked=False))
        assert await client.hear() == (0x88, close(1008, b"message not whole in time"))
        assert running.meter.named("upstream_error") == [("lane", "timeout")]


async def test_who_does_not_read_holds_up_the_other_and_not_itself(tmp_path):
    """The server's messages stay in its own socket; what the client sends meanwhile goes on."""
    async with websocket(tmp_path) as (running, client, server):
        one = frame(BINARY, b"x" * 60_000, masked=False)
        for _ in range(500):
            server.say(one)
        client.say(*[frame(TEXT, b"%d" % n) for n in range(500)])
        assert [await server.hear() for _ in range(500)] == [(0x81, b"%d" % n) for n in range(500)]
        (handler,) = running.host.listeners.connections.values()
        waiting = handler.transports[handler.client].writer.transport.get_write_buffer_size()
        assert waiting < 1_000_000
        assert server.writer.transport.get_write_buffer_size() > 15_000_000


async def test_nothing_is_read_from_either_end_while_a_message_is_judged(tmp_path):
    asked, over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(message):
        if message.protocol == "websocket":
            loop.call_soon_threadsafe(asked.set)
            asyncio.run_coroutine_threadsafe(over.wait(), loop).result(SECONDS)
        return ALLOW

    script = {"quickly": lambda message: None if message.protocol == "websocket" else ALLOW, "slowly": slowly}
    async with websocket(tmp_path, script=script) as (running, client, server):
        client.say(frame(TEXT, b"judge this"))
        await asked.wait()
        client.say(frame(BINARY, b"x" * 60_000) * 100)
        server.say(frame(BINARY, b"x" * 60_000, masked=False) * 100)
        (handler,) = running.host.listeners.connections.values()
        await asyncio.sleep(0.2)
        assert client.writer.transport.get_write_buffer_size() + server.writer.transport.get_write_buffer_size() > 0
        queued = [event for layer in handler.layer.streams.values() for event in layer.child_layer._paused_event_queue]
        assert len(queued) <= 2
        over.set()
        assert await server.hear() == (0x81, b"judge this")
        for peer in (client, server):
            assert [await peer.hear() for _ in range(100)] == [(0x82, b"x" * 60_000)] * 100


async def test_a_flood_of_small_messages_leaves_the_others_their_turn(tmp_path):
    async with websocket(tmp_path) as (running, client, server):
        client.say(frame(TEXT, b"a") * 10_000)
        other = Peer(*await asyncio.open_connection("127.0.0.1", running.port()))
        other.say(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n")
        assert status_of(await read_response(other.reader)) == 501
        said = len([message for message in running.guard.asked if message.protocol == "websocket"])
        other.writer.close()
        assert said < 10_000
        assert (await server.reader.readexactly(7 * 10_000)).count(b"\x81\x81") >= 10_000


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
async def test_a_large_message_is_written_in_parts_that_make_it_up(tmp_path, compressed):
    text = "お買い上げ ありがとう\n".encode() * 40_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    options = {"ask": (*ASK, DEFLATE)} if compressed else {}
    async with websocket(tmp_path, switching(DEFLATE) if compressed else None, **options) as (_, client, server):
        client.say(frame(TEXT, packed, rsv=4) if compressed else frame(TEXT, text), frame(TEXT, b"next"))
        heard = [await server.hear()]
        while not heard[-1][0] & 0x80:
            heard.append(await server.hear())
        assert [first for first, _ in heard] == [0x41 if compressed else 0x01, 0x80]
        whole = b"".join(payload for _, payload in heard)
        assert (zlib.decompressobj(-15).decompress(whole + b"\0\0\xff\xff") if compressed else whole) == text
        first, _ = await server.hear()
        assert first & 0x8F == 0x81


# The end.


@pytest.mark.parametrize("first", ["client", "server"])
async def test_closes(tmp_path, first):
    """Said on, and answered by the other end, not here; what that says before it closes still arrives."""
    async with websocket(tmp_path) as (running, client, server):
        ends = {"client": (client, server, True, False), "server": (server, client, False, True)}
        one, other, is_masked, other_masked = ends[first]
        one.say(frame(CLOSE, close(4001, b"bye"), masked=is_masked))
        assert await other.hear() == (0x88, close(4001, b"bye"))
        other.say(frame(TEXT, b"last", masked=other_masked), frame(CLOSE, close(4002), masked=other_masked))
        assert await one.hear_all() == [(0x81, b"last"), (0x88, close(4002))]
        assert await other.hear_all() == []
        await until(lambda: not running.host.listeners.connections)


async def test_a_close_without_a_status(tmp_path):
    async with websocket(tmp_path) as (_, client, server):
        client.say(frame(CLOSE))
        assert await server.hear() == (0x88, b"")
        server.say(frame(CLOSE, masked=False))
        assert await client.hear_all() == [(0x88, b"")]


@pytest.mark.parametrize("first", ["client", "server"])
async def test_breaking_off(tmp_path, first):
    """No close was said, so none is: the other end sees its connection end (status 1006)."""
    async with websocket(tmp_path) as (running, client, server):
        one, other = (client, server) if first == "client" else (server, client)
        one.say(frame(TEXT, b"half", fin=False, masked=first == "client"))
        one.writer.transport.abort() if first == "client" else one.writer.close()
        assert await other.hear_all() == []
        await until(lambda: not running.host.listeners.connections)


async def test_who_does_not_answer_a_close(tmp_path, monkeypatch):
    """Both go on sending, and neither says close: what they send is dropped, and then they are cut off."""
    monkeypatch.setattr(http_websocket, "CLOSE_SECONDS", 0.3)
    async with websocket(tmp_path) as (running, client, server):
        client.say(frame(TEXT, PAN.encode()), *[frame(TEXT, b"more")] * 100)
        server.say(*[frame(TEXT, b"more", masked=False)] * 100)
        heard = await server.hear_all()
        assert heard == [(0x88, close(1008, b"refused by policy"))]
        assert (await client.hear_all())[-1] == (0x88, close(1008, b"refused by policy"))
        await until(lambda: not running.host.listeners.connections)


async def test_who_answers_a_refusal_is_done(tmp_path):
    async with websocket(tmp_path) as (running, client, server):
        client.say(frame(TEXT, PAN.encode()))
        for peer, masked in ((client, True), (server, False)):
            assert await peer.hear() == (0x88, close(1008, b"refused by policy"))
            peer.say(frame(CLOSE, close(1008), masked=masked))
            assert await peer.hear_all() == []
        await until(lambda: not running.host.listeners.connections)


# What is not agreed on.


async def test_other_extensions_are_not_offered(tmp_path):
    ask = (
        *ASK,
        "Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; client_max_window_bits, x-other",
    )
    async with websocket(tmp_path, ask=ask) as (_, _, server):
        (offer,) = re.findall(rb"Sec-WebSocket-Extensions: (.*)\r\n", server.head)
        assert offer == b"permessage-deflate; client_max_window_bits"


async def test_monitor_mode_offers_what_the_client_offers(tmp_path):
    offer = "Sec-WebSocket-Extensions: x-other, permessage-deflate"
    answer = switching("Sec-WebSocket-Extensions: x-other")
    async with websocket(tmp_path, answer, ask=(*ASK, offer), mode="monitor") as (running, client, server):
        assert offer.encode() in server.head
        client.say(b"whatever")
        assert await server.reader.readexactly(8) == b"whatever"
        assert [message.gap for message in running.guard.asked] == ["", "upgrade"]


ANSWERS = {
    "another extension": (switching("Sec-WebSocket-Extensions: x-other"), 501),
    "compression that nobody offered": (switching(DEFLATE), 501),
    "another key's answer": (switching().replace(b"s3pP", b"S3pP"), 502),
    "another protocol": (switching().replace(b"websocket", b"h2c"), 502),
    "a body": (switching("Transfer-Encoding: chunked"), 502),
}


@pytest.mark.parametrize(("answer", "status"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_agrees_on_something_else(tmp_path, answer, status):
    """Refused, the upstream is let go, and the connection is good for the next request."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write((answer + frame(TEXT, PAN.encode(), masked=False)) if b"Upgrade" in head else OK)
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with lane(tmp_path, upstream=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(get("/feed", *ASK))
            refused = await read_response(reader)
            assert status_of(refused) == status
            assert PAN.encode() not in body_of(refused)
            if status == 501:
                writer.write(get("/next"))
                assert await read_response(reader) == OK
        writer.close()
    server.close()


async def test_a_hook_that_breaks_closes(tmp_path):
    def quickly(message):
        if message.protocol == "websocket":
            raise RuntimeError(PAN)
        return ALLOW

    async with websocket(tmp_path, script={"quickly": quickly}) as (running, client, server):
        client.say(frame(TEXT, b"hello"))
        for peer in (client, server):
            assert await peer.hear() == (0x88, close(1011, b"message not inspected"))
        assert running.guard.failures == ["plane"]


async def test_a_redaction_that_is_no_text_closes(tmp_path):
    script = {
        "quickly": lambda message: None if message.protocol == "websocket" else ALLOW,
        "slowly": lambda _: Decision(Action.REDACT, "id", 200, parts={0: b"\xff"}),
    }
    async with websocket(tmp_path, script=script) as (running, client, server):
        client.say(frame(TEXT, b"hello"))
        assert await server.hear() == (0x88, close(1011, b"message not inspected"))
        assert running.guard.failures == ["carry-out"]
