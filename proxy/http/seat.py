"""Where a client sits: the lane as its connection knows it, and the policy made ready for serving."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from mitmproxy.connection import Connection
from mitmproxy.proxy.context import Context

from detectors.model import Limits
from proxy.destinations import is_here, original_destination
from proxy.faults import place
from proxy.gmo.calls import is_gmo_host
from proxy.http.lane_tls import Files, LaneTls, lane_tls
from proxy.http.named import same_address
from proxy.message import Direction
from proxy.policy import Lane, Policy
from proxy.policy.routes import Mode, Route
from proxy.policy.values import normal_host
from proxy.refusals import upstream_reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """A policy made ready for serving: its lanes by name, and their certificates as they were read then."""

    lanes: Mapping[str, Lane]
    mode: Mode
    """The policy's own, for what no lane or destination has rules for."""
    ports: frozenset[int]
    """Where Sekisho itself listens: the lanes and the admin server."""
    tls: Mapping[str, LaneTls]

    @property
    def ends(self) -> dict[tuple[str, str], float]:
        """When the certificates end, in Unix time, by lane and purpose."""
        return {(lane, purpose): end for lane, tls in self.tls.items() for purpose, end in tls.ends.items()}

    @classmethod
    def of(cls, policy: Policy) -> Rules:
        """Reads the files the lanes name. Raises ``TlsFileError``."""
        files = Files()
        lanes = {lane.name: lane for lane in policy.lanes}
        tls = {lane.name: lane_tls(lane, files) for lane in policy.lanes}
        ports = frozenset({policy.admin.listen.port, *(lane.listen.port for lane in policy.lanes)})
        return cls(MappingProxyType(lanes), policy.mode, ports, MappingProxyType(tls))


class Counts(Protocol):
    """The part of the meter that the plane itself uses."""

    def added_latency(self, lane: str, seconds: float) -> None:
        """One message was held for ``seconds``."""

    def connections(self, lane: str, change: int) -> None:
        """``change`` more (or fewer) client connections are open."""

    def unread(self, lane: str, direction: Direction, reason: str, size: int) -> None:
        """``size`` more bytes of a gap have passed."""

    def upstream_error(self, lane: str, reason: str) -> None:
        """An exchange with the upstream failed."""

    def refused(self, lane: str, reason: str) -> None:
        """A request or connection was refused before its content was judged."""

    def internal_error(self, where: str) -> None:
        """Sekisho itself failed."""

    def audit_error(self) -> None:
        """A record could not be written."""

    def probe(self, lane: str, timestamp: float, *, success: bool) -> None:
        """A lane's self-probe has ended, at ``timestamp`` (seconds since 1970)."""

    def certificates(self, ends: Mapping[tuple[str, str], float]) -> None:
        """When the certificates in use end, in Unix time, by lane and purpose: all of them."""

    def policy_reload(self, result: str) -> None:
        """A policy file was read again: ``ok`` or ``error``."""


@dataclass(slots=True, eq=False)
class Table:
    """What all seats of a host share, and what a reload or a drain changes for all of them at once."""

    rules: Rules
    meter: Counts
    draining: bool = False
    taken: dict[str, int] = field(default_factory=dict)
    """Client connections by lane."""
    pinned: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Lane, address and server name whose client has turned away from a certificate of ours, and when it last did."""


@dataclass(slots=True, eq=False)
class LaneSeat:
    """One client connection's place on a lane."""

    table: Table
    bound: Lane
    """The lane as it was when the client connected: where its upstream stays."""
    header: int
    body_seconds: float
    owes_answer: bool = False
    congested: bool = False
    duplex: bool = False
    full: set[Connection] = field(default_factory=set)
    clogged: set[Connection] = field(default_factory=set)
    inside: bool = False
    """The client speaks inside a tunnel that is read."""
    sink: tuple[str, int] | None = None
    """The client is the self-probe, and this is where it leads instead of the lane's upstream."""
    told: Callable[[bool], None] | None = None
    """Whom to tell what was found in what the self-probe sends."""
    original: tuple[str, int] | None = None
    """Where a redirected connection was going, and goes."""
    names: dict[str, bool] = field(default_factory=dict)
    """What a redirected client has called that address, and whether it is its name."""

    @property
    def forward(self) -> bool:
        """The client names the destination of each request."""
        return self.bound.upstream.kind == "forward"

    @property
    def secure(self) -> bool:
        """The client speaks TLS to the lane itself. The self-probe, which nobody can listen to, does not."""
        return is_secure(self.bound) and self.sink is None

    @property
    def lane(self) -> Lane:
        """The lane as the policy has it now; as it was, if it leads elsewhere now or is gone."""
        now = self.table.rules.lanes.get(self.bound.name)
        return now if now is not None and _same_place(now, self.bound) else self.bound

    @property
    def draining(self) -> bool:
        """The lane is closing, or has become another one: this connection ends with the answer under way."""
        if self.table.draining:
            return True
        now = self.table.rules.lanes.get(self.bound.name)
        return now is not self.bound and (now is None or not _same_place(now, self.bound))

    def body_limit(self, host: str) -> int:
        """Most body bytes that are kept for one message to ``host``."""
        lane = self.lane
        route = lane.route(host) or next((route for _, route in lane.routes), None)
        return route.limits.body if route is not None else 0

    def may_reach(self, host: str, port: int, addresses: Iterable[str]) -> bool:
        """Whether a connection to ``addresses``, which ``host`` stands for, may be opened. What leads back to this
        machine is for hosts that a destination lists by that very name; monitor mode refuses nothing."""
        if not self.bound.upstream.chosen or self.sink is not None:
            return True
        if self.original is not None:
            return all(same_address(address, self.original[0]) for address in addresses)
        lane, rules = self.lane, self.table.rules
        if self._mode(lane.route(host)) == "monitor" or normal_host(host) in {pattern for pattern, _ in lane.routes}:
            return True
        return not any(is_here(address, port, rules.ports) for address in addresses)

    def lets_gaps_pass(self, host: str) -> bool:
        """Whether what nobody can read may pass to or from ``host``, a share of it at least."""
        route = self.lane.route(host)
        if self._mode(route) == "monitor":
            return True
        return route is not None and (route.on_gap == "report" or route.percent < 100)

    def _mode(self, route: Route | None) -> Mode:
        return route.mode if route is not None else self.lane.mode or self.table.rules.mode

    def piece_limits(self, host: str) -> Limits | None:
        """What a body to or from ``host`` may cost while it passes; ``None`` where rules ask for fields of it."""
        route = self.lane.route(host) or next((route for _, route in self.lane.routes), None)
        whole = route is None or route.role == "payment-gateway" or route.tokens == "deny" or is_gmo_host(host)
        return None if whole or route is None else route.limits

    def server_name(self, host: str) -> str:
        """The name an upstream's certificate must have: the lane's own upstream, whatever the client says."""
        return host if self.bound.upstream.chosen else self.bound.upstream.host

    def refused(self, word: str) -> None:
        """Counts what the lane refuses before its content is judged."""
        self._tell(lambda meter: meter.refused(self.bound.name, word))

    def upstream_failed(self, word: str, error: str | None) -> None:
        """Counts a failed exchange by its reason, unless it was ours or the client's doing."""
        if error in _NOT_THEIRS:
            return
        reason = upstream_reason(word, error or "")
        self._tell(lambda meter: meter.upstream_error(self.bound.name, reason))

    def _tell(self, tell: Callable[[Counts], None]) -> None:
        if self.sink is not None:
            return
        try:
            tell(self.table.meter)
        except Exception as failure:  # noqa: BLE001 - a counter never decides what the client gets
            logger.error("counting failed: %s", place(failure))

    def prepare(self, context: Context) -> None:
        """Sets the upstream in a new connection's context, where the client's messages do not name it."""
        if self.bound.upstream.kind == "transparent":
            context.server.address = self.leads_to
        elif not self.forward:
            context.server.address = (self.bound.upstream.host, self.bound.upstream.port)
            context.server.tls = self.bound.upstream.kind == "https" and self.sink is None

    # Of a redirected connection.

    def follow(self, connection: socket.socket) -> str:
        """Learns where ``connection`` was going. The word of a refusal, or nothing. What leads back to a listener of
        ours is refused in monitor mode, too: it would come back until no descriptors are left."""
        if self.sink is not None:
            self.original = self.sink
            return ""
        found = original_destination(connection)
        if found is None:
            return "not-redirected"
        host, port = found
        own = self.table.rules.ports | {connection.getsockname()[1]}
        if (port in own and is_here(host, port, own)) or not self.may_reach(host, port, (host,)):
            return "local-destination"
        self.original = found
        return ""

    @property
    def leads_to(self) -> tuple[str, int]:
        """Where it goes, whatever names the client uses. Raises ``RuntimeError`` before that is known."""
        if self.original is None:
            raise RuntimeError("not a redirected connection, or not yet")
        return self.original

    @property
    def intercepts(self) -> bool:
        """Whether the lane has an authority that signs for what it reads inside of TLS."""
        found = self.table.rules.tls.get(self.bound.name)
        return found is not None and found.interception is not None

    def lists(self, host: str) -> bool:
        """Whether a destination lists ``host`` by that very name."""
        return normal_host(host) in {pattern for pattern, _ in self.lane.routes}

    def distinguishes(self, name: str) -> bool:
        """Whether ``name`` would be judged by other rules than the address."""
        return self.lane.route(name) is not self.lane.route(self.leads_to[0])

    def fronts(self, name: str, host: str) -> bool:
        """Whether a request for ``host`` on a connection for ``name`` would escape the rules for ``host``. Where both
        are only watched there is nothing to escape."""
        if not self.bound.upstream.chosen or host.lower() == name.lower():
            return False
        one, other = self.lane.route(name), self.lane.route(host)
        if self._mode(one) == self._mode(other) == "monitor":
            return False
        return one != other or is_gmo_host(name) != is_gmo_host(host)

    def pin(self, name: str, now: float) -> None:
        """Remembers a client that has turned away from a certificate for ``name``."""
        pinned = self.table.pinned
        pinned.pop((self.bound.name, self.leads_to[0], name), None)
        pinned[self.bound.name, self.leads_to[0], name] = now
        if len(pinned) > MOST_PINNED:
            del pinned[next(iter(pinned))]

    def is_pinned(self, name: str, now: float) -> bool:
        """Whether TLS for ``name`` is better not intercepted: a client has just turned away from that, and the lane
        lets pass what it cannot read."""
        route = self.lane.route(self.leads_to[0])
        if self._mode(route) != "monitor" and (route is None or route.on_gap == "block"):
            return False
        when = self.table.pinned.get((self.bound.name, self.leads_to[0], name))
        return when is not None and now - when < PINNED_SECONDS

    def unread(self, direction: Direction, reason: str, size: int) -> None:
        """Counts bytes of a gap that pass."""
        self._tell(lambda meter: meter.unread(self.bound.name, direction, reason, size))


MOST_PINNED = 1024
PINNED_SECONDS = 600.0
"""How long a client that turned away from a certificate is remembered: its trust may be mended."""

_NOT_THEIRS = frozenset({"client disconnected", "cut"})


def is_secure(lane: Lane) -> bool:
    """Whether it has a certificate of its own: nothing is said on it without TLS."""
    return lane.tls is not None and lane.tls.certificate_file is not None


def _same_place(one: Lane, other: Lane) -> bool:
    if one is other:
        return True
    clients = [lane.tls.client_ca_file if lane.tls is not None else None for lane in (one, other)]
    guarded = is_secure(one) == is_secure(other) and clients[0] == clients[1]
    return one.upstream == other.upstream and one.listen == other.listen and guarded
