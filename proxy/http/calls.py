"""gRPC calls in motion: each side may wait for the other's messages, so each head goes on once it has been judged, and
then each message by itself.

A call that is refused in the midst of it ends with a status of its own, like one that its server has broken off: the
client cannot take what it has for the whole.
Source: grpc ``PROTOCOL-HTTP2.md``.
"""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import DropStream, SendHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders, ResponseEndOfMessage, ResponseTrailers

from proxy.http import marks
from proxy.http.cuts import can_be_cut, kind_of
from proxy.http.flows import body_type, coding
from proxy.http.moving import MovingStream

_STATUS = (b"grpc-status", b"grpc-message")


class CallStream(MovingStream):
    """An exchange that may be a call."""

    def state_wait_for_request_headers(self, event: events.Event) -> CommandGenerator[None]:
        """A call moves from its head on, where the lane does not ask for all of it."""
        yield from super().state_wait_for_request_headers(event)
        if not isinstance(event, RequestHeaders) or event.end_stream:
            return
        if self.client_state == self.state_consume_request_body and self.can_move():
            yield from self.large_request()
            if self.client_state == self.state_move_request_body:
                yield from self.begin_request()

    def can_move(self) -> bool:
        """Whether the request is a call whose messages may be inspected one by one."""
        request = self.flow.request
        if not request.is_http2 or not self.is_call:
            return False
        kind = body_type(request.headers)
        return can_be_cut(kind, coding(request.data)) and self.seat.piece_limits(request.host) is not None

    @property
    def is_call(self) -> bool:
        """Whether the request says that it is one."""
        return kind_of(body_type(self.flow.request.headers)) == "grpc"

    def cut_response(self) -> CommandGenerator[None]:
        """Ends a call whose answer is on its way with the status of its refusal."""
        refusal = marks.refusal(self.flow)
        status = [field for field in refusal.headers.fields if field[0] in _STATUS] if refusal is not None else []
        if not status or not self.flow.request.is_http2:
            yield from super().cut_response()
            return
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield SendHttp(ResponseTrailers(self.stream_id, http.Headers(status)), self.context.client)
        yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
