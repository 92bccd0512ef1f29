from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import h2.settings
import pytest
from hyperframe.frame import GoAwayFrame

from tests.e2e.authority import authority, server_context
from tests.e2e.origin import OK, origin
from tests.e2e.plane import PAN, ScriptedGuard, plane, policy, until
from tests.e2e.two import client, ok, origin_two
from tests.proxy.two_lanes import asking_of, serving, two_lane

MOST = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS


def in_http1(answer):
    """An origin that knows HTTP/1 only: to the preface it says so."""
    return origin(lambda request: OK if request.startswith(b"PRI") else answer)


async def test_an_upstream_that_speaks_http1_only(tmp_path):
    """It is told by its answer to the preface, and asked in its own words."""
    answer = b"HTTP/1.1 201 Created\r\nConnection: keep-alive\r\nContent-Length: 2\r\nX-Mine: 1\r\n\r\nok"
    async with in_http1(answer) as server, asking_of(tmp_path, server.url) as (running, asking):
        for _ in range(2):
            found = await asking.ask("/a?b", b"hello", ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"))
            assert (found.status, found.body, found.fields["x-mine"]) == (201, b"ok", "1")
            assert "connection" not in found.fields
        assert (await asking.ask("/", PAN.encode())).status == 403
        asked = [request for request in server.requests if request.startswith(b"POST")]
        lines = b"POST /a?b HTTP/1.1\r\nhost: lane.example\r\ncookie: a=1; b=2\r\ncontent-length: 5\r\n\r\nhello"
        assert asked == [lines, lines]
        assert server.connections == 2
        assert running.meter.named("internal_error") == []


async def test_trailers_reach_an_http1_upstream_and_come_back(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    async with in_http1(answer) as server, asking_of(tmp_path, server.url) as (_, asking):
        found = await asking.ask("/", b"abc", trailers=[("x-mine", "1")])
        assert (found.body, found.trailers) == (b"ok", {"x-sum": "7"})
        assert server.requests[-1].endswith(b"3\r\nabc\r\n0\r\nx-mine: 1\r\n\r\n")


async def test_trailers_that_have_no_room_in_one_request_are_not_those_of_the_next(tmp_path):
    """A body with a length cannot have any in HTTP/1."""
    large = b'{"event": "paid"}\n' * 40_000
    async with origin() as server, asking_of(tmp_path, server.url, limits={"body": "64kB"}) as (_, asking):
        length = ("content-length", str(len(large)))
        assert (await asking.ask("/one", large, length, trailers=[("x-sum", "of the first")])).status == 200
        assert (await asking.ask("/two", large)).status == 200
        assert server.connections == 2  # the first one was asked for HTTP/2
        *_, second = server.requests
        assert second.startswith(b"POST /two")
        assert b"transfer-encoding: chunked" in second
        assert b"x-sum" not in second


async def test_many_streams_to_an_http1_upstream_wait_for_none_of_the_others(tmp_path):
    """Twenty requests that the upstream answers only once all have arrived."""
    arrived: list[asyncio.StreamWriter] = []

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"PRI"):
                writer.write(OK)
                return
            arrived.append(writer)
            if len(arrived) == 20:
                for each in arrived:
                    each.write(OK)

    async with serving(serve) as url, asking_of(tmp_path, url) as (_, asking):
        answers = await asyncio.gather(*[asking.ask(f"/{number}") for number in range(20)])
        assert [answer.status for answer in answers] == [200] * 20


async def test_an_upstream_that_allows_few_streams_gets_more_connections(tmp_path):
    async with two_lane(tmp_path, origin_settings={MOST: 2}) as (running, _server, asking):
        answers = await asyncio.gather(*[asking.ask(f"/{number}") for number in range(12)])
        assert [answer.status for answer in answers] == [200] * 12
        assert running.meter.named("internal_error") == []


async def test_an_upstream_that_leaves_is_asked_on_a_new_connection(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        first = asyncio.ensure_future(asking.ask("/first"))
        await until(lambda: server.requests)
        (end,) = server.ends
        frame = GoAwayFrame(0)
        frame.last_stream_id = 1
        end.writer.write(frame.serialize())
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(asking.ask("/second"))
        await until(lambda: len(server.requests) == 2)
        for each in server.ends:
            each.h2.send_headers(1, [(":status", "200")], end_stream=True)
            each.flush()
        assert [(await first).status, (await second).status] == [200, 200]
        assert server.connections == 2
        assert running.meter.named("upstream_error") == []


async def broken_upstream(tmp_path, speak):
    """What a client is told when an upstream ``speak``s so after it has shown its settings."""

    async def serve(reader, writer):
        await reader.read(65536)
        writer.write(b"\0\0\0\4\0\0\0\0\0")
        await reader.read(65536)
        await speak(reader, writer)
        while not writer.is_closing() and await reader.read(65536):
            pass

    async with serving(serve) as url, asking_of(tmp_path, url) as (running, asking):
        answers = [await asking.ask("/a", b"x") for _ in range(2)]
        assert running.meter.named("internal_error") == []
    return [answer.status for answer in answers]


async def test_an_upstream_that_sends_garbage(tmp_path):
    async def speak(reader, writer):
        writer.write(PAN.encode() * 100)
        await writer.drain()

    assert await broken_upstream(tmp_path, speak) == [502, 502]


async def test_an_upstream_that_closes(tmp_path):
    async def speak(reader, writer):
        writer.close()

    assert await broken_upstream(tmp_path, speak) == [502, 502]


async def test_an_upstream_that_answers_what_was_not_asked(tmp_path):
    async def speak(reader, writer):
        writer.write(b"\0\0\1\1\5\0\0\0\x09\x88")

    assert await broken_upstream(tmp_path, speak) == [502, 502]


async def test_an_upstream_that_pushes(tmp_path):
    async def speak(reader, writer):
        writer.write(b"\0\0\5\5\4\0\0\0\1\0\0\0\2\x88")

    assert await broken_upstream(tmp_path, speak) == [502, 502]


async def test_an_upstream_that_never_shows_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.http.two_client.HEAD_SECONDS", 0.1)

    async def serve(reader, writer):
        await reader.read()

    async with serving(serve) as url, asking_of(tmp_path, url) as (running, asking):
        assert (await asking.ask()).status == 502
        assert running.meter.named("upstream_error") == [("lane", "timeout")]


async def test_an_answer_that_never_ends(tmp_path):
    async with two_lane(tmp_path, None, limits={"body_seconds": 0.2}) as (_, server, asking):
        waiting = asyncio.ensure_future(asking.ask())
        await until(lambda: server.requests)
        (end,) = server.ends
        end.h2.send_headers(1, [(":status", "200")])
        end.flush()
        assert (await waiting).status == 504


async def test_an_answer_with_a_number_too_long_for_its_length(tmp_path):
    async with two_lane(tmp_path, None) as (_, server, asking):
        waiting = asyncio.ensure_future(asking.ask())
        await until(lambda: server.requests)
        (end,) = server.ends
        end.h2.send_headers(1, [(":status", "200"), ("content-length", "2")])
        end.h2.send_data(1, PAN.encode(), end_stream=True)
        end.flush()
        found = await waiting
        assert found.status == 502
        assert PAN.encode() not in found.body


# TLS.


@asynccontextmanager
async def inside(base, port, running):
    """A client in a tunnel to ``port`` through a forward lane that reads TLS."""
    public, _ = authority(base)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    context = ssl.create_default_context(cafile=public)
    context.set_alpn_protocols(["h2", "http/1.1"])
    await writer.start_tls(context, server_hostname="127.0.0.1")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    async with client(0, stream=(reader, writer)) as asking:
        asking.authority = f"127.0.0.1:{port}"
        yield asking


def intercepting(base):
    public, private = authority(base)
    return ScriptedGuard(
        policy(
            base,
            {
                "upstream": "forward",
                "destinations": [{"hosts": ["127.0.0.1"], "role": "logging"}],
                "tls": {"intercept_ca_file": str(private), "ca_file": str(public)},
            },
        )
    )


@pytest.mark.parametrize("speaks", ["h2", "http/1.1"])
async def test_inside_a_tunnel(tmp_path, speaks):
    guard = intercepting(tmp_path)
    tls = server_context(tmp_path, "127.0.0.1")
    tls.set_alpn_protocols([speaks])
    body = bytes(range(256)) * 4000
    async with origin_two(ok, tls=tls) as new, origin(tls=tls) as old, plane(guard) as running:
        server = new if speaks == "h2" else old
        async with inside(tmp_path, server.port, running) as asking:
            answers = await asyncio.gather(*[asking.ask(f"/{n}", PAN.encode() if n == 3 else body) for n in range(6)])
            assert [answer.status for answer in answers] == [200, 200, 200, 403, 200, 200]
        assert len(server.requests) == 5
        assert {(message.host, message.port) for message in guard.asked} == {("127.0.0.1", server.port)}
        assert running.meter.named("internal_error") == []


async def test_inside_a_tunnel_to_another_destination(tmp_path):
    """A stream for it is refused, the others of the connection are not (RFC 9110 15.5.20)."""
    guard = intercepting(tmp_path)
    tls = server_context(tmp_path, "127.0.0.1")
    tls.set_alpn_protocols(["h2"])
    async with origin_two(ok, tls=tls) as server, plane(guard) as running:
        async with inside(tmp_path, server.port, running) as asking:
            own = asking.authority
            for authority_of, status in ((own, 200), ("other.example", 421), ("127.0.0.2", 421), ("127.0.0.1", 200)):
                asking.authority = authority_of
                assert (await asking.ask("/", b"{}")).status == status
        assert [request.fields[":authority"] for request in server.requests] == [own, "127.0.0.1"]
        assert [message.gap for message in guard.asked if message.gap] == ["misdirected"] * 2


async def test_a_drain_reaches_into_a_tunnel(tmp_path):
    guard = intercepting(tmp_path)
    tls = server_context(tmp_path, "127.0.0.1")
    tls.set_alpn_protocols(["h2"])
    async with (
        origin_two(None, tls=tls) as server,
        plane(guard) as running,
        inside(tmp_path, server.port, running) as asking,
    ):
        waiting = asyncio.ensure_future(asking.ask("/a"))
        await until(lambda: server.requests)
        drained = asyncio.ensure_future(running.host.drain(5))
        await asking.until(lambda: asking.goaway == 0)
        server.ends[0].h2.send_headers(1, [(":status", "200")], end_stream=True)
        server.ends[0].flush()
        assert (await waiting).status == 200
        await drained


@pytest.mark.parametrize("speaks", ["h2", "http/1.1", ""])
async def test_a_reverse_lane_to_tls(tmp_path, speaks):
    """HTTP/2 in the clear from the client; upstream what TLS agrees on."""
    public, _ = authority(tmp_path)
    tls = server_context(tmp_path, "127.0.0.1")
    if speaks:
        tls.set_alpn_protocols([speaks])
    async with origin_two(ok, tls=tls) as new, origin(tls=tls) as old:
        server = new if speaks == "h2" else old
        options = {"upstream": f"https://127.0.0.1:{server.port}", "tls": {"ca_file": str(public)}}
        async with plane(ScriptedGuard(policy(tmp_path, options))) as running, client(running.port()) as asking:
            assert (await asking.ask("/a", b"x")).status == 200
            assert (await asking.ask("/a", PAN.encode())).status == 403
        assert len(server.requests) == 1


async def test_an_http1_client_asks_in_http1_whatever_the_upstream_could(tmp_path):
    public, _ = authority(tmp_path)
    tls = server_context(tmp_path, "127.0.0.1")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    async with origin(tls=tls) as server:
        options = {"upstream": f"https://127.0.0.1:{server.port}", "tls": {"ca_file": str(public)}}
        async with plane(ScriptedGuard(policy(tmp_path, options))) as running:
            assert await running.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == OK
