"""Bytes that nobody reads, passed on as they come: while the policy lets such gaps pass, not only at first.

A connection may last for weeks. One that began in monitor mode would be the way around all that came after it.
"""

from __future__ import annotations

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.tcp import TCPLayer

from proxy.http.opening import Opaque, OpaqueConnectionHook
from proxy.http.request import Seat


class RelayLayer(TCPLayer):
    """A connection that the gate has let pass unread. Its bytes are counted as such; once the rules no longer let
    it, it ends, and nothing more of it passes."""

    def __init__(self, context: Context, seat: Seat, gap: str, host: str, port: int, counted: int = 0) -> None:
        """``host``: whose rules hold. ``counted``: bytes of the client's that are counted with the gap itself."""
        super().__init__(context, ignore=True)
        self._seat = seat
        self._gap = gap
        self._to = (host, port)
        self._counted = counted

    def relay_messages(self, event: events.Event) -> CommandGenerator[None]:
        """As any, and counts."""
        if isinstance(event, events.DataReceived):
            if not self._seat.lets_gaps_pass(self._to[0]):
                yield from self._end()
                return
            size = len(event.data)
            if event.connection is self.context.client:
                self._seat.unread("request", self._gap, size - self._counted)
                self._counted = 0
            else:
                self._seat.unread("response", self._gap, size)
        yield from super().relay_messages(event)

    def _end(self) -> CommandGenerator[None]:
        self._handle_event = self.done
        yield OpaqueConnectionHook(Opaque(self._gap, peer_of(self.context), *self._to, over=True))
        for connection in (self.context.server, self.context.client):
            if connection.state is not ConnectionState.CLOSED:
                yield commands.CloseConnection(connection)


def peer_of(context: Context) -> str:
    """The client, ``host:port``."""
    host, port, *_ = context.client.peername
    return f"{host}:{port}"
