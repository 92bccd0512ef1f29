"""Which binary message format bytes are in: as declared, or as they look.

Evasion: a message without a type, or with a wrong one; a message within a byte string of another.
Limits: undeclared bytes have to be a message to the end, and no text.
Source: the media types that senders use (RFC 8949 §9.5, IANA, OTLP, Prometheus, fluentd, Datadog).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from detectors.decoders import archive, cbor, compressed, embedded, envelope, grpc, msgpack, protobuf, wide
from detectors.decoders.survey import Survey
from detectors.decoders.text import is_text
from detectors.model import Ask, Budget, Decoder

_HINT = re.compile("proto|pack|cbor|grpc|connect")
"""In the media types of all of them: nearly all others are told by this."""
_SMALL = 2048
_PDF = b"%PDF-"
_WORTH = 40
"""Bytes of a value that is searched for streams in its midst: more than ids and digests take."""
_SHORTEST = 6
"""Bytes: ``{"cvv": 123}`` takes so many."""


class Surveyor(Protocol):
    """All values of a message, or ``None``."""

    def __call__(self, data: bytes, ask: Ask, *, declared: bool) -> Survey | None: ...


@dataclass(frozen=True, slots=True)
class Form:
    """One format."""

    name: str
    declared: re.Pattern[str]
    survey: Surveyor
    peel: Decoder
    may_be: Callable[[bytes, Ask], bool]


FORMS: tuple[Form, ...] = (
    Form("msgpack", msgpack.DECLARED, msgpack.survey, msgpack.peel, msgpack.may_be),
    Form("cbor", cbor.DECLARED, cbor.survey, cbor.peel, cbor.may_be),
    Form("protobuf", protobuf.DECLARED, protobuf.survey, protobuf.peel, protobuf.may_be),
)
"""In the order in which undeclared bytes are tried: the one with the fewest first bytes first."""


def declared_form(content_type: str) -> Form | None:
    """The format that the media type names."""
    if not _HINT.search(content_type):
        return None
    return next((form for form in FORMS if form.declared.match(content_type)), None)


def guess(data: bytes, ask: Ask) -> tuple[Form, Survey] | None:
    """The format that undeclared, or wrongly declared, bytes are a message of, and what it holds."""
    if len(data) < _SHORTEST or not any(form.may_be(data, ask) for form in FORMS) or is_text(data):
        return None
    for form in FORMS:
        if form.may_be(data, ask) and not (form.survey is protobuf.survey and wide.sniff(data)):
            found = form.survey(data, ask, declared=False)
            if found:
                return form, found
    return None


def may_be_opaque(data: bytes, text: Callable[[], bool] | None = None) -> bool:
    """Whether it is worth to ask if the sieve cannot see what is in the bytes. Small text, which there is most of, is
    told apart at once; of what is larger the first and last bytes tell."""
    small = len(data) <= _SMALL
    return (
        not small or not (text() if text else is_text(data)) or _PDF in data or compressed.announced(data) == "deflate"
    )


def is_opaque(data: bytes, content_type: str, budget: Budget, text: Callable[[], bool] | None = None) -> bool:
    """Whether the sieve may not see what is in the bytes, so that ``inspect`` has to be asked: they are compressed, an
    archive or a binary message, or begin like one. ``text``: tells whether they are text, for who asks more than once.
    """
    if _HINT.search(content_type) and (declared_form(content_type) or grpc.DECLARED.match(content_type)):
        return True
    if envelope.may_be(data, content_type):
        return True
    if not may_be_opaque(data, text):
        return False
    if compressed.announces(data) or archive.is_archive(data):
        return True
    if len(data) < _SHORTEST or (text() if text else is_text(data)):
        return False
    ask = Ask("", (), budget)
    return any(form.may_be(data, ask) for form in FORMS) or embedded.may_be(data)


def closed(data: bytes, found: Survey, ask: Ask) -> list[int]:
    """Offsets of the values of a message ``data`` that the sieve cannot see into: compressed, archives, messages,
    UTF-16."""
    plain = Ask("", (), ask.budget)
    offsets = list[int]()
    for start, value in found.blobs(data):
        if len(value) >= _SHORTEST and (
            compressed.announces(value)
            or archive.is_archive(value)
            or wide.sniff(value)
            or (len(value) >= _WORTH and embedded.holds(value))
            or guess(value, plain)
        ):
            offsets.append(start)
    text = found.text.text()
    return offsets + found.text.at(match.end() for match in re.finditer(_PDF, text))
