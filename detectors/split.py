"""One card number in several values: ``card1=4111&card2=1111&…``, ``"card_no": ["4111", "1111", "1111", "1111"]``.

Values belong together if they stand side by side under one name and an index, or in one list, and the name is that of a
card. Columns of other small numbers are never joined, however well their digits add up.
Source: the four input boxes of payment forms; ISO/IEC 7812-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from detectors.iin import issuer, issuers
from detectors.keys import card_key, fold
from detectors.luhn import luhn
from detectors.model import Confidence
from detectors.test_numbers import TEST_NUMBERS

MOST_DIGITS = 8
"""Of one piece: more is a number of its own."""

_LEAST, _MOST = 13, 19
_MOST_PIECES = 19
_MOST_VALUES = 4096
"""Of one list: a longer one is a column of numbers."""
_PIECE = re.compile(r"\s*([0-9]{1,8})\s*\Z")
_INDEX = re.compile(r"(?:[\W_]*([0-9]{1,2}))?[\W_]*\Z")
_STEM = re.compile(
    r"(?:credit|debit|payment|my|new)?(?:card|cc|pan|カード)(?:n|no|num|number|nr|part|seg|segment|digits?|field|block|group|box|番号)?"
)
_LAST_STEP = re.compile(r"\['(?:[^'\\]|\\.)*'\]\Z|(?<!\A)[./][^./\[\]]*\Z|[^./\[\]]+\Z")
_INDEXES = re.compile(r"(?:\[[0-9]*\])+\Z")
_LAST_NAME = re.compile(r"([^./\[\]']+)['\]]*\Z")
_IN_TEXT = re.compile(
    r"((?<![^\W\d])[^\W\d][\w.\-]*+(?:\[[0-9]*\])?)[\"']?\s{0,4}(?:=>|[:=>])\s{0,4}[\"'\[(]{0,2}([0-9]{1,8})(?![0-9A-Za-z.])"
)
_BLANKS = " \t\r\n"
_LIST_BEFORE = re.compile(r"\s{0,4}(?:[0-9]{1,8}\s{0,4},\s{0,4}){0,32}[0-9]{0,8}\Z")
_LIST_BEHIND = re.compile(r"[0-9]{0,8}\s{0,4}(?:,\s{0,4}[0-9]{1,8}\s{0,4}){0,32}\]")
_ON_CARDS = frozenset({(4, 4, 4, 4), (4, 6, 5)})
_OF_A_CARD = 4
_SAYS_NOTHING = frozenset(
    {"", "part", "parts", "piece", "pieces", "group", "groups", "segment", "segments", "block", "blocks", "chunk"}
    | {"chunks", "digits", "number", "numbers", "no", "num", "input", "inputs", "boxes"}
)
"""Names of lists, besides those of cards, in which the four groups of a card are its number."""
_PRINTED = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 3), (4, 4, 4, 2), (4, 4, 4, 4, 3)})


@dataclass(frozen=True, slots=True, repr=False)
class Value:
    """One value that may be a piece. ``start`` and ``end`` are characters of its text around the digits."""

    path: str
    name: str
    digits: str
    number: bool = False
    """Written as a number: zeros in front are lost."""
    place: int = 0
    """Whatever the caller knows it by."""

    def __repr__(self) -> str:
        return f"Value({len(self.digits)} digits)"


@dataclass(frozen=True, slots=True, repr=False)
class Number:
    """A card number in pieces, in their order."""

    pieces: tuple[Value, ...]
    digits: bytes
    brand: str
    confidence: Confidence
    why: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Number({len(self.pieces)} pieces)"


def digits_of(text: str) -> tuple[int, int] | None:
    """Where the digits of a piece stand in a value's text; ``None``: it is no piece."""
    match = _PIECE.match(text)
    return match.span(1) if match else None


def in_text(text: str) -> Iterator[tuple[str, int, int]]:
    """Names and the spans of their short numbers in free text: ``card1=4111 card2: "1111"``."""
    for match in _IN_TEXT.finditer(text):
        yield match[1], *match.span(2)


def in_named_list(before: str, after: str) -> bool:
    """Whether text before and behind a place says that it is in a JSON list of short numbers whose name says that they
    are no number of a card: ``"prices": [4980, 1280, 3300]``."""
    head, bracket, numbers = before.rpartition("[")
    head = head.rstrip(_BLANKS)
    if not bracket or not head.endswith(":") or not _LIST_BEFORE.match(numbers) or not _LIST_BEHIND.match(after):
        return False
    head = head[:-1].rstrip(_BLANKS)
    start = head.rfind('"', 0, -1)
    if start < 0 or not head.endswith('"') or "\\" in head[start:]:
        return False
    stem, _ = _stem(head[start + 1 : -1])
    return stem not in _SAYS_NOTHING and not _is_card(stem, "")


def join(values: Iterable[Value]) -> Iterator[Number]:
    """The card numbers that values hold in pieces."""
    groups: dict[tuple[str, str], list[tuple[int, Value]]] = {}
    arrays: dict[str, list[Value]] = {}
    for value in values:
        stem, index = _stem(value.name)
        parent = _parent(value.path)
        if _is_card(stem, parent):
            group = groups.setdefault((parent, stem), [])
            if len(group) < _MOST_VALUES:
                group.append((len(group) if index is None else index, value))
        elif stem in _SAYS_NOTHING and value.path.endswith("]"):
            array = arrays.setdefault(_INDEXES.sub("", value.path), [])
            if len(array) <= _OF_A_CARD:
                array.append(value)
    for (parent, stem), group in groups.items():
        pieces = [value for _, value in sorted(group, key=lambda item: item[0])]
        yield from _numbers(pieces, keyed=bool(card_key((stem, fold(_name(parent)) + stem))))
    for array in arrays.values():
        if tuple(len(value.digits) for value in array) in _ON_CARDS:
            yield from _unnamed(tuple(array))


def _unnamed(pieces: tuple[Value, ...]) -> Iterator[Number]:
    """The groups of a card as all the numbers of a list whose name says nothing."""
    digits = "".join(value.digits for value in pieces).encode()
    found = _judge(pieces, digits, whole=True, keyed=False)
    if found is not None and "luhn" in found.why:
        numbers = any(value.number for value in pieces)
        yield replace(found, confidence="low", why=(*found.why, "list of numbers")) if numbers else found


def _stem(name: str) -> tuple[str, int | None]:
    match = _INDEX.search(name)
    if match is None:
        return fold(name), None
    return fold(name[: match.start()]), int(match[1]) if match[1] else None


def _parent(path: str) -> str:
    """The place around a value: without its own name and its index in a list."""
    return _LAST_STEP.sub("", _INDEXES.sub("", path))


def _name(path: str) -> str:
    match = _LAST_NAME.search(path)
    return match[1] if match else ""


def _is_card(stem: str, parent: str) -> bool:
    both = fold(_name(parent)) + stem
    return any(_STEM.fullmatch(name) or card_key((name,)) for name in (stem, both) if name)


def _numbers(pieces: Sequence[Value], *, keyed: bool) -> Iterator[Number]:
    """Whole numbers among ``pieces``, each piece in one at most; the first that is valid is taken."""
    first = 0
    while first < len(pieces) - 1:
        found = _at(pieces, first, keyed=keyed)
        if found is None:
            first += 1
            continue
        yield found
        first += len(found.pieces)


def _at(pieces: Sequence[Value], first: int, *, keyed: bool) -> Number | None:
    best: Number | None = None
    for last in range(first + 1, min(len(pieces), first + _MOST_PIECES)):
        chosen = tuple(pieces[first : last + 1])
        digits = "".join(_padded(chosen)).encode()
        if len(digits) > _MOST:
            break
        found = _judge(chosen, digits, whole=len(chosen) == len(pieces), keyed=keyed) if len(digits) >= _LEAST else None
        if found is not None and (best is None or found.confidence == "high"):
            best = found
    return best


def _padded(pieces: Sequence[Value]) -> list[str]:
    """The digits of each piece; numbers of four lose the zeros in front when they are written as numbers."""
    four = len(pieces) == 4 and all(len(piece.digits) <= 4 for piece in pieces)
    return [piece.digits.zfill(4) if four and piece.number else piece.digits for piece in pieces]


def _judge(pieces: tuple[Value, ...], digits: bytes, *, whole: bool, keyed: bool) -> Number | None:
    row, published, sound = issuer(digits), digits in TEST_NUMBERS, luhn(digits)
    why = [f"in {len(pieces)} pieces", *(["card key"] if keyed else [])]
    if row is not None or published:
        why += [word for word, holds in (("luhn", sound), ("published test number", published)) if holds]
        return Number(pieces, digits, row.brand if row else "", "high", tuple(why))
    rows = issuers(digits)
    if keyed and whole and rows and tuple(len(text) for text in _padded(pieces)) in _PRINTED:
        return Number(pieces, digits, rows[0].brand, "low", (*why, "check digit"))
    return None
