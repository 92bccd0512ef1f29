from __future__ import annotations

import asyncio
import json

import pytest

from proxy.http import server as http_server
from tests.e2e.origin import OK, body_of, get, post, read_response, status_of
from tests.e2e.plane import PAN, lane, until

NUMBER = PAN.encode()


async def connect(running):
    return await asyncio.open_connection("127.0.0.1", running.port())


REFUSED = {
    "garbage": (NUMBER + b"\r\n\r\n", 400, "malformed"),
    "bad version": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http-version"),
    "http2 preface too late": (b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http2-preface"),
    "tls client hello": (b"\x16\x03\x01\x02\x00\x01" + b"\x00" * 40, 400, "tls-on-cleartext"),
    "folded header": (get("/", f"X: a\r\n {PAN}"), 400, "malformed"),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\n" + NUMBER + b"\r\n\r\n", 400, "malformed"),
    "bad header name": (get("/", f"X {PAN}: a"), 400, "malformed"),
    "space before colon": (get("/", "Content-Length : 5"), 400, "malformed"),
    "length and chunked": (post("/", b"", "Transfer-Encoding: chunked"), 400, "malformed"),
    "two lengths": (post("/", b"ab", "Content-Length: 1"), 400, "malformed"),
    "length with sign": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab", 400, "malformed"),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
    "gzip coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "transfer-coding"),
    "bad chunk size": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "malformed"),
    "bad chunk end": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        400,
        "malformed",
    ),
    "forbidden trailer": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
        400,
        "malformed",
    ),
    "connect": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "connect-on-reverse"),
    "scheme": (b"GET ftp://a:21/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
}


@pytest.mark.parametrize(("data", "status", "word"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(tmp_path, data, status, word):
    """A clear answer that quotes nothing, the end of the connection, and nothing for the origin."""
    async with lane(tmp_path) as running:
        response = await running.ask(data, close=True)
        assert status_of(response) == status
        document = json.loads(body_of(response))
        assert document["type"] == f"urn:sekisho:problem:{word}"
        assert document["status"] == status
        assert b"connection: close" in response
        assert NUMBER not in response
        assert running.origin.connections == 0
        assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["endless", "whole"])
async def test_header_bomb(tmp_path, end):
    async with lane(tmp_path, limits={"header": 4096}) as running:
        response = await running.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + end, close=True)
        assert status_of(response) == 431
        assert running.origin.connections == 0


async def test_header_just_within_its_limit(tmp_path):
    request = get("/", "X: " + "a" * 4000)
    async with lane(tmp_path, limits={"header": len(request)}) as running:
        assert await running.ask(request) == OK


@pytest.mark.parametrize("tail", [b"1;" + b"a" * 5000, b"0\r\n" + b"x: 1\r\n" * 1000], ids=["extension", "trailers"])
async def test_endless_chunk_line(tmp_path, tail):
    async with lane(tmp_path, limits={"header": 4096}) as running:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert status_of(await running.ask(head + tail, close=True)) == 431
        assert running.origin.connections == 0


async def test_slow_header(tmp_path, monkeypatch):
    """Slow loris: the deadline does not move when another byte comes."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            writer.write(b"GET / HTTP/1.1\r\n")
            response = await read_response(reader, close=True)
        assert status_of(response) == 408
        writer.close()


async def test_a_connection_that_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.1)
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()


async def test_the_deadline_is_for_headers_only(tmp_path, monkeypatch):
    """Neither the wait for a slow upstream nor the idle time between two requests ends the connection."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.4)
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            for _ in range(2):
                writer.write(get("/"))
                assert await read_response(reader) == OK
                await asyncio.sleep(0.5)
        writer.close()


async def trickle(writer, head, count, seconds=0.05):
    """A body that comes a byte at a time; ``head`` must ask for more than ``count``, or be chunked."""
    writer.write(head)
    for _ in range(count):
        writer.write(b"1\r\nx\r\n" if b"chunked" in head else b"x")
        await asyncio.sleep(seconds)


SLOW = {
    "length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
    "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
}


@pytest.mark.parametrize("head", SLOW.values(), ids=SLOW.keys())
async def test_slow_bodies(tmp_path, head):
    """All seats are taken by bodies of which a byte comes now and then: they lose them."""
    async with lane(tmp_path, limits={"body_seconds": 0.3, "connections": 3}) as running:
        clients = [await connect(running) for _ in range(3)]
        tasks = [asyncio.create_task(trickle(writer, head, 100)) for _, writer in clients]
        async with asyncio.timeout(60):
            for reader, writer in clients:
                response = (await read_response(reader, close=True)).rpartition(b"HTTP/1.1 408")
                assert response[0] in (b"", b"HTTP/1.1 100 Continue\r\n\r\n")
                assert b"urn:sekisho:problem:slow-body" in response[2]
                writer.close()
        for task in tasks:
            task.cancel()
        assert running.meter.named("refused") == [("lane", "slow-body")] * 3
        assert running.origin.connections == 0
        await until(lambda: not running.host.listeners.connections)
        assert await running.ask(get("/")) == OK


async def test_the_deadline_is_for_one_body(tmp_path):
    """Slow, but in time; then idle for longer than a body may take; then the same again."""
    head = SLOW["length"].replace(b"100", b"3")
    async with lane(tmp_path, limits={"body_seconds": 1}) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            for _ in range(2):
                await trickle(writer, head, 3)
                assert await read_response(reader) == OK
                await asyncio.sleep(1.1)
            (handler,) = running.host.listeners.connections.values()
            assert handler._wakeups == {}
            (layer,) = {handler.layer}
            assert layer.command_sources == {}
        writer.close()
        assert [request[-3:] for request in running.origin.requests] == [b"xxx"] * 2


async def test_what_the_policy_lets_pass_may_take_its_time(tmp_path):
    """A body over the limit, on a lane that reports gaps: it is forwarded as it comes."""
    async with lane(tmp_path, limits={"body_seconds": 0.2, "body": 10}, on_gap="report") as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            head = SLOW["chunked"].replace(b"\r\n", b"\r\nContent-Type: application/x-protobuf\r\n", 1)
            await trickle(writer, head + b"b\r\n01234567890\r\n", 8)
            writer.write(b"0\r\n\r\n")
            assert await read_response(reader) == OK
        writer.close()
        assert running.origin.requests[0].endswith(b"1\r\nx\r\n0\r\n\r\n")


async def test_pipelining(tmp_path):
    """Answers come in order, and a refusal in the middle takes only its own place."""
    async with lane(
        tmp_path, lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + request[5:6]
    ) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            writer.write(get("/1") + post("/2", NUMBER) + get("/3"))
            answers = []
            buffer = b""
            while len(answers) < 3:
                buffer += await reader.read(65536)
                while b"\r\n\r\n" in buffer:
                    head, _, rest = buffer.partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    answers.append((status_of(head), rest[:length]))
                    buffer = rest[length:]
        writer.close()
        assert [answers[0], answers[1][0], answers[2]] == [(200, b"1"), 403, (200, b"3")]
        assert [request.split()[1] for request in running.origin.requests] == [b"/1", b"/3"]


async def test_empty_lines_before_a_request(tmp_path):
    async with lane(tmp_path) as running:
        assert await running.ask(b"\r\n\r\n" + get("/")) == OK


async def test_byte_by_byte(tmp_path):
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            for byte in post("/a", b"hello", "X-A: 1"):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await read_response(reader) == OK
        writer.close()
        assert running.origin.requests == [post("/a", b"hello", "X-A: 1")]


async def test_http_1_0_client(tmp_path):
    async with lane(tmp_path) as running:
        assert await running.ask(b"GET / HTTP/1.0\r\n\r\n", close=True) == OK
        assert running.origin.requests == [b"GET / HTTP/1.0\r\n\r\n"]


async def test_a_refused_head_request_has_no_body(tmp_path):
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            writer.write(get(f"/{PAN}").replace(b"GET", b"HEAD"))
            response = await read_response(reader, head=True)
            assert status_of(response) == 403
            assert body_of(response) == b""
            assert b"content-length: 73" in response
            writer.write(get("/"))
            assert await read_response(reader) == OK
        writer.close()


async def test_a_client_that_leaves_in_the_middle_of_a_body(tmp_path):
    async with lane(tmp_path) as running:
        _, writer = await connect(running)
        writer.write(post("/", b"12345678")[:-4])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await until(lambda: not running.host.listeners.connections)
        assert running.origin.connections == 0
        assert running.meter.named("internal_error") == []


async def test_no_more_is_read_than_may_wait(tmp_path):
    """A client that pipelines without end while its first request hangs fills its own buffers, not ours."""
    async with lane(tmp_path, lambda _: b"", limits={"header": 8192}) as running:
        _, writer = await connect(running)
        writer.write(get("/first"))
        async with asyncio.timeout(60):
            await running.origin.heard.wait()
        (handler,) = running.host.listeners.connections.values()
        server = handler.layer.connections[handler.client]
        writer.write(get("/next", "X: " + "a" * 4000) * 5000)
        await until(lambda: handler.seat.congested)
        await asyncio.sleep(0.1)
        assert len(server.buf) < 200_000
        assert writer.transport.get_write_buffer_size() > 10_000_000
        writer.close()
        assert len(running.origin.requests) == 1
