"""The layer's own promises; what crosses a lane in pieces is in tests/e2e/test_streams.py."""

from __future__ import annotations

import pytest

from detectors.model import Limits
from proxy.http.moving import handed_over
from proxy.http.pieces import Pieces
from tests.e2e.origin import OK, body_of, get, post, status_of
from tests.e2e.plane import ALLOW, lane

BODY = b'{"event": "paid"}\n' * 20_000
LIMITS = {"body": 4096}


class Buffer:
    """Stands in for the host's."""

    def __init__(self, *chunks):
        self._chunks = list(chunks)

    def clear(self):
        self._chunks.clear()


def test_a_buffer_is_handed_over_and_emptied():
    buffer = Buffer(b"data: a\n", b"\ndata: b")
    pieces = handed_over(buffer, Pieces("text/event-stream", "", Limits()))
    assert buffer._chunks == []
    assert pieces.kept == 16
    assert pieces.next().data == b"data: a\n\n"


async def test_the_head_is_asked_about_first_and_then_each_piece(tmp_path):
    async with lane(tmp_path, limits=LIMITS) as running:
        assert await running.ask(post("/up?a=1", BODY, "X-Trace: t")) == OK
        head, *pieces = [message for message in running.guard.asked if message.direction == "request"]
        assert [part.name for part in head.parts] == ["path", "query", "header:host", "header-name", "header:x-trace",
                                                      "header:content-length"]  # fmt: skip
        assert (head.moving, head.gap) == (False, "")
        assert all(message.moving and message.measured and not message.gap for message in pieces)
        assert [[part.name for part in message.parts] for message in pieces] == [["body"]] * len(pieces)
        assert sum(len(message.parts[0].data) - message.parts[0].held for message in pieces) == len(BODY)


@pytest.mark.parametrize("fault", ["raises", "says nothing", "mistaken"])
async def test_a_guard_that_fails_at_a_piece(tmp_path, fault):
    def quickly(message):
        if not message.moving:
            return ALLOW
        if fault == "raises":
            raise RuntimeError("broken")
        return None if fault == "says nothing" else "ALLOW"

    def slowly(_message):
        return "ALLOW" if fault == "mistaken" else None

    async with lane(tmp_path, limits=LIMITS, script={"quickly": quickly, "slowly": slowly}) as running:
        assert status_of(await running.ask(post("/up", BODY))) == 503
        assert running.origin.connections == 0


async def test_lines_of_a_lane_that_reads_whole_messages_are_kept(tmp_path):
    """Rules that ask for fields of a body get all of it, and a small one needs no gap."""
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n"
    async with lane(tmp_path, reply, tokens="deny") as running:
        assert body_of(await running.ask(get("/"))) == b"3\r\n{}\n\r\n0\r\n\r\n"
        assert [message.moving for message in running.guard.asked] == [False, False]
