"""One pass of Hyperscan over a view: where could card data be, and which decoders could find some.

The ten digits map to a *regular* set in most text encodings, so the pass recognises a number through percent
encoding, ``\\u`` and HTML references, full-width forms, UTF-16 and base64 at each of its three alignments. What it
does not point at is not looked at again: a pattern here may match too much (that costs time), never too little.

Patterns have no start-of-match and no upper bound on purpose: a number is reported once, where its thirteenth digit
ends, and Unicode separators live in patterns of their own. Both are what keeps a megabyte at a few milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hyperscan

from detectors.iin import ISSUERS
from detectors.sieve_classes import base64_patterns
from detectors.test_numbers import TEST_NUMBERS

MAX_HITS = 100_000
"""Hits of one pass before the sieve gives up: text made only of digits must not buy unbounded work."""

RECOGNIZE = "recognize"
"""Kind of a hit that recognizers should look at as the view stands. Every other kind names a decoder."""

Pattern = tuple[str, bytes, int]
"""Kind, expression, Hyperscan flags."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What one pass pointed at. Offsets are bytes of the scanned data: where a pattern ended."""

    by_kind: dict[str, list[int]]
    complete: bool = True
    """False: the pass was cut short at ``MAX_HITS``."""


def _prefixes() -> bytes:
    """The first two digits of every issuer range and every published test number, as a character-class union."""
    pairs = {number[:2].decode() for number in TEST_NUMBERS}
    for row in ISSUERS:
        for prefix in range(row.first, row.last + 1):
            text = str(prefix)[:2]
            pairs |= {text} if len(text) == 2 else {text + digit for digit in "0123456789"}
    pairs = {pair for pair in pairs if pair[0] != "1"} | {"18"}  # UATP's bare 1 needs a word beside it
    by_first: dict[str, str] = {}
    for pair in sorted(pairs):
        by_first[pair[0]] = by_first.get(pair[0], "") + pair[1]
    return "|".join(f"{first}[{seconds}]" for first, seconds in sorted(by_first.items())).encode()


_FIRST_TWO = b"(?:" + _prefixes() + b")"

_USEP = (
    rb"\xc2[\xa0\xad]|\xe1\xa0\x8e|\xe2\x80[\x80-\xaf]|\xe2\x81[\x9f-\xa4]|\xe2\x88\x92|\xe3\x80[\x80\x9c]|\xe3\x83\xbc"
    rb"|\xef\xbb\xbf|\xef\xbc[\x8b-\x8f\xbf]|\xef\xb9[\x98\xa3]|\xef\xbd[\x9e\xb0]|\xe2\x94\x80|\xcb\x97|\xc2\xb7|\xe3\x83\xbb"
)
_UDIGIT = (
    rb"\xef\xbc[\x90-\x99]|\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xe0\xa5[\xa6-\xaf]|\xf0\x9d\x9f[\x8e-\xbf]"
    rb"|\xc2[\xb2\xb3\xb9]|\xe2\x81[\xb0\xb4-\xb9]|\xe2\x82[\x80-\x89]|\xe2\x91[\xa0-\xa8]|\xe0[\xa7-\xaf][\xa6-\xaf]"
    rb"|\xe0\xb9[\x90-\x99]|\xf0\x9f\xaf[\xb0-\xb9]"
)
# Hexadecimal codes of ASCII digits and letters: nobody escapes these except to hide something (or by double encoding).
_ALNUM_HEX = rb"(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])"
_PCT = rb"%(?:25)*"
# An encoded separator, or any byte of a non-ASCII one (NBSP, en dash, ideographic space in any charset).
_PCT_SEP = _PCT + rb"(?:20|2[bBdDeE]|5[fF]|09|[89a-fA-F][0-9a-fA-F])"
_PCT_DIGIT = (
    _PCT
    + rb"[eE][fF]"
    + _PCT
    + rb"[bB][cC]"
    + _PCT
    + rb"9[0-9]|"
    + _PCT
    + rb"82(?:"
    + _PCT
    + rb"(?:4[fF]|5[0-8])|[O-X])|"
    + _PCT
    + rb"[aA]3"
    + _PCT
    + rb"[bB][0-9]"
)

# Between a key and its value: quotes, colons, tags, and the same through percent, HTML and backslash escapes.
_KV = (
    rb"(?:[^0-9A-Za-z%&\\]|%(?:25)*(?:2[0-9a-fA-F]|3[a-fA-F]|[57][b-fB-F]|0[9adAD])|&[a-zA-Z]{2,6};|&#x?[0-9a-fA-F]{2,4};"
    rb"|\\+u00[0-9a-fA-F]{2}|\\+[nrt\"'/]?| is | no | was |=)"
)
_LEAD = rb"[0-9%\\&\x82\xa3\xd9\xdb\xef\xf0]"
_CARD_KEY = (
    rb"(?:card[^0-9A-Za-z]{0,8}(?:no|num|number|pan)|cc[_.-]?(?:no|num|number)|credit[\s_.-]?card(?:[\s_.-]?(?:no|num))?"
    rb"|(?:^|[^a-z])[fd]?pan|primary[\s_-]?account[\s_-]?number)"
)
_CODE_KEY = (
    rb"(?:cvv2?|cvc2?|cav2|csc|cvn|(?:security|sec)[\s_.-]?code|(?:cvv|cvc|verification)[\s_.-]?(?:code|value|number))"
)
_PIN_KEY = rb"pin[\s_-]?bl(?:oc)?k(?:[\s_-]?data)?"
_JAPANESE_KEYS = ("カード番号", "クレカ番号", "ｶｰﾄﾞ番号", "セキュリティコード", "ｾｷｭﾘﾃｨｺｰﾄﾞ", "カード確認番号")


def _japanese() -> bytes:
    """The Japanese key names in every spelling they travel in: four charsets, ``\\u`` escapes, percent, references."""
    spelled: list[bytes] = []
    for name in _JAPANESE_KEYS:
        for charset in ("utf-8", "cp932", "euc-jp"):
            raw = name.encode(charset)
            spelled.append(b"".join(b"\\x%02x" % byte for byte in raw))
            spelled.append(b"".join(_PCT + b"%02x" % byte if byte > 0x7F or charset == "utf-8" else
                                    b"(?:" + _PCT + b"%02x|\\x%02x)" % (byte, byte) for byte in raw))
        spelled.append(b"".join(b"\\\\+u%04x" % ord(letter) for letter in name))
        spelled.append(b"".join(b"&#(?:%d|x%x);" % (ord(letter), ord(letter)) for letter in name))
    return b"(?:" + b"|".join(spelled) + b")"  # fmt: skip


_I = hyperscan.HS_FLAG_CASELESS

PATTERNS: tuple[Pattern, ...] = (
    (RECOGNIZE, rb"(?:^|[^0-9])" + _FIRST_TWO + rb"(?:[ ._+-]*[0-9]){11}", 0),
    (RECOGNIZE, rb"(?:^|[^0-9])[2-689](?:[ ._+-]+[0-9]){3}(?:[ ._+-]*[0-9]){9}", 0),
    (RECOGNIZE, rb"(?:card|pan|\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89)[^0-9]{0,20}[0-9](?:[ ._+-]*[0-9]){11}", _I),
    (RECOGNIZE, rb"[;B][0-9]{12,19}[=^]", 0),
    (RECOGNIZE, _CARD_KEY + _KV + rb"{1,12}" + _LEAD, _I),
    (RECOGNIZE, _CODE_KEY + _KV + rb"{1,12}" + _LEAD, _I),
    (RECOGNIZE, _PIN_KEY + _KV + rb"{1,12}[0-9A-F]{8}", _I),
    (RECOGNIZE, _japanese() + rb"[^0-9]{0,40}" + _LEAD, _I),
    ("percent", _PCT + _ALNUM_HEX, 0),
    ("percent", rb"(?:" + _PCT_DIGIT + rb"){3}", 0),
    ("percent", rb"[0-9](?:" + _PCT_SEP + rb"){1,3}[0-9]", 0),
    ("escape", rb"\\+(?:u00|u\{0*|x|U000000)" + _ALNUM_HEX, 0),
    ("escape", rb"(?:\\+u(?:ff1[0-9]|066[0-9]|06f[0-9])){2}", _I),
    ("escape", rb"[0-9](?:\\+(?:u00a0|u00ad|u20[0-6][0-9a-f]|u2212|u3000|u30fc|ufeff|uff0[d-f]|uff3f|x[a2]0)){1,3}[0-9]", _I),
    ("html", rb"&#(?:0*(?:4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2])|x0*" + _ALNUM_HEX + rb")(?:[^0-9a-f]|$)", _I),
    ("html", rb"(?:&#(?:6529[6-9]|6530[0-5]|xff1[0-9]);){2}", _I),
    ("html", rb"[0-9](?:&(?:#x?[0-9a-f]{2,5}|nbsp|[a-z]{1,3}sp|zw[a-z]*|[mn]dash|shy|minus|hyphen|dash|lowbar|period|plus|middot);?){1,3}[0-9]", _I),
    ("fullwidth", rb"(?:" + _UDIGIT + rb"){2}", 0),
    ("fullwidth", rb"[0-9](?:" + _USEP + rb"){1,3}[0-9]", 0),
    ("sjis", rb"(?:\x82[\x4f-\x58]){3}|(?:[0-9]\x81[\x40\x7c\x5b\x5d]){2}", 0),
    ("eucjp", rb"(?:\xa3[\xb0-\xb9]){3}|(?:[0-9]\xa1[\xa1\xdd\xbc]){2}", 0),
    ("iso2022jp", rb"\x1b\$[@B]", 0),
    ("utf16le", rb"(?:[0-9A-Za-z\"': =._-]\x00){6}", 0),
    ("utf16be", rb"(?:\x00[0-9A-Za-z\"': =._-]){6}", 0),
    ("base64", rb"(?:^|[^A-Za-z0-9+/_-])(?:H4sI[A-Za-z0-9+/_-]{12}|KLUv_?/?[A-Za-z0-9+/_-]{8}|(?:eJ[wxyz0-9]|eN[op]|eF[45]|eAE)[A-Za-z0-9+/_-]{16})", 0),
    *(("base64", expression, 0) for expression in base64_patterns()),
)  # fmt: skip
"""What the sieve looks for. Hyperscan dialect, bytes."""


class Sieve:
    """The compiled patterns. Safe to use from several threads: each gets scratch space of its own."""

    def __init__(self, extra: Sequence[tuple[bytes, int]] = ()) -> None:
        """``extra``: expressions (with Hyperscan flags) of the team's own recognizers; hits of kind RECOGNIZE.

        Raises ``hyperscan.CompilerError`` when one cannot be compiled.
        """
        patterns = (*PATTERNS, *((RECOGNIZE, expression, flags) for expression, flags in extra))
        self._kinds = tuple(kind for kind, _, _ in patterns)
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[expression for _, expression, _ in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags for _, _, flags in patterns],
        )
        self._local = threading.local()

    def _scratch(self) -> Any:
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        return scratch

    def quiet(self, data: bytes) -> bool:
        """Whether the pass points at nothing. Stops at the first hit."""
        seen: list[int] = []

        def stop(pattern: int, start: int, end: int, flags: int, context: object) -> bool:
            seen.append(end)
            return True

        self._run(data, stop)
        return not seen

    def scan(self, data: bytes) -> Hits | None:
        """What the pass points at, or ``None``: nothing."""
        found: list[tuple[int, int]] = []

        def note(pattern: int, start: int, end: int, flags: int, context: object) -> bool | None:
            found.append((pattern, end))
            return len(found) >= MAX_HITS or None

        self._run(data, note)
        if not found:
            return None
        by_kind: dict[str, list[int]] = {}
        for pattern, end in found:
            by_kind.setdefault(self._kinds[pattern], []).append(end)
        return Hits({kind: sorted(set(ends)) for kind, ends in by_kind.items()}, len(found) < MAX_HITS)

    def _run(self, data: bytes, handler: Any) -> None:
        try:
            self._database.scan(data, match_event_handler=handler, scratch=self._scratch())
        except hyperscan.ScanTerminated:
            return
