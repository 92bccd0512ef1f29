"""The response half of an exchange, and what becomes of the connection after it."""

from __future__ import annotations

import time

from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.net.http.http1 import expected_http_body_size
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import DropStream, HTTPMode, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpConnectHook, HttpResponseHook

from proxy.http import marks
from proxy.http.relay import RelayLayer
from proxy.http.request import RequestHalf
from proxy.http.upgrade import agreed
from proxy.http.websocket import WebSocketLayer
from proxy.refusals import REFUSALS

KILLED = "Connection killed: "
"""The host's words before the error that a hook gave a connection."""


class ResponseHalf(RequestHalf):
    """Reads a response, asks the gate, and sends it on or another one in its place."""

    compression: str | None = None
    """Of the WebSocket that has been agreed on; ``None`` if there is none, or none that can be read."""

    def state_wait_for_response_headers(self, event: events.Event) -> CommandGenerator[None]:
        """Screens the head; what cannot be inspected later is asked about now."""
        if not isinstance(event, ResponseHeaders):
            return
        flow = self.flow
        flow.response = response = event.response
        try:
            validate_headers(response)
        except ValueError:
            yield from self.upstream_broke("upstream-malformed")
            return
        if response.status_code == 101 and (word := self.switch(response)):
            yield from self.upstream_broke(word)
            return
        self.server_state = self.state_consume_response_body
        if event.end_stream:
            return
        size = expected_http_body_size(flow.request, response)
        if marks.is_endless(response.headers):
            yield from self.large_response("event-stream")
        elif size is not None and size > self.limit:
            yield from self.large_response("body-too-large")

    def large_response(self, gap: str) -> CommandGenerator[None]:
        """The body is larger than what is kept, or better passed on before it is whole; ``gap`` says which."""
        yield from self.response_gap(gap)

    def switch(self, response: http.Response) -> str:
        """What the connection will speak after a 101. The word of a refusal, if it was not asked to."""
        if marks.gap(self.flow, "request") == "upgrade":
            return ""
        if not self.switches:
            return "upstream-switched"
        try:
            self.compression = agreed(self.flow.request, response)
        except ValueError:
            return "upstream-malformed"
        self.seat.duplex = True
        if self.compression is None:
            marks.set_gap(self.flow, "response", "upgrade")
        return ""

    def response_gap(self, gap: str) -> CommandGenerator[None]:
        """As ``request_gap``, the other way."""
        flow = self.flow
        if flow.response is None:
            return
        flow.response.data.content = bytes(self.response_body_buf)
        marks.set_gap(flow, "response", gap)
        if not (yield from self.ask_response()):
            return
        self.response_body_buf.clear()
        flow.response.stream = True
        yield SendHttp(ResponseHeaders(self.stream_id, flow.response, end_stream=False), self.context.client)
        if flow.response.data.content:
            yield SendHttp(ResponseData(self.stream_id, flow.response.data.content), self.context.client)
        flow.response.data.content = None
        self.server_state = self.state_stream_response_body

    def state_stream_response_body(self, event: events.Event) -> CommandGenerator[None]:
        """Hands on what the policy has let pass uninspected."""
        if isinstance(event, ResponseEndOfMessage):
            self.server_state = self.state_done
            if self.client_state == self.state_done:
                yield from self.flow_done()
        elif isinstance(event, ResponseData | ResponseTrailers):
            yield SendHttp(event, self.context.client)

    def state_consume_response_body(self, event: events.Event) -> CommandGenerator[None]:
        """Keeps the body until it is whole, then asks."""
        response = self.flow.response
        if response is None:
            return
        if isinstance(event, ResponseData):
            self.response_body_buf += event.data
            if len(self.response_body_buf) > self.limit:
                yield from self.large_response("body-too-large")
        elif isinstance(event, ResponseTrailers):
            response.trailers = event.trailers
        elif isinstance(event, ResponseEndOfMessage):
            response.data.content = bytes(self.response_body_buf)
            self.response_body_buf.clear()
            self.server_state = self.state_done
            if (yield from self.ask_response()):
                yield from self.forward_response()

    def ask_response(self) -> CommandGenerator[bool]:
        """True when the gate lets the response pass. If not, the client has another answer."""
        switched = self.flow.response is not None and self.flow.response.status_code == 101
        yield HttpResponseHook(self.flow)
        if (yield from self.check_killed(emit_error_hook=False)):
            return False
        if marks.passed(self.flow, "response"):
            return True
        if switched or self.server_state != self.state_done:
            stop = RequestProtocolError(self.stream_id, "refused", ErrorCode.CANCEL)
            yield SendHttp(stop, self.context.server)
        yield from self.send_refusal()
        return False

    def forward_response(self) -> CommandGenerator[None]:
        """Sends the response as it is now."""
        response = self.flow.response
        if response is None:
            return
        if self.seat.draining and response.status_code != 101:
            response.headers["connection"] = "close"
        content, client = response.data.content, self.context.client
        yield SendHttp(ResponseHeaders(self.stream_id, response, not (content or response.trailers)), client)
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), client)
        if response.trailers:
            yield SendHttp(ResponseTrailers(self.stream_id, response.trailers), client)
        if self.client_state == self.state_done:
            yield from self.flow_done()

    def flow_done(self) -> CommandGenerator[None]:
        """Ends the exchange. After a 101 the bytes belong to a WebSocket, or to a protocol that nobody reads here; such
        an upgrade gets this far only where the policy lets uninspected bytes pass."""
        self.flow.live = False
        if self.flow.response is not None and self.flow.response.status_code == 101:
            yield from self.hand_over(
                WebSocketLayer(self.context, self.flow, self.seat, self.compression)
                if self.compression is not None
                else self._unread("upgrade")
            )
        else:
            yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _unread(self, gap: str) -> Layer:
        request = self.flow.request
        return RelayLayer(self.context, self.seat, gap, request.host, request.port)

    def hand_over(self, child: Layer) -> CommandGenerator[None]:
        """From now on ``child`` gets what either side sends."""
        self.child_layer = child
        self._handle_event = self.passthrough
        yield from child.handle_event(events.Start())

    # What goes wrong.

    def upstream_broke(self, word: str) -> CommandGenerator[None]:
        """Gives the upstream up and answers with a row of ``proxy.refusals.REFUSALS``."""
        self.seat.upstream_failed(word, "")
        self.client_state = self.server_state = self.state_errored
        yield SendHttp(RequestProtocolError(self.stream_id, word, ErrorCode.CANCEL), self.context.server)
        error = ResponseProtocolError(self.stream_id, word, ErrorCode.RESPONSE_VALIDATION_FAILED)
        yield SendHttp(error, self.context.client)
        self.flow.live = False
        yield DropStream(self.stream_id)

    def handle_protocol_error(self, event: events.Event) -> CommandGenerator[None]:
        """Counts what the upstream did wrong, then ends the exchange as the host does."""
        if isinstance(event, ResponseProtocolError) and event.message.removeprefix(KILLED) in REFUSALS:
            event.message = event.message.removeprefix(KILLED)
        if isinstance(event, ResponseProtocolError) and self.server_state != self.state_errored:
            connecting = event.code is ErrorCode.CONNECT_FAILED
            word = "upstream-unreachable" if connecting else event.message
            if not connecting or event.message not in REFUSALS:
                self.seat.upstream_failed(word, event.message if connecting else "")
        if isinstance(event, RequestProtocolError | ResponseProtocolError):
            yield from super().handle_protocol_error(event)

    # CONNECT.

    def handle_connect(self) -> CommandGenerator[None]:
        """Asks the gate whether a tunnel may be opened, and whether its inside can be read."""
        self.client_state = self.state_done
        if self.http_mode is HTTPMode.transparent:
            yield from self.refuse("connect-on-reverse")
            return
        flow = self.flow
        yield HttpConnectHook(flow)
        if (yield from self.check_killed(emit_error_hook=False)):
            return
        if not marks.passed(flow, "request"):
            yield from self.send_refusal()
            return
        self.context.server = Server(address=(flow.request.host, flow.request.port))
        child = self.inside(flow.request.host) if marks.readable(flow) else self._unread("encrypted")
        now = time.time()
        flow.response = http.Response(b"HTTP/1.1", 200, b"Connection established", http.Headers(), b"", None, now, now)
        yield from self.hand_over(child)
        yield SendHttp(ResponseHeaders(self.stream_id, flow.response, end_stream=True), self.context.client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def inside(self, host: str) -> Layer:
        """The layers that read a tunnel to ``host``."""
        raise RuntimeError(f"no layers for the inside of a tunnel ({len(host)} characters)")
