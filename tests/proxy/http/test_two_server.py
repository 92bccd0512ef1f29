from __future__ import annotations

import asyncio
import json

import pytest

from proxy.http.two_engine import PREFACE
from tests.e2e.origin import OK, get, origin, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, lane, plane, policy, until
from tests.e2e.two import client, ok, origin_two
from tests.proxy.two_lanes import two_lane

HEAD = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "a"}

REFUSED = {
    "connect": ({":method": "CONNECT", ":authority": "else.example:443"}, 0, "malformed"),
    "url as the path": ({**HEAD, ":path": "http://else.example/"}, 400, "malformed"),
    "another host": ({**HEAD, "host": "b"}, 0, "malformed"),
    "header too large": ({**HEAD, "x-large": "x" * 70_000}, 431, "header-too-large"),
    "two lengths": ({**HEAD, ":method": "POST", "content-length": "1", "Content-Length ": "2"}, 0, "malformed"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_on_its_stream(tmp_path, name):
    fields, status, word = REFUSED[name]
    async with two_lane(tmp_path) as (running, server, asking):
        found = await asking.ask(raw=list(fields.items()), wait=False)
        try:
            await asking.until(lambda: found.over)
        except ConnectionError:
            assert status == 0
        assert found.status == status
        assert running.meter.named("refused") == [("lane", word)]
        if status:
            assert json.loads(found.body)["type"] == f"urn:sekisho:problem:{word}"
            assert (await asking.ask("/next")).status == 200
        assert [request.fields[":path"] for request in server.requests] == (["/next"] if status else [])


GRPC = {
    "too large": ({"limits": {"body": "1kB"}}, b"\0" + b"\xff" * 2000, "8"),
    "card": ({}, PAN.encode(), "7"),
}


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc-web+proto"])
@pytest.mark.parametrize("name", GRPC)
async def test_grpc_is_refused_in_trailers_only(tmp_path, name, kind):
    options, body, status = GRPC[name]
    async with two_lane(tmp_path, **options) as (_, server, asking):
        found = await asking.ask("/a.B/C", body, ("content-type", kind))
        assert (found.status, found.body, found.fields["grpc-status"]) == (200, b"", status)
        assert found.fields["content-type"] == kind.partition("+")[0]
        assert found.fields["grpc-message"]
        assert PAN not in str(found.fields)
        assert server.requests == []


async def test_grpc_is_refused_so_by_the_plane_itself(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        waiting = asyncio.ensure_future(asking.ask("/a.B/C", b"x", ("content-type", "application/grpc")))
        await until(lambda: server.requests)
        server.ends[0].writer.transport.abort()
        found = await waiting
        assert (found.status, found.fields["grpc-status"], found.body) == (200, "14", b"")


async def test_a_refusal_before_the_body_has_ended_stops_it(tmp_path):
    async with two_lane(tmp_path, limits={"body": "1kB"}) as (_, _server, asking):
        head = {**HEAD, ":method": "POST", "content-length": "5000", "content-type": "application/x-protobuf"}
        stream = asking.h2.get_next_available_stream_id()
        asking.h2.send_headers(stream, list(head.items()), end_stream=False)
        asking.flush()
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].reset is not None)
        found = asking.streams[stream]
        assert (found.status, found.ended, found.reset) == (413, True, 0)


async def test_a_slow_body_is_refused(tmp_path):
    async with two_lane(tmp_path, limits={"body_seconds": 0.2}) as (running, server, asking):
        stream = asking.h2.get_next_available_stream_id()
        asking.h2.send_headers(stream, list({**HEAD, ":method": "POST"}.items()), end_stream=False)
        asking.flush()
        await asking.until(lambda: stream in asking.streams and asking.streams[stream].over)
        assert asking.streams[stream].status == 408
        assert (await asking.ask("/next")).status == 200
        assert running.meter.named("refused") == [("lane", "slow-body")]
        assert len(server.requests) == 1


async def test_a_client_that_leaves_ends_what_is_under_way(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        await asking.ask("/", wait=False)
        await until(lambda: server.requests)
        asking.writer.close()
        await until(lambda: not running.host.listeners.connections)
        await until(lambda: server.ends[0].closed)
        assert running.meter.named("internal_error") == []


async def test_expect_is_answered(tmp_path):
    async with two_lane(tmp_path) as (_, server, asking):
        assert (await asking.ask("/", b"x", ("expect", "100-continue"))).status == 200
        assert "expect" not in server.requests[0].fields


async def test_head_has_no_body(tmp_path):
    def answer(request):
        return [(":status", "200"), ("content-length", "7")], b"", []

    async with two_lane(tmp_path, answer) as (_, _server, asking):
        found = await asking.ask("/", method="HEAD")
        assert (found.status, found.body, found.fields["content-length"]) == (200, b"", "7")


@pytest.mark.parametrize("status", ["204", "304"])
async def test_answers_without_a_body(tmp_path, status):
    def answer(request):
        return [(":status", status), *([("content-length", "7")] if status == "304" else [])], b"", []

    async with two_lane(tmp_path, answer) as (_, _server, asking):
        found = await asking.ask("/")
        assert (found.status, found.body, found.ended) == (int(status), b"", True)


async def test_a_drain_lets_streams_end_and_begins_no_more(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        waiting = asyncio.ensure_future(asking.ask("/a"))
        await until(lambda: server.requests)
        drained = asyncio.ensure_future(running.host.drain(5))
        await asking.until(lambda: asking.goaway == 0)
        refused = await asking.ask("/b")
        assert refused.reset == 7
        (end,) = server.ends
        end.h2.send_headers(1, [(":status", "200")], end_stream=True)
        end.flush()
        assert (await waiting).status == 200
        assert asking.goaway == 0
        await asking.gone()
        await drained


async def test_a_drain_ends_an_idle_connection(tmp_path):
    async with two_lane(tmp_path) as (running, _server, asking):
        assert (await asking.ask("/a")).status == 200
        drained = asyncio.ensure_future(running.host.drain(5))
        await asking.gone()
        assert asking.goaway == 0
        await drained


# Prior knowledge.


@pytest.mark.parametrize("cuts", [(1,), (3, 14), (23,), tuple(range(1, 24))])
async def test_the_preface_in_pieces(tmp_path, cuts):
    async with lane(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        at = 0
        for cut in (*cuts, len(PREFACE)):
            writer.write(PREFACE[at:cut])
            await writer.drain()
            await asyncio.sleep(0)
            at = cut
        async with asyncio.timeout(60):
            assert (await reader.readexactly(9))[3] == 4
        writer.close()


@pytest.mark.parametrize("start", [b"P", b"PRI * HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"])
async def test_what_only_begins_like_a_preface(tmp_path, start):
    async with lane(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(start)
        if start == b"P":
            writer.write(b"OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"\r\n")
        async with asyncio.timeout(60):
            assert status_of(await read_response(reader)) == (200 if start == b"P" else 505 if b"XX" in start else 400)
        writer.close()


async def test_http1_and_http2_clients_side_by_side(tmp_path):
    async with origin() as server:
        guard = ScriptedGuard(policy(tmp_path, {"upstream": server.url}))
        async with plane(guard) as running, client(running.port()) as asking:
            assert (await asking.ask()).status == 200
            assert await running.ask(get("/")) == OK


async def test_a_forward_lane_sends_each_stream_where_it_says(tmp_path):
    destinations = [{"hosts": ["127.0.0.1"], "role": "logging"}]
    guard = ScriptedGuard(policy(tmp_path, {"upstream": "forward", "destinations": destinations}))
    async with origin_two(ok) as one, origin_two(ok) as other, plane(guard) as running:
        async with client(running.port()) as asking:

            def to(port):
                return [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", f"127.0.0.1:{port}")]

            for server in (one, other, one, other):
                assert (await asking.ask(raw=to(server.port))).status == 200
            assert (await asking.ask(raw=[*to(0)[:3], (":authority", "unlisted.example")])).status == 403
        assert (len(one.requests), len(other.requests)) == (2, 2)
        assert one.requests[0].fields[":authority"] == f"127.0.0.1:{one.port}"
