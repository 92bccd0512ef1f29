"""HTTP/2 at both ends of a lane: windows that bound what a peer may send, floods refused, nothing quoted to anybody.

The host's connection acknowledges every byte at once. Here a stream's window is opened again only when the layer above
says so (``Credit``); the connection's own follows what arrived, so that one stream which waits never stops the others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import h2.events
import h2.exceptions
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
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
from mitmproxy.proxy.layers.http._http2 import Http2Connection

from proxy.http.heads import Malformed
from proxy.http.one import Deadline
from proxy.http.request import Seat
from proxy.http.two_engine import BoundedH2, Ration
from proxy.http.two_heads import read_trailers


class Credit(events.Event):
    """What was received on these streams has been taken: their peers may send as much again."""

    def __init__(self, streams: Iterable[int]) -> None:
        self.streams = tuple(streams)


class LaneTwo(Http2Connection):
    """What both ends have in common. Ids are the layer's; ``wire`` and ``layer_id`` turn them into the connection's."""

    malformed: ClassVar[str]
    """The word for a peer that breaks HTTP/2: a row of ``proxy.refusals.REFUSALS``."""
    late: ClassVar[str]
    """The word for a peer that takes longer for a message than it may."""
    reset_word: ClassVar[str]
    reset_code: ClassVar[ErrorCode]
    """What is said of a peer that ended a stream, or the connection, before it was over."""

    def __init__(self, context: Context, seat: Seat) -> None:
        super().__init__(context)  # type: ignore[call-arg]  # of the host's client or server, next in line
        self.seat = seat
        self.h2_conn: BoundedH2 = BoundedH2(self.h2_conf, seat.header)
        self.owed: dict[int, int] = {}
        """By stream: bytes received whose window has not been opened again."""
        self.going = False
        """The connection ends with the streams that are on it."""
        self.heads: dict[int, http.Message] = {}
        """By stream: the head of what the peer sends on it."""
        self._clocks: dict[int, Deadline] = {}
        self._open: dict[int, bool] = {}
        """By stream on which the peer may still matter: whether its message has ended."""
        self._ended = False
        self._frames = Ration(10_000, 1_000)
        self._resets = Ration(500, 50)

    def wire(self, stream_id: int) -> int | None:
        """The connection's id of a stream; ``None`` where it has none."""
        return stream_id

    def layer_id(self, wire: int) -> int | None:
        """The layer's id of a stream; ``None`` where it has none any more."""
        return wire

    def id_of_open(self, wire: int) -> int | None:
        """The layer's id of a stream on which the peer may still matter; ``None`` for any other."""
        return self.layer_id(wire) if wire in self._open else None

    def queued(self, stream_id: int) -> int:
        """Bytes for the peer that wait for its window."""
        wire = self.wire(stream_id)
        return self.h2_conn.queued(wire) if wire is not None else 0

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if self._ended:
            yield from self.after_the_end(event)
            return
        if isinstance(event, events.DataReceived):
            yield from self._received(event.data)
        elif isinstance(event, HttpEvent):
            yield from self.send(event)
        elif isinstance(event, Credit):
            for stream_id in event.streams:
                wire, size = self.wire(stream_id), self.owed.pop(stream_id, 0)
                if wire is not None:
                    self.h2_conn.credit(wire, size)
        elif isinstance(event, events.Wakeup):
            yield from self._overdue(event)
        elif isinstance(event, events.Start):
            yield from self.began()
        elif isinstance(event, events.ConnectionClosed):
            yield from self.finish("")
        if not self._ended:
            yield from () if isinstance(event, HttpEvent) else self._flush()  # the layer has more to say
            yield from self._sweep()
            if self.going and not self._open:
                yield from self.finish("")

    def began(self) -> CommandGenerator[None]:
        """The connection is there."""
        yield from ()
        self.h2_conn.initiate_connection()

    def after_the_end(self, event: events.Event) -> CommandGenerator[None]:
        """What still comes in is for nobody."""
        yield from ()

    def _flush(self) -> CommandGenerator[None]:
        data = self.h2_conn.data_to_send()
        if data:
            yield commands.SendData(self.conn, data)

    def _sweep(self) -> CommandGenerator[None]:
        for wire in [wire for wire in self._open if self.is_closed(wire)]:
            self.forget(wire)
        for wire in self._clocks.keys() - self._open.keys():
            yield from self.stop_clock(wire)

    def forget(self, wire: int) -> None:
        """The stream is over at this end."""
        self._open.pop(wire, None)
        self.heads.pop(wire, None)
        stream_id = self.layer_id(wire)
        if stream_id is not None:
            self.owed.pop(stream_id, None)

    # In.

    def _received(self, data: bytes) -> CommandGenerator[None]:
        before = set(self._open)
        try:
            received = self.h2_conn.receive_data(data)
        except (h2.exceptions.ProtocolError, ValueError, IndexError, KeyError) as error:
            flood = getattr(error, "error_code", None) is ErrorCodes.ENHANCE_YOUR_CALM
            yield from self.finish("flood" if flood else self.malformed)
            return
        for event in received:
            yield from self.heard(event)
            if self._ended:
                return
        for wire in self._open.keys() - before:
            yield from self.start_clock(wire)

    def heard(self, event: h2.events.Event) -> CommandGenerator[None]:
        """One thing that the peer did."""
        if isinstance(event, h2.events.DataReceived):
            yield from self._data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            yield from self._trailers(event)
        elif isinstance(event, h2.events.StreamEnded):
            yield from self._message_ended(event.stream_id or 0)
        elif isinstance(event, h2.events.StreamReset):
            if self._resets.spent():
                yield from self.finish("flood")
            else:
                yield from self._reset(event)
        elif isinstance(event, h2.events.ConnectionTerminated):
            yield from self.leaves(event.last_stream_id or 0)
        elif isinstance(event, h2.events.PushedStreamReceived):
            yield from self.finish(self.malformed)
        elif not isinstance(event, h2.events.SettingsAcknowledged | h2.events.PingAckReceived) and self._frames.spent():
            yield from self.finish("flood")

    def _data(self, event: h2.events.DataReceived) -> CommandGenerator[None]:
        wire, size = event.stream_id or 0, event.flow_controlled_length or 0
        self.h2_conn.taken(size)
        if not event.data and event.stream_ended is None and self._frames.spent():
            yield from self.finish("flood")
            return
        stream_id = self.id_of_open(wire)
        if stream_id is None:
            self.h2_conn.credit(wire, size)
            return
        self.owed[stream_id] = self.owed.get(stream_id, 0) + size
        if event.data:
            yield ReceiveHttp(self.ReceiveData(stream_id, bytes(event.data)))

    def _trailers(self, event: h2.events.TrailersReceived) -> CommandGenerator[None]:
        wire = event.stream_id or 0
        stream_id = self.id_of_open(wire)
        if stream_id is None:
            return
        try:
            trailers = read_trailers(event.headers or (), self.seat.header, self.malformed)
        except Malformed as error:
            yield from self.give_up(wire, str(error))
            return
        yield ReceiveHttp(self.ReceiveTrailers(stream_id, trailers))

    def _message_ended(self, wire: int) -> CommandGenerator[None]:
        stream_id = self.id_of_open(wire)
        if stream_id is not None:
            self._open[wire] = True
            self.owed.pop(stream_id, None)
            yield from self.stop_clock(wire)
            yield ReceiveHttp(self.ReceiveEndOfMessage(stream_id))

    def _reset(self, event: h2.events.StreamReset) -> CommandGenerator[None]:
        wire = event.stream_id or 0
        stream_id, matters = self.id_of_open(wire), self.reset_matters(wire)
        if stream_id is not None:
            self.forget(wire)
        if stream_id is not None and matters:
            yield ReceiveHttp(self.ReceiveProtocolError(stream_id, self.reset_word, self.reset_code))

    @abstractmethod
    def reset_matters(self, wire: int) -> bool:
        """Whether a stream that the peer ended early was still needed."""

    def leaves(self, last: int) -> CommandGenerator[None]:
        """The peer opens no more streams, and has not seen, nor will see, ours after ``last``."""
        yield from ()
        self.going = True

    # Deadlines.

    def start_clock(self, wire: int) -> CommandGenerator[None]:
        """Gives the rest of a message its time, if there is a rest."""
        if self._open.get(wire) is False and wire not in self._clocks:
            self._clocks[wire] = Deadline()
            yield from self._clocks[wire].start(self.seat.body_seconds)

    def stop_clock(self, wire: int) -> CommandGenerator[None]:
        """The message is here, or not wanted any more."""
        clock = self._clocks.pop(wire, None)
        if clock is not None:
            yield from clock.stop()

    def _overdue(self, event: events.Wakeup) -> CommandGenerator[None]:
        for wire, clock in list(self._clocks.items()):
            if clock.is_over(event):
                del self._clocks[wire]
                if self._open.get(wire) is False:
                    yield from self.overdue(wire)

    def overdue(self, wire: int) -> CommandGenerator[None]:
        """Ends a stream whose message is late. One that passes while it is read may take as long as it likes."""
        if wire in self.heads and not self.heads[wire].stream:
            yield from self.give_up(wire, self.late)

    # Out.

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        """Writes one piece of a message, or ends a stream."""
        wire = self.wire(event.stream_id)
        if wire is None:
            return
        if isinstance(event, RequestProtocolError | ResponseProtocolError):
            yield from self.send_error(wire, event)
        elif isinstance(event, RequestHeaders | ResponseHeaders) or not self.is_open_for_us(wire):
            return
        elif isinstance(event, RequestData | ResponseData):
            self.h2_conn.send_data(wire, event.data)
        elif isinstance(event, RequestTrailers | ResponseTrailers):
            self.h2_conn.send_trailers(wire, [(name.lower(), value) for name, value in event.trailers.fields])
        elif isinstance(event, RequestEndOfMessage | ResponseEndOfMessage):
            self.h2_conn.end_stream(wire)

    @abstractmethod
    def send_error(self, wire: int, event: RequestProtocolError | ResponseProtocolError) -> CommandGenerator[None]:
        """The other end failed, or has had enough."""

    def reset(self, wire: int, code: ErrorCodes) -> None:
        """Ends a stream from our side."""
        if not self.is_closed(wire):
            self.h2_conn.reset_stream(wire, code)

    @abstractmethod
    def give_up(self, wire: int, word: str) -> CommandGenerator[None]:
        """Ends one stream because the peer broke the protocol on it."""

    # The end.

    def finish(self, word: str) -> CommandGenerator[None]:
        """Ends the connection and all that is on it. With a ``word``: because the peer broke the protocol."""
        self._ended = True
        if word:
            self.refused(word)
            code = ErrorCodes.ENHANCE_YOUR_CALM if word == "flood" else ErrorCodes.PROTOCOL_ERROR
            if self.h2_conn.state_machine.state is not ConnectionState.CLOSED:  # or the engine has said so itself
                self.h2_conn.close_connection(code)
        yield from self._flush()
        for wire in list(self._clocks):
            yield from self.stop_clock(wire)
        yield from self.hang_up(word)
        for wire in list(self._open):
            stream_id, matters = self.layer_id(wire), self.reset_matters(wire)
            self.forget(wire)
            if stream_id is not None and matters:
                yield ReceiveHttp(self.ReceiveProtocolError(stream_id, word or self.reset_word, self.reset_code))

    def refused(self, word: str) -> None:
        """Counts the end of a connection that was the peer's fault."""

    def hang_up(self, word: str) -> CommandGenerator[None]:
        """Closes the connection."""
        yield commands.CloseConnection(self.conn)
