"""The client's side of a lane: requests in, answers out that name no product and quote nothing of what they refuse."""

from __future__ import annotations

from h11._receivebuffer import ReceiveBuffer
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server, make_body_reader

from proxy.http.heads import Malformed, read_request
from proxy.http.one import Careful, has_body, is_chunked
from proxy.refusals import REFUSALS, answer

HEAD_SECONDS = 15.0
"""How long a header block may take from its first byte, or the first one from the connection's start (slow loris)."""
LINGER_SECONDS = 2.0
"""How long a client that is still sending may take to read why it was refused."""

_WORDS = {
    ErrorCode.GENERIC_CLIENT_ERROR: "malformed",
    ErrorCode.REQUEST_VALIDATION_FAILED: "malformed",
    ErrorCode.DESTINATION_UNKNOWN: "absolute-form",
    ErrorCode.CONNECT_FAILED: "upstream-unreachable",
    ErrorCode.RESPONSE_VALIDATION_FAILED: "upstream-malformed",
}


class LaneServer(Careful, Http1Server):
    """The client's side of a lane."""

    ReceiveTrailers = RequestTrailers

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield from self.deadline.start(HEAD_SECONDS)
        before = self.state
        yield from super()._handle_event(event)
        if before != self.passthrough:  # from then on, who reads the inside has the say
            self.bounds.congested = self.state == self.wait and len(self.buf) > self.bounds.header

    def overdue(self) -> CommandGenerator[None]:
        """Refuses a slow request. A body that the policy lets pass uninspected may take as long as it likes."""
        if self.state == self.read_headers:
            if self.buf:
                yield from self.broken("slow-header")
            else:
                yield commands.CloseConnection(self.conn)
        elif self.state == self.read_body:
            if self.request is None or not self.request.stream:
                yield from self.broken("slow-body")
        elif self.state == self.linger:
            yield commands.CloseConnection(self.conn)

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """One request head, or the reason why it is refused."""
        if not isinstance(event, events.DataReceived):
            yield commands.CloseConnection(self.conn)
            return
        try:
            lines = self._take_head()
            if lines is None:
                if self.buf and not self.deadline.runs:
                    yield from self.deadline.start(HEAD_SECONDS)
                return
            yield from self.deadline.stop()
            self.bounds.owes_answer = True
            self.request = read_request(lines)
            size = http1.expected_http_body_size(self.request)
        except Malformed as error:
            yield from self.broken(str(error))
            return
        except ValueError:
            yield from self.broken("malformed")
            return
        yield ReceiveHttp(RequestHeaders(self.stream_id, self.request, size == 0))
        if self.state != self.read_headers:
            return  # refused, and the connection with it
        self.body_reader = make_body_reader(size)
        self.state = self.read_body
        yield from self.state(event)
        yield from self.body_began()

    def _take_head(self) -> list[bytearray] | None:
        """The next header block; ``None`` while it is not whole. Empty lines before it are skipped (RFC 9112 2.2)."""
        before = len(self.buf)
        lines = self.buf.maybe_extract_lines()
        while lines == []:
            lines = self.buf.maybe_extract_lines()
        if before - len(self.buf) > self.bounds.header or (lines is None and before > self.bounds.header):
            raise Malformed("header-too-large")
        if lines is None:
            start = bytes(self.buf)[:4] if len(self.buf) else b""
            if start[:2] == b"\x16\x03":
                raise Malformed("tls-on-cleartext")
            return None
        if lines[0] == b"PRI * HTTP/2.0":
            raise Malformed("http2-preface")
        return lines

    def broken(self, word: str) -> CommandGenerator[None]:
        """Answers, unless an answer has begun, and ends the connection, and tells the stream of an unfinished body."""
        in_body = self.state == self.read_body
        self.bounds.refused(word)
        if self.response is None:
            yield commands.SendData(self.conn, answer(word))
        yield from self.hang_up()
        if in_body:
            error = RequestProtocolError(self.stream_id, word, ErrorCode.CLIENT_DISCONNECTED)
            yield ReceiveHttp(error)

    def hang_up(self) -> CommandGenerator[None]:
        """Ends the connection. A client that still sends gets time to read: a close would reset it (RFC 9112 9.6)."""
        self.bounds.owes_answer = False
        if self.request_done or not self.conn.state & ConnectionState.CAN_READ:
            self.state = self.done
            yield commands.CloseConnection(self.conn)
            return
        self.state = self.linger
        self.buf = ReceiveBuffer()
        yield commands.CloseTcpConnection(self.conn, half_close=True)
        yield from self.deadline.start(LINGER_SECONDS)

    def linger(self, event: events.Event) -> CommandGenerator[None]:
        """Reads and forgets."""
        self.buf = ReceiveBuffer()
        if isinstance(event, events.ConnectionClosed):
            self.state = self.done
            yield commands.CloseConnection(self.conn)

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        """Writes a response; its head together with the first bytes of its body."""
        if self.state in (self.linger, self.done):
            return
        if isinstance(event, ResponseHeaders):
            yield from self._head(event.response)
        elif isinstance(event, ResponseData):
            yield from self._flush(self.framed(event.data))
        elif isinstance(event, ResponseTrailers):
            self.trailers = event.trailers
        elif isinstance(event, ResponseEndOfMessage):
            yield from self._end()
        elif isinstance(event, ResponseProtocolError):
            yield from self._failed(event)

    def _head(self, response: http.Response) -> CommandGenerator[None]:
        raw = http1.assemble_response_head(response)
        if response.status_code == 100:
            yield commands.SendData(self.conn, raw)
            return
        self.response, self._held, self.trailers = response, raw, None
        self.chunked = is_chunked(response)
        if response.status_code == 101 or response.stream:
            yield from self._flush(b"")

    def _flush(self, data: bytes) -> CommandGenerator[None]:
        raw, self._held = self._held + data, b""
        if raw:
            self.bounds.owes_answer = False
            yield commands.SendData(self.conn, raw)

    def _end(self) -> CommandGenerator[None]:
        response = self.response
        yield from self._flush(self.end() if response is not None and has_body(self.request, response) else b"")
        if not self.request_done:
            yield from self.hang_up()  # refused before the body was read
        else:
            yield from self.mark_done(response=True)

    def _failed(self, event: ResponseProtocolError) -> CommandGenerator[None]:
        if not self.conn.state & ConnectionState.CAN_WRITE:
            return
        if event.code.http_status_code() is not None and self.response is None:
            word = word_of(event)
            if not word.startswith("upstream-"):
                self.bounds.refused(word)
            yield commands.SendData(self.conn, answer(word))
        yield from self.hang_up()


def word_of(event: ResponseProtocolError | RequestProtocolError) -> str:
    """The row of ``proxy.refusals.REFUSALS`` that says what went wrong."""
    return event.message if event.message in REFUSALS else _WORDS.get(event.code, "upstream-failed")
