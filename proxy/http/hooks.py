"""What the layers' hooks do: the seam between the host's machinery and the gate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mitmproxy import http, tls
from mitmproxy.connection import Server
from mitmproxy.proxy import server_hooks

from proxy.addon import Gate
from proxy.destinations import addresses_of
from proxy.faults import place
from proxy.handler import HookFunction
from proxy.http.moving import Passage
from proxy.http.named import Named, same_address
from proxy.http.opening import Opaque
from proxy.http.said import Said
from proxy.http.seat import LaneSeat, Table
from proxy.http.tls import start_upstream, to_client
from proxy.message import Direction

logger = logging.getLogger(__name__)


LOCAL = "local-destination"
"""Error of a connection that would lead back to this machine: the row of the refusal table."""


def _address(server: Server) -> tuple[str, int]:
    if server.address is None:
        raise ValueError("a connection to nowhere")
    return server.address[0], server.address[1]


class LaneHooks:
    """The hooks by name, and what a failed one means: for a message the guard's word, for a connection its end."""

    def __init__(self, gate: Gate, table: Table, server_connect: Callable[[Any], None]) -> None:
        self._gate = gate
        self._table = table
        self.functions: Mapping[str, HookFunction] = {
            "requestheaders": self._head,
            "request": self._request,
            "response": self._response,
            "body_piece": self._piece,
            "http_connect": self._connect,
            "websocket_said": self._said,
            "websocket_turn": lambda _flow, _seat: asyncio.sleep(0),
            "tls_start_client": self._start_client,
            "tls_start_server": self._start_server,
            "host_named": self._named,
            "opaque_connection": self._opaque,
            "server_connect": self._server_connect,
            "server_connected": self._server_connected,
        }
        self._host_connects = server_connect

    def failed(self, name: str, data: Any, seat: LaneSeat, where: str) -> None:
        """Refuses what the hook was about. Does not raise: a flow without a mark is refused by its layer."""
        try:
            if isinstance(data, http.HTTPFlow):
                direction: Direction = "response" if name == "response" else "request"
                self._gate.broken(data, seat.lane, direction, where)
            elif isinstance(data, Said):
                self._gate.unheard(data, seat.lane, where)
            elif isinstance(data, Passage):
                self._gate.broken(data.flow, seat.lane, data.direction, where, data.piece)
            elif isinstance(data, Opaque):
                self._gate.unseen(data, seat.lane, where)
            elif isinstance(data, server_hooks.ServerConnectionHookData):
                data.server.error = "refused"
                self.crashed(where)
            else:
                self.crashed(where)
        except Exception as error:  # noqa: BLE001 - see above
            logger.error("refusing failed: %s", place(error))

    def crashed(self, where: str) -> None:
        """Counts a failure of ours that is about no message."""
        try:
            self._table.meter.internal_error(where)
        except Exception as error:  # noqa: BLE001 - a counter never decides what happens
            logger.error("counting failed: %s", place(error))

    def _head(self, flow: http.HTTPFlow, seat: LaneSeat) -> Awaitable[None] | None:
        return self._gate.head(flow, seat.lane)

    def _request(self, flow: http.HTTPFlow, seat: LaneSeat) -> Awaitable[None] | None:
        return self._gate.request(flow, seat.lane)

    def _response(self, flow: http.HTTPFlow, seat: LaneSeat) -> Awaitable[None] | None:
        return self._gate.response(flow, seat.lane)

    def _piece(self, passage: Passage, seat: LaneSeat) -> Awaitable[None] | None:
        return self._gate.piece(passage.flow, passage.direction, passage.piece, seat.lane)

    def _connect(self, flow: http.HTTPFlow, seat: LaneSeat) -> Awaitable[None] | None:
        now = self._table.rules.tls.get(seat.bound.name)
        seat.inside = now is not None and now.interception is not None
        return self._gate.connect(flow, seat.lane, readable=seat.inside)

    def _said(self, said: Said, seat: LaneSeat) -> Awaitable[None] | None:
        return self._gate.said(said, seat.lane)

    async def count(self, opaque: Opaque, seat: LaneSeat) -> None:
        """Counts and records what reached a lane on no connection. Does not raise."""
        try:
            await (self._opaque(opaque, seat) or asyncio.sleep(0))
        except Exception as error:  # noqa: BLE001 - it is refused all the same
            logger.error("hook failed: %s", place(error))
            self.failed("opaque_connection", opaque, seat, "plane")

    def _opaque(self, opaque: Opaque, seat: LaneSeat) -> Awaitable[None] | None:
        return self._gate.opaque(opaque, seat.lane)

    async def _named(self, named: Named, _seat: LaneSeat) -> None:
        found = await addresses_of(named.name, named.port)
        named.holds = any(same_address(address, named.address) for address in found)

    def _server_connect(self, data: server_hooks.ServerConnectionHookData, seat: LaneSeat) -> Awaitable[None] | None:
        elsewhere = seat.sink or seat.original
        if elsewhere is not None:
            data.server.address = elsewhere
        self._host_connects(data)
        if elsewhere is not None:
            return None
        return self._resolve(data.server, seat) if seat.forward and not data.server.error else None

    async def _resolve(self, server: Server, seat: LaneSeat) -> None:
        host, port = _address(server)
        if not seat.may_reach(host, port, await addresses_of(host, port)):
            server.error = LOCAL

    def _server_connected(self, data: server_hooks.ServerConnectionHookData, seat: LaneSeat) -> None:
        """Once more, with the address that was connected to; the handler cuts a connection with an error."""
        host, port = _address(data.server)
        if data.server.peername is None or not seat.may_reach(host, port, data.server.peername[:1]):
            data.server.error = LOCAL

    def _start_client(self, data: tls.TlsData, seat: LaneSeat) -> None:
        now = self._table.rules.tls.get(seat.bound.name)
        if now is None:
            return  # without ssl_conn the connection fails
        if seat.secure and not seat.inside:
            data.ssl_conn = to_client(now.clients) if now.clients is not None else None
        elif now.interception is not None:
            now.interception.start_client(data)

    def _start_server(self, data: tls.TlsData, seat: LaneSeat) -> None:
        now = self._table.rules.tls.get(seat.bound.name)
        if now is not None and now.upstream is not None:
            start_upstream(data, now.upstream)
