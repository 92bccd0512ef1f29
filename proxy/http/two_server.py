"""The client's side of a lane over HTTP/2: each stream one exchange, with refusals that end only their own stream."""

from __future__ import annotations

from collections.abc import Sized

import h2.events
from h2.errors import ErrorCodes
from h2.stream import StreamState
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    RequestProtocolError,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import Http2Server

from proxy.dialects import grpc_kind, grpc_status
from proxy.http.heads import Malformed
from proxy.http.one import Deadline
from proxy.http.request import Seat
from proxy.http.server import HEAD_SECONDS, LINGER_SECONDS, word_of
from proxy.http.two import LaneTwo
from proxy.http.two_engine import STREAMS
from proxy.http.two_heads import Fields, read_request, response_fields
from proxy.http.websocket import Leaving
from proxy.refusals import MEDIA_TYPE, REFUSALS, problem

_CODES = {ErrorCode.CANCEL: ErrorCodes.CANCEL, ErrorCode.CLIENT_DISCONNECTED: ErrorCodes.CANCEL}


class LaneServerTwo(LaneTwo, Http2Server):
    """The client's side of a lane. ``streams`` are the layer's exchanges, those that a client has reset among them
    until they have come to an end: what works for a client counts, whether it still waits for it or not."""

    malformed = "malformed"
    late = "slow-body"
    reset_word = "client disconnected"
    reset_code = ErrorCode.CANCEL

    def __init__(self, context: Context, seat: Seat, streams: Sized) -> None:
        super().__init__(context, seat)
        self._streams = streams
        self._kinds: dict[int, str] = {}
        """By stream that speaks gRPC: the content type of its answers."""
        self._deadline = Deadline()

    def began(self) -> CommandGenerator[None]:
        """A client has to show itself in time."""
        yield from super().began()
        yield from self._deadline.start(HEAD_SECONDS)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Wakeup) and self._deadline.is_over(event):
            yield from self.finish("") if not self._ended else self._close()
        else:
            if isinstance(event, Leaving) and not self._ended:
                self.retire()
            yield from super()._handle_event(event)
        self.seat.owes_answer = bool(self._open) and not self._ended

    def heard(self, event: h2.events.Event) -> CommandGenerator[None]:
        """A request, or what both ends may hear."""
        if isinstance(event, h2.events.RequestReceived):
            yield from self._request(event)
        else:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                yield from self._deadline.stop()
            yield from super().heard(event)

    def _request(self, event: h2.events.RequestReceived) -> CommandGenerator[None]:
        wire = event.stream_id or 0
        if self.going or self.seat.draining or len(self._streams) >= STREAMS:
            if not self.going and len(self._streams) >= STREAMS:
                self.seat.refused("too-many-streams")
            if self._resets.spent():
                yield from self.finish("flood")
                return
            self.reset(wire, ErrorCodes.REFUSED_STREAM)
            if self.seat.draining:
                self.retire()
            return
        self._open[wire] = False
        try:
            request = read_request(event.headers or (), self.seat.header)
        except Malformed as error:
            self._kinds.pop(wire, None)
            yield from self.give_up(wire, str(error))
            return
        if kind := grpc_kind(request.headers.get("content-type", "")):
            self._kinds[wire] = kind
        self.heads[wire] = request
        yield ReceiveHttp(RequestHeaders(wire, request, end_stream=event.stream_ended is not None))

    def reset_matters(self, wire: int) -> bool:
        """A client that resets wants no answer: its exchange ends."""
        return True

    def forget(self, wire: int) -> None:
        """Likewise, with its kind."""
        super().forget(wire)
        self._kinds.pop(wire, None)

    def give_up(self, wire: int, word: str) -> CommandGenerator[None]:
        """Answers on the stream, and tells the exchange, if there is one, that the client is gone."""
        self.seat.refused(word)
        self._answer(wire, word)
        self.forget(wire)
        yield ReceiveHttp(RequestProtocolError(wire, word, ErrorCode.CLIENT_DISCONNECTED))

    # Out.

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        """Writes a response."""
        wire = event.stream_id
        if isinstance(event, ResponseHeaders):
            if self.is_open_for_us(wire):
                interim = event.response.status_code < 200
                self.h2_conn.send_headers(wire, response_fields(event.response), event.end_stream and not interim)
            return
        yield from super().send(event)
        if isinstance(event, ResponseEndOfMessage):
            self._stop_reading(wire)
            if self.seat.draining:
                self.retire()

    def send_error(self, wire: int, event: RequestProtocolError | ResponseProtocolError) -> CommandGenerator[None]:
        """A refusal of the plane, as a whole answer while there is none; after that the stream can only be cut."""
        yield from ()
        if event.code.http_status_code() is None:
            self.reset(wire, _CODES.get(event.code, ErrorCodes.INTERNAL_ERROR))
            return
        word = word_of(event)
        if not word.startswith("upstream-"):
            self.seat.refused(word)
        self._answer(wire, word)

    def _answer(self, wire: int, word: str) -> None:
        if not self.is_open_for_us(wire):
            return
        if self.h2_conn.streams[wire].state_machine.headers_sent:
            self.reset(wire, ErrorCodes.INTERNAL_ERROR)
            return
        status, document = REFUSALS[word].status, problem(word)
        kind = self._kinds.get(wire)
        if kind is not None:
            self.h2_conn.send_headers(wire, [(b":status", b"200"), *grpc_status(kind, status, document)], True)
        else:
            self.h2_conn.send_headers(wire, _head(status, document))
            self.h2_conn.send_data(wire, document, end_stream=True)
        self._stop_reading(wire)

    def _stop_reading(self, wire: int) -> None:
        """The answer is whole, and the rest of its request is not wanted (RFC 9113 8.1)."""
        stream = self.h2_conn.streams.get(wire)
        if stream is not None and stream.state_machine.state is StreamState.HALF_CLOSED_LOCAL:
            self.reset(wire, ErrorCodes.NO_ERROR)

    # The end.

    def retire(self) -> None:
        """No more requests on this connection; it ends with those that are under way."""
        if not self.going:
            self.going = True
            self.h2_conn.leave()

    def refused(self, word: str) -> None:
        """Counts a client that broke the protocol."""
        self.seat.refused(word)

    def hang_up(self, word: str) -> CommandGenerator[None]:
        """Closes the connection; a client that may still send gets time to read why."""
        yield from self._deadline.stop()
        if not word or not self.conn.state & ConnectionState.CAN_READ:
            yield from self._close()
            return
        yield commands.CloseTcpConnection(self.conn, half_close=True)
        yield from self._deadline.start(LINGER_SECONDS)

    def after_the_end(self, event: events.Event) -> CommandGenerator[None]:
        """Reads and forgets until the client is gone."""
        if isinstance(event, events.ConnectionClosed):
            yield from self._deadline.stop()
            yield from self._close()

    def _close(self) -> CommandGenerator[None]:
        yield commands.CloseConnection(self.conn)


def _head(status: int, document: bytes) -> Fields:
    return [
        (b":status", b"%d" % status),
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(document)),
        (b"cache-control", b"no-store"),
    ]
