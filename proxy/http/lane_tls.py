"""What one lane's TLS is made of, in both directions, from its files as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from cryptography.x509 import Certificate
from OpenSSL import SSL

from proxy.http.tls import Interception, lane_context, upstream_context
from proxy.pem import TlsFileError, first_end, last_end, read_certificates, read_pair
from proxy.policy import Lane


class Files:
    """Reads each file once, however many lanes of a policy name it. Its methods raise ``TlsFileError``."""

    def __init__(self) -> None:
        self.pair = cache(read_pair)
        self.certificates = cache(read_certificates)
        self.interception = cache(Interception)
        self.upstream = cache(upstream_context)
        """Towards upstreams that Sekisho shows no certificate to, by the file of authorities that they trust."""


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


def lane_tls(lane: Lane, files: Files) -> LaneTls:
    """What the files make of it that ``lane`` names. Raises ``TlsFileError``."""
    tls, ends = lane.tls, {}
    clients = upstream = interception = None
    ca_file = tls.ca_file if tls is not None else None
    if lane.upstream.kind != "http":
        if tls is not None and tls.upstream_certificate_file is not None and tls.upstream_key_file is not None:
            pair = files.pair(tls.upstream_certificate_file, tls.upstream_key_file)
            ends["upstream"] = first_end(pair.chain)
            upstream = upstream_context(ca_file, pair)
        else:
            upstream = files.upstream(ca_file)
        if ca_file is not None:
            ends |= _trusted("upstream-ca", ca_file, files)
    if tls is not None and tls.certificate_file is not None and tls.key_file is not None:
        pair = files.pair(tls.certificate_file, tls.key_file)
        trusted: tuple[Certificate, ...] = ()
        ends["server"] = first_end(pair.chain)
        if tls.client_ca_file is not None:
            trusted = files.certificates(tls.client_ca_file)
            ends["client-ca"] = last_end(trusted)
        clients = lane_context(pair, trusted, two=lane.upstream.kind != "forward")
    if lane.upstream.chosen and tls is not None and tls.intercept_ca_file is not None:
        interception = files.interception(tls.intercept_ca_file)
        ends["interception"] = first_end(interception.authority.chain)
    return LaneTls(clients, upstream, interception, MappingProxyType(ends))


def _trusted(purpose: str, path: Path, files: Files) -> dict[str, float]:
    try:
        return {purpose: last_end(files.certificates(path))}
    except TlsFileError:
        return {}  # OpenSSL has read it, and takes some that are not as RFC 5280 wants them
