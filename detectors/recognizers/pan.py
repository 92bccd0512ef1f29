"""Card numbers: issuer, length, check digit, boundaries, and the word beside them.

A candidate is one or more *whole* groups of digits of one maximal run: never a part of a longer number, because a
sliding window over a 28-digit transaction id hits four times in ten.
Source: ISO/IEC 7812-1; the shapes to leave alone are those of the shop's own traffic (JAN codes, tracking numbers,
transaction ids, hashes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from detectors.iin import Issuer, issuer, issuers
from detectors.keys import CARD_KEY_SET, CARD_WORDS, OTHER_KEY_SET, fold
from detectors.luhn import ean13, luhn
from detectors.model import PAN, Confidence
from detectors.recognizers import Recognized
from detectors.test_numbers import TEST_NUMBERS

_RUN = re.compile(r"(?<![0-9])[0-9](?:[ ._+\-]*[0-9]){9,}")
_GROUP = re.compile(r"[0-9]+")
_NAME = re.compile(r"[\w.\-\[\]@]+")
_MASK = frozenset("*xX#•＊●")
_WORDS_BEFORE = 48
"""Characters before a number in which a context word counts."""
_MIN_KEYED, _MIN, _MAX = 10, 12, 19
_HASH = re.compile(r"[0-9a-fA-F]{24,}|(?=[0-9A-Za-z]*[a-z])(?=[0-9A-Za-z]*[A-Z])[0-9A-Za-z]{28,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_STANDARD = {
    (4, 6, 5),
    (4, 6, 4),
    (4, 4, 4, 4),
    (4, 4, 4, 4, 1),
    (4, 4, 4, 4, 2),
    (4, 4, 4, 4, 3),
    (4, 4, 4, 3),
    (4, 4, 5),
}

MUST_FIND = (
    ("4111111111111111", "visa", "high"),
    ("4111 1111 1111 1111", "visa", "high"),
    ("3782-822463-10005", "amex", "high"),
    ("card.cardNo: 2111111111111111", "mastercard", "high"),
    ("cardNumber: 4111111111111112", "visa", "high"),
    ("pan5555555555554444", "mastercard", "high"),
    ("pan=2111111111111111 12/30", "mastercard", "high"),
    ("order_id: 4111111111111111", "visa", "low"),
    ("0.4111111111111111", "visa", "low"),
)
MUST_NOT = (
    "4111111111111112",
    "2605011230111111111111801654",
    "productCode: 4901234567894",
    "cardNo: ************1111",
    "tracking 123456789012",
    "1763800000000",
)


@dataclass(frozen=True, slots=True)
class _Group:
    start: int
    end: int


def recognize(text: str) -> Iterator[Recognized]:
    """Every card number in ``text``, none overlapping, with its brand, confidence and the checks it rests on."""
    for run in _RUN.finditer(text):
        groups = [_Group(run.start() + m.start(), run.start() + m.end()) for m in _GROUP.finditer(run.group())]
        found = sorted(_candidates(text, groups), key=lambda item: _rank(item, groups))
        taken: list[tuple[int, int]] = []
        for item in found:
            if all(item.end <= start or item.start >= end for start, end in taken):
                taken.append((item.start, item.end))
                yield item


def _rank(item: Recognized, groups: list[_Group]) -> tuple[bool, int, int, int]:
    """Which reading of a run of groups stands: of ``4111111111111111 12/30`` the first group alone, of
    ``4111111111 111111`` both groups together. Sure before doubtful; then valid as printed on a card, then as long as
    a card and in one piece, then valid in odd groups; then the longer."""
    sizes = tuple(g.end - g.start for g in groups if item.start <= g.start and g.end <= item.end)
    printed = len(sizes) == 1 or sizes in _STANDARD
    valid = "luhn" in item.why or "published test number" in item.why
    tier = 0 if printed and valid else 1 if printed and sum(sizes) > _MIN else 2 if valid else 3
    return item.confidence == "low", tier, -(item.end - item.start), item.start


def _candidates(text: str, groups: list[_Group]) -> Iterator[Recognized]:
    names = names_before(text, groups[0].start)
    for first in range(len(groups)):
        length = 0
        for last in range(first, len(groups)):
            length += groups[last].end - groups[last].start
            if length > _MAX:
                break
            if length >= _MIN_KEYED:
                item = _judge(text, groups, first, last, names)
                if item is not None:
                    yield item


def _judge(text: str, groups: list[_Group], first: int, last: int, names: tuple[str, ...]) -> Recognized | None:
    start, end = groups[first].start, groups[last].end
    digits = "".join(text[g.start : g.end] for g in groups[first : last + 1]).encode()
    whole = first == 0 and last == len(groups) - 1
    keyed = first == 0 and not CARD_KEY_SET.isdisjoint(names)
    if keyed and not _masked(text, start, end) and (whole or _shape(text, groups[first : last + 1]) != "irregular"):
        rows = issuers(digits)
        why = ("card key", *(["luhn"] if luhn(digits) else []), *_published(digits))
        return Recognized(PAN, start, end, "high", _brand(digits, rows[0] if rows else None), why)
    row = issuer(digits)
    published = digits in TEST_NUMBERS
    if (row is None and not published) or len(digits) < _MIN or _masked(text, start, end):
        return None
    return _weigh(text, groups, first, last, digits, row, names)


def _weigh(
    text: str, groups: list[_Group], first: int, last: int, digits: bytes, row: Issuer | None, names: tuple[str, ...]
) -> Recognized | None:
    """A number with a right issuer, length and check digit: how sure are we?"""
    start, end = groups[first].start, groups[last].end
    why = ["issuer", "length"] if row else _published(digits)
    if luhn(digits):
        why.append("luhn")
    context = _context(text, start, end)
    if context:
        why.append("card word")
    doubts: list[str] = []
    if first == 0 and not OTHER_KEY_SET.isdisjoint(names):
        doubts.append("key says otherwise")
    shape = _shape(text, groups[first : last + 1])
    if shape == "irregular" and not context:
        doubts.append("irregular grouping")
    if _decimal(text, groups, first, last):
        doubts.append("decimal fraction")
    if _inside_hash(text, start, end):
        doubts.append("inside a hash or token")
    published = digits in TEST_NUMBERS
    if len(digits) <= 13 and not published:
        if len(digits) == 12 or row is None or row.brand != "visa":
            if not context:
                return None  # twelve and thirteen digits: tracking numbers, account ids
        elif not context:
            if ean13(digits):
                return None  # its own check digit says that it is a JAN code
            doubts.append("thirteen digits without a card word")
    if row is not None and not row.bare and not context and not published:
        return None
    confidence: Confidence = "low" if doubts else "high"
    return Recognized(PAN, start, end, confidence, _brand(digits, row), (*why, *doubts))


def _published(digits: bytes) -> list[str]:
    return ["published test number"] if digits in TEST_NUMBERS else []


def _brand(digits: bytes, row: Issuer | None) -> str:
    if row is not None:
        return row.brand
    named = TEST_NUMBERS.get(digits, "")
    return named if named in {"visa", "mastercard", "jcb", "amex", "diners", "unionpay", "maestro", "mir"} else ""


def names_before(text: str, at: int) -> tuple[str, ...]:
    """The folded names that may stand for the value at ``at``: the last word before it, and that word with one or
    two more in front (``card number``). Only quotes, blanks, brackets and ``: = >`` may stand between."""
    before = text[max(0, at - 80) : at]
    before = before[before.rfind("\n") + 1 :]
    stripped = before.rstrip(" \t\"'\\:=>：＝|([{,;は")
    words = [m.group() for m in _NAME.finditer(stripped)]
    if not words or not stripped.endswith(words[-1]):
        return ()
    own = [step for step in re.split(r"[.\[\]@]+", words[-1]) if step and not step.isdigit()]
    tails = ["".join(own[-n:]) for n in (1, 2, 3) if len(own) >= n]
    tails += ["".join(words[-n:]) for n in (2, 3) if len(words) >= n]
    return tuple(dict.fromkeys(fold(tail) for tail in tails if tail))


def _context(text: str, start: int, end: int) -> bool:
    near = text[max(0, start - _WORDS_BEFORE) : start] + " " + text[end : end + 16]
    folded = near[near.rfind("\n", 0, start) + 1 :].casefold()
    return any(word in folded for word in CARD_WORDS)


def _shape(text: str, groups: list[_Group]) -> str:
    """``single``, ``standard`` (as printed on cards, one separator) or ``irregular``."""
    if len(groups) == 1:
        return "single"
    sizes = tuple(g.end - g.start for g in groups)
    gaps = {text[a.end : b.start] for a, b in pairwise(groups)}
    return "standard" if sizes in _STANDARD and (len(gaps) == 1 or sizes == (4, 4, 4, 4)) else "irregular"


def _masked(text: str, start: int, end: int) -> bool:
    """Whether the digits are the clear part of a masked number (``411111******1111``)."""
    around = text[max(0, start - 2) : start] + text[end : end + 2]
    return len([mark for mark in around if mark in _MASK and mark not in "xX"]) >= 2


def _decimal(text: str, groups: list[_Group], first: int, last: int) -> bool:
    if first != last:
        return False
    before = first > 0 and text[groups[first - 1].end : groups[first].start] == "."
    after = last + 1 < len(groups) and text[groups[last].end : groups[last + 1].start] == "."
    exponent = re.match(r"[eE][+-]?\d", text[groups[last].end : groups[last].end + 3]) is not None
    return before or after or exponent


def _inside_hash(text: str, start: int, end: int) -> bool:
    lo, hi = max(0, start - 48), end + 48
    near = text[lo:hi]
    for shape in (_HASH, _UUID):
        for match in shape.finditer(near):
            if lo + match.start() <= start and lo + match.end() >= end:
                letters = sum(1 for c in match.group() if c.isalpha())
                if letters >= 6:
                    return True
    return False
