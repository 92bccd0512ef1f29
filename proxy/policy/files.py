"""The files that a policy names, looked at before anything starts: there, readable, and what they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.keyfile import KeyFileError, read_key, read_private
from proxy.policy.errors import Problem, show
from proxy.policy.text import Document, Loc
from proxy.policy.tls import PAIRS

if TYPE_CHECKING:
    from proxy.policy.model import Policy

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = b"PRIVATE KEY-----"
Row = tuple[str, ...]
EACH = "*"
"""In a row: every item of a list."""

_MAKE_CA = "make one: sekisho ca init FILE"


def files_of(policy: Policy) -> tuple[Path, ...]:
    """Every file that ``policy`` names to be read, each once: what to watch beside the policy itself."""
    rows = (_under(policy, row) for row in _FILES)
    return tuple(dict.fromkeys(path for found in rows for _, path in found if isinstance(path, Path)))


def unusable_files(document: Document, base: Path) -> Iterator[Problem]:
    """What is wrong with the files that ``document`` names; their paths start at ``base``.

    Works on the values as written, so that it can say so of a file with other errors too. Looks at each file once,
    however many lanes name it.
    """
    looks = {look: cache(look) for look in _FILES.values()}
    unlike = cache(_unlike)
    for row, look in _FILES.items():
        for loc, name in _under(document.value, row):
            if isinstance(name, str) and name and "\0" not in name and (wrong := looks[look](base / name, show(name))):
                yield Problem(document.place(*loc), *wrong)
    for loc, tls in _under(document.value, ("lanes", EACH, "tls")):
        for certificate, key in PAIRS:
            names = [tls.get(name) if isinstance(tls, Mapping) else None for name in (certificate, key)]
            paths = [base / name for name in names if isinstance(name, str) and name and "\0" not in name]
            if len(paths) == len(names) and unlike(*paths):
                why = f"the key does not belong to the first certificate of {certificate}"
                yield Problem(document.place(*loc, key), why, f"name the key of {show(names[0])}")


def _under(value: object, row: Row) -> Iterator[tuple[Loc, object]]:
    """What stands at ``row`` in a policy, or in one as written, with its place."""
    if not row:
        yield (), value
        return
    step, *rest = row
    items: Iterable[tuple[str | int, object]]
    if step == EACH:
        items = enumerate(value) if isinstance(value, tuple) else ()
    elif isinstance(value, Mapping):
        items = [(step, value.get(step))]
    else:
        items = [(step, getattr(value, step, None))]
    for key, inner in items:
        for loc, found in _under(inner, tuple(rest)):
            yield (key, *loc), found


def _key(path: Path, _shown: str) -> tuple[str, str] | None:
    try:
        read_key(path)
    except KeyFileError as error:
        return error.why, error.hint
    return None


def _recognizers(path: Path, shown: str) -> tuple[str, str] | None:
    return _unreadable(path, f"the recognizers file {shown}")


def _ca(path: Path, shown: str) -> tuple[str, str] | None:
    if wrong := _unreadable(path, f"the CA file {shown}"):
        return wrong
    import ssl  # noqa: PLC0415 - only policies with a CA file need it, and `sekisho check` starts fast

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        return f"the CA file {shown} holds no usable certificate", f"a PEM file has {_CERTIFICATE.decode()} in it"
    return None


def _authority(path: Path, shown: str) -> tuple[str, str] | None:
    """The authority that clients trust for every host: who can read its key can be any host to them."""
    try:
        data = read_private(path, "authority", 1024 * 1024, _MAKE_CA)
    except KeyFileError as error:
        return error.why, error.hint
    missing = [
        what for what, mark in (("certificate", _CERTIFICATE), ("private key", _PRIVATE_KEY)) if mark not in data
    ]
    if missing:
        return f"the authority file {shown} holds no {' and no '.join(missing)}", _MAKE_CA
    from proxy.authority import read_authority  # noqa: PLC0415 - as in _ca
    from proxy.pem import TlsFileError  # noqa: PLC0415

    try:
        read_authority(path)
    except TlsFileError as error:
        return f"the authority file {shown}: {error.why}", _MAKE_CA
    return None


def _certificate(path: Path, shown: str) -> tuple[str, str] | None:
    if wrong := _unreadable(path, f"the certificate file {shown}"):
        return wrong
    from proxy.pem import TlsFileError, read_certificates  # noqa: PLC0415 - as in _ca

    try:
        read_certificates(path)
    except TlsFileError as error:
        return f"the certificate file {shown} {error.why}", f"a PEM file has {_CERTIFICATE.decode()} in it"
    return None


def _private_key(path: Path, shown: str) -> tuple[str, str] | None:
    from proxy.pem import MOST_BYTES, TlsFileError, read_keys  # noqa: PLC0415 - as in _ca

    make = "name a PEM file with an unencrypted private key"
    try:
        read_private(path, "key", MOST_BYTES, make)
        read_keys(path, "key")
    except KeyFileError as error:
        return error.why, error.hint
    except TlsFileError as error:
        return f"the key file {shown} {error.why}", make
    return None


def _unreadable(path: Path, what: str) -> tuple[str, str] | None:
    try:
        if not path.is_file():
            return f"{what} {'is not a file' if path.exists() else 'does not exist'}", f"looked for {path}"
        with path.open("rb"):
            return None
    except OSError as error:
        return f"{what} cannot be read", error.strerror or ""


def _unlike(certificate: Path, key: Path) -> bool:
    """Whether the two are no pair, although each of them is what it should be."""
    from proxy.pem import TlsFileError, belongs, read_certificates, read_keys  # noqa: PLC0415 - as in _ca

    try:
        (own, *_), (_, (first, *_)) = read_certificates(certificate), read_keys(key, "key")
    except TlsFileError:
        return False  # said of the file itself
    return not belongs(own, first)


_FILES: Mapping[Row, Callable[[Path, str], tuple[str, str] | None]] = {
    ("audit", "fingerprint_key_file"): _key,
    ("admin", "token_file"): _key,
    ("recognizers", EACH): _recognizers,
    ("lanes", EACH, "tls", "certificate_file"): _certificate,
    ("lanes", EACH, "tls", "key_file"): _private_key,
    ("lanes", EACH, "tls", "client_ca_file"): _certificate,
    ("lanes", EACH, "tls", "ca_file"): _ca,
    ("lanes", EACH, "tls", "upstream_certificate_file"): _certificate,
    ("lanes", EACH, "tls", "upstream_key_file"): _private_key,
    ("lanes", EACH, "tls", "intercept_ca_file"): _authority,
}
"""Where a policy names the files it reads, and what is wrong with one, if anything: why, and a hint."""
