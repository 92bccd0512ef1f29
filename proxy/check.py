"""What ``sekisho check`` says about a good policy: the rules in effect, and what deserves a second look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from proxy.policy.errors import PolicyError, Problem, scrub
from proxy.policy.model import Destination, Lane, Policy
from proxy.policy.routes import PASSING_ROLES, Route
from proxy.policy.text import Loc
from proxy.policy.values import ANY_HOST

SOON_DAYS = 30
ENDS = {
    "certificate_file": "first",
    "client_ca_file": "last",
    "ca_file": "last",
    "upstream_certificate_file": "first",
    "intercept_ca_file": "first",
}
"""Files with certificates, and which of theirs has to be good: of what is trusted one is enough."""
_REDIRECTED_TO = frozenset({*ANY_HOST, "127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Row:
    """The rules for one destination of one lane, ready to print: no long number is in it."""

    lane: str
    listen: str
    upstream: str
    hosts: str
    """A host pattern of a forward or transparent lane; ``all others`` for the rest; "" on other lanes."""
    role: str
    mode: str
    on_violation: str
    on_gap: str
    percent: int = 100
    """Messages that are enforced, of a hundred."""


def summary(policy: Policy) -> tuple[Row, ...]:
    """One row for each lane, and for each destination of a forward or transparent lane, in file order."""
    return tuple(row for lane in policy.lanes for row in _rows(lane))


def _rows(lane: Lane) -> Iterator[Row]:
    listen, upstream = scrub(str(lane.listen)), scrub(str(lane.upstream))
    several = lane.upstream.chosen
    for pattern, route in lane.routes:
        hosts = scrub(pattern) or ("all others" if several else "")
        share = 0 if route.mode == "monitor" else route.percent
        yield Row(lane.name, listen, upstream, hosts, route.role, route.mode, _action(route), route.on_gap, share)
    if several and lane.unlisted == "block":
        yield Row(lane.name, listen, upstream, "all others", "", "", "refused", "")


def _action(route: Route) -> str:
    """``redact (mask)``, and what makes the lane different from others."""
    words = [f"{route.on_violation} ({route.redaction})" if route.on_violation == "redact" else route.on_violation]
    if route.act_on == "low":
        words.append("doubtful too")
    if route.tokens == "deny":
        words.append("tokens too")
    if route.allow_test_numbers:
        words.append("test numbers reported")
    return ", ".join(words)


def warnings(policy: Policy, today: date) -> tuple[Problem, ...]:
    """What is allowed and may still not be meant, at its place in the file, in file order."""
    found = [*_modes(policy), *_suppressions(policy, today), *_bypasses(policy)]
    for index, lane in enumerate(policy.lanes):
        found += [
            *_lane(policy, index, lane),
            *_certificates(policy, index, lane, today),
            *_unsignable(policy, index, lane),
        ]
    return tuple(sorted(set(found), key=lambda problem: (problem.mark, problem.why)))


def _modes(policy: Policy) -> Iterator[Problem]:
    if policy.mode == "monitor":
        yield Problem(policy.place("mode"), "mode is monitor: card data is recorded and passes", "enforce stops it")
    if policy.defaults.percent < 100:
        why = f"{policy.defaults.percent} of a hundred messages are enforced: card data in the others passes"
        yield Problem(policy.place("defaults", "percent"), why, "percent: 100 enforces all")


def _suppressions(policy: Policy, today: date) -> Iterator[Problem]:
    for index, row in enumerate(policy.suppress):
        if row.until < today:
            why = f"this suppression has expired on {row.until}: what it covered is acted on again"
            yield Problem(policy.place("suppress", index, "until"), why, "renew or remove it")


def _bypasses(policy: Policy) -> Iterator[Problem]:
    if not policy.bypass.watch_seconds:
        why = "nobody looks for connections that go around Sekisho"
        yield Problem(policy.place("bypass", "watch_seconds"), why, "leave the option out, or set it to 2")
    if 0 in policy.bypass.allowed_uids:
        why = "connections of root may go around Sekisho"
        yield Problem(policy.place("bypass", "allowed_uids"), why, "give that process a user of its own, and name it")


def _lane(policy: Policy, index: int, lane: Lane) -> Iterator[Problem]:
    at: Loc = ("lanes", index)
    settings: list[tuple[Loc, Lane | Destination]] = [(at, lane)]
    settings += [((*at, "destinations", number), target) for number, target in enumerate(lane.destinations)]
    for loc, named in settings:
        if named.mode == "monitor":
            why = f'lane "{lane.name}" is in mode monitor: card data is recorded and passes'
            yield Problem(policy.place(*loc, "mode"), why, "enforce stops it")
        if named.percent is not None and named.percent < 100:
            why = f'lane "{lane.name}" enforces {named.percent} of a hundred messages: card data in the others passes'
            yield Problem(policy.place(*loc, "percent"), why, "percent: 100 enforces all")
        if named.allow_test_numbers:
            why = f'lane "{lane.name}" lets published test card numbers pass'
            yield Problem(policy.place(*loc, "allow_test_numbers"), why, "remove it where real customers are served")
        if named.role in PASSING_ROLES and named.on_violation == "report":
            why = f'lane "{lane.name}" lets card data pass the shop\'s systems and only records it'
            yield Problem(policy.place(*loc, "on_violation"), why, "block stops it")
    if lane.listen.host in ANY_HOST and lane.role != "shop":
        why = f'lane "{lane.name}" accepts connections from any machine that reaches this one'
        yield Problem(policy.place("lanes", index, "listen"), why, "listen on 127.0.0.1, or on one address")
    if not lane.upstream.chosen:
        return
    if lane.tls is None or lane.tls.intercept_ca_file is None:
        why = f'lane "{lane.name}" refuses https: it has no tls.intercept_ca_file, and cannot look inside'
        yield Problem(policy.place(*at), why, "name the authority that its clients trust, if they call https")
    if lane.upstream.kind == "transparent" and lane.listen.host not in _REDIRECTED_TO:
        why = f'lane "{lane.name}" listens where iptables redirects nothing that this machine sends'
        yield Problem(policy.place("lanes", index, "listen"), why, "listen on 127.0.0.1, which includes ::1")
    if not lane.destinations and lane.unlisted == "block":
        why = f'lane "{lane.name}" lets nothing pass: it has no destinations, and unlisted hosts are refused'
        yield Problem(policy.place("lanes", index), why, "list destinations, or set unlisted: external")


def _certificates(policy: Policy, index: int, lane: Lane, today: date) -> Iterator[Problem]:
    for name, path in lane.tls or ():
        if name not in ENDS or path is None:
            continue
        from proxy.authority import read_authority  # noqa: PLC0415 - few policies need it
        from proxy.pem import TlsFileError, first_end, last_end, read_certificates  # noqa: PLC0415

        try:
            own = name == "intercept_ca_file"
            certificates = read_authority(path).signing.chain if own else read_certificates(path)
        except TlsFileError:
            continue  # whoever loads the policy is told so
        end = (last_end if ENDS[name] == "last" else first_end)(certificates)
        day = datetime.fromtimestamp(end, UTC).date()
        if (day - today).days < SOON_DAYS:
            how = f"ends on {day}" if day >= today else f"has ended on {day}"
            why = f'the {ENDS[name]} certificate in {name} of lane "{lane.name}" {how}'
            hint = "sekisho ca rotate makes another" if name == "intercept_ca_file" else "renew it"
            yield Problem(policy.place("lanes", index, "tls", name), why, hint)


def _unsignable(policy: Policy, index: int, lane: Lane) -> Iterator[Problem]:
    if lane.tls is None or lane.tls.intercept_ca_file is None:
        return
    from proxy.authority import may_sign_for, read_authority  # noqa: PLC0415 - few policies need it
    from proxy.pem import TlsFileError  # noqa: PLC0415

    try:
        signing = read_authority(lane.tls.intercept_ca_file).signing
    except TlsFileError:
        return  # whoever loads the policy is told so
    for number, destination in enumerate(lane.destinations):
        for place, pattern in enumerate(destination.hosts):
            if not may_sign_for(signing, pattern.removeprefix("*.")):
                why = f'clients of lane "{lane.name}" cannot call this over https: its authority may not sign for it'
                at: Loc = ("lanes", index, "destinations", number, "hosts", place)
                yield Problem(
                    policy.place(*at), why, "rotate it with all names: sekisho ca rotate FILE prepare --only …"
                )


def check_recognizers(policy: Policy, file: Path) -> None:
    """Loads the team's recognizers the way ``run`` does. Raises ``PolicyError`` where the inspector refuses one."""
    if not policy.recognizers:
        return
    from detectors.inspector import Inspector  # noqa: PLC0415 - loads the recognizer engine

    wrong: list[Problem] = []
    for index, path in enumerate(policy.recognizers):
        try:
            Inspector(recognizers=[path])
        except Exception as error:  # noqa: BLE001 - whatever a recognizers file can do to the engine is its error
            why = f"the recognizers file is refused: {' '.join(str(error).split()) or type(error).__name__}"
            wrong.append(Problem(policy.place("recognizers", index), why))
    if wrong:
        raise PolicyError(file, wrong)
