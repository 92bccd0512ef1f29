from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest
from mitmproxy.proxy.events import ConnectionClosed, DataReceived

from proxy.http.pressure import PressedHandler
from proxy.http.two_engine import PREFACE, SLICE_BYTES
from tests.e2e.origin import OK
from tests.e2e.plane import until
from tests.proxy.two_lanes import asking_of, serving, two_lane


class Fed(PressedHandler):
    """Only what feeds the layers."""

    def __init__(self, *, multiplexed):
        self.client = Mock(alpn=b"h2" if multiplexed else None)
        self.fed = []
        self._turns = {}

    def feed(self, event):
        self.fed.append(event)


@pytest.mark.parametrize(("multiplexed", "slices"), [(False, 2), (True, 3)])
async def test_only_http2_is_fed_in_slices(multiplexed, slices):
    data = b"\xff" * 10_000
    handler = Fed(multiplexed=multiplexed)
    await handler.server_event(DataReceived(handler.client, data))
    await handler.server_event(ConnectionClosed(handler.client))
    pieces = [event for event in handler.fed if isinstance(event, DataReceived)]
    *_, closed = handler.fed
    assert (b"".join(piece.data for piece in pieces), len(pieces)) == (data, slices)
    assert isinstance(closed, ConnectionClosed)
    assert handler._turns == {}


@pytest.mark.parametrize("first", [1, 9, 24, 300])
async def test_the_first_bytes_of_http2_are_fed_in_slices_too(first):
    """A client may send its preface and a thousand frames at once, before anybody knows what it speaks."""
    data = PREFACE + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) * 1000
    handler = Fed(multiplexed=False)

    def feed(event):
        handler.fed.append(event)
        if sum(len(event.data) for event in handler.fed) >= len(PREFACE):
            handler.client.alpn = b"h2"

    handler.feed = lambda event: feed(event) if isinstance(event, DataReceived) else None
    for part in (data[:first], data[first:]):
        await handler.server_event(DataReceived(handler.client, part))
    assert b"".join(event.data for event in handler.fed) == data
    assert max(len(event.data) for event in handler.fed) < 700


async def test_a_large_http1_request_is_fed_in_two_pieces_at_most():
    handler = Fed(multiplexed=False)
    for _ in range(3):
        await handler.server_event(DataReceived(handler.client, b"POST / HTTP/1.1\r\n" * 4000))
    assert [len(event.data) for event in handler.fed] == [SLICE_BYTES, 68000 - SLICE_BYTES, 68000, 68000]


async def test_a_connection_that_is_cut_between_two_slices():
    """The word to end reaches the host where it waits for it: in its next read."""
    handler, reading = Fed(multiplexed=True), asyncio.Event()

    async def connection():
        await handler.server_event(DataReceived(handler.client, bytes(10 * SLICE_BYTES)))
        reading.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(connection())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert reading.is_set()
    assert len(handler.fed) < 10


async def test_an_upstream_that_takes_nothing_of_one_stream_leaves_the_others(tmp_path):
    """Its window for a large upload stays closed; what the plane keeps of it is bounded, and small requests pass."""
    async with two_lane(tmp_path, limits={"body": "4MB"}) as (running, server, asking):
        assert (await asking.ask("/first")).status == 200
        (end,) = server.ends
        end.acknowledges = False
        large = asyncio.ensure_future(asking.ask("/large", b"x" * 3_000_000))
        await until(lambda: any(request.fields[":path"] == "/large" for request in server.begun))
        end.h2.increment_flow_control_window(2**20)
        end.flush()
        assert [(await asking.ask(f"/{number}", b"small")).status for number in range(5)] == [200] * 5
        (handler,) = running.host.listeners.connections.values()
        assert handler.layer._kept() < 4_000_000
        end.acknowledges = True
        stream = next(number for number, found in end.streams.items() if found.fields[":path"] == "/large")
        end.h2.increment_flow_control_window(2**24)
        end.h2.increment_flow_control_window(2**24, stream)
        end.flush()
        assert (await large).status == 200
        assert running.meter.named("internal_error") == []


async def test_an_http1_upstream_that_reads_nothing_leaves_the_others(tmp_path):
    """Its socket is full: only what goes there waits, not the client's other streams."""
    release = asyncio.Event()

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"PRI"):
                writer.write(OK)
                return
            if head.startswith(b"POST /large"):
                await release.wait()
                await reader.readexactly(8_000_000)
            writer.write(OK)

    async with serving(serve) as url, asking_of(tmp_path, url) as (running, asking):
        large = asyncio.ensure_future(asking.ask("/large", b"x" * 8_000_000))
        await until(lambda: running.host.listeners.connections)
        (handler,) = running.host.listeners.connections.values()
        await until(lambda: handler.seat.clogged)
        assert [(await asking.ask(f"/{number}")).status for number in range(5)] == [200] * 5
        release.set()
        assert (await large).status == 200
        assert handler.seat.clogged == set()


async def test_an_http1_upstream_is_read_no_faster_than_an_http2_client_reads(tmp_path):
    """The client's window is closed: the upstream's answer waits in the upstream's own socket."""
    line = b'{"event": "paid"}\n'
    body = line * 1_000_000

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PRI"):
            writer.write(OK)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 65536):
            writer.write(body[at : at + 65536])
            await writer.drain()
        await reader.read()

    async with serving(serve) as url, asking_of(tmp_path, url, limits={"body": "64kB"}) as (running, asking):
        asking.acknowledges = False
        found = await asking.ask("/", wait=False)
        await asking.until(lambda: len(found.body) >= 65535)
        (handler,) = running.host.listeners.connections.values()
        await until(lambda: handler.seat.full)
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert handler.layer._kept() < 1_500_000
        asking.acknowledges = True
        asking.h2.increment_flow_control_window(2**24)
        asking.h2.increment_flow_control_window(2**24, 1)
        asking.flush()
        await asking.until(lambda: found.over, 120)
        assert found.body == body
        assert handler.seat.full == set()
