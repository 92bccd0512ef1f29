"""The HTTP layer of a lane: its streams, its two ends, and the upstream connections between them."""

from __future__ import annotations

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    RegisterHttpConnection,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders
from mitmproxy.proxy.layers.tls import ServerTLSLayer

from proxy.http.client import LaneClient
from proxy.http.named import NamedStream
from proxy.http.request import Seat
from proxy.http.secure import SecureLayer
from proxy.http.server import LaneServer
from proxy.http.tls import HTTP1, HTTP2
from proxy.http.two import Credit, LaneTwo
from proxy.http.two_client import ONLY_HTTP1, LaneClientTwo
from proxy.http.two_engine import PREFACE, WINDOW
from proxy.http.two_server import LaneServerTwo
from proxy.http.websocket import Leaving, WebSocketLayer


class Drained(events.Event):
    """A connection that was clogged has taken what was written to it, or all that was read has been fed: streams may go
    on."""


class LaneStream(NamedStream):
    """One request and its response."""

    def inside(self, host: str) -> Layer:
        """TLS with a certificate of the deployment's authority, and in it the same inspection for one destination."""
        self.context.server.tls = True
        self.context.server.sni = self.seat.server_name(host)
        outer = SecureLayer(self.context, self.seat)
        outer.child_layer = LaneHttpLayer(self.context, HTTPMode.transparent, self.seat)
        return outer

    @property
    def waits(self) -> bool:
        """An answer is awaited, from a hook or about a connection; what comes in meanwhile is queued."""
        return self._paused is not None

    @property
    def kept(self) -> int:
        """Bytes of bodies that are in memory for this exchange."""
        whole = [message.data.content for message in (self.flow.request, self.flow.response) if message is not None]
        pieces = [moving.kept for moving in (self.request_pieces, self.response_pieces) if moving is not None]
        buffers = len(self.request_body_buf) + len(self.response_body_buf)
        return buffers + sum(pieces) + sum(len(body) for body in whole if body)

    def forward_request(self) -> CommandGenerator[None]:
        """As any, and lets go of the body that has been sent: an answer may take long."""
        yield from super().forward_request()
        self.flow.request.data.content = None


class LaneHttpLayer(HttpLayer):
    """HTTP on both sides of one client connection: HTTP/1 or HTTP/2, as the client and each upstream speak it."""

    streams: dict[int, LaneStream]  # type: ignore[assignment]

    def __init__(self, context: Context, mode: HTTPMode, seat: Seat) -> None:
        super().__init__(context, mode)
        self.seat = seat
        self._two: LaneServerTwo | None = None
        """The client's end, if it speaks HTTP/2."""
        self._upstreams: dict[Server, LaneHttpClient] = {}
        self._plain: set[tuple[str, int]] = set()
        """Upstreams that turned out to speak HTTP/1 only."""
        self._opening: bytes | None = b""
        """What a cleartext client has sent, while it may be the beginning of HTTP/2's preface."""

    @property
    def busy(self) -> bool:
        """Whether a request or response is under way."""
        return bool(self.streams)

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """Hands it to the layer it is for. Without the host's queue: those wait for answers, not this one."""
        if isinstance(event, events.CommandCompleted):
            yield from self.event_to_child(self.command_sources.pop(event.command), event)
        elif isinstance(event, events.ConnectionEvent):
            child = self.connections.get(event.connection)
            if self._opening is not None and isinstance(event, events.DataReceived):
                yield from self._sniff(event)
            elif child is not None:  # or it is the last word of an upstream connection that was given up
                yield from self.event_to_child(child, event)
        elif isinstance(event, events.Start):
            yield from self._serve(two=self.context.client.alpn == HTTP2)
        elif isinstance(event, Drained | Leaving):
            for stream in list(self.streams.values()):
                if isinstance(stream.child_layer, SecureLayer | WebSocketLayer):
                    yield from self.event_to_child(stream, event)
            if self._two is not None and isinstance(event, Leaving):
                yield from self.event_to_child(self._two, event)
        if self._two is not None:
            if not isinstance(event, events.DataReceived):
                yield from self._replenish(self._two)
            yield from self._flush()

    def _serve(self, *, two: bool) -> CommandGenerator[None]:
        context = self.context.fork()
        self._two = LaneServerTwo(context, self.seat, self.streams) if two else None
        server = self._two or LaneServer(context, self.seat)
        if self.context.client.tls or two:
            self._opening = None
        self.connections[self.context.client] = server
        yield from self.event_to_child(server, events.Start())

    def _sniff(self, event: events.DataReceived) -> CommandGenerator[None]:
        """Tells prior knowledge of HTTP/2 (RFC 9113 3.3) from HTTP/1 by the connection's first bytes."""
        self._opening = (self._opening or b"") + event.data
        if len(self._opening) < len(PREFACE) and PREFACE.startswith(self._opening):
            return
        event.data, self._opening = self._opening, None
        if event.data.startswith(PREFACE):
            former = self.connections[self.context.client]
            if isinstance(former, LaneServer):
                yield from former.deadline.stop()
            self.context.client.alpn = HTTP2
            yield from self._serve(two=True)
        yield from self.event_to_child(self.connections[event.connection], event)

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        """One more exchange."""
        context = Context.__new__(Context)  # a fork makes a connection first that nobody uses
        vars(context).update(vars(self.context), layers=self.context.layers.copy())
        stream = self.streams[stream_id] = LaneStream(context, stream_id, self.seat, self.mode)
        yield from self.event_to_child(stream, events.Start())

    def event_to_child(self, child: Layer, event: events.Event) -> CommandGenerator[None]:
        """As the host does it, with the most frequent commands first: there are thirty to an exchange."""
        for command in child.handle_event(event):
            if isinstance(command, SendHttp):
                yield from self.event_to_child(self.connections[command.connection], command.event)
            elif isinstance(command, ReceiveHttp):
                received = command.event
                if isinstance(received, RequestHeaders):
                    yield from self.make_stream(received.stream_id)
                stream = self.streams.get(received.stream_id)
                if stream is not None:
                    yield from self.event_to_child(stream, received)
            elif isinstance(command, DropStream):
                self.streams.pop(command.stream_id, None)
            else:
                if command.blocking or isinstance(command, commands.RequestWakeup):
                    self.command_sources[command] = child
                if isinstance(command, GetHttpConnection):
                    yield from self.get_connection(command)
                elif isinstance(command, RegisterHttpConnection):
                    yield from self.register_connection(command)
                else:
                    if isinstance(command, commands.OpenConnection):
                        self.connections[command.connection] = child
                    yield command

    # Upstream connections.

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> CommandGenerator[None]:
        """An open connection to the destination with room for the exchange, or a new one. Others on which nothing is
        under way are closed, or a client could open one to each destination there is."""
        used = {stream.context.server for stream in self.streams.values()}
        two = self._wants_two(event)
        for server, client in list(self._upstreams.items()):
            fits = client.leads_to == (event.address, event.tls) and client.two == two
            if server in self.waiting_for_establishment:
                if fits:
                    self.waiting_for_establishment[server].append(event)
                    return
            elif server.state is ConnectionState.CLOSED:
                self._forget(server)
            elif fits and server.connected and client.has_room(used):
                yield from self._reply(event, server, None)
                return
            elif server not in used:
                yield commands.CloseConnection(server)
        context = self.context.fork()
        context.server = server = Server(address=event.address)
        stack = tunnel.LayerStack()
        if event.tls:
            server.sni = self.seat.server_name(event.address[0])
            server.alpn_offers = [HTTP2, HTTP1] if two else []
            stack /= ServerTLSLayer(context)
        client = LaneHttpClient(context, self.seat, (event.address, event.tls), two=two)
        stack /= client
        self._upstreams[server] = client
        self.connections[server] = stack[0]
        self.waiting_for_establishment[server].append(event)
        yield from self.event_to_child(stack[0], events.Start())

    def _wants_two(self, event: GetHttpConnection) -> bool:
        """Whether to try HTTP/2. Who agreed on it with the lane's own TLS has not asked a cleartext upstream."""
        if self.context.client.alpn != HTTP2 or event.address in self._plain:
            return False
        stream = self.command_sources[event]
        return event.tls or not self.seat.secure or (isinstance(stream, LaneStream) and stream.is_call)

    def register_connection(self, command: RegisterHttpConnection) -> CommandGenerator[None]:
        """Gives a new connection to those who wait for it; where it has no room for all, the others get their own."""
        server = command.connection
        if not isinstance(server, Server):
            raise TypeError("not an upstream connection")
        waiting, client = self.waiting_for_establishment.pop(server, []), self._upstreams[server]
        again = command.err == ONLY_HTTP1
        for event in waiting:
            used = {stream.context.server for stream in self.streams.values()}
            if again:
                self._plain.add(event.address)
            if again or (not command.err and not client.has_room(used)):
                yield from self.get_connection(event)
            else:
                yield from self._reply(event, server, command.err)

    def _reply(self, event: GetHttpConnection, server: Connection, error: str | None) -> CommandGenerator[None]:
        stream = self.command_sources.pop(event)
        reply = (None, error) if error else (server, None)
        yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, reply))

    def _forget(self, server: Server) -> None:
        del self._upstreams[server]
        self.connections.pop(server, None)
        self.seat.full.discard(server)

    # Flow control.

    def _replenish(self, server: LaneServerTwo) -> CommandGenerator[None]:
        """Lets the peers send more on each stream whose bytes have been taken: neither waiting for a decision, nor for
        the other side, nor beyond what one client may keep in memory; of those the oldest alone goes on."""
        kept = self._kept() if len(self.streams) > 1 else 0
        back = (server, self.context.client)
        open_ = [stream for stream in server.owed if not self._stalls(stream, self._towards(stream), kept)]
        if open_:
            yield from self.event_to_child(server, Credit(open_))
        for upstream, client in list(self._upstreams.items()):
            end = client.end
            if isinstance(end, LaneClientTwo):
                open_ = [stream for stream in end.owed if not self._stalls(stream, back, kept)]
                if open_:
                    yield from self.event_to_child(self.connections[upstream], Credit(open_))
            elif isinstance(end, LaneClient):
                if end.stream_id is not None and self._stalls(end.stream_id, back, kept):
                    self.seat.full.add(upstream)
                else:
                    self.seat.full.discard(upstream)

    def _flush(self) -> CommandGenerator[None]:
        """Writes what an event has led to, each connection's in one piece."""
        upstreams = ((upstream, client.end) for upstream, client in self._upstreams.items())
        for connection, end in [(self.context.client, self._two), *upstreams]:
            if isinstance(end, LaneTwo) and end.h2_conn.unsent:
                yield from self.event_to_child(self.connections[connection], Credit(()))

    def _towards(self, stream_id: int) -> tuple[LaneTwo | None, Connection | None]:
        stream = self.streams.get(stream_id)
        server = stream.context.server if stream is not None else None
        client = self._upstreams.get(server) if server is not None else None
        if client is None:
            return None, None
        return (client.end if isinstance(client.end, LaneTwo) else None), server

    def _stalls(self, stream_id: int, to: tuple[LaneTwo | None, Connection | None], kept: int) -> bool:
        stream = self.streams.get(stream_id)
        if stream is None:
            return False  # nobody keeps what comes
        end, connection = to
        if stream.waits or connection in self.seat.clogged:
            return True
        if end is not None and end.queued(stream_id) > WINDOW:
            return True
        return kept > stream.limit and stream_id != min(self.streams)

    def _kept(self) -> int:
        """Bytes in memory for all streams: bodies that are not whole, and what waits for a window."""
        ends: list[Layer | None] = [self._two, *(client.end for client in self._upstreams.values())]
        waiting = sum(end.h2_conn.waiting() for end in ends if isinstance(end, LaneTwo))
        return waiting + sum(stream.kept for stream in self.streams.values())


class LaneHttpClient(Layer):
    """Opens an upstream connection, then speaks on it what the upstream does. ``two``: HTTP/2 is wanted. It is spoken
    where TLS has agreed on it, and in the clear until the upstream answers in HTTP/1."""

    end: LaneClient | LaneClientTwo | None = None

    def __init__(self, context: Context, seat: Seat, leads_to: tuple[tuple[str, int], bool], *, two: bool) -> None:
        super().__init__(context)
        self.seat = seat
        self.leads_to = leads_to
        """For which destination it was opened, and whether in TLS; the address may be another one."""
        self.two = two

    def has_room(self, used: set[Server]) -> bool:
        """Whether one more exchange can begin here; ``used`` are the connections that have one."""
        return self.end.has_room if isinstance(self.end, LaneClientTwo) else self.context.server not in used

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        server = self.context.server
        error = yield commands.OpenConnection(server)
        if error:
            yield RegisterHttpConnection(server, error)
            return
        two = self.two and (server.alpn == HTTP2 or not server.tls)
        self.end = LaneClientTwo(self.context, self.seat) if two else LaneClient(self.context, self.seat)
        self.handle_event = self._handle_event = self.end.handle_event  # type: ignore[method-assign]
        yield from self.end.handle_event(event)
        if not two:
            yield RegisterHttpConnection(server, None)
