from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from proxy.http import client as http_client
from proxy.http.client import INTERIM_ANSWERS
from tests.e2e.origin import OK, body_of, get, origin, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, lane, plane, policy

NUMBER = PAN.encode()
BROKEN = {
    "garbage": (NUMBER + b"\r\n\r\n", "protocol"),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", "protocol"),
    "version": (b"HTTP/2.0 200 OK\r\n\r\n", "protocol"),
    "folded": (b"HTTP/1.1 200 OK\r\nX: a\r\n " + NUMBER + b"\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "nul": (b"HTTP/1.1 200 OK\r\nX: a\x00\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "header name": (b"HTTP/1.1 200 OK\r\nX " + NUMBER + b": a\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "length and chunked": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "protocol",
    ),
    "gzip coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "protocol"),
    "bad chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + NUMBER + b"z\r\n", "protocol"),
    "header bomb": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 9000, "protocol"),
    "many 1xx": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * (INTERIM_ANSWERS + 1), "protocol"),
    "short body": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 50\r\n\r\n" + NUMBER, "closed"),
    "half chunk": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + NUMBER,
        "closed",
    ),
    "half head": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nX: " + NUMBER, "protocol"),
    "nothing": (None, "closed"),
    "unasked switch": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + NUMBER, "protocol"),
}


@pytest.mark.parametrize(("answer", "reason"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_upstream_is_a_clear_502(tmp_path, answer, reason):
    """None of its bytes reach the client, and it is counted."""
    async with lane(tmp_path, lambda _: answer, limits={"header": 8192}) as running:
        response = await running.ask(get("/"))
        assert status_of(response) == 502
        assert b"application/problem+json" in response
        assert NUMBER not in response
        assert b"mitmproxy" not in response.lower()
        assert running.meter.named("upstream_error") == [("lane", reason)]
        assert running.meter.named("internal_error") == []


async def test_refused_connection(tmp_path):
    async with origin() as server:
        gone = server.url
    guard = ScriptedGuard(policy(tmp_path, {"upstream": gone}))
    async with plane(guard) as running:
        response = await running.ask(get("/"))
        assert status_of(response) == 502
        assert b"upstream-unreachable" in response
        assert running.meter.named("upstream_error") == [("lane", "refused")]


async def test_reset(tmp_path):
    async def serve(_reader, writer):
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    guard = ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}))
    async with plane(guard) as running:
        assert status_of(await running.ask(get("/"))) == 502
    server.close()


@asynccontextmanager
async def slow_origin(answer, *rest):
    """The port of a server that sends ``answer``, then a byte every twentieth of a second, or each of ``rest``."""
    over = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        for piece in rest or [b"x"] * 100:
            if over.is_set() or writer.is_closing():
                break
            await asyncio.sleep(0.05)
            writer.write(piece)
        writer.close()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    over.set()
    await asyncio.sleep(0.1)
    server.close()


SLOW = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + NUMBER,
    "until close": b"HTTP/1.1 200 OK\r\n\r\n" + NUMBER,
    "head": b"HTTP/1.1 200 OK\r\nX-Slow: " + NUMBER,
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
async def test_slow_answers(tmp_path, monkeypatch, answer):
    """A byte now and then keeps nothing alive: the client has its answer in time."""
    monkeypatch.setattr(http_client, "HEAD_SECONDS", 0.3)
    limits = {"body_seconds": 0.3}
    async with (
        slow_origin(answer) as port,
        plane(ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}, limits=limits))) as running,
    ):
        response = await running.ask(get("/"), seconds=60)
        assert status_of(response) == 504
        assert b"urn:sekisho:problem:upstream-timeout" in response
        assert NUMBER not in response
        assert running.meter.named("upstream_error") == [("lane", "timeout")]


async def test_an_answer_that_the_policy_lets_pass_may_take_its_time(tmp_path):
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: multipart/x-mixed-replace\r\n\r\n"
    async with slow_origin(head, *[b"data: x\n\n"] * 8) as port:
        lane = {"upstream": f"http://127.0.0.1:{port}", "on_gap": "report"}
        async with plane(ScriptedGuard(policy(tmp_path, lane, limits={"body_seconds": 0.2}))) as running:
            assert body_of(await running.ask(get("/"), close=True)) == b"data: x\n\n" * 8


async def test_unknown_host(tmp_path):
    guard = ScriptedGuard(policy(tmp_path, {"upstream": "http://no-such-host.invalid:80"}))
    async with plane(guard) as running:
        assert status_of(await running.ask(get("/"))) == 502
        assert running.meter.named("upstream_error") == [("lane", "dns")]


@pytest.mark.parametrize(
    "early", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]
)
async def test_interim_answers_are_dropped(tmp_path, early):
    async with lane(tmp_path, early * 3 + OK) as running:
        assert await running.ask(get("/")) == OK


async def test_bytes_out_of_turn_close_the_upstream(tmp_path):
    """An answer to nobody's question must not become the answer to the next one (response splitting)."""
    extra = OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    async with lane(tmp_path, extra) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            for _ in range(3):
                writer.write(get("/"))
                assert await read_response(reader) == OK
        writer.close()
        assert running.origin.connections == 3


async def test_the_next_request_after_a_502_is_served(tmp_path):
    answers = iter([None, OK])
    async with lane(tmp_path, lambda _: next(answers)) as running:
        assert status_of(await running.ask(get("/"))) == 502
        assert await running.ask(get("/")) == OK


BODIES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "one chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "empty chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "none": b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 500\r\n\r\n',
    "header case and order": b"HTTP/1.1 200 Fine\r\nX-b: 2\r\nx-A: 1\r\nX-B: 3\r\ncontent-LENGTH: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", BODIES.values(), ids=BODIES.keys())
async def test_answers_pass_byte_for_byte(tmp_path, answer):
    """Twice on one connection: the end of the first is found exactly."""
    async with lane(tmp_path, answer) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            for _ in range(2):
                writer.write(get("/"))
                assert await reader.readexactly(len(answer)) == answer
        writer.close()
        assert running.origin.connections == 1


async def test_several_chunks_become_one(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    async with lane(tmp_path, answer) as running:
        assert body_of(await running.ask(get("/"))) == b"5\r\nhello\r\n0\r\n\r\n"


async def test_answer_until_the_connection_closes(tmp_path):
    answer = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello"
    async with lane(tmp_path, answer) as running:
        assert await running.ask(get("/"), close=True) == answer


async def test_answer_to_head(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    async with lane(tmp_path, answer) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            for _ in range(2):
                writer.write(get("/").replace(b"GET", b"HEAD"))
                assert await reader.readexactly(len(answer)) == answer
        writer.close()


async def test_split_everywhere(tmp_path):
    """The answer arrives byte by byte."""
    answer = BODIES["trailers"]

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    guard = ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}))
    async with plane(guard) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(get("/"))
        async with asyncio.timeout(60):
            assert await reader.readexactly(len(answer)) == answer
        writer.close()
    server.close()
