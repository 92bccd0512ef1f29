"""Hits of the sieve at which recognizers need not look: digits in one piece that can be no card number as they stand.

A log of article codes points at every line (``49…`` begins like a Visa number), and most of them fail the check digit.
Only a card's name could make a card number of such digits, so where one may stand, they are looked at all the same.
Limits: digits in one piece and nothing else that is usual between the groups of a number; ten to nineteen of them, or
more than any field is long. Everything else stays a hit.
"""

from __future__ import annotations

from collections.abc import Iterable

from detectors.keys import may_name_card
from detectors.model import Budget
from detectors.recognizers.pan import impossible

_DIGITS = b"0123456789"
_BETWEEN = b" ._+-"
_REACH = 32
_MOST = 64
"""Bytes looked at on either side of a hit for the ends of its digits."""
_NAMED_WITHIN = 80
"""Characters before a value in which recognizers look for its name."""
_WIDEST = 4
_TRACK = b"=D^d"


def hopeless(data: bytes, label: bytes, ends: Iterable[int], budget: Budget) -> frozenset[int]:
    """Those of ``ends`` (offsets behind a digit of ``data``) at which no recognizer finds anything, unless the value
    has a card's name that stands elsewhere. ``label`` stands before the data."""
    found: list[int] = []
    for n, end in enumerate(ends):
        if not n & 1023:
            budget.check_time()
        if end > 0 and _alone(data, end) and not _named(data, label, end):
            found.append(end)
    return frozenset(found)


def _alone(data: bytes, end: int) -> bool:
    """Whether the digits at ``end`` stand by themselves and are no card number."""
    low, high = max(0, end - _MOST), end + _MOST
    before, after = data[low:end], data[end:high]
    left, right = before.rstrip(_DIGITS), after.lstrip(_DIGITS)
    if (not left and low) or (not right and high < len(data)):
        return False
    further, behind = left[-_REACH:].rstrip(_BETWEEN), right[:_REACH].lstrip(_BETWEEN)
    if further[-1:].isdigit() or behind[:1].isdigit() or (right and right[0] in _TRACK):
        return False
    if (not further and len(left) >= _REACH) or (not behind and len(right) >= _REACH):
        return False
    return impossible(before[len(left) :] + after[: len(after) - len(right)])


def _named(data: bytes, label: bytes, end: int) -> bool:
    """Whether a card's name may stand before the digits at ``end``."""
    start = end - _MOST - _NAMED_WITHIN * _WIDEST
    return may_name_card(data[start:end] if start > 0 else label + data[:end])
