"""Hits of the sieve at which recognizers need not look: digits in one piece that can be no card number as they stand.

A log of article codes points at every line (``49…`` begins like a Visa number), and most of them fail the check digit.
Only a card's name could make a card number of such digits, so where one may stand, they are looked at all the same.
Limits: digits in one piece and nothing else that is usual between the groups of a number; ten to nineteen of them, or
more than any field is long. Everything else stays a hit.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass

from detectors.compiled import CASELESS, Compiled
from detectors.model import Budget
from detectors.recognizers.pan import impossible
from detectors.recognizers.shapes import candidates
from detectors.sieve import Hits
from detectors.split import in_named_list

_DIGITS = b"0123456789"
_BETWEEN = b" ._+-"
_REACH = 32
_MOST = 64
"""Bytes looked at on either side of a hit for the ends of its digits."""
_LONGEST = 19
"""Digits of a card number."""
_NAMED_WITHIN = 80
"""Characters before a value in which recognizers look for its name."""
_WIDEST = 4
_TRACK = b"=D^d"
_FAR = 192
"""Bytes looked at on either side of a hit for the digits that may belong to it."""
_USUAL = " ._+-"
_TRACK_BEGINS = re.compile(rb"[0-9][=D^d]")
_LOOKS = 2000
_LOOK_EACH = 2048
"""Hits in groups that are looked into: so many, and one more for each so many bytes. A text with more of them is read
by the recognizers."""
_NAMES = Compiled(
    [
        (
            rb"c[_.\- ]?a[_.\- ]?r[_.\- ]?d|c[_.\- ]?c[_.\- ]?n|(?:^|[^a-z0-9])cc[1-4]?(?:[^a-z0-9]|$)|account|[\\%&]",
            CASELESS,
        ),
        (rb"pan(?:$|[^a-z_.\-]|[_.\-](?:$|[^a-z]))", CASELESS),
        (
            rb"\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89|\xe3\x82\xaf\xe3\x83\xac\xe3\x82\xab|\xef\xbd\xb6\xef\xbd\xb0\xef\xbe\x84",
            0,
        ),
    ]
)
"""``keys.may_name_card`` for texts of any length."""


def hopeless(
    data: bytes,
    label: bytes,
    ends: Iterable[int],
    budget: Budget,
    groups: Container[int] = (),
    *,
    nameless: bool = False,
) -> frozenset[int]:
    """Those of ``ends`` (offsets behind a digit of ``data``) at which no recognizer finds anything, unless the value
    has a card's name that stands elsewhere. ``label`` stands before the data. ``groups``: those at which a number may
    stand in the groups of a card, with anything between. ``nameless``: there is no card's name in the data."""
    found: list[int] = []
    looks = _LOOKS + len(data) // _LOOK_EACH
    for n, end in enumerate(ends):
        if not n & 1023:
            budget.check_time()
        if end <= 0:
            continue
        vain = None if end in groups else _alone(data, end)
        if vain is None:
            looks -= 1
            vain = looks >= 0 and _apart(data, end)
        if not vain:
            continue
        if nameless or not _named(data, label, end):
            found.append(end)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Prospects:
    """What may come of the digits in some data. Offsets are those of the data, behind its label."""

    digits: tuple[int, ...]
    """Sorted, where there is a number in plain digits."""
    hopeless: frozenset[int]
    """Those at which nobody finds anything but under a card's name."""
    nameless: bool
    """There is no such name."""


NONE = Prospects((), frozenset(), nameless=False)


def prospects(data: bytes, label: bytes, hits: Hits, budget: Budget) -> Prospects:
    """What may come of the digits that a pass over ``label`` and ``data`` has pointed at."""
    ends = hits.digits(len(label))
    if not ends:
        return NONE
    nameless = not _NAMES.any(label + data if label else data)
    weak = hopeless(data, label, ends, budget, hits.grouped(len(label)), nameless=nameless)
    return Prospects(tuple(ends), weak, nameless)


def quiet(hits: Hits, found: Prospects) -> bool:
    """Whether nobody need look at all: every hit is hopeless, and no name in the data is that of a card."""
    return (
        found.nameless
        and hits.only_digits
        and len(found.hopeless) == len(found.digits) == len(hits.bare) + len(hits.groups)
    )


def _alone(data: bytes, end: int) -> bool | None:
    """Whether the digits at ``end`` are no card number; ``None`` where that cannot be told of them alone."""
    low, high = max(0, end - _MOST), end + _MOST
    before, after = data[low:end], data[end:high]
    left, right = before.rstrip(_DIGITS), after.lstrip(_DIGITS)
    if (not left and low) or (not right and high < len(data)):
        return None
    further, behind = left[-_REACH:].rstrip(_BETWEEN), right[:_REACH].lstrip(_BETWEEN)
    if further[-1:].isdigit() or behind[:1].isdigit() or (right and right[0] in _TRACK):
        return None
    if (not further and len(left) >= _REACH) or (not behind and len(right) >= _REACH):
        return None
    digits = before[len(left) :] + after[: len(after) - len(right)]
    return impossible(digits) or (None if len(digits) > _LONGEST else False)


def _apart(data: bytes, end: int) -> bool:
    """Whether no number that is written in groups, and that the digits at ``end`` may belong to, is one of a card."""
    low, high = max(0, end - _FAR), end + _FAR
    before = data[low:end].decode("utf-8", "replace")
    text = before + data[end:high].decode("utf-8", "replace")
    if in_named_list(before, text[len(before) :]):
        return True
    if _TRACK_BEGINS.search(data, low, high):
        return False
    for start, stop, digits in candidates(text, len(before)):
        cut = (low and not text[:start].strip(_USUAL)) or (high < len(data) and not text[stop:-_MOST].strip(_USUAL))
        if cut or (digits and not impossible(digits)):
            return False
    return True


def _named(data: bytes, label: bytes, end: int) -> bool:
    """Whether a card's name may stand before the digits at ``end``."""
    start = end - _MOST - _NAMED_WITHIN * _WIDEST
    return _NAMES.any(data[start:end] if start > 0 else label + data[:end])
