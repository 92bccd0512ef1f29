"""The request half of an exchange: forwarded only when the gate has said so, and nothing of it before.

The host's own stream forwards unless somebody stops it. This one is the other way round: it looks for the gate's mark
on the flow after each hook, and a flow without one (the hook raised, was cancelled, never ran) is answered with 503.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.net.http.http1 import expected_http_body_size
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import events
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import DropStream, HTTPMode, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook, HttpRequestHook

from detectors.model import Limits
from proxy.http import marks
from proxy.http.one import Bounds
from proxy.http.upgrade import is_websocket
from proxy.message import Direction
from proxy.refusals import GAP_ANSWERS, MEDIA_TYPE, REFUSALS, problem, reason_phrase


class Seat(Bounds, Protocol):
    """One client connection's place on a lane: what its layers may know without asking a hook."""

    duplex: bool
    """Both ends send whenever they like: what one sends waits only until the other reads, and while a hook is asked."""
    full: set[Connection]
    """Nothing more is read from these for now: what they sent last waits for the client to take it."""
    clogged: set[Connection]
    """These have not taken what was written to them last."""

    @property
    def forward(self) -> bool:
        """The client names the destination of each request."""

    @property
    def secure(self) -> bool:
        """The client speaks TLS to the lane itself."""

    @property
    def draining(self) -> bool:
        """No more requests are wanted on this connection."""

    original: tuple[str, int] | None
    """Where a redirected connection was going, and goes."""
    sink: tuple[str, int] | None
    """The client is the self-probe, and this is where it leads."""
    names: dict[str, bool]
    """What a redirected client has called that address, and whether it is its name."""

    def distinguishes(self, name: str) -> bool:
        """Whether ``name`` would be judged by other rules than the address."""

    def fronts(self, name: str, host: str) -> bool:
        """Whether a request for ``host`` on a connection for ``name`` would escape the rules for ``host``."""

    def lets_gaps_pass(self, host: str) -> bool:
        """Whether what nobody can read may pass to or from ``host``, a share of it at least."""

    def unread(self, direction: Direction, reason: str, size: int) -> None:
        """Counts bytes of a gap that pass."""

    def body_limit(self, host: str) -> int:
        """Most body bytes that are kept for one message to ``host``."""

    @property
    def told(self) -> Callable[[bool], None] | None:
        """Whom to tell what was found, if the client is the self-probe."""

    def piece_limits(self, host: str) -> Limits | None:
        """What a body from or to ``host`` may cost that is inspected while it passes; ``None``: it must be whole."""

    def server_name(self, host: str) -> str:
        """The name an upstream's certificate must have, when ``host`` is what is connected to."""

    def upstream_failed(self, word: str, error: str | None) -> None:
        """Counts a failed exchange; ``word`` is a row of ``proxy.refusals.REFUSALS``."""


def refusal_response(status: int, document: bytes, *, media: bytes = MEDIA_TYPE, head: bool = False) -> http.Response:
    """A problem document as the host's response object; to a HEAD request without the body."""
    fields = (
        (b"content-type", media),
        (b"content-length", str(len(document)).encode()),
        (b"cache-control", b"no-store"),
    )
    body = b"" if head else document
    return http.Response(b"HTTP/1.1", status, reason_phrase(status), http.Headers(fields), body, None, 0.0, 0.0)


def bare_response(fields: list[tuple[bytes, bytes]]) -> http.Response:
    """A 200 that says all it has to say in these fields (gRPC's Trailers-Only)."""
    headers = http.Headers([*fields, (b"content-length", b"0")])
    return http.Response(b"HTTP/1.1", 200, b"OK", headers, b"", None, 0.0, 0.0)


class RequestHalf(HttpStream):
    """Reads a request, asks the gate, and sends it on or answers it."""

    def __init__(self, context: Context, stream_id: int, seat: Seat, mode: HTTPMode) -> None:
        super().__init__(context, stream_id)
        self.seat = seat
        self.http_mode = mode
        self.limit = 0
        self.switches = False
        """The request asks for a WebSocket."""

    def state_wait_for_request_headers(self, event: events.Event) -> CommandGenerator[None]:
        """Screens the head; what cannot be inspected later is asked about now, before any of the body is read."""
        if not isinstance(event, RequestHeaders):
            return
        flow = self.flow = http.HTTPFlow(self.context.client, self.context.server)
        flow.request, flow.live = event.request, True
        if self.seat.told is not None:
            marks.set_probe(flow, self.seat.told)
        try:
            validate_headers(flow.request)
        except ValueError:
            yield from self.refuse("malformed")
            return
        if flow.request.method == "CONNECT":
            yield from self.handle_connect()
            return
        if word := (yield from self.find_destination()):
            yield from self.turn_away(word)
            return
        self.limit = self.seat.body_limit(flow.request.host)
        self.client_state = self.state_consume_request_body
        self.server_state = self.state_wait_for_response_headers
        if "upgrade" in flow.request.headers and not marks.drop_h2c(flow.request.headers):
            self.switches = is_websocket(flow.request)
            if not self.switches:
                marks.set_gap(flow, "request", "upgrade")
        size = expected_http_body_size(flow.request)
        if size is not None and size > self.limit:
            yield from self.large_request()
        elif self.client_waits and (yield from self.ask_head()):
            yield from self.go_on()

    @property
    def client_waits(self) -> bool:
        """Whether the client sends the body only when asked to. One of HTTP/1.0 knows no 1xx (RFC 9110 10.1.1)."""
        request = self.flow.request
        expected: str = request.headers.get("expect", "")
        return expected.lower() == "100-continue" and request.data.http_version != b"HTTP/1.0"

    def ask_head(self) -> CommandGenerator[bool]:
        """True when the gate would let the head pass, as far as it can be judged by itself. If not, the client has its
        answer, and need not send the body."""
        return (yield from self._ask(HttpRequestHeadersHook(self.flow)))

    def go_on(self) -> CommandGenerator[None]:
        """Asks the client to send the body."""
        self.flow.request.headers.pop("expect")
        go_on = http.Response.make(100)
        go_on.headers.clear()
        yield SendHttp(ResponseHeaders(self.stream_id, go_on), self.context.client)

    def find_destination(self) -> CommandGenerator[str]:
        """Sets where the request goes. On a reverse lane the client has no say; on the forward lane its URL says it
        all, and Host is made to agree with it (RFC 9112 3.2.2). Returns the word of a refusal, or nothing."""
        yield from ()
        request, server = self.flow.request, self.context.server
        if request.data.scheme not in (b"", b"http", b"https"):
            return "malformed"
        if self.http_mode is HTTPMode.transparent:
            if server.address is None:
                return "malformed"
            request.data.host, request.data.port = server.address[0], server.address[1]
            request.data.scheme = b"https" if server.tls else b"http"
        elif not request.data.host or not request.data.authority:
            return "absolute-form"
        else:
            authority = request.data.authority
            if request.headers.get("host", "").encode("utf-8", "surrogateescape") != authority:
                request.headers["Host"] = authority
            for name in ("proxy-connection", "proxy-authorization"):
                request.headers.pop(name, None)
        request.data.authority = b""
        return ""

    def turn_away(self, word: str) -> CommandGenerator[None]:
        """Refuses a request for its destination, unread; with a record, where that is a gap."""
        if word in GAP_ANSWERS:
            marks.set_gap(self.flow, "request", word)
            if not (yield from self.ask_request()):
                return
            word = "internal"  # no rule lets such a gap pass
        yield from self.refuse(word)

    def request_gap(self, gap: str) -> CommandGenerator[None]:
        """Asks about a request that is not here whole. Where the policy lets such bytes pass, they stream from now."""
        flow = self.flow
        flow.request.data.content = bytes(self.request_body_buf)
        marks.set_gap(flow, "request", gap)
        if not (yield from self.ask_request()):
            return
        if self.client_waits:
            yield from self.go_on()
        self.request_body_buf.clear()
        flow.request.stream = True
        if not (yield from self.make_server_connection()):
            self.client_state = self.state_errored
            return
        yield SendHttp(RequestHeaders(self.stream_id, flow.request, end_stream=False), self.context.server)
        if flow.request.data.content:
            yield SendHttp(RequestData(self.stream_id, flow.request.data.content), self.context.server)
        flow.request.data.content = None
        self.client_state = self.state_stream_request_body

    def large_request(self) -> CommandGenerator[None]:
        """The body is larger than what is kept."""
        yield from self.request_gap("body-too-large")

    def state_stream_request_body(self, event: events.Event) -> CommandGenerator[None]:
        """Hands on what the policy has let pass uninspected."""
        if isinstance(event, RequestEndOfMessage):
            self.client_state = self.state_done
            yield SendHttp(event, self.context.server)
            if self.server_state == self.state_done:
                yield from self.flow_done()
        elif isinstance(event, RequestData | RequestTrailers):
            yield SendHttp(event, self.context.server)

    def state_consume_request_body(self, event: events.Event) -> CommandGenerator[None]:
        """Keeps the body until it is whole, then asks."""
        if isinstance(event, RequestData):
            self.request_body_buf += event.data
            if len(self.request_body_buf) > self.limit:
                yield from self.large_request()
        elif isinstance(event, RequestTrailers):
            self.flow.request.trailers = event.trailers
        elif isinstance(event, RequestEndOfMessage):
            self.flow.request.data.content = bytes(self.request_body_buf)
            self.request_body_buf.clear()
            self.client_state = self.state_done
            if (yield from self.ask_request()):
                yield from self.forward_request()

    def ask_request(self) -> CommandGenerator[bool]:
        """True when the gate lets the request pass. If not, the client has its answer."""
        return (yield from self._ask(HttpRequestHook(self.flow)))

    def _ask(self, hook: StartHook) -> CommandGenerator[bool]:
        """True when ``hook`` leaves the gate's mark. If not, the client has its answer. The mark holds once."""
        yield hook
        if (yield from self.check_killed(emit_error_hook=False)):
            return False
        if marks.take_passed(self.flow, "request"):
            return True
        yield from self.send_refusal()
        return False

    def forward_request(self) -> CommandGenerator[None]:
        """Opens the upstream, if it is not open yet, and sends the request as it is now."""
        if not (yield from self.make_server_connection()):
            return
        request = self.flow.request
        content, server = request.data.content, self.context.server
        yield SendHttp(RequestHeaders(self.stream_id, request, not (content or request.trailers)), server)
        if content:
            yield SendHttp(RequestData(self.stream_id, content), server)
        if request.trailers:
            yield SendHttp(RequestTrailers(self.stream_id, request.trailers), server)
        yield SendHttp(RequestEndOfMessage(self.stream_id), server)

    # Refusals.

    def refuse(self, word: str) -> CommandGenerator[None]:
        """Answers with a row of ``proxy.refusals.REFUSALS`` and ends the connection."""
        self.client_state = self.server_state = self.state_errored
        error = ResponseProtocolError(self.stream_id, word, ErrorCode.REQUEST_VALIDATION_FAILED)
        yield SendHttp(error, self.context.client)
        self.flow.live = False
        yield DropStream(self.stream_id)

    def send_refusal(self) -> CommandGenerator[None]:
        """Sends the gate's answer in place of forwarding; if the gate left none, says that nothing was inspected."""
        flow = self.flow
        is_head = flow.request.method == "HEAD"
        response = marks.refusal(flow)
        if response is None:
            response = refusal_response(REFUSALS["internal"].status, problem("internal"), head=is_head)
        flow.response = response
        if self.client_state != self.state_done or self.seat.draining:
            response.headers["connection"] = "close"
        self.client_state = self.server_state = self.state_errored
        flow.live = False
        content = response.data.content
        yield SendHttp(ResponseHeaders(self.stream_id, response, not content), self.context.client)
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
