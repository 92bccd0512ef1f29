"""What the parts of a policy have to do with each other. Types and single values are checked before, by the model.

One rule a function; each yields every place where its rule is broken, and works on whatever parts could be read, so
that one run names everything that is wrong with a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.policy.errors import did_you_mean, show
from proxy.policy.routes import PASSING_ROLES, Role
from proxy.policy.text import Loc
from proxy.policy.tls import PAIRS
from proxy.policy.values import ANY_HOST, Address, listened

if TYPE_CHECKING:
    from proxy.policy.model import Admin, Destination, Lane, Policy, Suppression

CLASH = "sekisho_clash"
"""The error type of a broken rule, where the model itself raises it."""
ENTITIES = ("PAN", "SECURITY_CODE", "TRACK_1", "TRACK_2", "PIN_BLOCK", "EXPIRY", "CARDHOLDER_NAME", "TOKEN")
"""What Sekisho itself finds. A team's recognizers may find more."""

_FORWARD_ONLY = ("destinations", "unlisted")
_BROWSER_ROLES: frozenset[Role | None] = frozenset({"external", "payment-gateway"})
_CHOSEN = frozenset({"forward", "transparent"})
_ONE_UPSTREAM = (frozenset({"https"}), "lanes with one upstream, over TLS", ", or set upstream: https://…")
_UPSTREAMS_OF: Mapping[str, tuple[frozenset[str], str, str]] = {
    "ca_file": (frozenset({"https", *_CHOSEN}), "upstreams with TLS", ", or set upstream: https://…"),
    "upstream_certificate_file": _ONE_UPSTREAM,
    "upstream_key_file": _ONE_UPSTREAM,
    "intercept_ca_file": (_CHOSEN, "forward and transparent lanes", ""),
    "certificate_file": (frozenset({"http", "https", "forward"}), "lanes that clients connect to themselves", ""),
}
"""The upstreams that an option of ``tls`` is for, in words, too, and what else would do."""
_NO_UNDO = "redaction does not undo that card data passed through the shop's systems: allowed: block, report"


@dataclass(frozen=True, slots=True)
class Clash:
    """A broken rule, at ``loc`` (its key, where ``on_key``)."""

    loc: Loc
    why: str
    hint: str
    on_key: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a policy that could be read, under their place in its lists."""

    lanes: Mapping[int, Lane]
    suppress: Mapping[int, Suppression]
    admin: Admin | None
    lane_names: frozenset[str]
    """Also of lanes that could not be read."""
    own_recognizers: bool
    mode: object = "enforce"
    """As written: the policy's own."""

    @classmethod
    def of(cls, policy: Policy) -> Parts:
        """All parts of a whole policy."""
        return cls(
            lanes=dict(enumerate(policy.lanes)),
            suppress=dict(enumerate(policy.suppress)),
            admin=policy.admin,
            lane_names=frozenset(lane.name for lane in policy.lanes),
            own_recognizers=bool(policy.recognizers),
            mode=policy.mode,
        )


def clashes(parts: Parts) -> Iterator[Clash]:
    """Every broken rule."""
    for rule in _RULES:
        yield from rule(parts)


def _names_differ(parts: Parts) -> Iterator[Clash]:
    first: dict[str, int] = {}
    for index, lane in parts.lanes.items():
        if (other := first.setdefault(lane.name, index)) != index:
            why = f'lane name "{lane.name}" is taken by lane {other + 1}'
            yield Clash(("lanes", index, "name"), why, "each lane needs a name of its own")


def _listeners_differ(parts: Parts) -> Iterator[Clash]:
    taken: list[tuple[Address, str]] = []
    if parts.admin is not None:
        taken.append((parts.admin.listen, "the admin server"))
    for index, lane in parts.lanes.items():
        own = listened(lane.listen, lane.upstream)
        for mine in own:
            holder = next((who for address, who in taken if _overlap(address, mine)), None)
            if holder is not None:
                why = f"{mine} is already listened on by {holder}"
                yield Clash(("lanes", index, "listen"), why, "each listener needs an address of its own")
        taken += [(mine, f'lane "{lane.name}"') for mine in own]


def _overlap(one: Address, other: Address) -> bool:
    """Whether both cannot be bound. Port 0 takes a free one; 0.0.0.0 holds the port of every IPv4 address."""
    if one.port != other.port or one.port == 0:
        return False
    both = {one.host, other.host}
    return len(both) == 1 or (bool(both & ANY_HOST) and len({":" in host for host in both}) == 1)


def _shape_fits_upstream(parts: Parts) -> Iterator[Clash]:
    for index, lane in parts.lanes.items():
        at: Loc = ("lanes", index)
        if lane.upstream.chosen:
            if lane.role is not None:
                hint = "write it in each destination; hosts in none have the role external, if unlisted lets them pass"
                why = f"a {lane.upstream.kind} lane has no role of its own"
                yield Clash((*at, "role"), why, hint, on_key=True)
            continue
        if lane.role is None:
            yield Clash(
                at, f'lane "{lane.name}" has no role', "add role: logging, storage, payment-gateway, shop or external"
            )
        for key in _FORWARD_ONLY:
            if key in lane.model_fields_set:
                hint = "remove it, or set upstream: forward, or transparent"
                yield Clash((*at, key), f'"{key}" is for forward and transparent lanes', hint, on_key=True)
        if lane.source == "browser" and lane.role not in _BROWSER_ROLES:
            hint = "a browser is let through with card data to the token endpoint only: remove source"
            yield Clash((*at, "source"), f"source: browser does not go with the role {lane.role}", hint)
        if (lane.listen.host, lane.listen.port) == (lane.upstream.host, lane.upstream.port):
            yield Clash((*at, "upstream"), "the lane leads back to itself", "upstream is where the service listens")


def _tls_fits(parts: Parts) -> Iterator[Clash]:
    for index, lane in parts.lanes.items():
        if lane.tls is None:
            continue
        at, named = ("lanes", index, "tls"), lane.tls.model_fields_set
        for pair in PAIRS:
            for name, other in (pair, pair[::-1]):
                if name in named and other not in named:
                    why = f'"{name}" needs "{other}"'
                    yield Clash((*at, name), why, f"add {other}; one file may hold both", on_key=True)
        if "client_ca_file" in named and "certificate_file" not in named:
            hint = "add certificate_file and key_file, with which the lane speaks TLS"
            yield Clash((*at, "client_ca_file"), '"client_ca_file" needs "certificate_file"', hint, on_key=True)
        for name, (kinds, what, instead) in _UPSTREAMS_OF.items():
            if name in named and lane.upstream.kind not in kinds:
                yield Clash((*at, name), f'"{name}" is for {what}', f"remove it{instead}", on_key=True)


def _passing_roles_do_not_redact(parts: Parts) -> Iterator[Clash]:
    for index, lane in parts.lanes.items():
        if lane.role in PASSING_ROLES and lane.on_violation == "redact":
            yield Clash(("lanes", index, "on_violation"), f"redact does not go with the role {lane.role}", _NO_UNDO)
        for number, target in enumerate(lane.destinations):
            if target.role in PASSING_ROLES and target.on_violation == "redact":
                at: Loc = ("lanes", index, "destinations", number, "on_violation")
                yield Clash(at, f"redact does not go with the role {target.role}", _NO_UNDO)


def _monitored_lanes_have_no_share(parts: Parts) -> Iterator[Clash]:
    for index, lane in parts.lanes.items():
        named: list[tuple[Loc, Lane | Destination]] = [(("lanes", index), lane)]
        named += [(("lanes", index, "destinations", number), row) for number, row in enumerate(lane.destinations)]
        for loc, row in named:
            if row.percent is not None and (row.mode or lane.mode or parts.mode) == "monitor":
                hint = "percent says how much is enforced: set mode: enforce here, or remove it"
                yield Clash((*loc, "percent"), "percent does not go with mode: monitor", hint, on_key=True)


def _destinations_differ(parts: Parts) -> Iterator[Clash]:
    for index, lane in parts.lanes.items():
        seen: set[str] = set()
        for number, target in enumerate(lane.destinations):
            at: Loc = ("lanes", index, "destinations", number)
            if target.role == "shop":
                hint = (
                    "the way into the shop is a lane of its own: allowed: logging, storage, payment-gateway, external"
                )
                yield Clash((*at, "role"), "a destination cannot be the shop", hint)
            for place, host in enumerate(target.hosts):
                if host in seen:
                    yield Clash(
                        (*at, "hosts", place), f"{show(host)} is listed twice in this lane", "keep one of the two"
                    )
                seen.add(host)


def _suppressions_name_what_exists(parts: Parts) -> Iterator[Clash]:
    for index, row in parts.suppress.items():
        if row.lane not in parts.lane_names:
            why = f'there is no lane "{row.lane}"'
            yield Clash(("suppress", index, "lane"), why, did_you_mean(row.lane, sorted(parts.lane_names)))
        if row.entity not in ENTITIES and not parts.own_recognizers:
            why = f'nothing finds "{row.entity}"'
            near = did_you_mean(row.entity.upper(), ENTITIES)
            yield Clash(("suppress", index, "entity"), why, f"{near}, or an entity of your recognizers")


_RULES: tuple[Callable[[Parts], Iterator[Clash]], ...] = (
    _names_differ,
    _listeners_differ,
    _shape_fits_upstream,
    _tls_fits,
    _passing_roles_do_not_redact,
    _monitored_lanes_have_no_share,
    _destinations_differ,
    _suppressions_name_what_exists,
)
