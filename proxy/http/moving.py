"""Bodies in motion: what is too large to keep, or never ends, is inspected piece by piece while it passes.

A piece goes on only when the gate has let it. One that is refused ends the transfer so that the receiver cannot take
what it has for the whole: a chunked body without its last chunk, or fewer bytes than Content-Length has announced.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import DropStream, HTTPMode, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.utils import ReceiveBuffer

from proxy.http import marks
from proxy.http.cuts import can_be_cut, kind_of
from proxy.http.flows import body_type, coding
from proxy.http.pieces import Piece, Pieces
from proxy.http.request import Seat
from proxy.http.response import ResponseHalf
from proxy.message import Direction


@dataclass(frozen=True, slots=True, repr=False)
class Passage:
    """One piece of a message's body."""

    flow: http.HTTPFlow
    direction: Direction
    piece: Piece


@dataclass(repr=False)
class BodyPieceHook(commands.StartHook):
    """Before a piece is forwarded. It is not unless the hook has let it pass."""

    data: Passage


class MovingStream(ResponseHalf):
    """An exchange whose bodies may pass before they are whole."""

    def __init__(self, context: Context, stream_id: int, seat: Seat, mode: HTTPMode) -> None:
        super().__init__(context, stream_id, seat, mode)
        self.request_pieces: Pieces | None = None
        self.response_pieces: Pieces | None = None
        self.request_moves = self.response_moves = False
        """Something of the message has been sent on."""

    def next_piece(self, direction: Direction, pieces: Pieces | None) -> CommandGenerator[Piece | None]:
        """The next piece that may go on. ``None``: none is ready, or it may not, and the transfer has been stopped."""
        piece = pieces.next() if pieces is not None else None
        if piece is None:
            return None
        yield BodyPieceHook(Passage(self.flow, direction, piece))
        if (yield from self.check_killed(emit_error_hook=False)):
            return None
        if piece.out is None:
            yield from self.stop_request() if direction == "request" else self.stop_response()
            return None
        return piece

    # The request.

    def large_request(self) -> CommandGenerator[None]:
        """Reads the body in pieces while it passes, if it can be cut; if not, it is a gap."""
        request = self.flow.request
        kind, coded = body_type(request.headers), coding(request.data)
        limits = self.seat.piece_limits(request.host)
        if limits is None or not can_be_cut(kind, coded):
            yield from super().large_request()
            return
        if not (yield from self.ask_request()):
            return
        self.request_pieces = handed_over(self.request_body_buf, Pieces(kind, coded, limits))
        request.stream = True
        self.client_state = self.state_move_request_body
        if self.client_waits:
            yield from self.go_on()
        yield from self.move_request()

    def state_move_request_body(self, event: events.Event) -> CommandGenerator[None]:
        """Hands on what has been inspected of the body."""
        if taken(event, self.request_pieces, self.flow.request):
            yield from self.move_request()

    def move_request(self) -> CommandGenerator[None]:
        """Asks about each piece that is ready and sends it on; the head goes with the first one."""
        request = self.flow.request
        while (piece := (yield from self.next_piece("request", self.request_pieces))) is not None:
            if not (yield from self.begin_request()):
                return
            server = self.context.server
            if piece.out:
                yield SendHttp(RequestData(self.stream_id, piece.out), server)
            if piece.last:
                self.client_state = self.state_done
                if request.trailers:
                    yield SendHttp(RequestTrailers(self.stream_id, request.trailers), server)
                yield SendHttp(RequestEndOfMessage(self.stream_id), server)
                if self.server_state == self.state_done:
                    yield from self.flow_done()
            elif piece.gap:
                self.client_state = self.state_stream_request_body

    def begin_request(self) -> CommandGenerator[bool]:
        """Opens the upstream and sends the head, unless it is on its way; whether it is."""
        if not self.request_moves:
            if not (yield from self.make_server_connection()):
                return False
            self.request_moves = True
            head = RequestHeaders(self.stream_id, self.flow.request, end_stream=False)
            yield SendHttp(head, self.context.server)
        return True

    def handle_protocol_error(self, event: events.Event) -> CommandGenerator[None]:
        """The host would not tell the upstream of a client that is gone in the midst of such a body."""
        on_its_way = self.request_moves and self.client_state == self.state_move_request_body
        if isinstance(event, RequestProtocolError) and on_its_way:
            yield SendHttp(event, self.context.server)
        yield from super().handle_protocol_error(event)

    def stop_request(self) -> CommandGenerator[None]:
        """Refuses a body in the midst of it. The upstream cannot take what it has for the whole."""
        if self.request_moves:
            stop = RequestProtocolError(self.stream_id, "refused", ErrorCode.CANCEL)
            yield SendHttp(stop, self.context.server)
        begun = (self.state_stream_response_body, self.state_done)
        if self.response_moves or self.server_state in begun:
            yield from self.cut_response()
        else:
            yield from self.send_refusal()

    def cut_response(self) -> CommandGenerator[None]:
        """Ends an answer that is on its way, so that the client cannot take what it has for the whole."""
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        error = ResponseProtocolError(self.stream_id, "refused", ErrorCode.KILL)
        yield SendHttp(error, self.context.client)
        yield DropStream(self.stream_id)

    # The response.

    def state_wait_for_response_headers(self, event: events.Event) -> CommandGenerator[None]:
        """Rows of documents without a length begin at once: each is of use before the last one is there."""
        yield from super().state_wait_for_response_headers(event)
        if not isinstance(event, ResponseHeaders) or event.end_stream or "content-length" in event.response.headers:
            return
        if self.server_state != self.state_consume_response_body:
            return
        kind = body_type(event.response.headers)
        if kind_of(kind) in ("line", "grpc") and can_be_cut(kind, coded := coding(event.response.data)):
            yield from self.move_response_body(kind, coded)

    def large_response(self, gap: str) -> CommandGenerator[None]:
        """As ``large_request``, the other way."""
        if self.flow.response is None:
            return
        headers = self.flow.response.headers
        kind, coded = body_type(headers), coding(self.flow.response.data)
        if (
            marks.is_mixed(headers)
            or not can_be_cut(kind, coded)
            or not (yield from self.move_response_body(kind, coded))
        ):
            yield from super().large_response(gap)

    def move_response_body(self, kind: str, coded: str) -> CommandGenerator[bool]:
        """Reads the body in pieces from now on, unless the lane or the client does not allow it; whether it does.
        Events and lines begin at once; the head of another body goes with its first piece."""
        flow, limits = self.flow, self.seat.piece_limits(self.flow.request.host)
        if flow.response is None or limits is None or not self.frame_response():
            return False
        if not (yield from self.ask_response()):
            return True
        self.response_pieces = handed_over(self.response_body_buf, Pieces(kind, coded, limits))
        flow.response.stream = True
        self.server_state = self.state_move_response_body
        if self.response_pieces.kind != "window":
            yield from self.begin_response()
        yield from self.move_response()
        return True

    def frame_response(self) -> bool:
        """Sees to it that the client can tell a body that was cut from a whole one; whether it can."""
        response = self.flow.response
        if response is None:
            return False
        if "content-length" in response.headers or "transfer-encoding" in response.headers:
            return True
        if self.flow.request.http_version == "HTTP/1.1":
            response.headers["transfer-encoding"] = "chunked"
        return self.flow.request.http_version != "HTTP/1.0"

    def begin_response(self) -> CommandGenerator[None]:
        """Sends the head, unless it is on its way."""
        if not self.response_moves and self.flow.response is not None:
            self.response_moves = True
            if self.seat.draining:
                self.flow.response.headers["connection"] = "close"
            yield SendHttp(ResponseHeaders(self.stream_id, self.flow.response, end_stream=False), self.context.client)

    def state_move_response_body(self, event: events.Event) -> CommandGenerator[None]:
        """Hands on what has been inspected of the body."""
        if taken(event, self.response_pieces, self.flow.response):
            yield from self.move_response()

    def move_response(self) -> CommandGenerator[None]:
        """Asks about each piece that is ready and sends it on."""
        response = self.flow.response
        while response and (piece := (yield from self.next_piece("response", self.response_pieces))) is not None:
            yield from self.begin_response()
            if piece.out:
                yield SendHttp(ResponseData(self.stream_id, piece.out), self.context.client)
            if piece.last:
                self.server_state = self.state_done
                if response.trailers:
                    yield SendHttp(ResponseTrailers(self.stream_id, response.trailers), self.context.client)
                if self.client_state == self.state_done:
                    yield from self.flow_done()
            elif piece.gap:
                self.server_state = self.state_stream_response_body

    def stop_response(self) -> CommandGenerator[None]:
        """Refuses a body in the midst of it."""
        if self.server_state != self.state_done:
            yield SendHttp(RequestProtocolError(self.stream_id, "refused", ErrorCode.CANCEL), self.context.server)
        if self.response_moves:
            yield from self.cut_response()
        else:
            yield from self.send_refusal()


def taken(event: events.Event, pieces: Pieces | None, message: http.Request | http.Response | None) -> bool:
    """Gives ``event`` to the pieces, or its trailers to the message; whether there may be another piece now."""
    if pieces is None or message is None:
        return False
    if isinstance(event, RequestData | ResponseData):
        pieces.take(event.data)
    elif isinstance(event, RequestEndOfMessage | ResponseEndOfMessage):
        pieces.end()
    else:
        if isinstance(event, RequestTrailers | ResponseTrailers):
            message.trailers = event.trailers
        return False
    return True


def handed_over(buffer: ReceiveBuffer, pieces: Pieces) -> Pieces:
    """The pieces, with what has been kept of the body; none of it is ever kept twice."""
    chunks = deque(buffer._chunks)  # noqa: SLF001 - its public way out is a copy of all of it
    buffer.clear()
    while chunks:
        pieces.take(chunks.popleft())
    return pieces
