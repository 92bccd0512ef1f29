"""Digits, letters, separators and invisible characters of Unicode, as their ASCII counterparts.

Evasion: ``４１１１ １１１１`` as a Japanese input method leaves it; Arabic-Indic or mathematical digits; keycap emoji;
zero-width characters, no-break spaces or typographic dashes between the digits. Superscript and circled digits, where
four or more stand together, make a second child: a single one is a footnote or a bullet and would spoil the number that
it stands before.
The long vowel mark ``ー`` is a dash between digits only: elsewhere it is part of a word (カード).
Limits: output ≤ input. UTF-8 text; other charsets are peeled first.
Source: Unicode 17.0 (general category Nd; blocks U+2000, U+FF00), JIS X 0208 for what input methods produce.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from detectors.decoders.weaver import DROPPED, Piece, weave
from detectors.model import Ask, Gap, Peel

ZEROS = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950,
    0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11DE0, 0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1D7CE,
    0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
)  # fmt: skip
"""The zero of each set of decimal digits outside ASCII; the nine others follow it. Unicode 17.0."""

_SPACES = (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_DASHES = (*range(0x2010, 0x2016), 0x2043, 0x02D7, 0x2212, 0x2500, 0x301C, 0xFE58, 0xFE63)
_DOTS = (0xB7, 0x2024, 0x2027, 0x30FB, 0xFF65)
_INVISIBLE = (
    0xAD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010),
    *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x20E3, 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0,
    *range(0xE0000, 0xE0080), *range(0xE0100, 0xE01F0),
)  # fmt: skip
_VOWEL_MARKS = (0x30FC, 0xFF70)
_FIGURES = {
    0xB2: "2", 0xB3: "3", 0xB9: "1", 0x2070: "0", **{0x2070 + n: str(n) for n in range(4, 10)},
    **{0x2080 + n: str(n) for n in range(10)}, 0x24EA: "0", **{0x245F + n: str(n) for n in range(1, 10)},
}  # fmt: skip
"""Superscript, subscript and circled digits."""

_ASCII: dict[int, str] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **{zero + n: str(n) for zero in ZEROS for n in range(10)},
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys((*_DASHES, *_VOWEL_MARKS), "-"),
    **dict.fromkeys(_DOTS, "."),
    **_FIGURES,
}  # fmt: skip


def _hex(raw: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in raw)


def _any_of(codes: Iterable[int]) -> bytes:
    """An expression for the UTF-8 of one of ``codes``: characters that differ in the last byte only share a branch."""
    lasts: dict[bytes, list[int]] = {}
    for code in sorted(set(codes)):
        raw = chr(code).encode()
        lasts.setdefault(raw[:-1], []).append(raw[-1])
    firsts: dict[bytes, list[bytes]] = {}
    for head, tail in lasts.items():
        firsts.setdefault(_hex(head[:1]), []).append(_hex(head[1:]) + b"[" + _hex(bytes(tail)) + b"]")
    return b"(?:" + b"|".join(first + b"(?:" + b"|".join(rest) + b")" for first, rest in firsts.items()) + b")"


def _of_length(length: int, more: Iterable[int]) -> bytes:
    left_out = {*_VOWEL_MARKS, *_FIGURES} - set(more)
    codes = (code for code in _ASCII if len(chr(code).encode()) == length and code not in left_out)
    return b"(" + _any_of(codes) + b"++)"


_DIGIT_BEFORE = rb"(?:(?<=[0-9])|(?<=\xef\xbc[\x90-\x99]))"


def _characters(more: Iterable[int]) -> re.Pattern[bytes]:
    """Runs of three, two and four bytes a character; invisible ones; a vowel mark between digits."""
    return re.compile(
        b"|".join(_of_length(length, more) for length in (3, 2, 4))
        + b"|(" + _any_of(_INVISIBLE) + b"++)"
        + b"|(" + _DIGIT_BEFORE + _any_of(_VOWEL_MARKS) + rb"(?=[0-9]|\xef\xbc[\x90-\x99]))"
    )  # fmt: skip


_PLAIN, _WITH_FIGURES = _characters(()), _characters(_FIGURES)
_FIGURES_TOGETHER = re.compile(_any_of(_FIGURES) + b"{4}")
_STEPS = ((1, 3), (1, 2), (1, 4), (1, 1), (1, 3))
_INVISIBLES = 4


def _unescape(match: re.Match[bytes]) -> Piece:
    group = match.lastindex or _INVISIBLES
    return DROPPED if group == _INVISIBLES else (match[0].decode().translate(_ASCII).encode(), _STEPS[group - 1])


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view in ASCII digits, letters and separators; every other character as it was."""
    if data.isascii():
        return
    for characters in (_PLAIN, *((_WITH_FIGURES,) if _FIGURES_TOGETHER.search(data) else ())):
        woven = weave(data, characters, _unescape, lambda text: text, ask)
        if woven:
            yield Peel("fullwidth", *woven)
