"""The files that a policy names, looked at before anything starts: there, readable, and what they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.keyfile import KeyFileError, read_key, read_private
from proxy.policy.errors import Problem, show
from proxy.policy.text import Document, Loc, at

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = b"PRIVATE KEY-----"
_PEM_BYTES = 1024 * 1024
_MAKE_CA = "a PEM file with the authority's private key and its certificate"


def unusable_files(document: Document, base: Path) -> Iterator[Problem]:
    """What is wrong with the files that ``document`` names; their paths start at ``base``.

    Works on the values as written, so that it can say so of a file with other errors too.
    """
    rows: list[tuple[Loc, Callable[[Path, str], tuple[str, str] | None]]] = [
        (("audit", "fingerprint_key_file"), _key),
        (("admin", "token_file"), _key),
        *((("recognizers", index), _recognizers) for index in _indexes(document, "recognizers")),
    ]
    for index in _indexes(document, "lanes"):
        rows += [(("lanes", index, "tls", "ca_file"), _ca), (("lanes", index, "tls", "intercept_ca_file"), _authority)]
    for loc, look in rows:
        name = at(document.value, loc)
        if isinstance(name, str) and name and "\0" not in name and (wrong := look(base / name, show(name))):
            yield Problem(document.place(*loc), *wrong)


def _indexes(document: Document, name: str) -> range:
    rows = at(document.value, (name,))
    return range(len(rows)) if isinstance(rows, tuple) else range(0)


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
        data = read_private(path, "authority", _PEM_BYTES, _MAKE_CA)
    except KeyFileError as error:
        return error.why, error.hint
    missing = [
        what for what, mark in (("certificate", _CERTIFICATE), ("private key", _PRIVATE_KEY)) if mark not in data
    ]
    return (f"the authority file {shown} holds no {' and no '.join(missing)}", _MAKE_CA) if missing else None


def _unreadable(path: Path, what: str) -> tuple[str, str] | None:
    try:
        if not path.is_file():
            return f"{what} {'is not a file' if path.exists() else 'does not exist'}", f"looked for {path}"
        with path.open("rb"):
            return None
    except OSError as error:
        return f"{what} cannot be read", error.strerror or ""
