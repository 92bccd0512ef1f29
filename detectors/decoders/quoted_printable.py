r"""Quoted-printable of mail-like parts: ``=34=31`` and soft line breaks.

Evasion: a soft break in the middle of a number (``4111=\r\n1111``); blanks before the break, lower-case hex.
Limits: output ≤ input. An ``=`` that begins no escape stays.
Source: RFC 2045 §6.7.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterator

from detectors.decoders.weaver import DROPPED, Piece, weave
from detectors.model import Ask, Gap, Peel

_ESCAPES = re.compile(rb"((?:=[0-9A-Fa-f]{2})++)|=[ \t]*+(?:\r?\n|\Z)")
_UNSAFE = re.compile(rb"[^ -<>-~]")


def _unescape(match: re.Match[bytes]) -> Piece:
    return (unhexlify(match[1].replace(b"=", b"")), (1, 3)) if match[1] else DROPPED


def escape(text: bytes) -> bytes:
    """Replacement text with ``=`` and everything that is not printable ASCII escaped."""
    return _UNSAFE.sub(lambda byte: b"=%02X" % byte[0][0], text)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view decoded, where it has an escape or a soft line break."""
    woven = weave(data, _ESCAPES, _unescape, escape, ask)
    if woven:
        yield Peel("quoted-printable", *woven)
