"""The upstream's side of a lane over HTTP/2: many exchanges on one connection, for as long as the upstream wants it."""

from __future__ import annotations

import h2.events
from h2.errors import ErrorCodes
from mitmproxy.connection import Server
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import RegisterHttpConnection
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    RequestProtocolError,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import Http2Client

from proxy.http.client import INTERIM_ANSWERS
from proxy.http.heads import Malformed
from proxy.http.one import Deadline
from proxy.http.request import Seat
from proxy.http.server import HEAD_SECONDS
from proxy.http.two import LaneTwo
from proxy.http.two_engine import STREAMS
from proxy.http.two_heads import read_response, request_fields

ONLY_HTTP1 = "speaks HTTP/1 only"
"""Why a cleartext connection with prior knowledge could not be used; another one can."""

_HTTP1_START = b"HTTP/"


class LaneClientTwo(LaneTwo, Http2Client):
    """The upstream's side of a lane. It is registered with the layer once the upstream's settings are known."""

    malformed = "upstream-malformed"
    late = "upstream-timeout"
    reset_word = "upstream-failed"
    reset_code = ErrorCode.GENERIC_SERVER_ERROR

    def __init__(self, context: Context, seat: Seat) -> None:
        super().__init__(context, seat)
        self._server: Server = context.server
        self._wires: dict[int, int] = {}
        self._layer_ids: dict[int, int] = {}
        self._interim: dict[int, int] = {}
        self._registered = False
        self._why = "reset before the settings"
        self._deadline = Deadline()

    @property
    def has_room(self) -> bool:
        """Whether one more exchange can begin here now."""
        most = min(self.h2_conn.remote_settings.max_concurrent_streams, STREAMS)
        return self._registered and not self.going and not self._ended and self.h2_conn.open_outbound_streams < most

    def wire(self, stream_id: int) -> int | None:
        """The connection's id of a stream."""
        return self._wires.get(stream_id)

    def layer_id(self, wire: int) -> int | None:
        """The layer's id of a stream."""
        return self._layer_ids.get(wire)

    def began(self) -> CommandGenerator[None]:
        """The upstream has to show itself in time."""
        yield from super().began()
        yield from self._deadline.start(HEAD_SECONDS)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Wakeup) and self._deadline.is_over(event):
            if not self._ended:
                yield from self.finish("upstream-timeout")
            return
        fresh = not self._registered and not self._ended
        if fresh and isinstance(event, events.DataReceived) and event.data.startswith(_HTTP1_START):
            self._why = ONLY_HTTP1
            yield from self.finish("")
            return
        yield from super()._handle_event(event)

    def _register(self, error: str | None) -> CommandGenerator[None]:
        if not self._registered:
            self._registered = True
            yield from self._deadline.stop()
            yield RegisterHttpConnection(self._server, error)

    def finish(self, word: str) -> CommandGenerator[None]:
        """Likewise, and whoever waited for the connection learns that there is none."""
        word = self.malformed if word == "flood" else word
        yield from super().finish(word)
        yield from self._register("no settings: timed out" if word == "upstream-timeout" else self._why)

    def heard(self, event: h2.events.Event) -> CommandGenerator[None]:
        """A response, or what both ends may hear."""
        if isinstance(event, h2.events.ResponseReceived):
            yield from self._response(event)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            wire = event.stream_id or 0
            self._interim[wire] = self._interim.get(wire, 0) + 1
            if self._interim[wire] > INTERIM_ANSWERS:
                yield from self.give_up(wire, "upstream-malformed")
        else:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                yield from self._register(None)
            yield from super().heard(event)

    def _response(self, event: h2.events.ResponseReceived) -> CommandGenerator[None]:
        wire = event.stream_id or 0
        stream_id = self.id_of_open(wire)
        if stream_id is None:
            return
        try:
            response = read_response(event.headers or (), self.seat.header)
        except Malformed as error:
            yield from self.give_up(wire, str(error))
            return
        self.heads[wire] = response
        yield ReceiveHttp(ResponseHeaders(stream_id, response, end_stream=event.stream_ended is not None))
        if event.stream_ended is None:
            yield from self.start_clock(wire)

    def reset_matters(self, wire: int) -> bool:
        """An upstream may reset once its answer is whole."""
        return not self._open.get(wire, True)

    def forget(self, wire: int) -> None:
        """Likewise, with its ids."""
        super().forget(wire)
        self._wires.pop(self._layer_ids.pop(wire, 0), None)
        self._interim.pop(wire, None)

    def give_up(self, wire: int, word: str) -> CommandGenerator[None]:
        """Ends the stream; the exchange that waited for the answer learns why."""
        stream_id = self.layer_id(wire)
        self.reset(wire, ErrorCodes.CANCEL)
        self.forget(wire)
        if stream_id is not None:
            yield ReceiveHttp(ResponseProtocolError(stream_id, word, ErrorCode.GENERIC_SERVER_ERROR))

    def leaves(self, last: int) -> CommandGenerator[None]:
        """Likewise: the requests on those streams were not read."""
        yield from super().leaves(last)
        for wire in [wire for wire in self._open if wire > last]:
            if self.reset_matters(wire):
                yield from self.give_up(wire, "upstream-failed")

    # Out.

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        """Writes a request; its head opens a stream."""
        if isinstance(event, RequestHeaders):
            wire = self.h2_conn.get_next_available_stream_id()
            self._wires[event.stream_id], self._layer_ids[wire] = wire, event.stream_id
            self.h2_conn.send_headers(wire, request_fields(event.request), event.end_stream)
            self._open[wire] = False
            return
        yield from super().send(event)

    def send_error(self, wire: int, event: RequestProtocolError | ResponseProtocolError) -> CommandGenerator[None]:
        """Nobody waits for this answer any more."""
        yield from ()
        self.reset(wire, ErrorCodes.CANCEL)
        self.forget(wire)
