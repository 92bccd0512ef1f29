"""Ways around the lanes that can be seen from here: connections that are open, and variables that name a proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from shlex import quote
from urllib.parse import urlsplit

from proxy.bypass.routes import Bypass, Sinks, guarded, routes
from proxy.bypass.sockets import Sockets
from proxy.bypass.watch import resolve
from proxy.doctor.process import Owner
from proxy.doctor.rows import Row, Subject
from proxy.doctor.sidecar import Sidecar
from proxy.policy import Lane, Policy
from proxy.policy.values import ANY_HOST, Address, is_address, normal_host

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY")


LATELY_SECONDS = 3600.0
"""For so long what the sidecar has seen is told."""
_CLOSE = "sekisho deploy networkpolicy -c {file} writes the rules that close the way: docs/bypass.md"
_WORDS = {
    "direct": "a connection to what the lane leads to",
    "egress": "a connection to an address that no lane leads to",
    "quic": "HTTP/3, which no lane speaks",
    "silent": "silence on the lane while others were busy",
}


def connections(policy: Policy, table: Sockets, owner: Owner, sidecar: Sidecar) -> Iterator[Row]:
    """What goes around the lanes now, and what the sidecar has seen lately. ``table`` is of before the examination:
    it connects to upstreams itself."""
    at = Subject("bypass")
    fix = _CLOSE.format(file=quote(str(policy.path)))
    rows = list(_lately(sidecar, f"grep bypass {quote(str(policy.audit.path))}; {fix}"))
    if owner.uid is None:
        yield at.skipped("nobody can tell the sidecar's own connections: its user is not visible here")
    else:
        names = {host: resolve(host) for _, host, _ in guarded(policy) if not is_address(host)}
        found = routes(policy, Sinks.of(policy, names), table, owner.uid)
        rows = [*dict.fromkeys(_now(one, fix) for one in found), *rows]
    yield from rows
    if owner.uid is not None and not rows:
        blind = "; other processes of root would not be seen" if owner.uid == 0 else ""
        blind += "" if table.whole else "; the socket table is too long to be looked through whole"
        yield at.ok(f"no connection of this machine goes around the lanes, nor has one for an hour{blind}")


def _now(one: Bypass, fix: str) -> Row:
    """A connection that is open. The user and where it leads are all that is known of it."""
    at = Subject("bypass", one.lane or one.kind)
    seen = f"user {one.connection.uid} has {_WORDS[one.kind]}: {one.connection.remote}"
    if one.kind == "direct":
        return at.broken(seen, f"have that process use the lane; {fix}")
    return at.warning(seen, fix)


def _lately(sidecar: Sidecar, fix: str) -> Iterator[Row]:
    for name, labels, when in sidecar.samples:
        age = (sidecar.at or time.time()) - when
        if name == "sekisho_bypass_timestamp_seconds" and age < LATELY_SECONDS:
            kind, lane = labels.get("kind", ""), labels.get("lane", "")
            seen = f"the sidecar saw {_WORDS.get(kind, kind)} {max(0.0, age) / 60:.0f} minutes ago"
            yield Subject("bypass-seen", f"{lane} {kind}").warning(seen, fix)


def variables(policy: Policy, environment: Mapping[str, str]) -> Iterator[Row]:
    """Whether the proxy variables here lead to a forward lane, and what ``NO_PROXY`` lets go around it."""
    lanes = [lane for lane in policy.lanes if lane.upstream.kind == "forward"]
    if not lanes:
        return
    use = f"export HTTP_PROXY=http://{lanes[0].listen} HTTPS_PROXY=http://{lanes[0].listen}"
    unset = [name for name in VARIABLES if not _values(name, environment)]
    if unset:
        why = f"{' and '.join(unset)} not set here; where the application runs: {use}"
        yield Subject("proxy-variable").skipped(why)
    for name in VARIABLES:
        at = Subject("proxy-variable", name)
        for value in _values(name, environment):
            place = _address(value)
            lane = next((lane for lane in lanes if place is not None and leads_to(place, lane)), None)
            if lane is not None:
                yield at.ok(f"leads to lane {lane.name}")
            else:
                yield at.warning(f"leads to {place or 'what is no address'}, around lane {lanes[0].name}", use)
    yield from _exceptions(policy, lanes, environment)


def _values(name: str, environment: Mapping[str, str]) -> list[str]:
    """What the variable says in each of its spellings."""
    found = (environment.get(spelling, "") for spelling in (name, name.lower()))
    return list(dict.fromkeys(value for value in found if value))


def _address(value: str) -> Address | None:
    """Host and port of a proxy's URL, without a user or password that stands in it."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return Address(parts.hostname or "", parts.port or 80) if parts.hostname else None
    except ValueError:
        return None


def leads_to(place: Address, lane: Lane) -> bool:
    """Whether a connection to ``place`` reaches the lane, as far as its words tell."""
    if place.port != lane.listen.port:
        return False
    if place.host in (lane.listen.host, "localhost"):
        return True
    if not is_address(place.host):
        return lane.listen.host in ANY_HOST or not is_address(lane.listen.host)
    return lane.listen.host in ANY_HOST or (ip_address(place.host).is_loopback and lane.listen.host == "localhost")


def _exceptions(policy: Policy, lanes: list[Lane], environment: Mapping[str, str]) -> Iterator[Row]:
    at = Subject("proxy-variable", "NO_PROXY")
    written = _values("NO_PROXY", environment)
    if not written:
        return
    entries = list(dict.fromkeys(entry.strip() for value in written for entry in value.split(",") if entry.strip()))
    patterns = [pattern for lane in lanes for pattern, _ in lane.routes if pattern]
    around = {entry: host for entry in entries for host in patterns[::-1] if lets(entry, host)}
    for entry, host in around.items():
        kept = ",".join(row for row in entries if row not in around)
        yield at.warning(f'"{entry}" lets {host} go around lane {lanes[0].name}', f"export NO_PROXY={kept}")
    if not around:
        yield at.ok("no host of a forward lane is in it")


def lets(entry: str, pattern: str) -> bool:
    """Whether an entry of ``NO_PROXY`` takes a host, or a host that the pattern stands for, around the proxy.

    A name stands for itself and all below it, with or without a dot before it, as most clients read it; ``*`` for all.
    """
    if entry == "*":
        return True
    bare = entry.rpartition(":")[0] if entry.count(":") == 1 else entry
    name = normal_host(bare.lstrip("*").lstrip(".")) or ""
    host = pattern.removeprefix("*.")
    below = pattern.startswith("*.") and name.endswith(f".{host}")
    return bool(name) and (host == name or host.endswith(f".{name}") or below)
