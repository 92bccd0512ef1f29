"""Names and values of forms, query strings and cookies.

Evasion: a number as a *name*; a percent-encoded name (``card%4eo``) that hides what its value is; one name many times.
Limits: output ≤ input. Pairs are split at ``&`` only, as receivers have done since the semicolon was dropped.
Source: WHATWG URL Standard §5 (application/x-www-form-urlencoded), RFC 6265 §4.2.1 (cookies).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote_plus, unquote_to_bytes

from detectors.decoders import percent
from detectors.decoders.naming import LONGEST, Repeats, name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.weaver import Piece, near, weave
from detectors.model import Ask, Gap, Peel

_FORM = re.compile(rb"(?=[^&])([^&=]*+)(=?)([^&]*+)")
_COOKIE = re.compile(rb"(?=[^;\s])([^;=]*+)(=?)\"?([^;]*+)")
_ESCAPES = re.compile(rb"((?:%[0-9A-Fa-f]{2})++)|\++")
_PERCENT = re.compile(rb"((?:%[0-9A-Fa-f]{2})++)")
_LOOKS = re.compile(rb"[\w.\-\[\]%+*~$:]{1,256}+=[^\s&<>{}]*+(?:&[\w.\-\[\]%+*~$:]{0,256}+=?[^\s&<>{}]*+)*+\s*+\Z")


def _unescape(match: re.Match[bytes]) -> Piece:
    return percent.unescape(match) if match.lastindex else (b" " * len(match[0]), (1, 1))


def escape(text: bytes) -> bytes:
    """Replacement text as a form spells it."""
    return quote_plus(text, safe="*").encode()


def _child(data: bytes, span: tuple[int, int], escapes: re.Pattern[bytes], ask: Ask, path: str, key: str) -> Peel:
    encode = escape if escapes is _ESCAPES else percent.escape
    woven = weave(data, escapes, _unescape, encode, ask, span)
    if woven:
        return Peel("percent", *woven, path, key)
    return Peel("", data[span[0] : span[1]], side_by_side(*span, encode), path, key)


def _pairs(data: bytes, pairs: re.Pattern[bytes], escapes: re.Pattern[bytes], ask: Ask) -> Iterator[Peel]:
    repeats = Repeats()
    for n, pair in enumerate(pairs.finditer(data)):
        if not n & 1023:
            ask.budget.check_time()
        name, value = pair.span(1), pair.span(3)
        if pairs is _COOKIE and pair[3].endswith(b'"'):
            value = value[0], value[1] - 1
        raw = pair[1]
        index = repeats.index(raw)
        if not near(name[0], value[1], ask.hits):
            continue
        name_bytes = raw[: 3 * LONGEST].replace(b"+", b" ") if escapes is _ESCAPES else raw[: 3 * LONGEST].rstrip()
        decoded = name_of(unquote_to_bytes(name_bytes))
        path = segment(decoded) + index
        if raw:
            yield _child(data, name, escapes, ask, path, "")
        if pair[2]:
            yield _child(data, value, escapes, ask, path, decoded)


def looks_like(data: bytes) -> bool:
    """Whether the bytes are two pairs or more from end to end, so that a value inside another format can be read as
    one. One pair is not enough: ``a=a=a=…`` would peel to itself for ever."""
    return b"=" in data[:257] and b"&" in data and _LOOKS.match(data) is not None


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each name and value, decoded. Path ``card[number]``, the second value of a name ``k[1]``. Query strings too."""
    if "x-www-form-urlencoded" in ask.content_type.lower() or looks_like(data):
        yield from _pairs(data, _FORM, _ESCAPES, ask)


def peel_cookies(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each name and value of a Cookie or Set-Cookie header; a quoted value without its quotes. ``+`` is a plus."""
    yield from _pairs(data, _COOKIE, _PERCENT, ask)
