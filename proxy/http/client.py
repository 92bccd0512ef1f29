"""The upstream's side of a lane: requests out, and answers in that are whole, bounded and unambiguous."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, make_body_reader

from proxy.http.heads import Malformed, read_response
from proxy.http.one import Careful, is_chunked
from proxy.http.two_heads import as_http1

HEAD_SECONDS = 15.0
"""How long an upstream's header block may take from its first byte. Until then it may think: see the idle timeout."""
INTERIM_ANSWERS = 16
"""1xx answers taken from an upstream before it counts as broken."""


class LaneClient(Careful, Http1Client):
    """The upstream's side of a lane."""

    ReceiveTrailers = ResponseTrailers
    cut_short = "upstream-failed"

    _interim = 0

    def overdue(self) -> CommandGenerator[None]:
        """Gives a slow upstream up. What the policy lets pass uninspected may take as long as it likes."""
        if self.state == self.read_headers or (
            self.state == self.read_body and (self.response is None or not self.response.stream)
        ):
            yield from self.broken("upstream-timeout")

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        """Writes a request; its head together with the first bytes of its body."""
        if isinstance(event, RequestProtocolError):
            self.state = self.done
            yield commands.CloseConnection(self.conn)
            return
        if isinstance(event, RequestHeaders):
            request = as_http1(event.request, ends=event.end_stream) if event.request.is_http2 else event.request
            self.stream_id, self.request = event.stream_id, request
            self._interim = 0
            self.chunked = is_chunked(request)
            self.trailers = None  # a body with a length has no room for them
            self._held = http1.assemble_request_head(request)
        elif isinstance(event, RequestData):
            yield from self._flush(self.framed(event.data))
        elif isinstance(event, RequestTrailers):
            self.trailers = event.trailers
        elif isinstance(event, RequestEndOfMessage):
            yield from self._flush(self.end())
            yield from self.mark_done(request=True)

    def _flush(self, data: bytes) -> CommandGenerator[None]:
        raw, self._held = self._held + data, b""
        if raw:
            yield commands.SendData(self.conn, raw)

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """One response head. 1xx answers but 101 are dropped: the client gets the final one (RFC 9110 15.2)."""
        if self.request is None or self.stream_id is None:
            yield commands.CloseConnection(self.conn)  # an idle upstream closed, or spoke out of turn
            return
        if not isinstance(event, events.DataReceived):
            yield from self.broken("upstream-malformed" if self.buf else "upstream-failed")
            return
        try:
            head = self._next_head()
            if head is None:
                if self.buf and not self.deadline.runs:
                    yield from self.deadline.start(HEAD_SECONDS)
                return
            yield from self.deadline.stop()
            self.response, size = head
        except Malformed as error:
            yield from self.broken(str(error))
            return
        except ValueError:
            yield from self.broken("upstream-malformed")
            return
        yield ReceiveHttp(ResponseHeaders(self.stream_id, self.response, size == 0))
        if self.state != self.read_headers:
            return  # given up meanwhile
        self.body_reader = make_body_reader(size)
        self.state = self.read_body
        yield from self.state(event)
        yield from self.body_began()

    def _next_head(self) -> tuple[http.Response, int | None] | None:
        """The next final head and the size of its body; ``None`` while it is not whole."""
        while (lines := self._take_head()) is not None and self.request is not None:
            response = read_response(lines)
            if response.status_code >= 200 or response.status_code == 101:
                return response, http1.expected_http_body_size(self.request, response)
            self._interim += 1
            if self._interim > INTERIM_ANSWERS:
                raise Malformed("upstream-malformed")
        return None

    def _take_head(self) -> list[bytearray] | None:
        before = len(self.buf)
        lines = self.buf.maybe_extract_lines()
        if before - len(self.buf) > self.bounds.header or (lines is None and before > self.bounds.header):
            raise Malformed("upstream-malformed")
        if lines is None:
            return None
        if not lines:
            raise Malformed("upstream-malformed")
        return lines

    def broken(self, word: str) -> CommandGenerator[None]:
        """Ends the connection; the stream that waited for the answer learns why."""
        word = word if word.startswith("upstream-") else "upstream-malformed"
        yield from self.deadline.stop()
        yield commands.CloseConnection(self.conn)
        self.state = self.done
        if self.stream_id is not None:
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, word, ErrorCode.GENERIC_SERVER_ERROR))
