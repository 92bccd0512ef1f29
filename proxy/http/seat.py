"""Where a client sits: the lane as its connection knows it, and the policy made ready for serving."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from mitmproxy.connection import Connection
from mitmproxy.proxy.context import Context

from detectors.model import Limits
from proxy.destinations import is_here
from proxy.gmo.calls import is_gmo_host
from proxy.handler import place
from proxy.http.lane_tls import Contexts, LaneTls, lane_tls
from proxy.policy import Lane, Policy
from proxy.policy.routes import Mode
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
        contexts: Contexts = {}
        lanes = {lane.name: lane for lane in policy.lanes}
        tls = {lane.name: lane_tls(lane, contexts) for lane in policy.lanes}
        ports = frozenset({policy.admin.listen.port, *(lane.listen.port for lane in policy.lanes)})
        return cls(MappingProxyType(lanes), policy.mode, ports, MappingProxyType(tls))


class Counts(Protocol):
    """The part of the meter that the plane itself uses."""

    def added_latency(self, lane: str, seconds: float) -> None:
        """One message was held for ``seconds``."""

    def connections(self, lane: str, change: int) -> None:
        """``change`` more (or fewer) client connections are open."""

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
        if not self.forward or self.sink is not None:
            return True
        lane, rules = self.lane, self.table.rules
        route = lane.route(host)
        mode = route.mode if route is not None else lane.mode or rules.mode
        if mode == "monitor" or normal_host(host) in {pattern for pattern, _ in lane.routes}:
            return True
        return not any(is_here(address, port, rules.ports) for address in addresses)

    def piece_limits(self, host: str) -> Limits | None:
        """What a body to or from ``host`` may cost while it passes; ``None`` where rules ask for fields of it."""
        route = self.lane.route(host) or next((route for _, route in self.lane.routes), None)
        whole = route is None or route.role == "payment-gateway" or route.tokens == "deny" or is_gmo_host(host)
        return None if whole or route is None else route.limits

    def server_name(self, host: str) -> str:
        """The name an upstream's certificate must have: the lane's own upstream, whatever the client says."""
        return host if self.forward else self.bound.upstream.host

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
        """Sets the upstream of a reverse lane in a new connection's context."""
        if not self.forward:
            context.server.address = (self.bound.upstream.host, self.bound.upstream.port)
            context.server.tls = self.bound.upstream.kind == "https" and self.sink is None


_NOT_THEIRS = frozenset({"client disconnected", "cut"})


def is_secure(lane: Lane) -> bool:
    """Whether it has a certificate of its own: nothing is said on it without TLS."""
    return lane.tls is not None and lane.tls.certificate_file is not None


def _same_place(one: Lane, other: Lane) -> bool:
    clients = [lane.tls.client_ca_file if lane.tls is not None else None for lane in (one, other)]
    guarded = is_secure(one) == is_secure(other) and clients[0] == clients[1]
    return one.upstream == other.upstream and one.listen == other.listen and guarded
