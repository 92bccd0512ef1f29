"""Card numbers that payment providers publish for testing: literal, so that a search for them needs no code under test."""

from __future__ import annotations

import re

PUBLISHED = (
    # (number, brand, passes Luhn)
    ("4111111111111111", "visa", True),
    ("4242424242424242", "visa", True),
    ("4012888888881881", "visa", True),
    ("4000056655665556", "visa", True),
    ("4222222222222", "visa", True),
    ("4111111111111111110", "visa", True),
    ("4001020000000009", "visa", True),
    ("5555555555554444", "mastercard", True),
    ("5105105105105100", "mastercard", True),
    ("2223003122003222", "mastercard", True),
    ("2720990000000015", "mastercard", True),
    ("5500000000000004", "mastercard", True),
    ("378282246310005", "amex", True),
    ("371449635398431", "amex", True),
    ("340000000000108", "amex", True),
    ("343434343434343", "amex", True),
    ("3566002020360505", "jcb", True),
    ("3530111333300000", "jcb", True),
    ("3528000000000106", "jcb", True),
    ("3569990010095841", "jcb", True),
    ("6011111111111117", "discover", True),
    ("6011000990139424", "discover", True),
    ("6445644564456445", "discover", True),
    ("6447032400000000001", "discover", True),
    ("30569309025904", "diners", True),
    ("36227206271667", "diners", True),
    ("38520000023237", "diners", True),
    ("3056930009020004", "diners", True),
    ("6200000000000005", "unionpay", True),
    ("6205500000000000004", "unionpay", True),
    ("6250947000000006", "unionpay", True),
    ("6212345678901232", "unionpay", True),
    ("8171999927660000", "unionpay", True),
    ("6759649826438453", "maestro", True),
    ("6771798021000008", "maestro", True),
    ("5000550000000029", "maestro", True),
    ("6304000000000000", "maestro", True),
    ("6062820524845321", "hipercard", True),
    ("5066991111111118", "elo", True),
    ("9792090000000004", "troy", True),
    # A gateway's own test numbers, which fail Luhn: a card by the key they stand under.
    ("5111111111111111", "mastercard", False),
    ("2111111111111111", "mastercard", False),
    ("3111111111111111", "jcb", False),
)

LITERALS = frozenset(number for number, _brand, _luhn in PUBLISHED)

_LITERAL = re.compile(rf"(?<![0-9])(?:{'|'.join(sorted(LITERALS))})(?![0-9])")
# Digits as people write them: plain, or in groups. No letter, digit or decimal point before, none of the first two after.
_WRITTEN = re.compile(r"(?<![0-9A-Za-z.+-])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])")
_GROUPS = re.compile(r"[0-9]{4}([ -])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{6}\1[0-9]{4,5})")
_ISSUED = re.compile(r"[3-6]|2[2-7]|81|9792")


def luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1)."""
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def card_numbers_in(text: str) -> list[tuple[int, int]]:
    """Spans of ``text`` that hold a published number, or another that could be a card's.

    The others must begin as issued numbers do and pass Luhn, and stand plain or in a card's own groups: clocks in
    milliseconds, object addresses and UUIDs are no card numbers.
    """
    spans = [match.span() for match in _LITERAL.finditer(text)]
    for match in _WRITTEN.finditer(text):
        written = match.group()
        digits = re.sub(r"\D", "", written)
        plain = digits == written or _GROUPS.fullmatch(written) is not None
        if digits in LITERALS or (plain and _ISSUED.match(digits) and luhn(digits)):
            spans.append(match.span())
    return sorted(set(spans))


def masked(text: str) -> str:
    """``text`` with every such number replaced, fit to be printed."""
    for start, end in reversed(card_numbers_in(text)):
        text = text[:start] + "*" * (end - start) + text[end:]
    return text
