"""Issuer identification numbers: which prefix and length belong to which card brand.

Source: ISO/IEC 7812 assigns the prefixes; the ranges are those of the brands' public documentation as gathered in
braintree/credit-card-type and Wikipedia's "Payment card number" table, read 2026-11. Ranges of one brand that are
seen only in test environments are marked so. Where ranges overlap, the longer prefix wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from detectors.luhn import luhn


@dataclass(frozen=True, slots=True)
class Issuer:
    """One inclusive prefix range and the card lengths issued in it."""

    brand: str
    first: int
    last: int
    lengths: tuple[int, ...]
    security_code: int = 3
    luhn_required: bool = True
    bare: bool = True
    """A number counts without any word beside it. Not so for defunct or very short ranges: too many everyday numbers
    share their shape."""
    common: tuple[int, ...] = (16, 19)
    """Lengths that are in circulation. The standard allows the others, but far more identifiers have them than cards
    (snowflakes, SSCC, identity numbers): without a word beside it, a number of such a length is doubtful."""

    @property
    def prefix_length(self) -> int:
        return len(str(self.first))


def _to(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


ISSUERS: tuple[Issuer, ...] = (
    Issuer("visa", 4, 4, (13, 16, 18, 19), common=(13, 16, 19)),
    Issuer("mastercard", 51, 55, (16,)),
    Issuer("mastercard", 2221, 2720, (16,)),
    Issuer("jcb", 3528, 3589, _to(16, 19)),
    Issuer("jcb", 2131, 2131, (15, 16), common=(15,)),
    Issuer("jcb", 1800, 1800, (15, 16), common=(15,)),  # sixteen: microseconds since 1970 begin so in January 2027
    Issuer("jcb", 3088, 3088, (16,)),  # test environments only
    Issuer("jcb", 3337, 3338, (16,)),  # test environments only
    Issuer("amex", 34, 34, (15,), 4, common=(15,)),
    Issuer("amex", 37, 37, (15,), 4, common=(15,)),
    Issuer("diners", 300, 305, _to(14, 19), common=(14, 16)),
    Issuer("diners", 3095, 3095, _to(14, 19), common=(14, 16)),
    Issuer("diners", 36, 36, _to(14, 19), common=(14, 16)),
    Issuer("diners", 38, 39, _to(14, 19), common=(14, 16)),
    Issuer("discover", 6011, 6011, _to(16, 19)),
    Issuer("discover", 644, 649, _to(16, 19)),
    Issuer("discover", 65, 65, _to(16, 19)),
    Issuer("unionpay", 622126, 622925, _to(16, 19), luhn_required=False),  # shared with Discover
    Issuer("unionpay", 62, 62, _to(14, 19), luhn_required=False),
    Issuer("unionpay", 81, 81, _to(14, 19), luhn_required=False),
    Issuer("maestro", 50, 50, _to(12, 19)),
    Issuer("maestro", 56, 59, _to(12, 19)),
    Issuer("maestro", 63, 63, _to(12, 19)),
    Issuer("maestro", 67, 67, _to(12, 19)),
    Issuer("maestro", 493698, 493698, _to(12, 19)),
    Issuer("mir", 2200, 2204, _to(16, 19)),
    Issuer("troy", 9792, 9792, (16,)),
    Issuer("elo", 401178, 401179, (16,)),
    Issuer("elo", 506699, 506778, (16,)),
    Issuer("elo", 509000, 509999, (16,)),
    Issuer("hipercard", 606282, 606282, (16,)),
    Issuer("hiper", 637095, 637095, (16,)),
    Issuer("verve", 506099, 506198, (16, 18, 19)),
    Issuer("rupay", 60, 60, (16,)),
    Issuer("rupay", 508, 508, (16,)),
    Issuer("instapayment", 637, 639, (16,)),
    Issuer("interpayment", 636, 636, _to(16, 19)),
    Issuer("dankort", 5019, 5019, (16,)),
    Issuer("uatp", 1, 1, (15,), bare=False, common=(15,)),
    Issuer("enroute", 2014, 2014, (15,), 0, luhn_required=False, bare=False, common=(15,)),
    Issuer("enroute", 2149, 2149, (15,), 0, luhn_required=False, bare=False, common=(15,)),
)

BRANDS: tuple[str, ...] = tuple(sorted({row.brand for row in ISSUERS}))
"""Every brand a finding can carry, besides ``""``: a bounded set for metric labels."""

MIN_LENGTH, MAX_LENGTH = 12, 19
"""Digits of a card number in the table. ISO/IEC 7812-1 caps the length at 19."""


def _by_prefix() -> dict[str, tuple[Issuer, ...]]:
    table: dict[str, list[Issuer]] = {}
    for row in ISSUERS:
        for prefix in range(row.first, row.last + 1):
            table.setdefault(str(prefix), []).append(row)
    return {prefix: tuple(rows) for prefix, rows in table.items()}


_PREFIXES = _by_prefix()
_LONGEST_FIRST = tuple(sorted({len(prefix) for prefix in _PREFIXES}, reverse=True))


def beginning(digits: bytes) -> tuple[Issuer, ...]:
    """The rows whose prefix ASCII ``digits`` begin with, whatever their length, most specific first."""
    text = digits.decode("ascii")
    return tuple(row for length in _LONGEST_FIRST for row in _PREFIXES.get(text[:length], ()))


def issuers(digits: bytes) -> tuple[Issuer, ...]:
    """The rows whose prefix and length fit ASCII ``digits``, most specific first. The check digit is not looked at."""
    return _fitting(digits[: _LONGEST_FIRST[0]], len(digits))


@lru_cache(4096)
def _fitting(start: bytes, length: int) -> tuple[Issuer, ...]:
    """Likewise, of numbers that begin with ``start``: no more of one is remembered than its issuer's prefix."""
    return tuple(row for row in beginning(start) if length in row.lengths)


def issuer(digits: bytes) -> Issuer | None:
    """The most specific row that ``digits`` satisfy: prefix, length, and check digit.

    A range whose cards need not pass Luhn is given only where they do pass; the caller who knows more (a card key
    around the number) asks ``issuers``.
    """
    rows = issuers(digits)
    return rows[0] if rows and luhn(digits) else None
