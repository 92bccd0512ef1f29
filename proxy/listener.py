"""A lane's listener, as a mode of the host: the lane's name and upstream in, own connection handlers out."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from contextlib import suppress
from typing import Protocol

from mitmproxy import ctx
from mitmproxy import options as host_options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.mode_servers import AsyncioServerInstance

from proxy.handler import LaneConnectionHandler
from proxy.http.hooks import LaneHooks
from proxy.http.layers import LaneHttpLayer
from proxy.http.seat import LaneSeat
from proxy.http.secure import secured
from proxy.policy import Lane
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

    async def listen(self, host: str, port: int) -> list[asyncio.Server]:  # type: ignore[override]
        """Opens them. Raises ``OSError``."""
        shared = self.manager.places.shared or None
        return [await asyncio.start_server(self.handle_stream, host, port, backlog=BACKLOG, reuse_port=shared)]

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
        handler = LaneConnectionHandler(ctx.master, reader, writer, places.snapshot, self.mode, seat, places.hooks)
        context = handler.layer.context
        seat.prepare(context)
        inner = LaneHttpLayer(context, HTTPMode.regular if seat.forward else HTTPMode.transparent, seat)
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
