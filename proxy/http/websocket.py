"""A WebSocket (RFC 6455) through a lane: no byte of a message goes on before it is whole and the gate lets it pass.

What is kept of a message is its kind, its bytes and its end; how it was cut into frames is not. The payloads of pings
and pongs and the reasons of closes are free text, and asked about, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from proxy.http.deflate import Deflate
from proxy.http.one import Deadline
from proxy.http.request import Seat
from proxy.http.said import Kind, Said
from proxy.message import Direction

SLICE = 2048
"""Bytes read at a time. Deflate makes up to a thousand times as much of them: that is how far a limit is overrun."""
TURN = 64
"""Frames after which the other connections have their turn; ``TURN_BYTES`` of a frame's payload count as one more."""
TURN_BYTES = 4096
PART = TURN * TURN_BYTES
"""Bytes or characters of a message that are compressed and written at a time, each as a frame of its own."""
CLOSE_SECONDS = 5.0
"""How long an end may take to answer a close."""

REASONS: Mapping[int, str] = {
    CloseReason.GOING_AWAY: "going away",
    CloseReason.PROTOCOL_ERROR: "protocol error",
    CloseReason.INVALID_FRAME_PAYLOAD_DATA: "invalid data",
    CloseReason.POLICY_VIOLATION: "refused by policy",
    CloseReason.MESSAGE_TOO_BIG: "message too big",
    CloseReason.INTERNAL_ERROR: "message not inspected",
}
"""What both ends are told when a WebSocket is closed here, by status."""
TOO_SLOW = "message not whole in time"

_KINDS: Mapping[Opcode, Kind] = {
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


class Leaving(events.Event):
    """The lane is closing, or becomes another one."""


@dataclass
class WebsocketSaidHook(commands.StartHook):
    """Before something said is passed on."""

    said: Said


@dataclass
class WebsocketTurnHook(commands.StartHook):
    """Ends when the event loop has been around."""

    flow: http.HTTPFlow


class Side:
    """One end of a WebSocket, and the message that it has begun."""

    def __init__(self, connection: Connection, direction: Direction, compression: str) -> None:
        self.connection = connection
        self.direction: Direction = direction
        """Of what comes from it."""
        deflate = Deflate()
        if compression:
            deflate.finalize(compression)
        self.frames = FrameProtocol(direction == "response", [deflate])
        self.pieces: list[bytes] = []
        self.size = 0
        self.deadline = Deadline()
        self.flows = False
        """The rest of its message passes uninspected, because the policy lets it."""
        self.told = False
        """A close has been sent to it."""
        self.heard = False
        """It has sent a close, or broken off: nothing that it says counts any more."""
        self.closed = False
        """Its connection has been ended."""

    def take(self) -> bytes:
        """What has come of the message so far."""
        data, self.pieces, self.size = b"".join(self.pieces), [], 0
        return data


class WebSocketLayer(Layer):
    """Reads both ends of a WebSocket from the end of its handshake on."""

    def __init__(self, context: Context, flow: http.HTTPFlow, seat: Seat, compression: str) -> None:
        """``compression``: what the ends have agreed on, see ``proxy.http.upgrade.agreed``."""
        super().__init__(context)
        self.flow = flow
        self.seat = seat
        self.limit = seat.body_limit(flow.request.host)
        self.client = Side(context.client, "request", compression)
        self.server = Side(context.server, "response", compression)
        self.ending = False
        self.deadline = Deadline()
        self.heard = 0
        """What was read since the other connections had their turn, see ``TURN``."""

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            yield from self._read(self._side(event.connection), event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._gone(self._side(event.connection))
        elif isinstance(event, events.Wakeup):
            yield from self._late(event)
        elif isinstance(event, Leaving) and not (self.ending or self.client.heard or self.server.heard):
            yield from self._end(CloseReason.GOING_AWAY, REASONS[CloseReason.GOING_AWAY])

    def _side(self, connection: Connection) -> Side:
        return self.client if connection is self.context.client else self.server

    def _other(self, side: Side) -> Side:
        return self.server if side is self.client else self.client

    def _read(self, side: Side, data: bytes) -> CommandGenerator[None]:
        for start in range(0, len(data), SLICE):
            if side.heard:
                return
            side.frames.receive_bytes(data[start : start + SLICE])
            try:
                for frame in side.frames.received_frames():
                    yield from self._frame(side, frame)
            except ParseFailed as error:
                yield from self._broken(side, error.code)

    def _frame(self, side: Side, frame: Frame) -> CommandGenerator[None]:
        self.heard += 1 + len(frame.payload) // TURN_BYTES
        if self.heard >= TURN:
            self.heard = 0
            yield WebsocketTurnHook(self.flow)
        if frame.opcode is Opcode.CLOSE and isinstance(frame.payload, tuple):
            yield from self._close(side, *frame.payload)
        elif self.ending:
            return
        elif frame.opcode.iscontrol():
            said = Said(self.flow, side.direction, _KINDS[frame.opcode], _payload(frame))
            if (yield from self._passes(said)):
                to = self._other(side)
                send = to.frames.ping if said.kind == "ping" else to.frames.pong
                yield from self._send(to, send(said.data))
        else:
            yield from self._piece(side, frame)

    def _piece(self, side: Side, frame: Frame) -> CommandGenerator[None]:
        data = _payload(frame)
        if side.flows:
            yield from self._pass_on(side, frame, data)
            return
        side.pieces.append(data)
        side.size += len(data)
        is_large = side.size > self.limit
        if not (frame.message_finished or is_large):
            if not side.deadline.runs:
                yield from side.deadline.start(self.seat.body_seconds)
            return
        yield from side.deadline.stop()
        gap = "body-too-large" if is_large else ""
        said = Said(self.flow, side.direction, _KINDS[frame.opcode], side.take(), gap)
        if (yield from self._passes(said)):
            yield from self._pass_on(side, frame, said.data)

    def _passes(self, said: Said) -> CommandGenerator[bool]:
        """The gate's word; without one the WebSocket is closed."""
        if said.data or said.gap:
            yield WebsocketSaidHook(said)
            if said.status:
                yield from self._end(said.status, REASONS[said.status])
                return False
        return not self.ending

    def _pass_on(self, side: Side, frame: Frame, data: bytes) -> CommandGenerator[None]:
        """Sends a message, or a piece of one that the policy lets pass uninspected."""
        to, is_whole = self._other(side), frame.message_finished
        side.flows = not is_whole
        payload = data.decode() if frame.opcode is Opcode.TEXT else data
        for at in range(0, len(payload) or 1, PART):
            if at:
                yield WebsocketTurnHook(self.flow)
            is_last = is_whole and at + PART >= len(payload)
            yield from self._send(to, to.frames.send_data(payload[at : at + PART], fin=is_last))

    def _send(self, to: Side, data: bytearray) -> CommandGenerator[None]:
        if not to.told:
            yield commands.SendData(to.connection, bytes(data))

    # The end.

    def _close(self, side: Side, status: int, reason: str) -> CommandGenerator[None]:
        """One end closes: so does the other. When both have said so, the connections end."""
        side.heard = True
        yield from side.deadline.stop()
        if not self.ending:
            said = Said(self.flow, side.direction, "close", reason.encode())
            if (yield from self._passes(said)):
                yield from self._tell(self._other(side), status, said.data.decode())
        if self.client.heard and self.server.heard:
            yield from self._hang_up(self.client, self.server)
        elif self.ending:
            yield from self._hang_up(side)
        elif not self.deadline.runs:
            yield from self.deadline.start(CLOSE_SECONDS)

    def _tell(self, side: Side, status: int, reason: str) -> CommandGenerator[None]:
        if not side.told:
            frame = side.frames.close(status, reason or None)
            yield from self._send(side, frame)
            side.told = True

    def _end(self, status: int, reason: str) -> CommandGenerator[None]:
        """Closes both ends, and gives them time to read why: who is cut off while it sends may never read it."""
        self.ending = True
        for side in (self.client, self.server):
            side.take()
            yield from side.deadline.stop()
            yield from self._tell(side, status, reason)
            if side.heard:
                yield from self._hang_up(side)
        yield from self.deadline.start(CLOSE_SECONDS)

    def _broken(self, side: Side, status: int) -> CommandGenerator[None]:
        """One end has broken the protocol, or its text is none."""
        side.heard = True  # nothing can be read of it any more
        if self.ending:
            return
        self._count(side, "malformed", "upstream-malformed")
        yield from self._end(status, REASONS.get(status, REASONS[CloseReason.PROTOCOL_ERROR]))

    def _late(self, event: events.Wakeup) -> CommandGenerator[None]:
        if self.deadline.is_over(event):
            yield from self._hang_up(self.client, self.server)
        for side in (self.client, self.server):
            if side.deadline.is_over(event):
                self._count(side, "slow-body", "upstream-timeout")
                yield from self._end(CloseReason.POLICY_VIOLATION, TOO_SLOW)

    def _gone(self, side: Side) -> CommandGenerator[None]:
        """A connection has ended. If that was no close (status 1006), the other end learns it in the same way."""
        side.heard = True
        other = self._other(side)
        yield from self._hang_up(side)
        if other.heard or not self.ending:
            yield from self._hang_up(other)

    def _hang_up(self, *sides: Side) -> CommandGenerator[None]:
        for side in sides:
            side.heard = side.told = True
            yield from side.deadline.stop()
            if not side.closed:
                side.closed = True
                yield commands.CloseConnection(side.connection)
        if self.client.closed and self.server.closed:
            self.flow.live = False
            yield from self.deadline.stop()

    def _count(self, side: Side, of_client: str, of_upstream: str) -> None:
        if side is self.client:
            self.seat.refused(of_client)
        else:
            self.seat.upstream_failed(of_upstream, "")


def _payload(frame: Frame) -> bytes:
    if isinstance(frame.payload, tuple):
        raise TypeError("a close is no payload")
    return frame.payload.encode() if isinstance(frame.payload, str) else bytes(frame.payload)
