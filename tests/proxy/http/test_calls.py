"""Calls frame by frame; what gRPC's own client and server make of them is in tests/e2e/test_grpc.py."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.plane import PAN, until
from tests.proxy.two_lanes import two_lane

GRPC = ("content-type", "application/grpc")
CANCEL, NO_ERROR = 8, 0


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


LEAK = framed(PAN.encode())


async def begun(asking, path="/a.B/Talk"):
    """A call of which nothing but the head has been sent."""
    stream = asking.h2.get_next_available_stream_id()
    head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"), GRPC]
    asking.h2.send_headers(stream, head)
    asking.flush()
    return stream


def say(end, stream, data, *, end_stream=False):
    end.h2.send_data(stream, data, end_stream=end_stream)
    end.flush()


async def test_the_head_goes_on_before_there_is_a_message(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        await begun(asking)
        await until(lambda: server.begun)
        assert server.begun[0].fields["content-type"] == "application/grpc"


async def test_the_head_is_judged_first(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        stream = await begun(asking, f"/a.B/{PAN}")
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].ended)
        assert asking.streams[stream].fields["grpc-status"] == "7"
        assert server.begun == []


async def test_a_message_goes_on_when_it_is_whole(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        stream = await begun(asking)
        for piece in (b"\0\0\0\0", b"\x05hel", b"lo" + framed(b"next")[:3]):
            say(asking, stream, piece)
        await until(lambda: server.begun and server.begun[0].body)
        assert server.begun[0].body == framed(b"hello")
        say(asking, stream, framed(b"next")[3:], end_stream=True)
        await until(lambda: server.requests)
        assert server.requests[0].body == framed(b"hello") + framed(b"next")


async def test_a_leaking_message_cancels_the_call_on_both_sides(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        stream = await begun(asking)
        say(asking, stream, framed(b"clean"))
        await until(lambda: server.begun and server.begun[0].body)
        say(asking, stream, LEAK)
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].ended)
        found = asking.streams[stream]
        assert (found.status, found.fields["grpc-status"], found.body) == (200, "7", b"")
        await until(lambda: server.begun[0].reset is not None)
        assert (server.begun[0].reset, server.begun[0].body) == (CANCEL, framed(b"clean"))
        await asking.until(lambda: found.reset is not None)
        assert found.reset == NO_ERROR
        (handler,) = running.host.listeners.connections.values()
        assert handler.layer.streams == {}


async def test_an_answer_that_leaks_ends_with_a_status(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        stream = await begun(asking)
        await until(lambda: server.begun)
        (end,) = server.ends
        end.h2.send_headers(1, [(":status", "200"), GRPC])
        say(end, 1, framed(b"clean"))
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].body)
        say(end, 1, LEAK)
        await asking.until(lambda: asking.streams[stream].ended)
        found = asking.streams[stream]
        assert (found.body, found.trailers["grpc-status"]) == (framed(b"clean"), "7")
        assert PAN not in str(found)
        await until(lambda: end.streams[1].reset is not None)
        assert end.streams[1].reset == CANCEL


async def test_a_client_that_gives_a_call_up(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        stream = await begun(asking)
        say(asking, stream, framed(b"clean"))
        await until(lambda: server.begun and server.begun[0].body)
        asking.h2.reset_stream(stream, CANCEL)
        asking.flush()
        await until(lambda: server.begun[0].reset is not None)
        assert server.begun[0].reset == CANCEL
        (handler,) = running.host.listeners.connections.values()
        assert handler.layer.streams == {}


async def test_a_message_larger_than_the_limit(tmp_path):
    """It is not waited for: its length says it."""
    async with two_lane(tmp_path, None, limits={"body": "1kB"}) as (_, server, asking):
        stream = await begun(asking)
        say(asking, stream, b"\0" + (10_000_000).to_bytes(4, "big") + b"begun")
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].ended)
        assert asking.streams[stream].fields["grpc-status"] == "8"
        assert server.begun[0].body == b""


async def test_a_call_on_a_lane_that_asks_for_whole_messages(tmp_path):
    """Nothing goes on before all is there."""
    async with two_lane(tmp_path, None, tokens="deny") as (_, server, asking):
        stream = await begun(asking)
        say(asking, stream, framed(b"clean"))
        assert (await asking.ask("/other", wait=False)).status == 0
        await until(lambda: server.begun)
        assert [found.fields[":path"] for found in server.begun] == ["/other"]
        say(asking, stream, b"", end_stream=True)
        await until(lambda: len(server.requests) == 2)
        assert server.requests[1].body == framed(b"clean")


@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_a_side_that_reads_nothing_bounds_what_is_kept(tmp_path, side):
    """A hundred messages for an end whose window is closed: the other end is held up, and nothing grows."""
    message = framed(b"x" * 60_000)
    async with two_lane(tmp_path, None) as (running, server, asking):
        stream = await begun(asking)
        await until(lambda: server.begun)
        (end,) = server.ends
        end.h2.send_headers(1, [(":status", "200"), GRPC])
        end.flush()
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].fields)
        reader, writer, number = (asking, end, 1) if side == "client" else (end, asking, stream)
        reader.acknowledges = False
        sending = asyncio.ensure_future(writer.send_body(number, message * 100, end=False))
        (handler,) = running.host.listeners.connections.values()
        await until(lambda: handler.layer._kept() > 200_000)
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert handler.layer._kept() < 1_500_000
        assert not sending.done()
        reader.acknowledges = True
        own = stream if side == "client" else 1
        reader.h2.increment_flow_control_window(2**24)
        reader.h2.increment_flow_control_window(2**24, own)
        reader.flush()
        await sending
        await until(lambda: len(reader.streams[own].body) == len(message) * 100)
