"""What is passed on unread, from its beginning to the day when the rules become stricter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.http import seat
from tests.e2e.plane import ScriptedGuard, plane, policy, until

UPGRADE = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n"
OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"
LISTED = [{"hosts": ["127.0.0.1"], "role": "logging"}]


class Server:
    """Keeps what it hears, and says what it is told to."""

    def __init__(self):
        self.heard = bytearray()
        self.writers = []
        self.ended = False

    async def serve(self, reader, writer):
        self.writers.append(writer)
        while data := await reader.read(65536):
            self.heard += data
            if data.endswith(b"\r\n\r\n"):
                writer.write(SWITCHED)
        self.ended = True
        writer.close()


@dataclass
class Relayed:
    """A relay that has begun in monitor mode."""

    running: Any
    server: Server
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    rules: Callable[..., Any]
    """The policy of its lane, but for what may pass."""
    gap: str


@pytest.fixture(params=["redirected", "tunnel", "upgrade"])
async def relayed(request, tmp_path, monkeypatch):
    """A ``Relayed``, both of whose ends have spoken."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    monkeypatch.setattr(seat, "is_here", lambda *_: False)
    monkeypatch.setattr(seat, "original_destination", lambda _: ("127.0.0.1", port))
    row, begin, word, gap = {
        "redirected": ({"upstream": "transparent", "destinations": LISTED}, b"\x00", b"", "unknown-protocol"),
        "tunnel": (
            {"upstream": "forward", "destinations": LISTED},
            f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode(),
            OPENED,
            "encrypted",
        ),
        "upgrade": ({"upstream": f"http://127.0.0.1:{port}"}, UPGRADE, SWITCHED, "upgrade"),
    }[request.param]

    def rules(lane=None, **top):
        return policy(tmp_path, {**row, **(lane or {})}, **top)

    async with plane(ScriptedGuard(rules(mode="monitor"))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(begin)
        async with asyncio.timeout(60):
            assert (await reader.readexactly(len(word))).lower() == word.lower()
            writer.write(b"one")
            await until(lambda: server.heard.endswith(b"one"))
            server.writers[0].write(b"two")
            assert await reader.readexactly(3) == b"two"
        row["listen"] = str(running.guard.policy.lanes[0].listen)
        yield Relayed(running, server, reader, writer, rules, gap)
        writer.close()
    listening.close()


@pytest.mark.parametrize("speaks", ["client", "server"])
async def test_stricter_rules_end_what_passes_unread(relayed, speaks):
    """Before anything more of it passes, and with a record."""
    running, server = relayed.running, relayed.server
    await running.host.reload(relayed.rules(mode="enforce"))
    heard, asked = bytes(server.heard), len(running.guard.asked)
    (relayed.writer if speaks == "client" else server.writers[0]).write(b"4111111111111111")
    async with asyncio.timeout(60):
        assert await relayed.reader.read(-1) == b""
    await until(lambda: server.ended)
    assert server.heard == heard
    assert [(message.gap, message.route.mode) for message in running.guard.asked[asked:]] == [(relayed.gap, "enforce")]
    assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("own", [{"on_gap": "report"}, {"percent": 99}, {"mode": "monitor"}], ids=str)
async def test_what_may_still_pass_goes_on(relayed, own):
    await relayed.running.host.reload(relayed.rules(mode="enforce", lane=own))
    async with asyncio.timeout(60):
        relayed.writer.write(b"three")
        await until(lambda: relayed.server.heard.endswith(b"three"))
        relayed.server.writers[0].write(b"four")
        assert await relayed.reader.readexactly(4) == b"four"


async def test_bytes_that_pass_are_counted(relayed):
    def counted(direction):
        rows = relayed.running.meter.named("unread")
        return sum(int(row[3]) for row in rows if row[:3] == ("lane", direction, relayed.gap))

    assert counted("response") == 3
    before = counted("request")
    relayed.writer.write(b"three")
    await until(lambda: relayed.server.heard.endswith(b"three"))
    assert counted("request") == before + 5
