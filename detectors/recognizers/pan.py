"""Card numbers: issuer, length, check digit, boundaries, and the word beside them.

A candidate is one or more *whole* groups of digits (``detectors.recognizers.shapes``): never a part of a longer number,
because a sliding window over a 28-digit transaction id hits four times in ten. Each candidate is assessed once, and the
assessment says all that was checked; what is recognised, and what ``sekisho explain`` tells, are two readings of it.
Source: ISO/IEC 7812-1; the shapes to leave alone are those of the shop's own traffic (JAN codes, tracking numbers,
transaction ids, hashes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from detectors.iin import Issuer, beginning, issuers
from detectors.keys import PRODUCT_KEYS
from detectors.luhn import ean13, luhn
from detectors.model import PAN
from detectors.recognizers import Recognized
from detectors.recognizers.shapes import (
    BROKEN,
    EXTENDED,
    LISTED,
    LONGEST_FIELD,
    MAX_DIGITS,
    MIXED,
    PADDED,
    PRINTED,
    SINGLE,
    Group,
    Shape,
    is_extended,
    is_mask_tail,
    runs,
    shapes,
    strange,
)
from detectors.recognizers.surroundings import Name, Words, larger_thing, name_of
from detectors.test_numbers import TEST_NUMBERS

MUST_FIND = (
    ("4111111111111111", "visa", "high"),
    ("4111 1111 1111 1111", "visa", "high"),
    ("3782-822463-10005", "amex", "high"),
    ("card.cardNo: 2111111111111111", "mastercard", "high"),
    ("cardNumber: 4111111111111112", "visa", "high"),
    ("pan5555555555554444", "mastercard", "high"),
    ("pan=2111111111111111 12/30", "mastercard", "high"),
    ("4111/1111/1111/1111", "visa", "high"),
    ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "visa", "high"),
    ("4.111111111111111E15", "visa", "high"),
    ("**4012888888881881**", "visa", "high"),
    ("order_id: 4111111111111111", "visa", "low"),
    ("0.4111111111111111", "visa", "low"),
    ("4000000000006", "visa", "low"),
    ("4901234567894", "visa", "low"),
    ("41111111111111111230123", "visa", "low"),
)
MUST_NOT = (
    "4111111111111112",
    "2605011230111111111111801654",
    "productCode: 4901234567894",
    "cardNo: ************1111",
    "tracking 123456789012",
    "1763800000000",
    "35.681236 139.767125",
    "cardNo: 0000000000000000",
    "pan-41111111111111a2c4b6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d",
)

_TWELVE, _THIRTEEN, _LONG = 12, 13, 17
_INSIDE = {
    "IBAN": "inside an IBAN",
    "UUID": "inside a UUID",
    "hash": "inside a hash or token",
    "token": "inside a hash or token",
}
_NO_LUHN_NEEDED = "check digit not required"


@dataclass(frozen=True, slots=True, repr=False)
class Assessment:
    """Everything that was checked of one candidate. ``start`` and ``end`` are characters of the text."""

    shape: Shape
    verdict: Literal["high", "low", "none"]
    brand: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    """What speaks against a card: with ``none``, why it is not one; with ``low``, why it is doubtful."""
    key: str = ""
    word: str = ""

    def __repr__(self) -> str:
        return f"Assessment({self.verdict}, {self.shape!r})"


def recognize(text: str) -> Iterator[Recognized]:
    """Every card number in ``text``, none overlapping, with its brand, confidence and the checks it rests on."""
    for item in assess(text):
        if item.verdict != "none":
            why = (*item.passed, *item.failed)
            yield Recognized(PAN, item.shape.start, item.shape.end, item.verdict, item.brand, why)


def assess(text: str) -> Iterator[Assessment]:
    """Every candidate in ``text``, none overlapping: the card numbers, and what might be taken for one and is none."""
    words = Words(text)
    taken: set[int] = set()
    unusual = list(strange(text))
    for groups in runs(text):
        for item in _settled(_judged(text, shapes(text, groups), groups, words)):
            taken.update(range(item.shape.start, item.shape.end) if unusual else ())
            yield item
    for item in _judged(text, unusual, (), words):
        if taken.isdisjoint(range(item.shape.start, item.shape.end)):
            yield item


def impossible(digits: bytes) -> bool:
    """Whether digits that stand by themselves, in one piece, are no card number unless a card key names them."""
    size = len(digits)
    if size > MAX_DIGITS or digits[:1] == b"0" or is_extended(digits):
        return size > LONGEST_FIELD
    return bool(_rejection(digits, issuers(digits), sound=luhn(digits), published=digits in TEST_NUMBERS))


def _settled(items: Iterable[Assessment]) -> Iterator[Assessment]:
    """Of readings that share digits, the best: each group of digits belongs to one."""
    several = list(items)
    if len(several) < 2:
        yield from several
        return
    taken: set[int] = set()
    for item in sorted(several, key=_rank):
        groups = range(item.shape.first, item.shape.last + 1)
        if taken.isdisjoint(groups):
            taken.update(groups)
            yield item


def _rank(item: Assessment) -> tuple[int, int, int, int]:
    """Which reading of a run of groups stands: of ``4111111111111111 12/30`` the first group alone, of
    ``4111111111 111111`` both groups together. Sure before doubtful; then valid as written on a card, then as long as
    a card and in one piece, then valid in odd groups; then the longer."""
    shape = item.shape
    written = shape.kind in {SINGLE, PRINTED}
    valid = "luhn" in item.passed or "published test number" in item.passed
    tier = 0 if written and valid else 1 if written and len(shape.digits) > _TWELVE else 2 if valid else 3
    return ("high", "low", "none").index(item.verdict), tier, shape.start - shape.end, shape.start


def _judged(text: str, found: Iterable[Shape], groups: Sequence[Group], words: Words) -> Iterator[Assessment]:
    names: dict[int, Name] = {}
    for shape in found:
        if groups and is_mask_tail(text, groups[shape.first]):
            continue
        name = names.get(shape.start)
        if name is None:
            name = Name() if _follows_digits(text, shape, groups) else name_of(text, shape.start)
            names[shape.start] = name
        yield _judge(text, shape, name, words)


def _follows_digits(text: str, shape: Shape, groups: Sequence[Group]) -> bool:
    """Whether what stands before are digits of the same run, which name nothing unless letters are glued to them."""
    if not shape.first or not groups:
        return False
    before = groups[shape.first - 1].start - 1
    return before < 0 or not (text[before].isalpha() or text[before] in "_]")


def _judge(text: str, shape: Shape, name: Name, words: Words) -> Assessment:
    digits = shape.digits
    other = name.other_if_long if len(digits) >= _LONG else name.other
    published = digits in TEST_NUMBERS
    rows = issuers(digits)
    sound = luhn(digits)
    brand = _brand(digits, rows)
    passed = [word for word, holds in (("issuer", rows), ("length", rows), ("luhn", sound)) if holds]
    passed += ["published test number"] if published else []
    if name.card and _is_value(text, shape):
        return Assessment(shape, "high", brand, ("card key", *passed), (), name.card)
    reason = _rejection(digits, rows, sound=sound, published=published)
    if reason:
        return Assessment(shape, "none", brand, tuple(passed), reason, other)
    word = words.near(shape.start, shape.end)
    reason = _wordless_rejection(shape, other, rows, sound=sound, published=published) if not word else ()
    passed += ["card word"] if word else []
    doubts = reason or _doubts(text, shape, other, rows, word=word, published=published)
    if not reason and not sound and not published:
        doubts = (*doubts, _NO_LUHN_NEEDED)
    verdict: Literal["high", "low", "none"] = "none" if reason else "low" if doubts else "high"
    return Assessment(shape, verdict, brand, tuple(passed), doubts, other, word)


def _is_value(text: str, shape: Shape) -> bool:
    """Whether these digits are what the card key before them names, and not the beginning of a token or of something
    longer, or nothing but zeros."""
    if shape.kind == PADDED or (shape.kind == BROKEN and not shape.whole) or not shape.digits.strip(b"0"):
        return False
    return larger_thing(text, shape.start, shape.end) not in {"hash", "UUID", "token"}


def _rejection(digits: bytes, rows: Sequence[Issuer], *, sound: bool, published: bool) -> tuple[str, ...]:
    """Why this cannot be a card number, whatever stands around it."""
    if published:
        return ()
    if not rows:
        begun = [row for row in beginning(digits) if row.bare]
        return (f"length: {len(digits)} digits, no {begun[0].brand} card" if begun else "issuer: no brand begins so",)
    if not sound and all(row.luhn_required for row in rows):
        return ("luhn: wrong check digit",)
    return ()


def _wordless_rejection(
    shape: Shape, other: str, rows: Sequence[Issuer], *, sound: bool, published: bool
) -> tuple[str, ...]:
    """Why this is no card number without a card word near it."""
    if not shape.whole:
        return (f"{MIXED}, and no card word near" if shape.kind == MIXED else "a part of the digits that stand there",)
    if published:
        return ()
    if not sound:
        return ("luhn: wrong check digit, and no card word near",)
    if len(shape.digits) == _TWELVE or not any(row.bare for row in rows):
        return ("too common a shape without a card word near",)
    if other in PRODUCT_KEYS and ean13(shape.digits):
        return ("a JAN code by its key and by its own check digit",)
    return ()


def _doubts(
    text: str, shape: Shape, other: str, rows: Sequence[Issuer], *, word: str, published: bool
) -> tuple[str, ...]:
    """What speaks for something else than a card. Nothing here hides a number: it is reported as ``low``."""
    doubts = list(shape.doubts)
    if other and shape.kind != PRINTED:
        doubts.append("key says otherwise")
    thing = larger_thing(text, shape.start, shape.end)
    if thing:
        doubts.append(_INSIDE[thing])
    if shape.kind == MIXED or not shape.whole:
        doubts.append(MIXED if shape.kind == MIXED else BROKEN)
    if word:
        return tuple(doubts)
    if shape.kind in {BROKEN, LISTED, PADDED, EXTENDED}:
        doubts.append(shape.kind)
    if published:
        return tuple(doubts)
    size = len(shape.digits)
    if size == _THIRTEEN:
        doubts.append("thirteen digits without a card word")
        if ean13(shape.digits):
            doubts.append("a right JAN/EAN check digit")
    elif shape.kind != PRINTED and not any(size in row.common for row in rows):
        doubts.append("a length that few cards have")
    if shape.kind == PRINTED and _regular(shape.digits):
        doubts.append("round or evenly spaced numbers")
    return tuple(doubts)


def _regular(digits: bytes) -> bool:
    """Whether groups of four are a list of round numbers (prices) or count up (years, ports)."""
    numbers = [int(digits[at : at + 4]) for at in range(0, len(digits), 4)]
    steps = {b - a for a, b in pairwise(numbers)}
    return all(n % 10 == 0 for n in numbers) or (len(steps) == 1 and len(numbers) == _OF_FOUR)


_OF_FOUR = 4


def _brand(digits: bytes, rows: Sequence[Issuer]) -> str:
    if rows:
        return rows[0].brand
    named = TEST_NUMBERS.get(digits, "")
    return named if named in {"visa", "mastercard", "jcb", "amex", "diners", "unionpay", "maestro", "mir"} else ""
