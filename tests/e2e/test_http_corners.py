"""The corners of HTTP/1 (RFC 9110, RFC 9112), each over a real socket: it arrives as it was sent, or is refused in words.

Every row is sent twice: with a harmless note, when it must pass, and with a card number in its place, when it must not.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager

import pytest

from detectors import Inspector
from tests.e2e.origin import OK, get, status_of, whole
from tests.e2e.plane import PAN, boundary

SECONDS = 60
NOTE = "A-17"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


async def ask(running, sent):
    """The final answer: whole, or up to the end of the connection where that is its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    heard = b""
    async with asyncio.timeout(SECONDS):
        writer.write(sent)
        while (end := answer_end(heard, sent)) is None:
            if not (data := await reader.read(65536)):
                break
            heard = (heard + data).removeprefix(GO_ON)
    writer.close()
    assert end in (None, len(heard))
    return heard


def answer_end(heard, sent):
    head, blank, _ = heard.partition(b"\r\n\r\n")
    if not blank or (
        not sent.startswith(b"HEAD") and not re.search(rb"length:|chunked| (100|204|304) ", head, re.IGNORECASE)
    ):
        return None
    return len(head) + 4 if sent.startswith(b"HEAD") else whole(heard)


def request(line, *fields, body=""):
    return "\r\n".join([line, *([] if line.endswith("1.0") else ["Host: h"]), *fields, "", body]).encode()


def chunked(line, *pieces, trailers=()):
    chunks = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces)
    end = "".join(f"{field}\r\n" for field in trailers)
    return request(line, "Transfer-Encoding: chunked", body=f"{chunks}0\r\n{end}\r\n")


def sized(line, body, *fields):
    return request(line, *fields, f"Content-Length: {len(body)}", body=body)


REQUESTS = {
    "HEAD": lambda n: request("HEAD /a HTTP/1.1", f"X-Note: {n}"),
    "OPTIONS *": lambda n: request("OPTIONS * HTTP/1.1", f"X-Note: {n}"),
    "TRACE": lambda n: request("TRACE /a HTTP/1.1", f"X-Note: {n}", "Max-Forwards: 1"),
    "a method of its own": lambda n: sized("QUERY /a HTTP/1.1", n),
    "absolute form": lambda n: (request(f"GET http://x:81/a?n={n} HTTP/1.1"), request(f"GET /a?n={n} HTTP/1.1")),
    "a range": lambda n: request("GET /a HTTP/1.1", "Range: bytes=0-499", f'If-Range: "{n}"'),
    "several ranges": lambda n: request("GET /a HTTP/1.1", "Range: bytes=0-1,5-,-3", f"X-Note: {n}"),
    "a range of its own": lambda n: request("GET /a HTTP/1.1", f"Range: notes={n}"),
    "if-match": lambda n: sized("PUT /a HTTP/1.1", "x", f'If-Match: "{n}", "b"', "If-None-Match: *"),
    "if-modified-since": lambda n: request(
        "GET /a HTTP/1.1", "If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT", f"X-Note: {n}"
    ),
    "connection: close": lambda n: request("GET /a HTTP/1.1", "Connection: close", f"X-Note: {n}"),
    "connection options": lambda n: request("GET /a HTTP/1.1", "Connection: te, close", "TE: trailers", f"X-Note: {n}"),
    "HTTP/1.0": lambda n: request("GET /a HTTP/1.0", f"X-Note: {n}"),
    "HTTP/1.0 that keeps alive": lambda n: request("GET /a HTTP/1.0", "Connection: keep-alive", f"X-Note: {n}"),
    "a body of a GET": lambda n: sized("GET /a HTTP/1.1", n),
    "a body of a DELETE": lambda n: sized("DELETE /a HTTP/1.1", n),
    "trailers": lambda n: chunked("POST /a HTTP/1.1", "ab", trailers=[f"X-Sum: {n}", "x-b: 2"]),
    "trailers without a body": lambda n: chunked("POST /a HTTP/1.1", trailers=[f"X-Sum: {n}"]),
    "a name of a trailer": lambda n: chunked("POST /a HTTP/1.1", "ab", trailers=[f"{n}: 1"]),
    "chunks that cut it": lambda n: (
        chunked("POST /a HTTP/1.1", "xx ", n[:3], n[3:]),
        chunked("POST /a HTTP/1.1", f"xx {n}"),
    ),
    "expect": lambda n: (sized("POST /a HTTP/1.1", n, "Expect: 100-continue"), sized("POST /a HTTP/1.1", n)),
    "h2c": lambda n: (
        request(
            "GET /a HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: A", f"X: {n}"
        ),
        request("GET /a HTTP/1.1", f"X: {n}"),
    ),
}
"""What is sent with a note; and what arrives, where that is something else."""


def both(row, note):
    made = row(note)
    return made if isinstance(made, tuple) else (made, made)


@pytest.mark.parametrize("row", REQUESTS.values(), ids=REQUESTS)
async def test_a_request_arrives_as_it_was_sent(tmp_path, inspector, row):
    sent, arrives = both(row, NOTE)
    answer = OK[:-2] if sent.startswith(b"HEAD") else OK
    async with boundary(tmp_path, inspector, answer) as running:
        assert await ask(running, sent) == answer
        assert bytes(running.origin.received) == arrives
        assert running.kinds() == []


@pytest.mark.parametrize("row", REQUESTS.values(), ids=REQUESTS)
async def test_no_corner_of_a_request_lets_a_number_through(tmp_path, inspector, row):
    sent, _ = both(row, PAN)
    async with boundary(tmp_path, inspector) as running:
        assert status_of(await ask(running, sent)) == 403
        assert bytes(running.origin.received) == b""
        assert running.kinds() == ["retention"]


def answer(status, *fields, body=None):
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, *length, "", body or ""]).encode()


def ranges(note):
    parts = [("0-3", note), ("9-9", "x")]
    head = "--cut\r\nContent-Type: text/plain\r\nContent-Range: bytes {}/99\r\n\r\n{}\r\n"
    return "".join(head.format(*part) for part in parts) + "--cut--\r\n"


ANSWERS = {
    "to HEAD": lambda n: answer("200 OK", f"X-Note: {n}", "Content-Length: 99"),
    "204": lambda n: answer("204 No Content", f"X-Note: {n}"),
    "304": lambda n: answer("304 Not Modified", 'ETag: "x"', f"Content-Location: /{n}"),
    "412": lambda n: answer("412 Precondition Failed", f"X-Note: {n}", body=""),
    "416": lambda n: answer("416 Range Not Satisfiable", "Content-Range: bytes */99", f"X-Note: {n}", body=""),
    "206": lambda n: answer("206 Partial Content", "Content-Range: bytes 3-6/99", body=n),
    "multipart/byteranges": lambda n: answer(
        "206 Partial Content", "Content-Type: multipart/byteranges; boundary=cut", body=ranges(n)
    ),
    "to TRACE": lambda n: answer(
        "200 OK", "Content-Type: message/http", body=f"TRACE /a HTTP/1.1\r\nX-Note: {n}\r\n\r\n"
    ),
    "to OPTIONS": lambda n: answer("200 OK", f"Allow: GET, {n}", body=""),
    "a reason of its own": lambda n: answer(f"200 {n}", body="ok"),
    "trailers": lambda n: chunked("HTTP/1.0", "ab", trailers=[f"X-Sum: {n}"]).replace(b"1.0", b"1.1 200 OK"),
    "early hints": lambda n: (
        answer("103 Early Hints", "Link: </a.css>") + answer("200 OK", body=n),
        answer("200 OK", body=n),
    ),
    "several 1xx": lambda n: (
        answer("100 Continue") + answer("102 Processing") + answer("199 ") + answer("200 OK", body=n),
        answer("200 OK", body=n),
    ),
    "alt-svc": lambda n: (answer("200 OK", 'Alt-Svc: h3=":443"', body=n), answer("200 OK", body=n)),
    "connection: close": lambda n: answer("200 OK", "Connection: close", body=n),
    "HTTP/1.0": lambda n: answer("200 OK", "Connection: close", body=n).replace(b"1.1", b"1.0"),
    "until the connection ends": lambda n: answer("200 OK", "Connection: close") + n.encode(),
}
ASKED = {"to HEAD": request("HEAD /a HTTP/1.1"), "to TRACE": request("TRACE /a HTTP/1.1")}
"""Where it is no GET."""


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_arrives_as_it_was_sent(tmp_path, inspector, name):
    sent, arrives = both(ANSWERS[name], NOTE)
    async with boundary(tmp_path, inspector, sent) as running:
        assert await ask(running, ASKED.get(name, get())) == arrives
        assert running.kinds() == []


@pytest.mark.parametrize("name", ANSWERS)
async def test_no_corner_of_an_answer_lets_a_number_through(tmp_path, inspector, name):
    sent, _ = both(ANSWERS[name], PAN)
    async with boundary(tmp_path, inspector, sent) as running:
        response = await ask(running, ASKED.get(name, get()))
        assert status_of(response) == 403
        assert PAN.encode() not in response
        assert running.kinds() == ["stored"]


@pytest.mark.parametrize("status", [100, 102, 103, 199])
async def test_a_number_in_an_interim_answer_never_arrives(tmp_path, inspector, status):
    early = answer(f"{status} X", f"Link: <{PAN}>")
    async with boundary(tmp_path, inspector, early + OK) as running:
        assert await ask(running, get()) == OK


# What takes more than one answer, or none.


@asynccontextmanager
async def connected(running):
    """Writes and reads on one connection: ``say(bytes)`` and ``hear(request)``, its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    heard = bytearray()

    async def hear(sent=b""):
        while (end := answer_end(bytes(heard), sent)) is None:
            data = await reader.read(65536)
            if not data:
                break
            heard.extend(data)
        one = bytes(heard[:end])
        del heard[: len(one)]
        return one

    async with asyncio.timeout(SECONDS):
        yield writer.write, hear
    writer.close()


async def test_three_in_one_segment_of_which_the_second_leaks(tmp_path, inspector):
    """Each is answered in its turn, and the refused one never leaves."""
    rows = [sized("POST /1 HTTP/1.1", NOTE), sized("POST /2 HTTP/1.1", PAN), request("GET /3 HTTP/1.1")]
    async with boundary(tmp_path, inspector) as running, connected(running) as (say, hear):
        say(b"".join(rows))
        assert [status_of(await hear()) for _ in rows] == [200, 403, 200]
        assert running.origin.requests == [rows[0], rows[2]]
        assert running.origin.connections == 1


@pytest.mark.parametrize("name", ["to HEAD", "204", "304", "412", "trailers", "206"])
async def test_the_connection_goes_on(tmp_path, inspector, name):
    """Neither end takes the beginning of the next answer for a body of this one."""
    asked, sent = ASKED.get(name, get()), ANSWERS[name](NOTE)
    async with boundary(tmp_path, inspector, lambda data: OK if b"/next" in data else sent) as running:
        async with connected(running) as (say, hear):
            for _ in range(2):
                say(asked)
                assert await hear(asked) == sent
                say(get("/next"))
                assert await hear() == OK
        assert running.origin.connections == 1


async def test_chunk_extensions_are_left_out(tmp_path, inspector):
    """They mean something between two hops only (RFC 9112 7.1.1), and are free text."""
    sent = chunked("POST /a HTTP/1.1", "ab").replace(b"2\r\n", f"2;n={PAN}\r\n".encode())
    answered = chunked("HTTP/1.0", "ab").replace(b"1.0", b"1.1 200 OK")
    async with boundary(tmp_path, inspector, answered.replace(b"0\r\n\r\n", f"0;n={PAN}\r\n\r\n".encode())) as running:
        assert await ask(running, sent) == answered
        assert running.origin.requests == [chunked("POST /a HTTP/1.1", "ab")]


async def test_expect_is_answered_when_the_head_has_been_inspected(tmp_path, inspector):
    async with boundary(tmp_path, inspector) as running, connected(running) as (say, hear):
        sent = sized("POST /a HTTP/1.1", NOTE, "Expect: 100-Continue")
        say(sent[:-4])
        assert await hear(b"HEAD") == GO_ON
        say(sent[-4:])
        assert await hear() == OK
        assert running.origin.requests == [sized("POST /a HTTP/1.1", NOTE)]
        assert running.kinds() == []


@pytest.mark.parametrize("body", [NOTE, "note " * 50_000], ids=["small", "in pieces"])
async def test_a_client_of_http_1_0_is_never_asked_for_its_body(tmp_path, inspector, body):
    """It would take the 100 for its answer."""
    async with boundary(tmp_path, inspector, limits={"body": "64KiB"}) as running, connected(running) as (say, hear):
        sent = sized("POST /a HTTP/1.0", body, "Host: a", "Content-Type: text/plain", "Expect: 100-continue")
        say(sent)
        assert await hear() == OK
        assert running.origin.requests == [sent]


async def test_a_leaking_head_is_refused_before_its_body_is_asked_for(tmp_path, inspector):
    async with boundary(tmp_path, inspector) as running, connected(running) as (say, hear):
        say(sized(f"POST /{PAN} HTTP/1.1", NOTE, "Expect: 100-continue")[:-4])
        refused = await hear()
        assert status_of(refused) == 403
        assert b"connection: close" in refused.lower()
        assert await hear() == b""
        assert (running.kinds(), running.origin.connections) == (["retention"], 0)


LARGE = {
    "in pieces": ("text/plain", {}),
    "uninspected, because the policy lets it": ("application/zip", {"on_gap": "report"}),
    "in monitor mode": ("application/zip", {"mode": "monitor"}),
}


@pytest.mark.parametrize(("kind", "options"), LARGE.values(), ids=LARGE)
async def test_a_large_body_is_asked_for(tmp_path, inspector, kind, options):
    limits = {"body": "64KiB"}
    async with boundary(tmp_path, inspector, limits=limits, **options) as running, connected(running) as (say, hear):
        body = "note " * 50_000
        sent = sized("POST /a HTTP/1.1", body, f"Content-Type: {kind}")
        head = sent[: -len(body)].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        say(head)
        assert await hear(b"HEAD") == GO_ON
        say(body.encode())
        assert await hear() == OK
        assert running.origin.requests == [sent]


@pytest.mark.parametrize("kind", ["text/plain", "application/zip"])
async def test_a_leaking_head_of_a_large_body(tmp_path, inspector, kind):
    limits = {"body": "64KiB"}
    async with boundary(tmp_path, inspector, limits=limits) as running, connected(running) as (say, hear):
        say(request(f"POST /{PAN} HTTP/1.1", "Expect: 100-continue", f"Content-Type: {kind}", "Content-Length: 99999"))
        assert status_of(await hear()) == 403
        assert running.origin.connections == 0


async def test_a_leaking_body_after_a_clean_head_is_refused(tmp_path, inspector):
    async with boundary(tmp_path, inspector) as running, connected(running) as (say, hear):
        sent = sized("POST /a HTTP/1.1", PAN, "Expect: 100-continue")
        say(sent[: -len(PAN)])
        assert await hear(b"HEAD") == GO_ON
        say(sent[-len(PAN) :])
        assert status_of(await hear()) == 403
        assert (running.kinds(), running.origin.connections) == (["retention"], 0)


async def test_a_redacted_head_is_redacted_once(tmp_path, inspector):
    async with boundary(tmp_path, inspector, on_violation="redact") as running, connected(running) as (say, hear):
        say(sized("POST /a HTTP/1.1", NOTE, "Expect: 100-continue", f"X-Note: {PAN}"))
        assert await hear(b"HEAD") == GO_ON
        assert await hear() == OK
        assert running.origin.requests == [sized("POST /a HTTP/1.1", NOTE, "X-Note: 411111******1111")]
        assert running.kinds() == ["retention"]


async def test_a_sealed_head_is_blocked_instead_of_redacted(tmp_path, inspector):
    """As boto3 sends it: with a signature over its header fields."""
    sealed = ("Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=b", f"X-Note: {PAN}")
    async with boundary(tmp_path, inspector, on_violation="redact") as running, connected(running) as (say, hear):
        say(request("PUT /a HTTP/1.1", "Expect: 100-continue", *sealed, "Content-Length: 4"))
        assert status_of(await hear()) == 403
        assert (running.kinds(), running.origin.connections) == (["retention"], 0)


async def test_monitor_mode_records_a_request_that_expects_once(tmp_path, inspector):
    async with boundary(tmp_path, inspector, mode="monitor") as running, connected(running) as (say, hear):
        say(sized("POST /a HTTP/1.1", NOTE, "Expect: 100-continue", f"X-Note: {PAN}"))
        assert await hear(b"HEAD") == GO_ON
        assert await hear() == OK
        assert running.kinds() == ["retention"]


async def test_a_call_of_the_gateway_is_judged_by_its_body(tmp_path, inspector):
    """Its parameters are there: a head alone would be a call without any, which is refused."""
    body = "AccessID=a1&AccessPass=b2&OrderID=o-1&Method=1&Token=t0k3n"
    async with boundary(tmp_path, inspector, role="payment-gateway") as running, connected(running) as (say, hear):
        sent = sized("POST /payment/ExecTran.idPass HTTP/1.1", body, "Content-Type: application/x-www-form-urlencoded")
        say(sent[: -len(body)].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert await hear(b"HEAD") == GO_ON
        say(body.encode())
        assert await hear() == OK
        assert (running.kinds(), running.origin.requests) == ([], [sent])


TRUNCATED = {
    "by its length": (lambda n: answer("200 OK", "Content-Length: 99") + n.encode(), 502),
    "in a chunk": (lambda n: answer("200 OK", "Transfer-Encoding: chunked") + f"63\r\n{n}".encode(), 502),
    "before the last chunk": (lambda n: chunked("HTTP/1.0", n).replace(b"1.0", b"1.1 200 OK")[:-5], 502),
    "in its trailers": (lambda n: chunked("HTTP/1.0", n, trailers=["a: b"]).replace(b"1.0", b"1.1 200 OK")[:-2], 502),
    "in its head": (lambda n: f"HTTP/1.1 200 OK\r\nX-Note: {n}".encode(), 502),
    "nowhere, as far as anybody can tell": (lambda n: answer("200 OK") + n.encode(), 200),
}


@pytest.mark.parametrize(("sent", "status"), TRUNCATED.values(), ids=TRUNCATED)
@pytest.mark.parametrize("note", [NOTE, PAN])
async def test_a_truncated_answer(tmp_path, inspector, sent, status, note):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent(note))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with boundary(tmp_path, inspector, upstream=upstream) as running:
        response = await ask(running, get())
        assert status_of(response) == (403 if note == PAN and status == 200 else status)
        assert PAN.encode() not in response
    server.close()


async def test_an_upstream_that_answers_before_it_has_the_request(tmp_path, inspector):
    """It gets requests whole, so it can only do so by answering to the head; the client reads that answer."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer("413 Content Too Large", "Connection: close", body="no"))
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with boundary(tmp_path, inspector, upstream=upstream) as running:
        response = await ask(running, sized("POST /a HTTP/1.1", "x" * 300_000))
        assert response == answer("413 Content Too Large", "Connection: close", body="no")
    server.close()
