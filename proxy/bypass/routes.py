"""What reaches the guarded upstreams around Sekisho, as far as the socket table of its network namespace shows it.

A connection is told by its user id: Sekisho runs under one of its own, and whatever another one opens to a lane's
upstream goes around the lane. Connections of the same user, those of other network namespaces, UDP that is bound to no
peer, and TCP that has come and gone between two looks are not seen. Lanes of the role ``shop`` are not watched: their
clients come from elsewhere, and what talks to the shop from beside it is its own health check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from proxy.policy.values import is_address

if TYPE_CHECKING:
    from proxy.bypass.sockets import Connection, Endpoint, Sockets
    from proxy.policy import Policy

QUIC_PORT = 443
ANY_PORT = 0

Way = Literal["direct", "egress", "quic"]
Key = tuple["Endpoint", "Endpoint", int]
"""What makes a connection the same one in two looks: its ends and its inode."""


@dataclass(frozen=True, slots=True)
class Bypass:
    """A connection that goes around Sekisho."""

    kind: Way
    lane: str
    """The lane that it should have taken; "" if there is none."""
    connection: Connection

    @property
    def key(self) -> Key:
        return key_of(self.connection)


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where lanes lead, by address and port."""

    lanes: Mapping[tuple[str, int], str]
    """``ANY_PORT`` for destinations of forward lanes."""

    @classmethod
    def of(cls, policy: Policy, addresses: Mapping[str, Collection[str]]) -> Sinks:
        """``addresses``: what the names among ``guarded(policy)`` resolve to; a name that is not in it is not known."""
        lanes: dict[tuple[str, int], str] = {}
        for lane, host, port in guarded(policy):
            for address in [host] if is_address(host) else addresses.get(host, ()):
                lanes.setdefault((address, port), lane)
        return cls(lanes)

    def lane(self, end: Endpoint) -> str:
        """The lane to use for ``end``, or ""."""
        return self.lanes.get((end.host, end.port)) or self.lanes.get((end.host, ANY_PORT), "")


def guarded(policy: Policy) -> Iterator[tuple[str, str, int]]:
    """(lane, host, port) of each upstream and each destination that a lane names; ``*.example.com`` is no name."""
    for lane in policy.lanes:
        if lane.upstream.host and lane.role != "shop":
            yield lane.name, lane.upstream.host, lane.upstream.port
        for destination in lane.destinations:
            yield from ((lane.name, host, ANY_PORT) for host in destination.hosts if not host.startswith("*."))


def routes(
    policy: Policy, sinks: Sinks, sockets: Sockets, own_uid: int, known: Collection[Key] = ()
) -> tuple[Bypass, ...]:
    """The connections that go around Sekisho, which runs as ``own_uid``. ``known``: some that are known not to, as
    ``inward`` has told of a former look."""
    redirected = redirects(policy)
    spared = {own_uid, *policy.bypass.allowed_uids}
    here = {row.local for row in sockets.connections}
    to_us = inward(sockets, own_uid)
    found = []
    for row in sockets.connections:
        key = key_of(row)
        if row.uid in spared or not row.inode or key in to_us or key in known:
            continue
        if redirected and (row.protocol == "udp" or row.state == "closing"):
            continue  # the lane counts QUIC itself; what it had accepted and has closed is listed on this side only
        lane = sinks.lane(row.remote)
        if row.protocol == "udp":
            if row.remote.port == QUIC_PORT and not _is_local(row.remote.host):
                found.append(Bypass("quic", lane, row))
        elif lane:
            found.append(Bypass("direct", lane, row))
        elif policy.bypass.egress == "report" and row.remote not in here and _is_public(row.remote.host):
            found.append(Bypass("egress", "", row))
    return tuple(found)


def redirects(policy: Policy) -> bool:
    """Whether the kernel redirects connections to a lane. Such a one is told by its other end, which may be missing
    from a table that was read while it began or ended: only what is seen twice is sure."""
    return any(lane.upstream.kind == "transparent" for lane in policy.lanes)


def inward(sockets: Sockets, own_uid: int) -> frozenset[Key]:
    """Connections that do not leave: those that have come in, and the far ends of those that Sekisho has accepted.

    In transparent mode the latter look as if they led to the upstream: the kernel has sent them here instead. What has
    come in is told by its listener, which may close before its connections do.
    """
    accepted = {row.remote for row in sockets.incoming(own_uid)}
    far_ends = (row for row in sockets.connections if row.local in accepted)
    return frozenset(key_of(row) for rows in (far_ends, sockets.incoming()) for row in rows)


def key_of(row: Connection) -> Key:
    """See ``Key``."""
    return row.local, row.remote, row.inode


@lru_cache(maxsize=4096)
def _is_public(host: str) -> bool:
    address = ip_address(host)
    return address.is_global and not address.is_multicast


@lru_cache(maxsize=4096)
def _is_local(host: str) -> bool:
    return ip_address(host).is_loopback
