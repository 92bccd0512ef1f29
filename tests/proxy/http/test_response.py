from __future__ import annotations

import asyncio
import json

import pytest

from tests.e2e.origin import OK, body_of, get, post, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, lane, plane, policy

NUMBER = PAN.encode()
MASKED = b"411111******1111"
WHOLE = b"Content-Type: application/x-protobuf"
"""Cannot be inspected in pieces."""


def answer(body=b"ok", *headers):
    lines = [b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


REDACTED = {
    "body": (answer(b"a " + NUMBER), answer(b"a " + MASKED)),
    "header": (answer(b"ok", b"X-A: " + NUMBER, b"X-A: 1"), answer(b"ok", b"X-A: " + MASKED, b"X-A: 1")),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n%s\r\n0\r\n\r\n" % NUMBER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n%s\r\n0\r\n\r\n" % MASKED,
    ),
    "reason": (
        b"HTTP/1.1 200 " + NUMBER + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + MASKED + b"\r\nContent-Length: 0\r\n\r\n",
    ),
}


@pytest.mark.parametrize(("sent", "arrived"), REDACTED.values(), ids=REDACTED.keys())
async def test_redaction_changes_the_number_and_nothing_else(tmp_path, sent, arrived):
    async with lane(tmp_path, sent, on_violation="redact") as running:
        assert await running.ask(get("/")) == arrived


@pytest.mark.parametrize("seal", [b'ETag: "1"', b"Content-Digest: x", b"Content-Range: bytes 0-15/99"])
async def test_a_sealed_answer_is_blocked_instead_of_redacted(tmp_path, seal):
    async with lane(tmp_path, answer(NUMBER, seal), on_violation="redact") as running:
        response = await running.ask(get("/"))
        assert status_of(response) == 403
        assert "seals the message" in json.loads(body_of(response))["detail"]
        assert NUMBER not in response


async def test_a_blocked_answer_keeps_both_connections(tmp_path):
    answers = iter([answer(NUMBER), OK])
    async with lane(tmp_path, lambda _: next(answers)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            writer.write(get("/"))
            assert status_of(await read_response(reader)) == 403
            writer.write(get("/"))
            assert await read_response(reader) == OK
        writer.close()
        assert running.origin.connections == 1


async def test_alt_svc_is_taken_out(tmp_path):
    """It would teach the client a way around the lane."""
    async with lane(tmp_path, answer(b"ok", b'Alt-Svc: h3=":443"', b"X: 1")) as running:
        assert await running.ask(get("/")) == answer(b"ok", b"X: 1")


@pytest.mark.parametrize(
    "kind", [b"text/event-stream; charset=utf-16", b"multipart/x-mixed-replace; boundary=a"], ids=["charset", "mixed"]
)
async def test_an_endless_answer_that_cannot_be_cut_is_refused_at_once(tmp_path, kind):
    """Waiting for its end would hang the client."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n" % kind
    async with lane(tmp_path, endless) as running:
        assert status_of(await running.ask(get("/"))) == 501


async def test_an_endless_answer_streams_where_the_policy_lets_it(tmp_path):
    kind = b"multipart/x-mixed-replace"
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n" % kind
    async with lane(tmp_path, endless, mode="monitor") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            writer.write(get("/"))
            assert await reader.readexactly(len(endless)) == endless
        writer.close()
        assert running.guard.asked[-1].gap == "event-stream"


@pytest.mark.parametrize("form", ["length", "chunked", "until close"])
async def test_an_answer_over_the_limit(tmp_path, form):
    body = b"0123456789" * 20_000
    large = {
        "length": answer(body, WHOLE),
        "chunked": b"HTTP/1.1 200 OK\r\n"
        + WHOLE
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        "until close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + WHOLE + b"\r\n\r\n" + body,
    }[form]
    async with lane(tmp_path, large, limits={"body": 4096}) as running:
        response = await running.ask(get("/"))
        assert status_of(response) == 502
        assert b"0123456789" not in response


@pytest.mark.parametrize("form", ["length", "until close"])
async def test_an_answer_over_the_limit_streams_where_the_policy_lets_it(tmp_path, form):
    body = b"0123456789" * 20_000
    close = b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + WHOLE + b"\r\n\r\n"
    large = answer(body, WHOLE) if form == "length" else close + body
    async with lane(tmp_path, large, limits={"body": 4096}, mode="monitor") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            writer.write(get("/"))
            assert await reader.readexactly(len(large)) == large
        writer.close()
        assert [message.gap for message in running.guard.asked] == ["", "body-too-large"]


async def test_a_streamed_answer_that_breaks_off_is_cut_without_an_end(tmp_path):
    """The client must not take half an answer for a whole one."""
    broken = (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
        + WHOLE
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n"
        + b"~" * 10_000
        + b"\r\n5\r\nab"
    )
    async with lane(tmp_path, broken, limits={"body": 4096}, mode="monitor") as running:
        response = await running.ask(get("/"), close=True)
        assert response.count(b"~") == 10_000
        assert not response.endswith(b"0\r\n\r\n")


async def test_an_upstream_that_answers_before_the_upload_is_over(tmp_path):
    """A large upload that streams, and an upstream that refuses it half way: the client gets that answer."""
    early = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    guard = ScriptedGuard(
        policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}, mode="monitor", limits={"body": 4096})
    )
    async with plane(guard) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            writer.write(post("/", b"", WHOLE.decode()).replace(b"Length: 0", b"Length: 1000000") + b"~" * 10_000)
            assert await read_response(reader) == early
        writer.close()
    server.close()
    await server.wait_closed()


async def test_a_failing_check_of_the_answer(tmp_path):
    """The guard crashes on the response only."""

    def slowly(_message):
        raise RuntimeError("broken")

    async with lane(tmp_path, answer(NUMBER), script={"slowly": slowly}) as running:
        response = await running.ask(get("/"))
        assert status_of(response) == 503
        assert NUMBER not in response
        assert running.guard.failures == ["worker"]
