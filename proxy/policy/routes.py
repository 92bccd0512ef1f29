"""Which rules apply to a message: the effective settings of a lane, and on a forward lane those of the destination.

Built once when a policy is loaded; a look-up is one dictionary access for a name without a wildcard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from detectors.model import Limits
from proxy.policy.values import normal_host

if TYPE_CHECKING:
    from proxy.policy.model import Defaults, Lane, Overrides, Policy

Role = Literal["logging", "storage", "payment-gateway", "shop", "external"]
Mode = Literal["enforce", "monitor"]
OnViolation = Literal["block", "redact", "report"]
OnGap = Literal["block", "report"]
Redaction = Literal["mask", "last4", "remove", "fingerprint"]
Numbers = Literal["string", "zero"]
ActOn = Literal["high", "low"]
Tokens = Literal["allow", "deny"]
Source = Literal["backend", "browser"]

PASSING_ROLES: frozenset[Role] = frozenset({"shop", "payment-gateway"})
"""Roles where card data that was sent has passed through the shop's systems already. Redaction does not undo that
(通過), so they block unless the lane or destination itself says ``report``."""


@dataclass(frozen=True, slots=True)
class Route:
    """The effective rules for messages of one lane, or of one destination of a lane with several."""

    lane: str
    role: Role
    mode: Mode = "enforce"
    on_violation: OnViolation = "block"
    on_gap: OnGap = "block"
    redaction: Redaction = "mask"
    redaction_numbers: Numbers = "string"
    act_on: ActOn = "high"
    tokens: Tokens = "allow"
    allow_test_numbers: bool = False
    percent: int = 100
    """Messages that an enforced route judges as enforced, of a hundred. The others are treated as in monitor mode."""
    source: Source = "backend"
    limits: Limits = field(default_factory=Limits)
    header: int = 64 * 1024
    """Bytes of all header fields of one message."""
    body_seconds: float = 60.0
    """Seconds that the body of one message may take to arrive."""
    connections: int = 1024
    """Client connections that the lane serves at a time."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Destination hosts and their rules. An exact name wins over a wildcard, a longer wildcard over a shorter."""

    exact: Mapping[str, Route]
    below: Mapping[str, Route]
    """``mul-pay.jp`` for the pattern ``*.mul-pay.jp``: hosts with at least one label before it."""
    otherwise: Route | None
    """For every other host; ``None`` refuses them."""
    any_host: bool = False
    """The lane has one upstream, so the host is not looked at."""

    def find(self, host: str) -> Route | None:
        """The rules for ``host``, in any case, with or without a trailing dot, in Unicode or punycode.
        What is no host name at all matches no pattern and is refused even where unlisted hosts are not.
        """
        if self.any_host:
            return self.otherwise
        name = normal_host(host)
        if name is None:
            return None
        if (route := self.exact.get(name)) is not None:
            return route
        if ":" not in name:
            rest = name.partition(".")[2]
            while rest:
                if (route := self.below.get(rest)) is not None:
                    return route
                rest = rest.partition(".")[2]
        return self.otherwise


def route_table(policy: Policy, lane: Lane) -> RouteTable:
    """The rules of each destination of ``lane``, from its own settings, then the lane's, then the policy's."""
    if not lane.upstream.chosen:
        return RouteTable({}, {}, _route(policy, lane, lane.role or "external", lane), any_host=True)
    exact: dict[str, Route] = {}
    below: dict[str, Route] = {}
    for destination in lane.destinations:
        route = _route(policy, lane, destination.role, destination)
        for pattern in destination.hosts:
            if pattern.startswith("*."):
                below[pattern[2:]] = route
            else:
                exact[pattern] = route
    otherwise = _route(policy, lane, "external", lane) if lane.unlisted == "external" else None
    return RouteTable(exact, below, otherwise)


def _route(policy: Policy, lane: Lane, role: Role, named: Overrides) -> Route:
    """The rules of ``role``, which ``named`` (the lane, or one of its destinations) has given itself."""
    levels: tuple[Overrides | Defaults, ...] = (named, lane, policy.defaults)

    def first(name: str, otherwise: Any = None) -> Any:
        found = (getattr(level, name, None) for level in levels)
        return next((value for value in found if value is not None), otherwise)

    on_violation = (named.on_violation or "block") if role in PASSING_ROLES else first("on_violation")
    set_here = lane.limits.model_dump(exclude_none=True) if lane.limits is not None else {}
    limits = policy.limits.model_copy(update=set_here)
    return Route(
        lane=lane.name,
        role=role,
        mode=first("mode", policy.mode),
        on_violation=on_violation,
        on_gap=first("on_gap"),
        redaction=first("redaction"),
        redaction_numbers=first("redaction_numbers"),
        act_on=first("act_on"),
        tokens=first("tokens"),
        allow_test_numbers=first("allow_test_numbers", otherwise=False),
        percent=first("percent"),
        source=lane.source,
        limits=Limits(
            body=limits.body,
            depth=limits.depth,
            expanded=limits.expanded,
            ratio=limits.ratio,
            readings=limits.readings,
            seconds=limits.inspect_seconds,
        ),
        header=limits.header,
        body_seconds=limits.body_seconds,
        connections=limits.connections,
    )
