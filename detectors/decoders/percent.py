"""Percent encoding in any text: ``%34%31`` and the non-standard ``%u0034``.

Evasion: a URL inside a log line, or a value encoded twice (``%2534``): the child is peeled again.
Limits: output ≤ input. ``+`` is left alone; only forms know that it means a space.
Source: RFC 3986 §2.1; ``%u`` as ECMA-262 Annex B.2.1 (``escape``) writes it.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from detectors.decoders.weaver import Piece, weave
from detectors.model import Ask, Gap, Peel

_ESCAPES = re.compile(rb"((?:%[0-9A-Fa-f]{2})++)|((?:%u00[0-7][0-9A-Fa-f])++)|(%u[0-9A-Fa-f]{4})")


def unescape(match: re.Match[bytes]) -> Piece:
    """A run of escapes as bytes."""
    if match.lastindex == 1:
        return unhexlify(match[1].replace(b"%", b"")), (1, 3)
    units = unhexlify(match[0].replace(b"%u", b""))
    if match.lastindex == 2:
        return units[1::2], (1, 6)
    text = units.decode("utf-16-be", "replace").encode()
    return text, (len(text), 6)


def escape(text: bytes) -> bytes:
    """Replacement text, percent-encoded but for unreserved characters and ``*``."""
    return quote_from_bytes(text, safe="*").encode()


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view decoded, where it has an escape."""
    woven = weave(data, _ESCAPES, unescape, escape, ask)
    if woven:
        yield Peel("percent", *woven)
