"""TLS of the lanes: to upstreams, always verified; towards clients, with the deployment's own authority.

Contexts are built once for each policy, from the files as they are then: a rotated file takes effect with a reload.
The host's own contexts are not used: it writes session keys to wherever the environment variable SSLKEYLOGFILE says.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import certs, connection, tls
from OpenSSL import SSL

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
_HOST_FLAGS = 0x4 | 0x20  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
HTTP1, HTTP2 = b"http/1.1", b"h2"


class TlsFileError(Exception):
    """A certificate or key file that cannot be used; the message names the file and never quotes it."""


def upstream_context(ca_file: Path | None) -> SSL.Context:
    """TLS 1.2 or later, trusting the authorities in ``ca_file``, or the public ones. Raises ``TlsFileError``."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_verify(SSL.VERIFY_PEER)
    source = str(ca_file) if ca_file is not None else certifi.where()
    try:
        context.load_verify_locations(source)
    except SSL.Error:
        raise TlsFileError(f"{source}: holds no readable PEM certificates") from None
    return context


def start_upstream(data: tls.TlsData, context: SSL.Context) -> None:
    """Prepares the handshake with an upstream. The name to verify is the one the lane pinned (``server.sni``)."""
    server = data.conn
    if not isinstance(server, connection.Server) or not server.sni:
        return  # without a name there is nothing to verify, and without ssl_conn the connection fails
    conn = to_upstream(context, server.sni)
    if server.alpn_offers:
        conn.set_alpn_protos([bytes(offer) for offer in server.alpn_offers])
    data.ssl_conn = conn


def to_upstream(context: SSL.Context, host: str) -> SSL.Connection:
    """The client's side of a handshake that only a certificate for ``host``, a name or an address, can end."""
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
        raise RuntimeError("OpenSSL refused the host name to verify")


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
        try:
            raw = ca_file.read_bytes()
            key: Any = load_pem_private_key(raw, None)
            chain = x509.load_pem_x509_certificates(raw)
        except OSError as error:
            raise TlsFileError(f"{ca_file}: {error.strerror}") from None
        except (ValueError, TypeError):
            raise TlsFileError(f"{ca_file}: holds no unencrypted PEM key with its certificate") from None
        if chain[0].public_key() != key.public_key():
            raise TlsFileError(f"{ca_file}: the key does not belong to the first certificate")
        self._chain = chain
        no_parameters: Any = None
        self._store = certs.CertStore(key, certs.Cert(chain[0]), None, b"", no_parameters)
        self._context = _client_context()

    def start_client(self, data: tls.TlsData) -> None:
        """Prepares the handshake with a client: a certificate for the destination it asked for, HTTP/2 or HTTP/1.1."""
        address = data.context.server.address
        if address is None:
            return
        data.ssl_conn = self.to_client(address[0])

    def to_client(self, host: str) -> SSL.Connection:
        """The server's side of a handshake, with a certificate for ``host``, a name or an address."""
        entry = self._store.get_cert(host, [_general_name(host)])
        conn = SSL.Connection(self._context)
        conn.use_certificate(entry.cert.to_cryptography())
        conn.use_privatekey(entry.privatekey)
        conn.set_accept_state()
        return conn


def _client_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_alpn_select_callback(_choose_http)
    return context


def _choose_http(_conn: SSL.Connection, offers: list[bytes]) -> Any:
    return next((known for known in (HTTP2, HTTP1) if known in offers), SSL.NO_OVERLAPPING_PROTOCOLS)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())
