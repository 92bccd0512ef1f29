"""Lanes, from where their clients are: who answers there, and whether a card number is refused.

Whoever listens is asked for what every lane refuses before it thinks of its upstream, so that nothing goes anywhere: a
``CONNECT`` where there is one upstream, a request without a host where clients name it. A lane that speaks TLS is known
by its certificate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from OpenSSL import SSL

from detectors.test_numbers import PUBLISHED
from proxy.doctor.rows import Row, Subject
from proxy.doctor.sidecar import Sidecar, reached
from proxy.doctor.wire import Wire, why
from proxy.pem import read_certificates
from proxy.policy import Lane, Policy, Route

_CONNECT = b"CONNECT sekisho-doctor.invalid:443 HTTP/1.1\r\nHost: sekisho-doctor.invalid:443\r\n\r\n"
_ORIGIN_FORM = b"GET /sekisho-doctor HTTP/1.1\r\nHost: sekisho-doctor.invalid\r\nConnection: close\r\n\r\n"
QUESTIONS = {
    "http": (_CONNECT, "connect-on-reverse"),
    "https": (_CONNECT, "connect-on-reverse"),
    "forward": (_ORIGIN_FORM, "absolute-form"),
    "transparent": (_ORIGIN_FORM, "not-redirected"),
}
"""By what the lane leads to: what it is asked, and the problem it answers with."""
_PROBLEM = "urn:sekisho:problem:"
_CARD = PUBLISHED["visa"].split()[0]


def rows(lane: Lane, sidecar: Sidecar | None) -> Iterator[Row]:
    """Whether a client reaches the lane here."""
    at = Subject("lane", lane.name)
    if lane.listen.port == 0:
        yield at.skipped("it listens on a free port that its policy does not name")
        return
    if not lane.routes:
        yield at.skipped("it has no destinations: it refuses every connection")
        return
    try:
        with _open(lane) as wire:
            known = _known(lane, wire)
    except (OSError, SSL.Error) as error:
        seen = f"a connection to {lane.listen} fails: {why(error)}"
        if sidecar is None and isinstance(error, ConnectionRefusedError):
            yield at.skipped(f"{seen}; the sidecar does not run")
        else:
            yield at.broken(seen, f"compare with the policy in force, and with: ss -ltnp 'sport = :{lane.listen.port}'")
        return
    if known:
        yield at.ok(f"{lane.listen} {known}")
        return
    fix = f"see which: ss -ltnp 'sport = :{lane.listen.port}'; stop it, or change the lane's listen"
    yield at.broken(f"what answers on {lane.listen} is not Sekisho: another program has this port", fix)


def _known(lane: Lane, wire: Wire) -> str:
    """How it is seen that the lane is who answers; "" if it is not. Raises ``OSError``."""
    own = lane.tls.certificate_file if lane.tls is not None else None
    if own is not None:
        shown = wire.shake()
        asks = ", and asks clients for theirs" if lane.tls is not None and lane.tls.client_ca_file is not None else ""
        return f"shows the lane's certificate{asks}" if shown == read_certificates(own)[0] else ""
    question, word = QUESTIONS[lane.upstream.kind]
    wire.send(question)
    return "answers as a lane of Sekisho" if _read(wire)[1] == word else ""


def refusal(policy: Policy, lane: Lane, sidecar: Sidecar | None) -> Iterator[Row]:
    """Sends a published test number through a lane that must refuse it: recorded and counted as any other.

    Nothing is sent where the policy would let it pass, nor where another policy than this one is in force.
    """
    at = Subject("lane-refusal", lane.name)
    if sidecar is None or not sidecar.of_file(policy):
        yield at.skipped("not sent: the sidecar does not run this policy")
        return
    found = next(((pattern, route) for pattern, route in lane.routes if _refuses(route)), None)
    if lane.upstream.kind == "transparent":
        yield at.skipped("not sent: this lane serves redirected connections only")
        return
    if found is None:
        yield at.skipped("not sent: this lane would not refuse it")
        return
    if lane.tls is not None and lane.tls.client_ca_file is not None:
        yield at.skipped("not sent: the lane asks for a client's certificate")
        return
    host = lane.upstream.host or found[0].replace("*", "sekisho-doctor", 1)
    try:
        with _open(lane) as wire:
            if not _known(lane, wire):
                yield at.skipped("not sent: who answers is not this lane")
                return
        with _open(lane) as wire:
            wire.shake()
            wire.send(_card(lane, host))
            status, kind = _read(wire)
    except (OSError, SSL.Error) as error:
        yield at.broken(f"no answer to a card number: {why(error)}", "see the rows on this lane above")
        return
    if (status, kind) == (403, "card-data"):
        yield at.ok("a published test number was refused with 403")
    else:
        seen = f"a published test number was answered with {status or 'nothing'}, {kind or 'no problem of ours'}"
        yield at.broken(seen, "stop this lane until it refuses: docs/runbooks/probe.md")


def _refuses(route: Route) -> bool:
    whole = route.mode == "enforce" and route.percent == 100
    return whole and route.on_violation == "block" and not route.allow_test_numbers


def _open(lane: Lane) -> Wire:
    where = reached(lane.listen)
    tls = None
    if lane.tls is not None and lane.tls.certificate_file is not None:
        tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))  # not verified: compared with the lane's own
        tls.set_connect_state()
    return Wire.to(where.host, where.port, tls)


def _card(lane: Lane, host: str) -> bytes:
    target = f"http://{host}/sekisho-doctor" if lane.upstream.kind == "forward" else "/sekisho-doctor"
    body = json.dumps({"doctor": {"card_number": _CARD}}).encode()
    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _read(wire: Wire) -> tuple[int, str]:
    """Status and kind of problem that came back: 0 and "" for what is no answer, or none of a lane."""
    data = wire.receive(until=b'"}')
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
    try:
        document = json.loads(body)
        kind = str(document["type"])
    except (ValueError, TypeError, KeyError):
        return status, ""
    return status, kind.removeprefix(_PROBLEM) if kind.startswith(_PROBLEM) else ""
