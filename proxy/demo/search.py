"""Whether something holds one of the demo's cards, found without any of the code that is being demonstrated.

It knows the numbers it looks for, so it needs no detector: it undoes what it can (compression, base64, percent and JSON
escapes) and searches for the literal digits.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

from proxy.demo.cards import CARDS, Card, masked

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_ESCAPE = re.compile(rb"\\u00([0-7][0-9a-fA-F])")
_BETWEEN_DIGITS = re.compile(rb"(?<=[0-9])[ -](?=[0-9])")
_CODE_KEY = rb"(?i)(?:cvv2?|cvc2?|security_?code)[^0-9A-Za-z]{1,6}%b(?![0-9])"
_MASK = re.compile(r"[0-9]{6}\*+[0-9]{4}")
_NAME = re.compile(r"(?i)card")
_DEPTH = 5


def readings(data: bytes, depth: int = _DEPTH) -> Iterator[bytes]:
    """``data``, then everything that can be read in it, outermost first."""
    yield data
    if depth:
        for child in _decoded(data):
            yield from readings(child, depth - 1)


def _decoded(data: bytes) -> Iterator[bytes]:
    if data[:2] == b"\x1f\x8b":
        try:
            yield zlib.decompressobj(wbits=31).decompress(data)
        except zlib.error:
            return
        return
    if b"%" in data and (plain := unquote_to_bytes(data)) != data:
        yield plain
    if b"\\u00" in data:
        yield _ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), data)
    for match in _BASE64.finditer(data):
        text = match.group().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            yield base64.b64decode(text + b"=" * (-len(text) % 4))
        except binascii.Error:
            continue


def card_numbers(data: bytes, cards: Iterable[Card] = CARDS) -> set[str]:
    """The numbers of ``cards`` that stand in ``data``, in whatever wrapping and with or without separators."""
    texts = [_BETWEEN_DIGITS.sub(b"", text) for text in readings(data)]
    return {card.number for card in cards if any(card.number.encode() in text for text in texts)}


def security_codes(data: bytes, cards: Iterable[Card] = CARDS) -> set[str]:
    """The security codes of ``cards`` that stand in ``data`` under their name; three digits alone say nothing."""
    texts = list(readings(data))
    return {card.code for card in cards if any(re.search(_CODE_KEY % card.code.encode(), text) for text in texts)}


def showable(data: bytes, width: int = 72) -> str:
    """The innermost readable text of ``data`` in one line, every card masked and cut to ``width`` characters."""
    best = data
    for reading in readings(data):
        if reading.isascii() and reading.decode("ascii").isprintable():
            best = reading
    text = " ".join(best.decode("utf-8", "replace").split())
    for card in CARDS:
        text = text.replace(card.number, masked(card.number))
        text = re.sub(
            rf"((?:cvv2?|cvc2?|security_?code)[^0-9A-Za-z]{{1,6}}){card.code}", r"\1***", text, flags=re.IGNORECASE
        )
    mark = _MASK.search(text) or _NAME.search(text)
    start = max(0, mark.start() - width // 2) if mark else 0
    return f"{'…' if start else ''}{text[start : start + width]}{'…' if start + width < len(text) else ''}"
