"""What one lane's TLS is made of, in both directions, from its files as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cryptography.x509 import Certificate
from OpenSSL import SSL

from proxy.http.tls import Interception, lane_context, upstream_context
from proxy.pem import TlsFileError, first_end, last_end, read_certificates, read_pair
from proxy.policy import Lane

Contexts = dict[Path | None, SSL.Context]
"""Of upstreams that Sekisho shows no certificate to, by the authorities they trust: reading those takes long."""


@dataclass(frozen=True, slots=True, eq=False)
class LaneTls:
    """Replaced whole by a reload: a handshake begins with one of them, and connections that are open stay."""

    clients: SSL.Context | None = None
    """Towards the clients of a lane with a certificate of its own."""
    upstream: SSL.Context | None = None
    interception: Interception | None = None
    ends: Mapping[str, float] = MappingProxyType({})
    """When the certificates end, in Unix time, by what they are for: of its own the first one, of those it trusts the
    last one, for then nobody is trusted any more."""


def lane_tls(lane: Lane, contexts: Contexts) -> LaneTls:
    """Reads the files that ``lane`` names. Raises ``TlsFileError``."""
    tls, ends = lane.tls, {}
    clients = upstream = interception = None
    ca_file = tls.ca_file if tls is not None else None
    if lane.upstream.kind != "http":
        if tls is not None and tls.upstream_certificate_file is not None and tls.upstream_key_file is not None:
            pair = read_pair(tls.upstream_certificate_file, tls.upstream_key_file)
            ends["upstream"] = first_end(pair.chain)
            upstream = upstream_context(ca_file, pair)
        else:
            upstream = contexts[ca_file] = contexts.get(ca_file) or upstream_context(ca_file)
        if ca_file is not None:
            ends |= _trusted("upstream-ca", ca_file)
    if tls is not None and tls.certificate_file is not None and tls.key_file is not None:
        pair = read_pair(tls.certificate_file, tls.key_file)
        trusted: tuple[Certificate, ...] = ()
        ends["server"] = first_end(pair.chain)
        if tls.client_ca_file is not None:
            trusted = read_certificates(tls.client_ca_file)
            ends["client-ca"] = last_end(trusted)
        clients = lane_context(pair, trusted, two=lane.upstream.kind != "forward")
    if lane.upstream.chosen and tls is not None and tls.intercept_ca_file is not None:
        interception = Interception(tls.intercept_ca_file)
        ends["interception"] = first_end(interception.authority.chain)
    return LaneTls(clients, upstream, interception, MappingProxyType(ends))


def _trusted(purpose: str, path: Path) -> dict[str, float]:
    try:
        return {purpose: last_end(read_certificates(path))}
    except TlsFileError:
        return {}  # OpenSSL has read it, and takes some that are not as RFC 5280 wants them
