"""The names that a part of a multipart body may go by: readers disagree about which of several counts.

Evasion: two ``name`` parameters, or two Content-Disposition fields; ``name*`` (RFC 5987) beside ``name``; a name in
pieces (``name*0``, ``name*1*``); one spelled with percent signs or as an encoded word, which some readers undo.
Limits: ``MOST`` names; more are no name of anything.
Source: RFC 7578 §4.2, RFC 2231 §3 and §4, RFC 2047.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from email.errors import HeaderParseError
from email.header import decode_header
from urllib.parse import unquote_to_bytes

from detectors.decoders.charset import codec_for
from detectors.decoders.naming import LONGEST, name_of

MOST = 8
"""Names of one part that are read."""

_PIECE = re.compile(rb"name(?:\*([0-9]{1,3}))?(\*)?")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_ENCODED_WORD = "=?"


def names_of(parameters: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Every name that ``parameters`` (lower-case name, value without its quotes) may stand for, as written first;
    at most one more than ``MOST``."""
    found: dict[str, None] = {}
    for name in _spelled(parameters):
        found[name] = None
        if len(found) > MOST:
            break
    return list(found)


def _spelled(parameters: Sequence[tuple[bytes, bytes]]) -> Iterator[str]:
    pieces: dict[int, tuple[bytes, bool]] = {}
    for parameter, value in parameters:
        kind = _PIECE.fullmatch(parameter)
        if kind is None:
            continue
        raw = _QUOTED_PAIR.sub(rb"\1", value[:LONGEST])
        if kind[1]:
            pieces.setdefault(int(kind[1]), (raw, bool(kind[2])))
        elif kind[2]:
            yield _extended(raw)
        else:
            yield from _plain(raw)
    if pieces:
        first, starts_extended = pieces[min(pieces)]
        charset, _, first = _parts(first) if starts_extended else (b"", b"", first)
        rest = [unquote_to_bytes(raw) if extended else raw for n, (raw, extended) in sorted(pieces.items())][1:]
        start = unquote_to_bytes(first) if starts_extended else first
        yield _text(b"".join((start, *rest)), charset)


def _plain(raw: bytes) -> Iterator[str]:
    name = name_of(raw)
    yield name
    if "%" in name:
        yield name_of(unquote_to_bytes(raw))
    if _ENCODED_WORD in name:
        try:
            words = decode_header(name)
        except (HeaderParseError, Base64Error, ValueError):
            return
        yield "".join(word if isinstance(word, str) else _text(word, (label or "").encode()) for word, label in words)


def _parts(raw: bytes) -> tuple[bytes, bytes, bytes]:
    charset, mark, rest = raw.partition(b"'")
    language, second, text = rest.partition(b"'")
    return (charset, language, text) if mark and second else (b"", b"", raw)


def _extended(raw: bytes) -> str:
    charset, _, text = _parts(raw)
    return _text(unquote_to_bytes(text), charset)


def _text(raw: bytes, charset: bytes) -> str:
    return raw.decode(codec_for(charset.decode("latin-1")) or "utf-8", "replace")
