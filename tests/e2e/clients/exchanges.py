"""The same exchanges for every general HTTP client: sent straight to the sink and through a lane, and then compared."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.clients.sinks import Received
from tests.e2e.clients.stage import MASKED, PAN, Stage

CALLS = ("json", "form", "multipart", "bytes", "chunked", "gzip", "query", "header")
"""Requests that each client sends to ``/call/<name>``, in the way its documentation shows."""
ASKED = ("plain", "gzip", "nothing", "moved", "chunked", "cookies", "binary", "missing")
"""Answers that each client fetches from ``/answer/<name>``."""
CLEAN = "tok_9f3b1c7e5d2a4b60"
ORDER = {"order_id": "20261122-000123", "amount": 12800, "placed_ms": 1763769600123, "note": "支払い"}


@dataclass(frozen=True)
class Reply:
    """What a client has read: its own idea of status, header fields and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The document of a refusal."""
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)


SendAll = Callable[[str, str], dict[str, Reply]]
"""``send_all(base URL, value)``: every call with the value in it and every answer, by ``call/<name>``, ``answer/<name>``."""


def order(value: str) -> dict[str, Any]:
    """A document with the value in it."""
    return ORDER | {"card": {"number": value}}


def csv(value: str) -> str:
    """A file with the value in it."""
    return (
        "order_id,amount,card\n" + "".join(f"ROKI-{n:06},{n * 10},none\n" for n in range(200)) + f"ROKI-1,1,{value}\n"
    )


def assert_unharmed(stage: Stage, send_all: SendAll) -> None:
    """Through the lane, both ends see what they see without it."""
    sink = stage.sinks["store"]
    replies = {url: send_all(url, CLEAN) for url in (sink.url, stage.url("store"))}
    straight, through = replies.values()
    assert {name for name, reply in straight.items() if reply.status >= 400} == {"answer/missing"}
    assert set(straight) == {f"call/{name}" for name in CALLS} | {f"answer/{name}" for name in ASKED}
    for name in straight:
        assert seen(through[name]) == seen(straight[name]), name
    received = [as_sent(request) for request in sink.received]
    half = len(received) // 2
    assert len(received) == 2 * half
    for without, behind in zip(received[:half], received[half:], strict=True):
        assert behind == without
    assert stage.records() == []


def assert_refused(stage: Stage, send_all: SendAll) -> None:
    """With a card number in it every call is refused, with the reason, and nothing of it arrives; the rest goes on."""
    replies = send_all(stage.url("store"), PAN)
    for name in CALLS:
        reply = replies[f"call/{name}"]
        assert (name, reply.status) == (name, 403)
        assert reply.problem()["type"] == "urn:sekisho:problem:card-data"
        assert "holds a card number" in reply.problem()["detail"]
        assert PAN.encode() not in reply.body
    assert {request.target.split("/")[1] for request in stage.sinks["store"].received} == {"answer"}
    assert replies["answer/plain"].status == 200
    assert stage.verdicts("store") == ["block"] * len(CALLS)


def assert_redacted(stage: Stage, send_all: SendAll) -> None:
    """Where the lane redacts, what arrives is what the client would have sent with the masked number."""
    sink = stage.sinks["events"]
    send_all(sink.url, MASKED)
    expected = [as_read(request) for request in sink.received]
    sink.received.clear()
    replies = send_all(stage.url("events"), PAN)
    assert {name for name, reply in replies.items() if reply.status >= 400} == {"answer/missing"}
    for got, wanted in zip([as_read(request) for request in sink.received], expected, strict=True):
        assert got == wanted
    assert stage.verdicts("events") == ["redact"] * len(CALLS)


def seen(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """What must be the same with and without the sidecar; the clock aside."""
    return reply.status, {name: value for name, value in reply.headers.items() if name != "date"}, reply.body


_BOUNDARY = re.compile(r'boundary="?([^";]+)')


def as_sent(request: Received) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """The request to the byte; without the name of the host, and the boundary that clients draw anew each time.

    ``Expect`` is between the client and the next hop, which is the sidecar (RFC 9110 10.1.1); of ``Accept-Encoding``
    it takes away what it could not inspect in the answer.
    """
    boundary = _BOUNDARY.search(request.header("content-type"))
    drawn = boundary[1] if boundary else "\0"
    fields = [
        (name, value.replace(drawn, "B").replace("compress, ", ""))
        for name, value in request.headers
        if name.lower() not in ("host", "expect")
    ]
    return request.method, request.target, fields, request.body.replace(drawn.encode(), b"B")


def as_read(request: Received) -> tuple[str, str, object, object]:
    """The request as the sink's parsers read it."""
    path, _, query = request.target.partition("?")
    kind = request.header("content-type")
    _, _, fields, body = as_sent(request)
    body = request.plain if request.header("content-encoding") else body
    readers: dict[str, Callable[[bytes], object]] = {
        "application/json": json.loads,
        "application/x-www-form-urlencoded": lambda data: urllib.parse.parse_qsl(data.decode()),
    }
    reader = next((reader for name, reader in readers.items() if kind.startswith(name)), bytes)
    kept = [(name, value) for name, value in fields if name.lower() != "content-length"]
    return path, request.method, (urllib.parse.parse_qsl(query), kept), reader(body)
