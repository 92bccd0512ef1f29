"""Certificates and private keys out of PEM files (RFC 7468), read whole and checked against one another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from proxy.keyfile import KeyFileError, read_private, regular

MOST_BYTES = 1024 * 1024
_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


class TlsFileError(Exception):
    """A certificate or key file that cannot be used; the message names the file and never quotes it."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key with the certificate that belongs to it and those between that one and a trusted one."""

    key: Any
    chain: tuple[x509.Certificate, ...]
    path: Path = Path()
    """Where the key was."""


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Every certificate of a file, in its order: at least one. Raises ``TlsFileError``."""
    try:
        with open(path, "rb", opener=regular) as file:
            return certificates_in(file.read(), path)
    except OSError as error:
        raise TlsFileError(path, error.strerror or type(error).__name__) from None


def certificates_in(data: bytes, path: Path) -> tuple[x509.Certificate, ...]:
    """The same of its bytes. Raises ``TlsFileError`` naming ``path``."""
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except _UNREADABLE:
        raise TlsFileError(path, "holds no readable PEM certificate") from None


def read_keys(path: Path, what: str) -> tuple[bytes, tuple[Any, ...]]:
    """The bytes of a file that only its owner may read, and every private key in it: at least one.

    ``what`` names the kind of file. Raises ``TlsFileError``.
    """
    try:
        data = read_private(path, what, MOST_BYTES, "a PEM file with an unencrypted private key")
    except KeyFileError as error:
        raise TlsFileError(path, f"{error.why} ({error.hint})") from None
    try:
        keys = tuple(load_pem_private_key(block[0], None) for block in _KEY.finditer(data))
    except _UNREADABLE:
        keys = ()
    if not keys:
        raise TlsFileError(path, "holds no unencrypted PEM key")
    return data, keys


def read_pair(certificate_file: Path, key_file: Path) -> Pair:
    """A key and its certificate, from two files or from one. Raises ``TlsFileError``, also if they do not match."""
    chain = read_certificates(certificate_file)
    _, (key, *_) = read_keys(key_file, "key")
    if not belongs(chain[0], key):
        raise TlsFileError(key_file, f"the key does not belong to the first certificate of {certificate_file.name}")
    return Pair(key, chain, key_file)


def belongs(certificate: x509.Certificate, key: Any) -> bool:
    """Whether the certificate is for that private key."""
    try:
        return bool(certificate.public_key() == key.public_key())
    except _UNREADABLE:
        return False


def first_end(certificates: Iterable[x509.Certificate]) -> float:
    """When the first of them ends, in Unix time."""
    return min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)


def last_end(certificates: Iterable[x509.Certificate]) -> float:
    """When the last of them ends, in Unix time."""
    return max(certificate.not_valid_after_utc.timestamp() for certificate in certificates)
