"""A lane's listener, as a mode of the host: the lane's name and upstream in, own connection handlers out."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from contextlib import suppress
from typing import Protocol, cast

from mitmproxy import ctx
from mitmproxy import options as host_options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.mode_servers import AsyncioServerInstance

from proxy.addresses import has_no_such_family
from proxy.handler import LaneConnectionHandler
from proxy.http.hooks import LaneHooks
from proxy.http.layers import LaneHttpLayer
from proxy.http.opening import Opaque
from proxy.http.seat import LaneSeat
from proxy.http.secure import secured
from proxy.http.transparent import TransparentLayer
from proxy.policy import Lane
from proxy.policy.values import Address, listened, parse_upstream
from proxy.quic import Datagrams
from proxy.refusals import answer

BACKLOG = 1024
LAST_CALL_SECONDS = 0.25
"""How long a listener that closes still takes in who has begun to connect: more than a round trip."""

_SO_ATTACH_FILTER = 26
_NO_SYN = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the flags of the TCP header (RFC 9293 3.1)
        (0x54, 0, 0, 0x12),  # and with SYN | ACK
        (0x15, 1, 0, 0x02),  # SYN alone: to the last step
        (0x06, 0, 0, 0xFFFF),  # take it
        (0x06, 0, 0, 0),  # drop it
    )
)
"""A filter (classic BPF, socket(7)) under which nobody can begin to connect; clients try again after a second."""
LINGER_SECONDS = 1.0
"""How long a client that is turned down has to read why: a close would reset what it has not read (RFC 9112 9.6)."""
MOST_COUNTING = 16
"""Datagrams that are being counted and recorded at a time."""


class LaneMode(mode_specs.ProxyMode):
    """``lane:<name>=<upstream>@<host>:<port>``. A lane with another upstream or address is another listener."""

    description = "lane"
    transport_protocol = mode_specs.TCP

    def __post_init__(self) -> None:
        """Refuses a spec without name and upstream."""
        if not self.name or "=" not in self.data:
            raise ValueError("a lane is written name=upstream")

    @property
    def name(self) -> str:
        """The lane's name."""
        return self.data.partition("=")[0]

    @property
    def upstream(self) -> str:
        """Where it leads, as the policy writes it."""
        return self.data.partition("=")[2]


def mode_of(lane: Lane) -> LaneMode:
    """The listener that a lane asks for."""
    spec = f"lane:{lane.name}={lane.upstream}@{lane.listen.host}:{lane.listen.port}"
    mode = mode_specs.ProxyMode.parse(spec)
    if not isinstance(mode, LaneMode):
        raise TypeError("not a lane")
    return mode


class Places(Protocol):
    """Who seats the clients."""

    hooks: LaneHooks
    snapshot: host_options.Options
    """The host's options, read once: the host copies a value each time it is asked for one."""
    shared: bool
    """Whether other processes listen on the same addresses; the kernel gives each connection to one of them."""
    last_call: float
    """Seconds that a listener which closes has for those who have begun to connect."""

    def sit(self, lane: str) -> LaneSeat | None:
        """A place on a lane, or ``None`` when it is full. Who takes one must ``rise`` from it."""

    def watch(self, lane: str) -> LaneSeat | None:
        """A place for what comes on no connection, which takes none from the lane's clients; ``None`` if it is gone."""

    def rise(self, seat: LaneSeat) -> None:
        """Gives the place back."""


class Listeners(Proxyserver):
    """The host's addon that keeps the listeners; its instances find here who seats their clients."""

    name = "proxyserver"

    def __init__(self, places: Places) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places = places


class LaneInstance(AsyncioServerInstance[LaneMode]):
    """The listening sockets of one lane."""

    manager: Listeners

    def __init__(self, mode: LaneMode, manager: Listeners) -> None:
        super().__init__(mode, manager)
        self._counting: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> list[asyncio.Server]:  # type: ignore[override]
        """Opens them. Raises ``OSError``."""
        servers: list[asyncio.Server] = []
        try:
            for address in listened(Address(host, port), parse_upstream(self.mode.upstream)):
                await self._listen(address, servers)
        except BaseException:
            for server in servers:
                server.close()
            raise
        return servers

    async def _listen(self, address: Address, servers: list[asyncio.Server]) -> None:
        """Opens the sockets of one more address. The second of a lane is where it is for a machine with IPv6 only."""
        shared, port = self.manager.places.shared, address.port
        if servers and not port:
            port = servers[0].sockets[0].getsockname()[1]
        try:
            server = await asyncio.start_server(
                self.handle_stream, address.host, port, backlog=BACKLOG, reuse_port=shared or None
            )
        except OSError as error:
            if servers and has_no_such_family(error):
                return
            raise
        servers.append(server)
        if self.mode.upstream == "transparent":
            port = server.sockets[0].getsockname()[1]
            servers.append(cast("asyncio.Server", Datagrams(address.host, port, self._unanswered, shared=shared)))

    def _unanswered(self, peer: str, datagram: bytes) -> None:
        """Counts QUIC. Under a flood of it, what there is no time for counts when it comes again."""
        seat = self.manager.places.watch(self.mode.name)
        if seat is None or len(self._counting) >= MOST_COUNTING:
            return
        opaque = Opaque("quic", peer, "", 443, datagram, "udp", over=True)
        task = asyncio.get_running_loop().create_task(self.manager.places.hooks.count(opaque, seat))
        self._counting.add(task)
        task.add_done_callback(self._counting.discard)

    async def _stop(self) -> None:
        """Takes in those who have begun to connect, and nobody after them: a socket that closes resets its queue."""
        if seconds := self.manager.places.last_call:
            for server in self._servers:
                for sock in getattr(server, "sockets", ()):
                    turn_away(sock)
            await asyncio.sleep(seconds)
        await super()._stop()

    async def handle_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # type: ignore[override]
        """Serves one client from its first byte to its last."""
        places = self.manager.places
        seat = places.sit(self.mode.name)
        if seat is None:
            writer.write(answer("too-many-connections"))
            writer.close()
            return
        try:
            await self.serve(reader, writer, seat)
        finally:
            places.rise(seat)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seat: LaneSeat) -> None:
        """Serves whoever sits there."""
        places = self.manager.places
        transparent = self.mode.upstream == "transparent"
        if transparent and (word := seat.follow(writer.get_extra_info("socket"))):
            seat.refused(word)
            await turn_down(reader, writer, word)
            return
        handler = LaneConnectionHandler(ctx.master, reader, writer, places.snapshot, self.mode, seat, places.hooks)
        context = handler.layer.context
        seat.prepare(context)
        inner = LaneHttpLayer(context, HTTPMode.regular if seat.forward else HTTPMode.transparent, seat)
        if transparent:
            handler.layer = TransparentLayer(context, seat)
        else:
            handler.layer = secured(inner, seat) if seat.secure else inner
        with self.manager.register_connection(handler.client.id, handler):
            await handler.handle_client()

    def make_top_layer(self, context: Context) -> Layer:
        """The host's entry, which ``handle_stream`` does not use: a layer needs a seat."""
        raise RuntimeError("a lane's layers are made with its seat")


def turn_away(listening: socket.socket) -> None:
    """Lets nobody begin to connect any more. Where the system knows no filters (it is not Linux), nothing happens."""
    steps = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
    program = struct.pack("HP", len(_NO_SYN) // 8, ctypes.addressof(steps))
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


async def turn_down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: str) -> None:
    """Answers with a row of ``proxy.refusals.REFUSALS`` and ends the connection once the client has."""
    with suppress(OSError, TimeoutError):
        writer.write(answer(word))
        writer.write_eof()
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(65536):
                pass
    writer.close()
