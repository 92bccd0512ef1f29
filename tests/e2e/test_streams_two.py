"""Bodies in motion over HTTP/2: what tests/e2e/test_streams.py shows for HTTP/1, where a frame ends a transfer."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.plane import PAN, until
from tests.proxy.two_lanes import two_lane

LINE = b'{"event": "paid", "amount": 12800}\n'
LARGE = LINE * 30_000
LIMITS = {"body": "64kB"}
CANCEL, INTERNAL = 8, 2


async def test_a_large_upload_and_its_echo_pass(tmp_path):
    async with two_lane(tmp_path, lambda request: ([(":status", "200")], request.body, []), limits=LIMITS) as (
        running,
        server,
        asking,
    ):
        found = await asking.ask("/", LARGE)
        assert found.body == LARGE
        assert server.requests[0].body == LARGE
        assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("cut", [0, 5, 16])
async def test_a_number_at_the_end_of_a_large_upload(tmp_path, cut):
    """The upstream cannot take what it has for the whole, and has nothing of the number."""
    number = PAN.encode()
    async with two_lane(tmp_path, limits=LIMITS) as (running, server, asking):
        found = await asking.ask("/", [LARGE + number[:cut], number[cut:] + b"\n"])
        assert found.status == 403
        await until(lambda: server.begun and server.begun[0].reset is not None)
        assert (server.begun[0].reset, server.requests) == (CANCEL, [])
        assert LARGE.startswith(server.begun[0].body)
        assert (await asking.ask("/next")).status == 200
        assert running.meter.named("internal_error") == []


async def test_a_number_at_the_end_of_a_large_download(tmp_path):
    """The client cannot take what it has for the whole."""
    answer = ([(":status", "200")], LARGE + PAN.encode(), [])
    async with two_lane(tmp_path, lambda _request: answer, limits=LIMITS) as (_, _server, asking):
        found = await asking.ask()
        assert (found.status, found.reset, found.ended) == (200, INTERNAL, False)
        assert LARGE.startswith(found.body)


async def test_a_number_in_the_trailers_of_a_large_upload(tmp_path):
    async with two_lane(tmp_path, limits=LIMITS) as (_, server, asking):
        found = await asking.ask("/", LARGE, trailers=[("x-note", PAN)])
        assert found.status == 403
        await until(lambda: server.begun[0].reset is not None)
        assert server.requests == []


async def test_events_arrive_one_by_one(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        waiting = asyncio.ensure_future(asking.ask("/events"))
        await until(lambda: server.requests)
        (end,) = server.ends
        end.h2.send_headers(1, [(":status", "200"), ("content-type", "text/event-stream")])
        end.flush()
        for number in range(3):
            end.h2.send_data(1, b"data: %d\n\n" % number)
            end.flush()
            await asking.until(lambda want=number: asking.streams[1].body.endswith(b"data: %d\n\n" % want))
        end.h2.send_data(1, b"data: " + PAN.encode() + b"\n\n")
        end.flush()
        found = await waiting
        assert found.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert (found.reset, found.ended) == (INTERNAL, False)
        await until(lambda: end.streams[1].reset is not None)
