"""Seeded garbage on both sides of a lane: it ends in an answer or a closed connection, never in a crash or a leak."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.http import server as http_server
from tests.e2e.origin import OK, get, post, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, lane, plane, policy, until

REQUESTS = [
    post("/a?b=1", b'{"a":1}', "Cookie: a=1; b=2"),
    get("/x", "Connection: close"),
    post("/x", b"body", "Expect: 100-continue"),
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    post(f"/{PAN}", b"x"),
    post("/a", PAN.encode()),
    get("/ws", "Upgrade: websocket", "Connection: Upgrade"),
    b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
]
ANSWERS = [
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nabc",
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + PAN.encode(),
]
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b";", b"\xff", b"-1", b"ffffffff", b"0\r\n\r\n", b"HTTP/1.1"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
]


def garbled(dice, data):
    """The bytes with up to three of them, or three words, added, removed or changed."""
    out = bytearray(data)
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        at = dice.randrange(len(out) + 1)
        match dice.randrange(4):
            case 0:
                out[at:at] = dice.choice(TOKENS)
            case 1:
                del out[at : at + dice.randrange(1, 5)]
            case 2 if at < len(out):
                out[at] = dice.randrange(256)
            case 3 if dice.random() < 0.3:
                del out[at:]
    return bytes(out)


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.1)


async def talk(port, data):
    """The status of the first answer, 0 if the connection ended without; fails if neither happens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(60):
            writer.write(data)
            return status_of(await read_response(reader))
    except ConnectionError:
        return 0
    finally:
        writer.close()


@pytest.mark.parametrize("seed", range(3))
async def test_garbled_requests(tmp_path, seed):
    dice = random.Random(seed)
    async with lane(tmp_path) as running:
        running.host.snapshot.tcp_timeout = 0.8  # ends requests that say they are longer than they are
        for _ in range(3):
            sent = [garbled(dice, dice.choice(REQUESTS)) + garbled(dice, dice.choice(REQUESTS)) for _ in range(60)]
            statuses = await asyncio.gather(*[talk(running.port(), data) for data in sent])
            assert set(statuses) <= {0, 100, 200, 400, 403, 405, 408, 413, 431, 501, 504, 505}
            assert {200, 400, 403} <= set(statuses)
        assert PAN.encode() not in running.origin.received
        assert running.meter.named("internal_error") == []
        await until(lambda: not running.host.listeners.connections)


@pytest.mark.parametrize("seed", range(3))
async def test_garbled_answers(tmp_path, seed):
    dice = random.Random(seed)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(garbled(dice, dice.choice(ANSWERS)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    guard = ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}))
    async with plane(guard) as running:
        for _ in range(20):
            responses = await asyncio.gather(*[running.ask(get("/")) for _ in range(8)])
            assert all(100 < status_of(response) < 600 for response in responses)
            assert not [response for response in responses if PAN.encode() in response]
        assert running.meter.named("internal_error") == []
        await until(lambda: not running.host.listeners.connections)
    server.close()
