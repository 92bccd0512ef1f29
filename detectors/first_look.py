"""A cheaper pass before the sieve's: it is silent only where the sieve is, and most prose is over with it.

Nearly every row of the sieve asks for a digit, an escape or another byte that prose seldom has. All of those rows
together are one row here: any such byte. Whether a row asks for one is read from its syntax; the others stay as they
are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from detectors.compiled import ONCE

parser: Any = import_module("re._parser")
syntax: Any = import_module("re._constants")

Row = tuple[bytes, int]
"""An expression and its flags in Hyperscan's dialect."""

MARKS = frozenset((*b"0123456789%\\&=<\x1b\x00", *range(128, 256)))
"""No letters among them: a row means the same bytes of these with or without regard to case."""

_ANY = frozenset(range(256))
_CATEGORIES = {syntax.CATEGORY_SPACE: frozenset(b" \t\n\r\f\v"), syntax.CATEGORY_DIGIT: frozenset(b"0123456789")}


def first_look(rows: Sequence[Row]) -> list[Row]:
    """Rows that match wherever one of ``rows`` does, and more."""
    marks = b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(MARKS)) + b"]"
    return [(marks, ONCE), *(row for row in rows if not asks_for_mark(row[0]))]


def asks_for_mark(expression: bytes) -> bool:
    """Whether everything that the expression matches has one of ``MARKS`` in it. ``False``: that cannot be told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _asks(parser.parse(expression))


def _asks(items: Iterable[tuple[Any, Any]]) -> bool:
    return any(_one_asks(kind, value) for kind, value in items)


def _one_asks(kind: Any, value: Any) -> bool:
    if kind is syntax.LITERAL:
        return value in MARKS
    if kind is syntax.IN:
        return _members(value) <= MARKS
    if kind is syntax.BRANCH:
        return all(_asks(choice) for choice in value[1])
    if kind is syntax.SUBPATTERN:
        return _asks(value[3])
    return kind is syntax.MAX_REPEAT and value[0] > 0 and _asks(value[2])


def _members(items: Iterable[tuple[Any, Any]]) -> frozenset[int]:
    """The bytes of a class; too many where that cannot be told."""
    found, negated = frozenset[int](), False
    for kind, value in items:
        if kind is syntax.NEGATE:
            negated = True
        elif kind is syntax.LITERAL:
            found |= {value}
        elif kind is syntax.RANGE:
            found |= set(range(value[0], value[1] + 1))
        elif not negated:
            found |= _CATEGORIES.get(value, _ANY)
    return _ANY - found if negated else found
