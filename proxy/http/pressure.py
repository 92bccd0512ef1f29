"""Back-pressure: what is read from either side, and when. Nothing waits in memory for a peer that does not read.

Over HTTP/1 a connection is read only when what it sent last has been decided on and has left. Over HTTP/2 each stream
waits for itself, by its own window (``proxy.http.layers``), and the connections are read on.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from mitmproxy.connection import Connection
from mitmproxy.proxy import events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.utils import asyncio_utils

from proxy.http.layers import Drained
from proxy.http.request import Seat
from proxy.http.tls import HTTP2
from proxy.http.two_engine import PREFACE, Turns

CLOGGED_BYTES = 64 * 1024
"""Bytes written to a connection and not taken by it, beyond which what is for it is no longer read."""


class PressedHandler(ProxyConnectionHandler):
    """Reads a client and its upstreams no faster than they read themselves."""

    seat: Seat
    pending = 0
    """Hooks that are being waited for."""
    dead = False
    """The layers are not asked any more."""
    _begun = 0
    """Bytes of the client that have been fed, until it is known what it speaks."""
    _turns: dict[Connection, Turns]
    moved: asyncio.Event
    """Set whenever the layers have been fed."""

    @abstractmethod
    def feed(self, event: events.Event) -> None:
        """Gives an event to the layers."""

    async def server_event(self, event: events.Event) -> None:
        """The host's entry for an event. HTTP/2 is fed in slices, and others have their turn in between."""
        if not isinstance(event, events.DataReceived) or not (self.multiplexed or self._may_begin(event)):
            self.feed(event)
            if isinstance(event, events.ConnectionClosed):
                self._turns.pop(event.connection, None)
            return
        is_client = event.connection is self.client
        turns = self._turns.setdefault(event.connection, Turns(len(PREFACE) if is_client else 0))
        fed = 0
        for data in turns.cut(event.data):
            whole = fed and not self.multiplexed  # HTTP/1: the first slice has shown it
            self.feed(events.DataReceived(event.connection, event.data[fed:] if whole else data))
            fed = len(event.data) if whole else fed + len(data)
            if fed >= len(event.data):
                break
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None:
                    asyncio.get_running_loop().call_soon(task.cancel)  # where the host expects it: when it reads
                return
        self._begun += fed if is_client else 0
        if self.multiplexed:
            self.feed(Drained())

    def _may_begin(self, event: events.DataReceived) -> bool:
        """Whether the client may be in the midst of HTTP/2's preface."""
        return event.connection is self.client and self._begun < len(PREFACE)

    @property
    def multiplexed(self) -> bool:
        """Many exchanges share the client's connection: each waits for itself, by its own window."""
        return self.client.alpn == HTTP2

    async def drain_writers(self) -> None:
        """Waits until what was written has left, and, on the client's side, until its request is no longer pending:
        what it sends meanwhile stays in its own socket. A duplex connection waits on both sides for what is pending,
        and on each side only until the other has read. A multiplexed one waits for no upstream that is slow to read:
        only for the client, and for whoever does not read what it is itself sent."""
        task = asyncio.current_task()
        here = next((conn for conn, io in self.transports.items() if io.handler is task), None)
        if self.seat.duplex:
            for connection in [connection for connection in self.transports if connection is not here]:
                await self._drained(connection)
        elif self.multiplexed:
            for connection in {self.client, here or self.client}:
                await self._drained(connection)
        else:
            for io in self.transports.values():
                if isinstance(io.writer, asyncio.StreamWriter) and io.writer.transport.get_write_buffer_size():
                    await super().drain_writers()  # type: ignore[no-untyped-call]
                    break
        while here is not None and self._must_wait(here) and not self.dead:
            self.moved.clear()
            await self.moved.wait()

    def _must_wait(self, here: Connection) -> bool:
        if self.pending and not self.multiplexed:
            return True
        return self.seat.congested if here is self.client or self.seat.duplex else here in self.seat.full

    async def _drained(self, connection: Connection) -> None:
        io = self.transports.get(connection)
        try:
            if io is not None and isinstance(io.writer, asyncio.StreamWriter):
                await io.writer.drain()
        except OSError:
            if io is not None and io.handler is not None and io.handler is not asyncio.current_task():
                io.handler.cancel("cannot be written to")

    def _watch(self, connection: Connection, writer: asyncio.StreamWriter) -> None:
        """Tells the layers when a connection that could not take all has taken it."""
        if connection not in self.seat.clogged and writer.transport.get_write_buffer_size() > CLOGGED_BYTES:
            self.seat.clogged.add(connection)
            asyncio_utils.create_task(self._tell_drained(connection), name="drain", keep_ref=True)

    async def _tell_drained(self, connection: Connection) -> None:
        await self._drained(connection)
        self.seat.clogged.discard(connection)
        self.feed(Drained())
