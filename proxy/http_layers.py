"""The HTTP layer of a lane: its streams, its two ends, and the upstream connections between them."""

from __future__ import annotations

from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    RegisterHttpConnection,
)
from mitmproxy.proxy.layers.tls import ClientTLSLayer, ServerTLSLayer

from proxy.http_client import LaneClient
from proxy.http_request import Seat
from proxy.http_response import ResponseHalf
from proxy.http_server import LaneServer


class LaneStream(ResponseHalf):
    """One request and its response."""

    def inside(self, host: str) -> Layer:
        """TLS with a certificate of the deployment's authority, and in it the same inspection for one destination."""
        self.context.server.tls = True
        self.context.server.sni = self.seat.server_name(host)
        outer = ClientTLSLayer(self.context)
        outer.child_layer = LaneHttpLayer(self.context, HTTPMode.transparent, self.seat)
        return outer


class LaneHttpLayer(HttpLayer):
    """HTTP/1 on both sides of one client connection."""

    def __init__(self, context: Context, mode: HTTPMode, seat: Seat) -> None:
        super().__init__(context, mode)
        self.seat = seat

    @property
    def busy(self) -> bool:
        """Whether a request or response is under way."""
        return bool(self.streams)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):
            server = self.connections[self.context.client] = LaneServer(self.context.fork(), self.seat)
            yield from self.event_to_child(server, event)
        elif isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            return  # the last word of an upstream connection that was given up
        else:
            yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        """One more exchange."""
        stream = self.streams[stream_id] = LaneStream(self.context.fork(), stream_id, self.seat, self.mode)
        yield from self.event_to_child(stream, events.Start())

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> CommandGenerator[None]:
        """An open connection to the destination, or a new one. HTTP/1 serves one exchange at a time, so all others
        are idle: they are closed, or a client could open one to each destination there is."""
        for connection in list(self.connections):
            if not isinstance(connection, Server):
                continue
            if reuse and connection.connected and event.connection_spec_matches(connection):
                stream = self.command_sources.pop(event)
                yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, (connection, None)))
                return
            if connection.state is ConnectionState.CLOSED:
                del self.connections[connection]
            else:
                yield commands.CloseConnection(connection)
        context = self.context.fork()
        context.server = server = Server(address=event.address)
        stack = tunnel.LayerStack()
        if event.tls:
            server.sni = self.seat.server_name(event.address[0])
            stack /= ServerTLSLayer(context)
        stack /= LaneHttpClient(context, self.seat)
        self.connections[server] = stack[0]
        self.waiting_for_establishment[server].append(event)
        yield from self.event_to_child(stack[0], events.Start())


class LaneHttpClient(Layer):
    """Opens an upstream connection, then speaks HTTP/1 on it."""

    def __init__(self, context: Context, seat: Seat) -> None:
        super().__init__(context)
        self.seat = seat

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        error = yield commands.OpenConnection(self.context.server)
        if not error:
            child = LaneClient(self.context, self.seat)
            self._handle_event = child.handle_event  # type: ignore[method-assign]
            yield from child.handle_event(event)
        yield RegisterHttpConnection(self.context.server, error)
