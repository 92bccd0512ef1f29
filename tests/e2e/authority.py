"""Certificates for tests: an authority of their own, and servers it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


@cache
def _key(_name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _signed(subject: str, issuer: str, extensions: list[x509.ExtensionType], days: float = 2) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    name = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
    builder = x509.CertificateBuilder().subject_name(name[0]).issuer_name(name[1])
    builder = builder.public_key(_key(subject).public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=30))
    builder = builder.not_valid_after(now + dt.timedelta(days=days))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(_key(issuer), hashes.SHA256())


def authority(base: Path, name: str = "test authority", days: float = 2) -> tuple[Path, Path]:
    """Files with the authority's certificate, and with its key and certificate."""
    ski = x509.SubjectKeyIdentifier.from_public_key(_key(name).public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = _signed(name, name, [x509.BasicConstraints(ca=True, path_length=None), ski, usage], days)
    public, private = base / f"{name}.crt", base / f"{name}.pem"
    public.write_bytes(certificate.public_bytes(PEM))
    private.write_bytes(_pem_key(_key(name)) + certificate.public_bytes(PEM))
    private.chmod(0o600)
    return public, private


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _leaf(subject: str, host: str, issuer: str, days: float = 2) -> x509.Certificate:
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(_key(issuer).public_key())  # type: ignore[arg-type]
    return _signed(subject, issuer, [x509.SubjectAlternativeName([_san(host)]), aki], days)


def server_context(base: Path, host: str, issuer: str = "test authority") -> ssl.SSLContext:
    """A server's TLS context with a certificate for ``host`` from that authority."""
    path = base / f"server-{host}-{issuer}.pem"
    certificate = _leaf(f"server {host}", host, issuer)
    path.write_bytes(_pem_key(_key(f"server {host}")) + certificate.public_bytes(PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def pair(
    base: Path, name: str, issuer: str = "test authority", *, subject: str = "", days: float = 2
) -> tuple[Path, Path]:
    """Files with a certificate for 127.0.0.1 from that authority, and with its key; ``name`` begins their names.

    A certificate of another ``subject`` has another key.
    """
    subject = subject or name
    certificate, key = base / f"{name}.crt", base / f"{name}.key"
    certificate.write_bytes(_leaf(subject, "127.0.0.1", issuer, days).public_bytes(PEM))
    key.write_bytes(_pem_key(_key(subject)))
    key.chmod(0o600)
    return certificate, key


def client_context(public: Path, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client's TLS context that trusts the authority in ``public``, with a certificate of its own."""
    context = ssl.create_default_context(cafile=public)
    if own is not None:
        context.load_cert_chain(*own)
    return context
