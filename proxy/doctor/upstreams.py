"""Upstreams, from where the sidecar is: their name, a connection, and the certificate as the lane verifies it.

The only request sent is ``OPTIONS *``, which RFC 9110 9.3.7 has for this: it asks for nothing and changes nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from proxy.doctor import clock
from proxy.doctor.certificates import SOON, days
from proxy.doctor.rows import Row, Subject
from proxy.doctor.wire import Wire, why
from proxy.http.tls import to_upstream
from proxy.policy import Lane, Policy
from proxy.policy.values import Address, is_address

SHARE = 3
"""A certificate ends soon when less than two weeks and less than a third of its time are left: renewal is overdue."""
_CA = "name the authority's file in the lane's tls.ca_file"
FIXES = {
    9: "the certificate is not valid yet: mend the clock that is wrong, here or where it was made",
    10: "renew the upstream's certificate",
    18: f"the server signs for itself: give it a certificate of your authority, or {_CA}",
    19: _CA,
    20: _CA,
    21: f"the server must send its whole chain, or {_CA}",
    62: "use the name that the certificate has in the lane's upstream, or have it made for this one",
    64: "use a name that the certificate has in the lane's upstream, or have it made for this address",
}
"""By OpenSSL's verify result (``X509_V_ERR_*``)."""
_DATE = re.compile(rb"\r\ndate: *([^\r\n]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that lanes lead to."""

    host: str
    port: int
    tls: bool
    lane: str
    """A lane that leads there, and whose way of verifying counts."""

    @property
    def name(self) -> str:
        return str(Address(self.host, self.port))


def places(policy: Policy) -> Iterator[Place | str]:
    """Each place once; of a forward lane each host that its destinations name, and each pattern as it is."""
    found: dict[tuple[object, ...], Place | str] = {}
    for lane in policy.lanes:
        for place in _of(lane):
            key = (place,) if isinstance(place, str) else (place.host, place.port, place.tls, lane.tls)
            found.setdefault(key, place)
    yield from found.values()


def _of(lane: Lane) -> Iterator[Place | str]:
    if lane.upstream.host:
        yield Place(lane.upstream.host, lane.upstream.port, lane.upstream.kind == "https", lane.name)
        return
    tls = lane.tls is not None and lane.tls.intercept_ca_file is not None
    for pattern, _ in lane.routes:
        if pattern.startswith("*"):
            yield pattern
        elif pattern:
            yield Place(pattern, 443 if tls else 80, tls, lane.name)


def rows(place: Place, context: SSL.Context | None) -> Iterator[Row]:
    """The name, then the connection, then the certificate: what fails ends it."""
    at = Subject("upstream", place.name)
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        told = why(error) if isinstance(error, OSError) else "this is no host name"
        fix = f"getent hosts {place.host}; mend the name in the lane's upstream, or the resolver here"
        yield at.broken(f"its name does not resolve: {told}", fix)
        return
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    named = "" if is_address(place.host) else f"resolves to {', '.join(addresses[:3])}, "
    if not place.tls or context is None:
        yield from _plain(place, at, named)
    else:
        yield from _verified(place, at, named, context)


def _plain(place: Place, at: Subject, named: str) -> Iterator[Row]:
    try:
        with Wire.to(place.host, place.port) as wire:
            yield at.ok(f"{named}takes connections")
            yield from _clock(place, wire)
    except OSError as error:
        yield at.broken(f"{named}no connection: {why(error)}", _unreachable(place))


def _unreachable(place: Place) -> str:
    return f"start it, or let this machine reach it: curl -v telnet://{place.name}"


def _clock(place: Place, wire: Wire) -> Iterator[Row]:
    try:
        wire.send(f"OPTIONS * HTTP/1.1\r\nHost: {place.name}\r\nConnection: close\r\n\r\n".encode())
        head = wire.receive(until=b"\r\n\r\n")
    except (OSError, SSL.Error):
        head = b""
    date = _DATE.search(head)
    yield from clock.rows(place.name, date[1].decode("latin-1").strip() if date else "")


def _verified(place: Place, at: Subject, named: str, context: SSL.Context) -> Iterator[Row]:
    try:
        tls = to_upstream(context, place.host)
    except ValueError:
        yield at.broken(f"{named}OpenSSL verifies no certificate for such a name", f"give {place.host} a longer name")
        return
    seen = Seen()
    tls.set_verify(SSL.VERIFY_PEER, seen.look)
    try:
        with Wire.to(place.host, place.port, tls) as wire:
            try:
                wire.shake()
            except (SSL.Error, OSError):
                yield from _refused(place, at, named, seen)
                return
            yield _lasting(at, named, seen)
            yield from _clock(place, wire)
    except OSError as error:
        yield at.broken(f"{named}no connection: {why(error)}", _unreachable(place))


class Seen:
    """What the verification came upon."""

    def __init__(self) -> None:
        self.leaf: x509.Certificate | None = None
        self.wrong = 0
        """The first verify result that is no success."""

    def look(self, _: SSL.Connection, certificate: object, code: int, depth: int, good: int) -> bool:
        """OpenSSL's callback; decides nothing."""
        if depth == 0:
            self.leaf = certificate.to_cryptography()  # type: ignore[attr-defined]
        if not good and not self.wrong:
            self.wrong = code
        return bool(good)


def _refused(place: Place, at: Subject, named: str, seen: Seen) -> Iterator[Row]:
    if not seen.wrong:
        fix = f"look: openssl s_client -connect {place.name} -servername {place.host}; TLS 1.2 is the least"
        yield at.broken(f"{named}takes connections, but no TLS handshake ends", fix)
        return
    library = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001 - pyOpenSSL has no public call for the words
    words = SSL._ffi.string(library.X509_verify_cert_error_string(seen.wrong)).decode()  # type: ignore[attr-defined]  # noqa: SLF001
    told = f"{named}its certificate does not verify: {words}"
    if seen.leaf is not None:
        told += f" ({_described(seen.leaf)})"
    yield at.broken(told, FIXES.get(seen.wrong, f"look: openssl s_client -connect {place.name}"))


def _described(leaf: x509.Certificate) -> str:
    issuer = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        own = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in own][:3]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    by = str(issuer[0].value) if issuer else "nobody named"
    return f"for {', '.join(names) or 'no name'}, issued by {by}"


def _lasting(at: Subject, named: str, seen: Seen) -> Row:
    if seen.leaf is None:
        return at.ok(f"{named}certificate verified")
    left = seen.leaf.not_valid_after_utc - datetime.now(UTC)
    lifetime = seen.leaf.not_valid_after_utc - seen.leaf.not_valid_before_utc
    if left < SOON and left * SHARE < lifetime:
        return at.warning(f"{named}certificate verified, but only {days(left)}", FIXES[10])
    return at.ok(f"{named}certificate verified, {days(left)}")
