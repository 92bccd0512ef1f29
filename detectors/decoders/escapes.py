r"""Backslash escapes in text that is not JSON: ``\u0034``, ``\x34``, ``\u{34}``, ``\U00000034``.

Evasion: a log line that quotes JSON or source text. Any number of backslashes counts as one escape, because each layer
of quoting doubles them and nobody can tell how many layers the reader will take off.
Limits: output ≤ input. ``\x80`` and above are taken as bytes, as in ``repr(bytes)``.
Source: ECMA-262 §12.9.4, RFC 8259 §7, Python language reference §2.4.1.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterator

from detectors.decoders.weaver import REPLACEMENT, Piece, weave
from detectors.model import Ask, Gap, Peel

_H = rb"[0-9A-Fa-f]"
UNICODE = (
    rb"((?:\\u00[0-7]H)++)"  # 1: one byte of UTF-8
    rb"|((?:\\u0(?:0[89A-Fa-f]|[1-7]H)H)++)"  # 2: two bytes
    rb"|((?:\\u(?:0[89A-Fa-f]|[1-9A-CE-Fa-ce-f]H|[dD][0-7])HH)++)"  # 3: three bytes
    rb"|((?:\\u[dD][89ABab]HH\\u[dD][C-Fc-f]HH)++)"  # 4: a surrogate pair, four bytes
    rb"|(\\u[dD][89A-Fa-f]HH)"  # 5: half of one
).replace(b"H", _H)
r"""Runs of ``\uXXXX``, each of one length in UTF-8. Five groups; for ``unicode_run``."""

_STEPS = ((1, 6), (2, 6), (3, 6), (4, 12))

_REPEATED = (
    rb"(?<!\\)(\\++)(?:"
    rb"(?P<ascii>u00[0-7]H(?:\1u00[0-7]H)*+)"
    rb"|(?P<bytes>xHH(?:\1xHH)*+)"
    rb"|u(?P<unit>HHHH)(?:(?<=[dD][89ABab]HH)\1u(?P<low>[dD][C-Fc-f]HH))?"
    rb"|u\{0*+(?P<braces>H{1,6})\}"
    rb"|U(?P<long>00(?:0H|10)HHHH))"
).replace(b"H", _H)
_ESCAPES = re.compile(_REPEATED)


def unicode_run(match: re.Match[bytes], group: int) -> Piece:
    r"""A run of ``\uXXXX`` that matched group ``group`` of ``UNICODE``, as UTF-8."""
    if group == 5:
        return REPLACEMENT, (3, 6)
    units = unhexlify(match[group].replace(b"\\u", b""))
    return units.decode("utf-16-be").encode(), _STEPS[group - 1]


def _character(digits: bytes) -> bytes:
    code = int(digits, 16)
    return REPLACEMENT if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code).encode()


def unescape(match: re.Match[bytes]) -> Piece:
    """A run of ASCII or byte escapes, or one other escape, as bytes."""
    bars = match[1]
    if match["ascii"] is not None:
        return unhexlify(match["ascii"].replace(bars, b"").replace(b"u", b""))[1::2], (1, len(bars) + 5)
    if match["bytes"] is not None:
        return unhexlify(match["bytes"].replace(bars, b"").replace(b"x", b"")), (1, len(bars) + 3)
    if match["unit"] is not None:
        text = unhexlify(match["unit"] + (match["low"] or b"")).decode("utf-16-be", "replace").encode()
    else:
        text = _character(match["braces"] or match["long"])
    return text, (len(text), len(match[0]))


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view decoded, where it has an escape."""
    woven = weave(data, _ESCAPES, unescape, lambda text: text, ask)
    if woven:
        yield Peel("escape", *woven)
