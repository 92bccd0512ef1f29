"""The check digit of a card number. Source: ISO/IEC 7812-1, Annex B (the Luhn formula)."""

from __future__ import annotations

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: bytes) -> bool:
    """Whether ASCII ``digits`` end in the right check digit. Empty input is not valid."""
    if not digits:
        return False
    plain = sum(digits[-1::-2]) - 48 * len(digits[-1::-2])
    doubled = sum(_DOUBLED[d - 48] for d in digits[-2::-2])
    return (plain + doubled) % 10 == 0


def ean13(digits: bytes) -> bool:
    """Whether 13 ASCII ``digits`` end in a right EAN/JAN check digit. Source: GS1 General Specifications, 7.9."""
    return len(digits) == 13 and (sum(digits[0::2]) - 48 * 7 + 3 * (sum(digits[1::2]) - 48 * 6)) % 10 == 0
