"""The lanes as running listeners: start, readiness, reload and drain, on one event loop in one process."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import types
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

from mitmproxy import options as host_options
from mitmproxy.master import Master
from mitmproxy.proxy.mode_servers import ServerInstance

from proxy.addon import Asked, Gate
from proxy.addresses import try_bind_all, why_not_bound
from proxy.faults import place, unhandled
from proxy.handler import LaneConnectionHandler
from proxy.http.hooks import LaneHooks
from proxy.http.layers import LaneHttpLayer
from proxy.http.seat import Counts, LaneSeat, Rules, Table
from proxy.http.secure import SecureLayer
from proxy.http.transparent import TransparentLayer
from proxy.http.websocket import Leaving
from proxy.listener import LAST_CALL_SECONDS, LaneInstance, LaneMode, Listeners, mode_of
from proxy.policy import Lane, Policy
from proxy.policy.values import listened
from proxy.probe import Probe
from proxy.threads import Threads

IDLE_SECONDS = 300
"""A connection on which nothing moves for so long is closed."""
QUIET_SECONDS = 0.5
"""A kept connection of a lane that ends is closed once nothing has moved on it for so long: a client that uses it is
told to close it with its next answer instead, and loses nothing."""
LOOK_SECONDS = 0.1
"""How often that is looked for."""
OPTIONS: Mapping[str, Any] = {
    "connection_strategy": "lazy",  # nothing is dialled before the policy has spoken
    "keep_host_header": True,  # signed requests cover Host
    "rawtcp": False,
    "http2": False,
    "http3": False,
    "websocket": False,
    "ssl_insecure": False,
    "validate_inbound_headers": True,
    "stream_large_bodies": None,  # would let bytes leave before any hook
    "body_size_limit": None,  # the layers have their own, by route
    "store_streamed_bodies": False,
    "ignore_hosts": [],
    "allow_hosts": [],
    "tcp_timeout": IDLE_SECONDS,
}
"""The host's options that matter, none left to a default that a new version might change."""

logger = logging.getLogger(__name__)


class StartError(Exception):
    """A lane cannot listen; the message names the lane and the address."""

    def __init__(self, lane: str, address: str, why: str) -> None:
        super().__init__(f"lane {lane} cannot listen on {address}: {why}")
        self.lane = lane
        self.address = address


class Adopts(Asked, Protocol):
    """The guard, as the host knows it."""

    def adopt(self, policy: Policy) -> None:
        """Puts a policy in force, or raises and leaves the former one."""

    def note(self, kind: str, **own: Any) -> None:
        """Keeps a record about the sidecar itself, or raises."""


class Host:
    """All lanes of one policy. Use ``start``, then ``reload`` as often as you like, then ``drain``."""

    def __init__(self, guard: Adopts, meter: Counts, *, threads: Threads | None = None, shared: bool = False) -> None:
        """``shared``: other processes listen on the same addresses (SO_REUSEPORT).

        Reads the certificates that ``guard.policy`` names: raises ``TlsFileError``.
        """
        self.shared = shared
        self.last_call = LAST_CALL_SECONDS
        self._guard = guard
        self._threads = threads or Threads()
        self._table = Table(Rules.of(guard.policy), meter)
        self.listeners = Listeners(self)
        gate = Gate(guard, self._threads, meter)
        self.hooks = LaneHooks(gate, self._table, self.listeners.server_connect)
        self.snapshot = host_options.Options()
        self._risen = asyncio.Event()
        self._fading: asyncio.Task[None] | None = None
        self.probe = Probe(self, meter, guard.note)
        """Not running: its ``run`` is for a task of the owner's."""

    async def start(self) -> None:
        """Returns when every lane listens. Raises ``StartError``, and then none does."""
        hush()
        asyncio.get_running_loop().set_exception_handler(unhandled)
        master = Master(host_options.Options())
        master._legacy_log_events.uninstall()  # noqa: SLF001 - it would send every log line of the process to the loop
        master.addons.add(self.listeners)
        master.options.update(**OPTIONS)
        values = {name: getattr(master.options, name) for name in master.options.keys()}  # noqa: SIM118 - no mapping
        self.snapshot = cast("host_options.Options", types.SimpleNamespace(**values))
        try:
            await self._listen(self._guard.policy.lanes)
        except StartError:
            await self.listeners.servers.update([])
            raise
        self._count_ends()

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Where each lane listens."""
        return {name: server.listen_addrs[0][:2] for name, server in self._servers().items() if server.listen_addrs}

    def listening(self) -> dict[str, bool]:
        """Which lanes of the policy listen. None, once the end has begun."""
        servers = self._servers() if not self._table.draining else {}
        return {lane.name: lane.name in servers and servers[lane.name].is_running for lane in self._guard.policy.lanes}

    async def reload(self, policy: Policy) -> None:
        """Puts ``policy`` in force whole: lanes that stay where they are keep their listeners and connections.

        Raises ``TlsFileError``, ``StartError`` or what the guard raises; nothing has changed then.
        """
        rules, former = Rules.of(policy), self._guard.policy.lanes
        try:
            await self._listen(policy.lanes)
            self._guard.adopt(policy)
        except Exception:
            await self._listen(former)
            raise
        self._table.rules = rules
        self._count_ends()
        self._fade()

    async def drain(self, seconds: float, hurry: asyncio.Event | None = None) -> None:
        """Accepts nothing more, lets what is under way finish for up to ``seconds``, or until somebody sets ``hurry``,
        then cuts what is left."""
        self._table.draining = True
        self.last_call = min(self.last_call, seconds)
        await self.listeners.servers.update([])
        self._fade()
        ending = asyncio.create_task(self._all_gone())
        hurried = asyncio.create_task((hurry or asyncio.Event()).wait())
        await asyncio.wait((ending, hurried), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self.listeners.connections:
            logger.warning("%d connections cut after the grace period", len(self.listeners.connections))
            for handler in self._handlers():
                handler.cut()
            await asyncio.wait((ending,), timeout=1)
        if self.listeners.connections:
            logger.error("%d connections did not end", len(self.listeners.connections))
        for task in (ending, hurried, self._fading):
            if task is not None:
                task.cancel()
        self._threads.close()

    # For the listeners.

    def sit(self, lane: str) -> LaneSeat | None:
        """A place on a lane, or ``None`` when it is full or gone."""
        found = self._table.rules.lanes.get(lane)
        if found is None:
            return None
        route = next((route for _, route in found.routes), None)
        taken = self._table.taken.get(lane, 0)
        if route is None:
            return None
        seat = LaneSeat(self._table, found, route.header, route.body_seconds)
        if taken >= route.connections:
            seat.refused("too-many-connections")
            return None
        self._table.taken[lane] = taken + 1
        self._count(lane, 1)
        return seat

    def watch(self, lane: str) -> LaneSeat | None:
        """A place for what comes on no connection, which takes none from the lane's clients; ``None`` if it is gone."""
        found = self._table.rules.lanes.get(lane)
        return self.probe_seat(found) if found is not None and found.routes else None

    def rise(self, seat: LaneSeat) -> None:
        """Gives a place back."""
        self._table.taken[seat.bound.name] -= 1
        self._count(seat.bound.name, -1)
        self._risen.set()

    def _count_ends(self) -> None:
        try:
            self._table.meter.certificates(self._table.rules.ends)
        except Exception as error:  # noqa: BLE001 - nor does it keep a policy out
            logger.error("counting failed: %s", place(error))

    def _count(self, lane: str, change: int) -> None:
        try:
            self._table.meter.connections(lane, change)
        except Exception as error:  # noqa: BLE001 - a gauge never turns a client away
            logger.error("counting failed: %s", place(error))

    # For the self-probe.

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._guard.policy

    def probe_seat(self, lane: Lane) -> LaneSeat:
        """A place on the lane that takes none from its clients."""
        route = next(route for _, route in lane.routes)
        return LaneSeat(self._table, lane, route.header, route.body_seconds)

    async def enter(self, lane: Lane, seat: LaneSeat, connection: socket.socket) -> None:
        """Serves ``connection`` as a client of the lane, to its end. Raises ``OSError`` if the lane does not listen."""
        server = self._servers().get(lane.name)
        if not isinstance(server, LaneInstance) or not server.is_running:
            connection.close()
            raise OSError("the lane does not listen")
        reader, writer = await asyncio.open_connection(sock=connection)
        await server.serve(reader, writer, seat)

    # Inside.

    async def _listen(self, lanes: tuple[Lane, ...]) -> None:
        await self.listeners.servers.update([mode_of(lane) for lane in lanes])
        servers = self._servers()
        for lane in lanes:
            server = servers.get(lane.name)
            if server is None or not server.is_running:
                error = server.last_exception if server is not None else None
                raise StartError(lane.name, str(lane.listen), why_not_bound(error))

    def _servers(self) -> dict[str, ServerInstance[Any]]:
        return {server.mode.name: server for server in self.listeners.servers if isinstance(server.mode, LaneMode)}

    def _handlers(self) -> list[LaneConnectionHandler]:
        handlers = list(self.listeners.connections.values())
        return [handler for handler in handlers if isinstance(handler, LaneConnectionHandler)]

    def _fade(self) -> None:
        """Begins to end the connections of lanes that end, each as its protocol has it."""
        if self._fading is None or self._fading.done():
            self._fading = asyncio.create_task(self._end_quietly())

    async def _end_quietly(self) -> None:
        told: set[LaneConnectionHandler] = set()
        while going := [handler for handler in self._handlers() if handler.seat.draining]:
            for handler in going:
                if not (handler.seat.duplex or handler.multiplexed):
                    if self._is_idle(handler):
                        handler.cut()
                elif handler not in told:
                    told.add(handler)
                    handler.feed(Leaving())
            await asyncio.sleep(LOOK_SECONDS)

    def _is_idle(self, handler: LaneConnectionHandler) -> bool:
        """Whether the client of HTTP/1 waits for nothing, and has sent nothing that is still to be read."""
        seat, layer = handler.seat, handler.layer
        if isinstance(layer, SecureLayer):
            layer = layer.child_layer
        if not isinstance(seat, LaneSeat) or seat.owes_answer or handler.has_unread():
            return False
        if not seat.inside and isinstance(layer, LaneHttpLayer | TransparentLayer) and layer.busy:
            return False
        return time.time() - handler.timeout_watchdog.last_activity >= min(QUIET_SECONDS, self.last_call * 2)

    async def _all_gone(self) -> None:
        while self.listeners.connections:
            self._risen.clear()
            await self._risen.wait()


def check_free(lanes: Iterable[Lane]) -> None:
    """Raises ``StartError`` if somebody listens on the address of one, who would get some of its connections."""
    for lane in lanes:
        try:
            try_bind_all(listened(lane.listen, lane.upstream))
        except OSError as error:
            raise StartError(lane.name, str(lane.listen), why_not_bound(error)) from error


def hush() -> None:
    """Keeps the host's loggers from writing: their lines quote what peers have sent."""
    theirs = logging.getLogger("mitmproxy")
    theirs.setLevel(logging.CRITICAL + 1)
    theirs.propagate = False
    if not theirs.handlers:
        theirs.addHandler(logging.NullHandler())
