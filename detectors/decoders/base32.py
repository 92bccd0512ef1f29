"""Base32 in any text, in upper or lower case, with or without padding: ``GQYTCMJR…``.

Evasion: an encoding that few scanners know and every standard library has. Letters of the same alphabet before it
shift the groups of eight: a run is read at each of its five byte positions.
Limits: output ≤ ⅝ of the input. Crockford's alphabet (ULIDs) and ascii85 are not read: nothing that logs writes text
in them.
Source: RFC 4648 §6.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from detectors.decoders.offsets import Encode, Whole
from detectors.decoders.plausible import DIGITS, says_something
from detectors.decoders.weaver import near
from detectors.model import Ask, Gap, Peel

_RUN = re.compile(rb"(?<![A-Za-z0-9+/_-])(?:[A-Z2-7]{16,}+|[a-z2-7]{16,}+)={0,6}+")
_ODD = frozenset({1, 3, 6})
"""Letters left over behind whole groups that stand for no byte."""


def _decode(letters: bytes) -> bytes:
    over = len(letters) % 8
    if over in _ODD:
        letters, over = letters[:-1], over - 1
    return base64.b32decode(letters + b"=" * (-over % 8), casefold=True)


def _again(raw: bytes, data: bytes) -> Encode | None:
    lower = raw.islower()
    padded = raw.endswith(b"=") or len(raw) % 8 == 0

    def encode(text: bytes) -> bytes:
        spelled = base64.b32encode(text)
        spelled = spelled if padded else spelled.rstrip(b"=")
        return spelled.lower() if lower else spelled

    return encode if encode(data) == raw else None


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each run that was asked for, decoded: as it stands if that says something, and from its next letters on where
    digits come out."""
    for run in _RUN.finditer(data):
        ask.budget.check_time()
        start, end = run.span()
        if not near(start, end, ask.hits):
            continue
        for shift in range(8):
            raw = data[start + shift : end]
            child = _decode(raw.rstrip(b"="))
            if DIGITS.search(child) if shift else says_something(child):
                yield Peel("base32", child, Whole(start + shift, end, child, _again(raw, child)))
