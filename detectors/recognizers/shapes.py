"""How digits stand in a text: which of them, taken together, could be one card number.

People write a number in one piece, in the groups printed on the card, digit by digit, or broken somewhere. A column of
measurements is written in pieces, too, and one joining in thirty of such pieces passes every arithmetic check: so only
joinings that somebody would write are made, and each says how it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from detectors.iin import issuer
from detectors.luhn import luhn
from detectors.test_numbers import TEST_NUMBERS

SINGLE = "one piece"
PRINTED = "groups as printed"
SPELLED = "digit by digit"
BROKEN = "irregular grouping"
MIXED = "irregular grouping, mixed separators"
LISTED = "separators of a list"
FLOATING = "floating point"
PADDED = "zero-padded"
EXTENDED = "expiry or code glued on"

MIN_DIGITS, MAX_DIGITS = 10, 19
"""Digits of a candidate: payment gateways accept ten, ISO/IEC 7812-1 caps the length at nineteen."""
_LEAST = 13
"""Digits of a number that is put together from pieces, or taken out of others."""
_FOUR = 4
_WIDEST_GAP = 3
LONGEST_FIELD = 24
"""Digits of a field that a number may be padded to with zeros."""

_PRINTED = (
    (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 4, 1), (4, 4, 4, 4), (4, 4, 4, 3), (4, 4, 4, 2), (4, 4, 4, 1),
    (4, 6, 5), (4, 6, 4), (4, 4, 5), (6, 13),
)  # fmt: skip
_RUN = re.compile(r"(?<![0-9])[0-9](?:[ ._+\-]*[0-9]){9,}")
_GROUP = re.compile(r"[0-9]+")
_STRANGE_GAP = r"([^\w .+\-*•＊●#]{1,3}|[\"'`)\]}][,;]? [\"'`(\[{]|[*#]| ?[^\w .+\-*•＊●#] ?|(?:\\+[nrt]){1,2})"
_STRANGE = re.compile(
    rf"(?<![0-9])[0-9]{{4}}{_STRANGE_GAP}(?:[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}|[0-9]{{6}}\1[0-9]{{4,5}})(?![0-9])"
)
_STRANGE_FROM_HERE = re.compile(rf"(?=[0-9]{{4}}[^0-9])(?={_STRANGE.pattern})")
_LIST = re.compile(r"[,;|\t\r\n\"'\]\[()<>{}]|\\[nrt]")
_STRINGS = re.compile(r"([\"'])[,;] ?\1")
_TABBED = re.compile(r"[0-9](?:\t|\\+t)[0-9]")
_WIDEST_LINE = 256
_MASKED = re.compile(r"(?:[*•＊●#][ \-]?){4}\Z")
_EXPONENT = re.compile(r"[eE]\+?(1[2-8])(?![0-9])")
_EXPIRY = r"(?:(?:0[1-9]|1[0-2])[2-4][0-9]|[2-4][0-9](?:0[1-9]|1[0-2]))"
_DATE = re.compile(r"(?:0[1-9]|1[0-2]) ?[/|.\-] ?(?:20)?[2-4][0-9](?![0-9])")
_EXPIRY_FOLLOWS = re.compile(rf"[ ._+\-]{{1,3}}{_DATE.pattern}")
_GLUED = re.compile(
    rf"(3[47][0-9]{{13}})(?={_EXPIRY}(?:[0-9]{{4}})?\Z)|(3[0689][0-9]{{12}})(?={_EXPIRY}(?:[0-9]{{3}})?\Z)"
    rf"|([24-6][0-9]{{15}}|35[0-9]{{14}})(?={_EXPIRY}(?:[0-9]{{3}})?\Z)"
)
_CODE_GLUED = re.compile(
    rf"(?:(3[47][0-9]{{13}})[0-9]{{4}}|([24-6][0-9]{{15}}|35[0-9]{{14}})[0-9]{{3}})(?![0-9])"
    rf"(?=[ ,;|/\t]{{1,3}}{_DATE.pattern}|\W{{1,3}}(?:exp\w{{0,8}}|有効期限)\W{{1,4}}{_DATE.pattern})",
    re.IGNORECASE,
)
"""A number and its security code in one piece, told by the expiry behind them."""
_TRAILING = 3
"""Groups after a number that may be its expiry and security code rather than more of a row."""


@dataclass(frozen=True, slots=True, repr=False)
class Group:
    """Digits in one piece. Offsets are characters."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True, repr=False)
class Shape:
    """Digits that could be one number, and how they are written. ``first`` to ``last`` are the groups of their run."""

    kind: str
    start: int
    end: int
    digits: bytes
    first: int = 0
    last: int = 0
    doubts: tuple[str, ...] = ()
    whole: bool = True
    """All the digits of their stretch: nothing joined on in the same way was left out."""

    def __repr__(self) -> str:
        return f"Shape({self.kind}, {len(self.digits)} digits, {self.start}:{self.end})"


def runs(text: str) -> Iterator[list[Group]]:
    """Stretches of digits with nothing but usual separators between, ten digits or more, cut into groups."""
    for run in _RUN.finditer(text):
        yield _groups(run)


def _groups(run: re.Match[str]) -> list[Group]:
    if run.group().isdigit():
        return [Group(*run.span())]
    return [Group(run.start() + m.start(), run.start() + m.end()) for m in _GROUP.finditer(run.group())]


def shapes(text: str, groups: Sequence[Group]) -> Iterator[Shape]:
    """Every joining of ``groups`` that somebody would write as one number. Linear in their count."""
    for index, group in enumerate(groups):
        yield from _of_one(text, groups, index, group)
    if len(groups) == 1:
        return
    yield from _printed(text, groups)
    for first, last in _stretches(text, groups):
        yield from _joined(text, groups, first, last)
    gaps = {gap(text, a, b) for a, b in pairwise(groups[: MAX_DIGITS + 1])}
    if len(gaps) > 1 and sum(group.size for group in groups) <= MAX_DIGITS:
        likely = gaps <= {" ", "-"} and all(group.size >= _FOUR - 1 for group in groups)
        yield replace(_shape(text, groups, 0, len(groups) - 1, MIXED), whole=likely)


def strange(text: str) -> Iterator[Shape]:
    """Numbers in the groups of a card, between separators that are seldom used in one."""
    for match in _STRANGE.finditer(text):
        gap = match[1]
        before, after = match.start() - len(gap), match.end() + len(gap)
        row = text.endswith(gap, 0, match.start()) and text[max(0, before - 1) : max(0, before)].isdigit()
        if not row and text.startswith(gap, match.end()) and text[after : after + 1].isdigit():
            row = not (gap.isspace() and _DATE.match(text, after))
        listed = _LIST.search(gap) is not None and not _in_a_list_of_its_own(text, gap, *match.span())
        digits = "".join(_GROUP.findall(match.group())).encode()
        doubts = ("part of a longer row of groups",) if row else ()
        yield Shape(LISTED if listed else PRINTED, match.start(), match.end(), digits, doubts=doubts, whole=not row)


def candidates(text: str, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Each number that the digit before ``at`` could belong to, however the digits around are cut into numbers: the
    span of everything it was chosen from, and its digits; of digits that make no number, none."""
    for run in _RUN.finditer(text):
        if run.start() < at <= run.end():
            groups = _groups(run)
            yield *run.span(), b""
            yield from ((*run.span(), shape.digits) for shape in shapes(text, groups))
    for begin in _STRANGE_FROM_HERE.finditer(text):
        match = _STRANGE.match(text, begin.start())
        if match is not None and match.start() < at <= match.end():
            yield *match.span(), "".join(_GROUP.findall(match.group())).encode()


def _in_a_list_of_its_own(text: str, gap: str, start: int, end: int) -> bool:
    """Whether four strings are all of an array, ``["4111", "1111", "1111", "1111"]``; or tabs stand between the groups,
    and the lines above and below are no rows of numbers."""
    if (quote := _STRINGS.fullmatch(gap)) is not None:
        return text[max(0, start - 2) : start] == f"[{quote[1]}" and text.startswith(f"{quote[1]}]", end)
    if gap not in ("\t", "\\t"):
        return False
    first = text.rfind("\n", 0, start)
    last = text.find("\n", end)
    above = text[max(0, first - _WIDEST_LINE) : first].rpartition("\n")[2] if first > 0 else ""
    below = text[last + 1 : last + 1 + _WIDEST_LINE].partition("\n")[0] if last >= 0 else ""
    return not (_TABBED.search(above) or _TABBED.search(below))


def is_mask_tail(text: str, group: Group) -> bool:
    """Whether the digits are the clear end of a masked number: ``****1111``, ``**** 1111``. A mask hides four digits at
    least, so two asterisks are emphasis (``**4111 …**``); more than eight digits are no mask's end."""
    return group.size <= 2 * _FOUR and _MASKED.search(text, max(0, group.start - 12), group.start) is not None


def gap(text: str, left: Group, right: Group) -> str:
    """What stands between two groups."""
    return text[left.end : right.start]


def _shape(text: str, groups: Sequence[Group], first: int, last: int, kind: str, *doubts: str) -> Shape:
    joined = "".join(text[g.start : g.end] for g in groups[first : last + 1]).encode()
    return Shape(kind, groups[first].start, groups[last].end, joined, first, last, doubts)


def _of_one(text: str, groups: Sequence[Group], index: int, group: Group) -> Iterator[Shape]:
    if group.size < MIN_DIGITS:
        return
    digits = text[group.start : group.end].encode()
    if group.size <= MAX_DIGITS:
        fraction = index > 0 and gap(text, groups[index - 1], group) == "."
        doubts = ("decimal fraction",) if fraction else ()
        yield Shape(SINGLE, group.start, group.end, digits, index, index, doubts)
        mantissa = fraction and groups[index - 1].size == 1
        exponent = _EXPONENT.match(text, group.end) if mantissa else None
        if exponent is not None and group.size <= int(exponent[1]):
            start = groups[index - 1].start
            full = (text[start : start + 1].encode() + digits).ljust(int(exponent[1]) + 1, b"0")
            yield Shape(FLOATING, start, group.end, full, index - 1, index)
    plain = digits.lstrip(b"0")
    if plain != digits and _LEAST <= len(plain) <= MAX_DIGITS and group.size <= LONGEST_FIELD:
        yield Shape(PADDED, group.end - len(plain), group.end, plain, index, index)
    if group.size <= _LEAST + _FOUR:
        return
    glued = _GLUED.match(digits.decode()) or _CODE_GLUED.match(text, group.start)
    if glued is not None:
        size = len(glued[glued.lastindex or 0])
        yield Shape(EXTENDED, group.start, group.start + size, digits[:size], index, index)


def is_extended(digits: bytes) -> bool:
    """Whether the digits may be a number with its expiry date glued on."""
    return _glued(digits) is not None


def _glued(digits: bytes) -> re.Match[str] | None:
    return _GLUED.match(digits.decode()) if len(digits) > _LEAST + _FOUR else None


def _printed(text: str, groups: Sequence[Group]) -> Iterator[Shape]:
    """Groups as they stand on a card, wherever they stand in the run."""
    sizes = [group.size for group in groups]
    for first, size in enumerate(sizes):
        if size not in (4, 6):
            continue
        for pattern in _PRINTED:
            last = first + len(pattern) - 1
            if pattern[0] == size and tuple(sizes[first : last + 1]) == pattern:
                gaps = [gap(text, a, b) for a, b in pairwise(groups[first : last + 1])]
                if "." in gaps and len(set(gaps)) > 1 and pattern != (4, 4, 4, 4):
                    continue  # decimal numbers side by side
                doubts = _row_doubts(text, groups, first, last)
                if any(len(between) > _WIDEST_GAP for between in gaps):
                    doubts += ("columns far apart",)
                yield _shape(text, groups, first, last, PRINTED, *doubts)


def _row_doubts(text: str, groups: Sequence[Group], first: int, last: int) -> tuple[str, ...]:
    """Groups that go on to both sides, or further than an expiry and a code would, are a row of numbers; but not where
    the next four are a card number of their own."""
    own = gap(text, groups[first], groups[first + 1])
    start, end = first, last
    while start and groups[start - 1].size == _FOUR and gap(text, groups[start - 1], groups[start]) == own:
        start -= 1
        if first - start > 2 * _FOUR:
            break
    while end + 1 < len(groups) and groups[end + 1].size <= _FOUR and gap(text, groups[end], groups[end + 1]) == own:
        end += 1
        if end - last > 2 * _FOUR:
            break
    before, after = first - start, end - last
    if after >= _FOUR:
        alone = not _is_valid(text, groups[last + 1 : last + 1 + _FOUR])
    elif before >= _FOUR:
        alone = not _is_valid(text, groups[first - _FOUR : first])
    else:
        alone = before > 1 or (before > 0 and after > 0)
    return ("part of a longer row of groups",) if alone else ()


def _is_valid(text: str, groups: Sequence[Group]) -> bool:
    digits = "".join(text[g.start : g.end] for g in groups).encode()
    return luhn(digits) and (issuer(digits) is not None or digits in TEST_NUMBERS)


def _stretches(text: str, groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
    """First and last group of each stretch that one and the same separator holds together."""
    first = 0
    for index in range(1, len(groups)):
        between = gap(text, groups[index - 1], groups[index])
        if index > first + 1 and between != gap(text, groups[first], groups[first + 1]):
            yield first, index - 1
            first = index - 1
    if len(groups) > first + 1:
        yield first, len(groups) - 1


def _joined(text: str, groups: Sequence[Group], first: int, last: int) -> Iterator[Shape]:
    """The digits of a stretch, or of its part that is spelled digit by digit, as one number."""
    between = gap(text, groups[first], groups[first + 1])
    ones = [index for index in range(first, last + 1) if groups[index].size == 1]
    if ones and ones[-1] - ones[0] + 1 == len(ones) and _LEAST <= len(ones) <= MAX_DIGITS:
        yield _shape(text, groups, ones[0], ones[-1], SPELLED)
        return
    if between == "." and last - first == 1:
        return  # a decimal number
    total = sum(groups[index].size for index in range(first, last + 1))
    if MIN_DIGITS <= total <= MAX_DIGITS:
        yield _shape(text, groups, first, last, BROKEN)
    for end in range(last - 1, max(first, last - 1 - _TRAILING), -1):  # 4111 111111111111 1230 123
        total -= groups[end + 1].size
        if not 2 <= groups[end + 1].size <= _FOUR:
            return
        if _LEAST <= total <= MAX_DIGITS:
            whole = _EXPIRY_FOLLOWS.match(text, groups[end].end) is not None
            yield replace(_shape(text, groups, first, end, BROKEN), whole=whole)
