"""Bodies in motion: larger than what is kept, or endless. Real sockets, the real guard, an origin that keeps all it gets.

What a client or origin has taken for a whole message must hold no card number, wherever the number was cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import re
import zlib

import brotli
import pytest
import zstandard

from detectors import Inspector
from proxy.http.pieces import TAIL, WINDOW
from tests.e2e.origin import OK, body_of, get, post, read_response, status_of
from tests.e2e.plane import PAN, boundary, until

SECONDS = 60
KEPT = 64 * 1024
LIMITS = {"body": KEPT, "inspect_seconds": 30}
NUMBER = PAN.encode()
LINE = json.dumps({"event": "paid", "order": "A-17", "note": "thank you very much"}).encode() + b"\n"
SIZE = 3 * WINDOW
CLEAN = (LINE * (SIZE // len(LINE) + 1))[:SIZE]


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


def with_number(at, number=NUMBER):
    """The clean body with a number at an offset, in a field of its own."""
    return CLEAN[:at] + b' {"card":"' + number + b'"} ' + CLEAN[at:]


def chunked(body, size=40_000, *headers, end=b"0\r\n\r\n"):
    head = b"\r\n".join([b"POST /up HTTP/1.1", b"Host: a", *headers, b"Transfer-Encoding: chunked", b"", b""])
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def unchunked(data):
    """A chunked body's bytes."""
    out, rest = b"", data
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        out, rest = out + rest[:length], rest[length + 2 :]
    return out


def upload(body, form):
    return post("/up", body) if form == "length" else chunked(body)


def body_sent(running, form):
    (request,) = running.origin.requests
    return body_of(request) if form == "length" else unchunked(body_of(request))


@pytest.mark.parametrize("form", ["length", "chunked"])
async def test_a_clean_upload_arrives_byte_for_byte(tmp_path, inspector, form):
    async with boundary(tmp_path, inspector, limits=LIMITS) as running:
        assert await running.ask(upload(CLEAN, form), seconds=SECONDS) == OK
        assert body_sent(running, form) == CLEAN
        assert running.audit.events == []


EDGE = WINDOW
"""About here the first piece ends."""


@pytest.mark.parametrize("form", ["length", "chunked"])
@pytest.mark.parametrize("at", [0, 1000, EDGE - 40, EDGE - 12, EDGE - 4, EDGE + TAIL - 12, 2 * EDGE, SIZE])
async def test_a_leak_in_an_upload_never_arrives_whole(tmp_path, inspector, form, at):
    async with boundary(tmp_path, inspector, limits=LIMITS) as running:
        response = await running.ask(upload(with_number(at), form), seconds=SECONDS, close=True)
        assert status_of(response) == 403
        assert json.loads(body_of(response))["findings"][0]["entity"] == "PAN"
        assert NUMBER not in running.origin.received
        assert running.origin.requests == [], "the origin took a part for the whole"
        assert [event["kind"] for event in running.audit.events] == ["retention"]


async def test_nothing_leaves_before_the_first_piece_has_passed(tmp_path, inspector):
    async with boundary(tmp_path, inspector, limits=LIMITS) as running:
        assert status_of(await running.ask(upload(with_number(10), "chunked"), close=True)) == 403
        assert running.origin.connections == 0


async def test_every_byte_boundary(tmp_path, inspector):
    """The sender cuts the number between any two of its digits, and so does the piece."""
    for shift in range(0, len(NUMBER) + 1, 3):
        body = with_number(EDGE - shift)
        at = body.index(NUMBER) + shift
        async with boundary(tmp_path, inspector, limits=LIMITS) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
            async with asyncio.timeout(SECONDS):
                writer.write(chunked(body[:at], end=b""))
                await writer.drain()
                writer.write(chunked(body[at:]).partition(b"\r\n\r\n")[2])
                assert status_of(await read_response(reader)) == 403
            writer.close()
            assert NUMBER not in running.origin.received
            assert running.origin.requests == []


@pytest.mark.parametrize("form", ["length", "chunked"])
async def test_redaction_on_the_way(tmp_path, inspector, form):
    masked = NUMBER[:6] + b"******" + NUMBER[-4:]
    body = with_number(EDGE - 15)
    async with boundary(tmp_path, inspector, limits=LIMITS, on_violation="redact") as running:
        assert await running.ask(upload(body, form), seconds=SECONDS) == OK
        assert body_sent(running, form) == body.replace(NUMBER, masked)
        assert [event["verdict"] for event in running.audit.events] == ["redact"]


@pytest.mark.parametrize(("form", "arrives"), [("length", False), ("chunked", True)])
async def test_redaction_that_changes_the_length(tmp_path, inspector, form, arrives):
    """Where Content-Length is on its way already, the transfer is broken off instead."""
    body = with_number(2 * EDGE)
    options = {"on_violation": "redact", "redaction": "remove"}
    async with boundary(tmp_path, inspector, limits=LIMITS, **options) as running:
        response = await running.ask(upload(body, form), seconds=SECONDS)
        assert status_of(response) == (200 if arrives else 403)
        assert NUMBER not in running.origin.received
        assert len(running.origin.requests) == arrives


async def test_monitor_mode_delivers_and_records(tmp_path, inspector):
    body = with_number(EDGE - 15)
    async with boundary(tmp_path, inspector, limits=LIMITS, mode="monitor") as running:
        assert await running.ask(upload(body, "length"), seconds=SECONDS) == OK
        assert body_sent(running, "length") == body
        (event,) = running.audit.events
        assert (event["kind"], event["verdict"], len(event["findings"])) == ("retention", "report", 1)


_LETTERS = bytes.maketrans(b"0123456789", b"ghijklmnop")
NOISE = b"".join(b"%015x\n" % random.Random(at).getrandbits(60) for at in range(40_000)).translate(_LETTERS)
"""Letters that do not compress well."""
CODINGS = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "gzip of two members": lambda data: gzip.compress(data[:100], mtime=0) + gzip.compress(data[100:], mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=2),
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("leak", [False, True], ids=["clean", "leak"])
async def test_content_codings_are_read_on_the_way(tmp_path, inspector, name, leak):
    text = NOISE + LINE * 4000
    text += b'{"card":"' + NUMBER + b'"}' if leak else b""
    wire = CODINGS[name](text)
    request = chunked(wire, 9000, b"Content-Encoding: " + name.partition(" ")[0].encode())
    async with boundary(tmp_path, inspector, limits={**LIMITS, "body": 1000}) as running:
        response = await running.ask(request, seconds=SECONDS)
        assert status_of(response) == (403 if leak else 200), response
        if leak:
            assert running.origin.requests == []
        else:
            assert body_sent(running, "chunked") == wire


@pytest.mark.parametrize("name", ["gzip", "zstd"])
async def test_a_number_in_what_decoders_skip(tmp_path, inspector, name):
    """The name in a gzip header, a frame that zstd skips."""
    wire = CODINGS[name](NOISE + LINE * 4000)
    if name == "gzip":
        wire = b"\x1f\x8b\x08\x08" + bytes(6) + b"card " + NUMBER + b".log\0" + wire[10:]
    else:
        wire += b"\x50\x2a\x4d\x18\x15\0\0\0card " + NUMBER
    request = chunked(wire, 9000, b"Content-Encoding: " + name.encode())
    async with boundary(tmp_path, inspector, limits={**LIMITS, "body": 1000}) as running:
        assert status_of(await running.ask(request, seconds=SECONDS)) == 403
        assert running.origin.requests == []
        assert NUMBER not in running.origin.received


@pytest.mark.parametrize("name", ["gzip", "zstd"])
async def test_a_compressed_file_is_read_on_the_way(tmp_path, inspector, name):
    wire = CODINGS[name](NOISE + with_number(SIZE))
    async with boundary(tmp_path, inspector, limits={**LIMITS, "body": 1000}) as running:
        assert status_of(await running.ask(post("/up", wire), seconds=SECONDS)) == 403
        assert running.origin.requests == []


BROKEN = {
    "truncated": (gzip.compress(CLEAN, 1, mtime=0)[:-9], b"Content-Encoding: gzip"),
    "corrupt": (gzip.compress(CLEAN, 0, mtime=0)[:99_000] + b"\xff" * 99_000, b"Content-Encoding: gzip"),
    "not compressed": (CLEAN, b"Content-Encoding: zstd"),
    "unknown coding": (CLEAN, b"Content-Encoding: compress"),
    "archive": (b"PK\x03\x04" + CLEAN, b"X: 1"),
    "utf-16": ("\ufeff".encode("utf-16-le") + CLEAN.decode().encode("utf-16-le"), b"X: 1"),
    "multipart": (CLEAN, b"Content-Type: multipart/form-data; boundary=a"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_cannot_be_read_in_pieces_is_a_gap(tmp_path, inspector, name):
    body, header = BROKEN[name]
    async with boundary(tmp_path, inspector, limits={**LIMITS, "body": 1000}) as running:
        response = await running.ask(chunked(body, 40_000, header), seconds=SECONDS)
        assert status_of(response) in (413, 422)
        assert running.origin.requests == []
        assert [event["kind"] for event in running.audit.events] == ["gap"]
    async with boundary(tmp_path, inspector, limits={**LIMITS, "body": 1000}, on_gap="report") as running:
        assert await running.ask(chunked(body, 40_000, header), seconds=SECONDS) == OK
        assert body_sent(running, "chunked") == body
        assert [event["verdict"] for event in running.audit.events] == ["report"]


async def test_a_run_that_cannot_be_cut_is_a_gap(tmp_path, inspector):
    """Base64 without end: a cut in it could hide what it holds."""
    async with boundary(tmp_path, inspector, limits=LIMITS) as running:
        assert status_of(await running.ask(chunked(b"A" * (3 * WINDOW)), seconds=SECONDS)) in (413, 422)
        assert running.origin.requests == []


async def test_a_refusal_behind_an_answer_that_has_begun_is_no_second_answer(tmp_path, inspector):
    """The upstream answers early, with what the lane lets pass uninspected; then the upload leaks."""
    large = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9000000\r\n\r\n" + b"~" * 200_000
    )

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(large)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with boundary(tmp_path, inspector, upstream=upstream, limits=LIMITS, on_gap="report") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            head, _, body = upload(CLEAN + with_number(0), "length").partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n" + body[:SIZE])
            got = await reader.readuntil(b"~~~~")
            writer.write(body[SIZE:])
            got += await reader.read(-1)
        writer.close()
        assert got.count(b"HTTP/1.1 ") == 1
        assert b"urn:sekisho" not in got
        assert len(got) < 9_000_000
    server.close()


async def test_trailers_of_an_upload(tmp_path, inspector):
    async with boundary(tmp_path, inspector, limits=LIMITS) as running:
        clean = chunked(CLEAN, end=b"0\r\nX-Sum: 17\r\n\r\n")
        assert await running.ask(clean, seconds=SECONDS) == OK
        assert running.origin.requests[0].endswith(b"0\r\nX-Sum: 17\r\n\r\n")
        leak = chunked(CLEAN, end=b"0\r\nX-Sum: %s\r\n\r\n" % NUMBER)
        assert status_of(await running.ask(leak, seconds=SECONDS)) == 403
        assert len(running.origin.requests) == 1
        assert NUMBER not in running.origin.received


# Answers.


def answer(body, form, *headers):
    lines = [b"HTTP/1.1 200 OK", *headers]
    if form == "length":
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
    if form == "close":
        return b"\r\n".join([*lines, b"Connection: close", b"", body])
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + chunked(body).partition(b"\r\n\r\n")[2]


async def download(running, seconds=SECONDS):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    async with asyncio.timeout(seconds):
        writer.write(get("/down", "Connection: close"))
        response = await reader.read(-1)
    writer.close()
    return response


@pytest.mark.parametrize("form", ["length", "chunked", "close"])
async def test_a_clean_download(tmp_path, inspector, form):
    async with boundary(tmp_path, inspector, answer(CLEAN, form), limits=LIMITS) as running:
        response = await download(running)
        body = body_of(response)
        assert (body if form == "length" else unchunked(body)) == CLEAN
        assert form == "length" or response.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("form", ["length", "chunked", "close"])
@pytest.mark.parametrize("at", [10, EDGE - 12, 2 * EDGE])
async def test_a_leak_in_a_download_is_cut_off(tmp_path, inspector, form, at):
    body = with_number(at)
    async with boundary(tmp_path, inspector, answer(body, form), limits=LIMITS) as running:
        response = await download(running)
        assert NUMBER not in response
        if at == 10:
            assert status_of(response) == 403
        else:
            assert not response.endswith(b"0\r\n\r\n")
            assert len(response) < len(body), "the client could take a part for the whole"


class Ticker:
    """An origin that sends what the test tells it to, when it tells it to."""

    def __init__(self, kind):
        self.head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
        self.pieces = asyncio.Queue()

    async def serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.head)
        while (piece := await self.pieces.get()) is not None:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.close()


@pytest.mark.parametrize(
    ("kind", "end"),
    [(b"text/event-stream", b"\n\n"), (b"text/event-stream", b"\r\n\r\n"), (b"application/x-ndjson", b"\n")],
    ids=["events", "events with crlf", "lines"],
)
async def test_events_pass_one_by_one_and_stop_at_a_leak(tmp_path, inspector, kind, end):
    ticker = Ticker(kind)
    server = await asyncio.start_server(ticker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with boundary(tmp_path, inspector, upstream=f"http://127.0.0.1:{port}") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(SECONDS):
            writer.write(get("/events"))
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")  # before there is any event
            for number in range(3):
                event = b'data: {"n": %d}' % number + end
                ticker.pieces.put_nowait(event)
                wire = b"%x\r\n%s\r\n" % (len(event), event)
                assert await reader.readexactly(len(wire)) == wire
            ticker.pieces.put_nowait(b'data: {"card": "' + NUMBER[:7])
            ticker.pieces.put_nowait(NUMBER[7:] + b'"}' + end)
            rest = await reader.read(-1)
        assert NUMBER[:7] not in rest
        assert not rest.endswith(b"0\r\n\r\n")
        writer.close()
        ticker.pieces.put_nowait(None)
        await until(lambda: running.audit.events)
        assert [event["direction"] for event in running.audit.events] == ["response"]
    server.close()


async def test_the_inspector_fails_in_the_middle(tmp_path, inspector, monkeypatch):
    """The third piece meets a broken inspector: the upload is broken off, in monitor mode it goes on."""
    asked = 0

    def quiet(_data, _type=""):
        nonlocal asked
        asked += 1
        return asked < 4 and Inspector.quiet(inspector, _data, _type)

    def inspect(*_, **__):
        raise RuntimeError(PAN)

    body = CLEAN * 2
    for mode, status in (("enforce", 503), ("monitor", 200)):
        asked = 0
        async with boundary(tmp_path, inspector, limits=LIMITS, mode=mode) as running:
            with monkeypatch.context() as patch:
                patch.setattr(inspector, "quiet", quiet)
                patch.setattr(inspector, "inspect", inspect)
                response = await running.ask(upload(body, "chunked"), seconds=SECONDS)
            assert status_of(response) == status
            assert len(running.origin.requests) == (mode == "monitor")
            assert {event["kind"] for event in running.audit.events} == {"failure"}


async def test_a_slow_reader_holds_the_upstream_back(tmp_path, inspector):
    """Nobody reads: what the origin can send is bounded by what the sockets and one piece hold."""
    sent = 0

    async def serve(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while sent < 200_000_000:
                writer.write(CLEAN)
                await writer.drain()
                sent += len(CLEAN)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with boundary(tmp_path, inspector, upstream=f"http://127.0.0.1:{port}") as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), limit=1000)
        async with asyncio.timeout(SECONDS):
            writer.write(get("/down"))
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
        assert sent < 40_000_000
        writer.close()
        await until(lambda: not running.host.listeners.connections)
    server.close()


@pytest.mark.parametrize("token", ["deny", "allow"])
async def test_rules_that_need_the_whole_body_get_it_or_a_gap(tmp_path, inspector, token):
    async with boundary(tmp_path, inspector, limits=LIMITS, tokens=token) as running:
        assert status_of(await running.ask(upload(CLEAN, "length"), seconds=SECONDS)) == (
            413 if token == "deny" else 200
        )
        assert bool(re.search(rb"paid", running.origin.received)) is (token == "allow")
