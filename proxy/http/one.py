"""HTTP/1 at both ends of a lane: the bounds and trailers that the host's connections lack, the same for both."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import h11
from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import HttpEvent, RequestTrailers, ResponseTrailers
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server

from proxy.http.heads import FORBIDDEN_TRAILERS, MOST_FIELDS, Malformed


class Bounds(Protocol):
    """What a connection may ask of the lane it is on."""

    header: int
    """Bytes of one header block, the request or status line included."""
    body_seconds: float
    """Seconds from a header block to the end of the body that belongs to it."""
    owes_answer: bool
    """A request has begun and no byte of its response is on the way."""
    congested: bool
    """The client has sent more than may wait; nothing more is read from it while this is true."""

    def refused(self, word: str) -> None:
        """Counts what is refused before its content is judged; ``word`` is a row of ``proxy.refusals.REFUSALS``."""


class StopTimer(commands.Command):
    """The wakeup that ``timer`` asks for is to come at once: nobody waits for it any more."""

    def __init__(self, timer: commands.RequestWakeup) -> None:
        self.timer = timer


class Deadline:
    """The time until which something may take. Ends with a wakeup, unless it is stopped or started anew before."""

    def __init__(self) -> None:
        self._timer: commands.RequestWakeup | None = None

    @property
    def runs(self) -> bool:
        """Whether it has been started, and neither stopped nor passed since."""
        return self._timer is not None

    def start(self, seconds: float) -> CommandGenerator[None]:
        """From now on ``seconds`` are left, whatever was left before."""
        yield from self.stop()
        self._timer = commands.RequestWakeup(seconds)
        yield self._timer

    def stop(self) -> CommandGenerator[None]:
        """It is met."""
        if self._timer is not None:
            timer, self._timer = self._timer, None
            yield StopTimer(timer)

    def is_over(self, event: events.Wakeup) -> bool:
        """Whether ``event`` is its end."""
        if event.command is not self._timer:
            return False
        self._timer = None
        return True


class Careful(Http1Connection):
    """Bodies, trailers and deadlines, the same in both directions."""

    bounds: Bounds
    chunked = False
    """The body of what is being sent goes in chunks."""
    trailers: http.Headers | None = None
    ReceiveTrailers: type[RequestTrailers | ResponseTrailers]
    cut_short = "malformed"
    """The word for a peer that closes in the midst of a body."""

    def __init__(self, context: Context, bounds: Bounds) -> None:
        super().__init__(context)  # type: ignore[call-arg]  # of the host's client or server, next in line
        self.bounds = bounds
        self.deadline = Deadline()
        self._held = b""

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """Takes it at once, without the host's queue: nothing here waits for an answer."""
        return self._handle_event(event)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, HttpEvent):
            yield from self.send(event)
        elif isinstance(event, events.Wakeup):
            if self.deadline.is_over(event):
                yield from self.overdue()
        else:
            if isinstance(event, events.DataReceived) and self.state != self.passthrough:
                self.buf += event.data
            yield from self.state(event)

    @abstractmethod
    def overdue(self) -> CommandGenerator[None]:
        """The peer took longer than it may."""

    def body_began(self) -> CommandGenerator[None]:
        """Gives the rest of the body its time, if there is a rest. Called after what came with the header block."""
        if self.state == self.read_body:
            yield from self.deadline.start(self.bounds.body_seconds)

    @abstractmethod
    def broken(self, word: str) -> CommandGenerator[None]:
        """Ends the connection because the peer broke HTTP/1; ``word`` is a row of ``proxy.refusals.REFUSALS``."""

    def read_body(self, event: events.Event) -> CommandGenerator[None]:
        """Hands on what has arrived as one piece; the end of the message with its trailers, if any."""
        if self.stream_id is None:
            return
        pieces: list[bytes] = []
        try:
            end = self._read_pieces(event, pieces)
            trailers = _trailers(end) if end is not None else None
        except (h11.ProtocolError, Malformed):
            closed = isinstance(event, events.ConnectionClosed)
            yield from self.broken(self.cut_short if closed else "malformed")
            return
        if pieces:
            yield ReceiveHttp(self.ReceiveData(self.stream_id, b"".join(pieces)))
            if self.state != self.read_body:
                return  # refused meanwhile, and the connection with it
        if end is None:
            if len(self.buf) > self.bounds.header:  # an endless chunk extension or trailer section
                yield from self.broken("header-too-large")
            return
        yield from self.deadline.stop()
        if trailers is not None:
            yield ReceiveHttp(self.ReceiveTrailers(self.stream_id, trailers))
        if self.request is not None and self.request.data.method.upper() != b"CONNECT":
            yield ReceiveHttp(self.ReceiveEndOfMessage(self.stream_id))
        if self.state == self.read_body:
            is_request = isinstance(self, Http1Server)
            yield from self.mark_done(request=is_request, response=not is_request)

    def _read_pieces(self, event: events.Event, pieces: list[bytes]) -> h11.EndOfMessage | None:
        if isinstance(event, events.ConnectionClosed):
            return self.body_reader.read_eof()
        while (read := self.body_reader(self.buf)) is not None:
            if isinstance(read, h11.EndOfMessage):
                return read
            pieces.append(bytes(read.data))
        return None

    def framed(self, data: bytes) -> bytes:
        """Bytes of a body as they are sent."""
        return b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data

    def end(self) -> bytes:
        """What ends a body: in chunks the last one, with the trailers that were held back for it."""
        if not self.chunked:
            return b""
        fields = bytes(self.trailers) if self.trailers else b""
        self.trailers = None
        return b"0\r\n%s\r\n" % fields


def _trailers(end: h11.EndOfMessage) -> http.Headers | None:
    fields = [(bytes(name), bytes(value)) for name, value in end.headers.raw_items()]
    if len(fields) > MOST_FIELDS or any(name.lower() in FORBIDDEN_TRAILERS for name, _ in fields):
        raise Malformed("malformed")
    return http.Headers(fields) if fields else None


def is_chunked(message: http.Request | http.Response) -> bool:
    """Whether its body is sent in chunks."""
    return "chunked" in message.headers.get("transfer-encoding", "").lower()


def has_body(request: http.Request | None, response: http.Response) -> bool:
    """Whether a response is followed by a body or its end marker (RFC 9112 6.3)."""
    to_head = request is not None and request.method.upper() == "HEAD"
    return not to_head and response.status_code >= 200 and response.status_code not in (204, 304)
