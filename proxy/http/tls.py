"""TLS of the lanes: to upstreams, always verified; towards clients, with the deployment's own authority.

Contexts are built once for each policy, from the files as they are then: a rotated file takes effect with a reload.
The host's own contexts are not used: it writes session keys to wherever the environment variable SSLKEYLOGFILE says.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from mitmproxy import connection, tls
from OpenSSL import SSL
from OpenSSL.crypto import X509

from proxy.authority import LEAF_DAYS, leaf, read_authority
from proxy.pem import Pair, TlsFileError

__all__ = [
    "HTTP1",
    "HTTP2",
    "Interception",
    "TlsFileError",
    "lane_context",
    "start_upstream",
    "to_client",
    "to_upstream",
    "upstream_context",
]

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, towards clients: with forward secrecy and authenticated encryption (RFC 9325 4.2). 1.3 has no others."""
_HOST_FLAGS = 0x4 | 0x20  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
_RENEWAL_SECONDS = LEAF_DAYS * 86_400 / 2
HTTP1, HTTP2 = b"http/1.1", b"h2"


def upstream_context(ca_file: Path | None, own: Pair | None = None) -> SSL.Context:
    """TLS 1.2 or later, trusting the authorities in ``ca_file``, or the public ones. Raises ``TlsFileError``.

    ``own``: who Sekisho is to an upstream that asks for a certificate.
    """
    context = _context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_PEER)
    source = str(ca_file) if ca_file is not None else certifi.where()
    try:
        context.load_verify_locations(source)
    except SSL.Error:
        raise TlsFileError(source, "holds no readable PEM certificate") from None
    if own is not None:
        _show(context, own)
    return context


def lane_context(own: Pair, clients: Sequence[x509.Certificate], *, two: bool) -> SSL.Context:
    """TLS 1.2 or later towards the clients of a lane, with HTTP/2 if ``two``. Raises ``TlsFileError``.

    ``clients``: the authorities that may vouch for clients. With them, nobody gets past the handshake without a
    certificate of one, verified each time: no session is resumed, which would be good for longer than its certificate.
    """
    context = _towards_client()
    context.set_alpn_select_callback(_choose_http if two else _choose_http1)
    _show(context, own)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if clients:
        context.set_options(SSL.OP_NO_TICKET)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        store = context.get_cert_store()
        if store is None:
            raise RuntimeError("a context without a store")
        for authority in clients:
            store.add_cert(X509.from_cryptography(authority))
            context.add_client_ca(authority)
    return context


def _towards_client() -> SSL.Context:
    context = _context(SSL.TLS_SERVER_METHOD)
    context.set_cipher_list(_CIPHERS)
    return context


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    return context


def _show(context: SSL.Context, own: Pair) -> None:
    try:
        context.use_certificate(own.chain[0])
        for between in own.chain[1:]:
            context.add_extra_chain_cert(between)
        context.use_privatekey(own.key)
        context.check_privatekey()
    except (SSL.Error, TypeError):
        raise TlsFileError(own.path, "OpenSSL takes no key of this kind or size, or no such certificate") from None


def start_upstream(data: tls.TlsData, context: SSL.Context) -> None:
    """Prepares the handshake with an upstream. The name to verify is the one the lane pinned (``server.sni``)."""
    server = data.conn
    if not isinstance(server, connection.Server) or not server.sni:
        return  # without a name there is nothing to verify, and without ssl_conn the connection fails
    try:
        conn = to_upstream(context, server.sni)
    except ValueError:
        return  # clients choose names, also such that no certificate can be for
    if server.alpn_offers:
        conn.set_alpn_protos([bytes(offer) for offer in server.alpn_offers])
    data.ssl_conn = conn


def to_upstream(context: SSL.Context, host: str) -> SSL.Connection:
    """The client's side of a handshake that only a certificate for ``host``, a name or an address, can end. Raises
    ``ValueError`` for a name that there can be none for: OpenSSL 4 takes no single letter and no ``-a``."""
    conn = SSL.Connection(context)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna")
        conn.set_tlsext_host_name(name)
        _expect_name(conn, name)
    else:
        _expect_ip(conn, host)
    conn.set_connect_state()
    return conn


def _expect_name(conn: SSL.Connection, name: bytes) -> None:
    library: Any = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001 - pyOpenSSL has no public call for this
    parameters = library.SSL_get0_param(conn._ssl)  # noqa: SLF001
    library.X509_VERIFY_PARAM_set_hostflags(parameters, _HOST_FLAGS)
    if library.X509_VERIFY_PARAM_set1_host(parameters, name, len(name)) != 1:
        raise ValueError("a host name that OpenSSL verifies no certificate for")


def _expect_ip(conn: SSL.Connection, address: str) -> None:
    packed = ipaddress.ip_address(address).packed
    library: Any = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001
    parameters = library.SSL_get0_param(conn._ssl)  # noqa: SLF001
    if library.X509_VERIFY_PARAM_set1_ip(parameters, packed, len(packed)) != 1:
        raise RuntimeError("OpenSSL refused the address to verify")


class Interception:
    """Certificates for the names that clients CONNECT to, signed by the deployment's own authority."""

    def __init__(self, ca_file: Path) -> None:
        """``ca_file`` is a PEM file with the authority's key and certificate. Raises ``TlsFileError``."""
        self.authority = read_authority(ca_file).signing
        self._key = ec.generate_private_key(ec.SECP256R1())  # of the leaves: the authority's own only signs
        self._context = _towards_client()
        self._context.set_alpn_select_callback(_choose_http)
        self._context.set_info_callback(_note_alert)
        for above in self.authority.chain:
            if above.issuer != above.subject:  # clients trust what is at the top
                self._context.add_extra_chain_cert(above)
        self._leaf = lru_cache(maxsize=1024)(self._signed)
        try:
            self.to_client("signed.invalid")
        except (ValueError, TypeError, SSL.Error):
            raise TlsFileError(ca_file, "its key cannot sign certificates") from None

    def start_client(self, data: tls.TlsData) -> None:
        """Prepares the handshake with a client: a certificate for the destination it asked for, HTTP/2 or HTTP/1.1."""
        address = data.context.server.address
        if address is None:
            return
        data.ssl_conn = self.to_client(address[0])

    def to_client(self, host: str) -> SSL.Connection:
        """The server's side of a handshake, with a certificate for ``host``, a name or an address."""
        conn = SSL.Connection(self._context)
        conn.use_certificate(self._leaf(host, int(time.time() // _RENEWAL_SECONDS)))
        conn.use_privatekey(self._key)
        conn.set_accept_state()
        return conn

    def _signed(self, host: str, _period: int) -> x509.Certificate:
        return leaf(host, self._key, self.authority)


def to_client(context: SSL.Context) -> SSL.Connection:
    """The server's side of a handshake on a lane that has a certificate of its own."""
    conn = SSL.Connection(context)
    conn.set_accept_state()
    return conn


def last_alert(connection: SSL.Connection | None) -> int | None:
    """What the client of a handshake with ``Interception`` said when it turned away (RFC 8446 6), if it said so."""
    alert = connection.get_app_data() if connection is not None else None
    return alert if isinstance(alert, int) else None


def _note_alert(connection: SSL.Connection, where: int, alert: int) -> None:
    if where == SSL.SSL_CB_READ_ALERT:
        connection.set_app_data(alert & 0xFF)


def _choose_http(_conn: SSL.Connection, offers: list[bytes]) -> Any:
    return next((known for known in (HTTP2, HTTP1) if known in offers), SSL.NO_OVERLAPPING_PROTOCOLS)


def _choose_http1(_conn: SSL.Connection, offers: list[bytes]) -> Any:
    return HTTP1 if HTTP1 in offers else SSL.NO_OVERLAPPING_PROTOCOLS
