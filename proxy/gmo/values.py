"""What a single value in GMO Payment Gateway traffic is: a masked number, a token, or neither. Pure, and data first."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

TokenShape = Literal["v1", "v2", "wallet", "digits", ""]

MASK_CHARACTERS = "*xX#•"
"""GMO and receipts mask with these; full-width ＊ and ＃ fold into them (NFKC)."""


@dataclass(frozen=True, slots=True)
class MaskRule:
    """The most of a number that may stay readable, by the length of the whole. Lengths are characters.

    Source: PCI SSC FAQ 1091 (acceptable truncation) and the formats GMO documents or returns.
    """

    shortest: int
    longest: int
    leading: int
    trailing: int
    hidden: int


MASK_RULES = (
    MaskRule(4, 12, leading=0, trailing=4, hidden=4),  # ****1111; too short to show an issuer prefix as well
    MaskRule(
        13, 15, leading=6, trailing=4, hidden=4
    ),  # **********1111 (OpenAPI), Amex and Diners under a floating mask
    MaskRule(16, 16, leading=8, trailing=4, hidden=4),  # *************111, ************1111, 4111********1111
    MaskRule(17, 19, leading=6, trailing=4, hidden=6),
    MaskRule(20, 64, leading=0, trailing=0, hidden=20),  # AccessPass of a result notification: 32 asterisks, no card
)

_MASK = re.compile(rf"([0-9]*)([{re.escape(MASK_CHARACTERS)}]+)([0-9]*)")
_SEPARATORS = re.compile(r"[\s-]+")
_V1 = re.compile(r"[0-9a-fA-F]{64}")
_V2 = re.compile(r"[A-Za-z0-9+/=_-]{40,128}")
_WALLET = re.compile(r"[A-Za-z0-9+/_-]{129,16384}={0,2}")
_DIGITS = re.compile(r"[0-9]{10,}")


def folded(value: str) -> str:
    """``value`` with full-width and compatibility forms folded (NFKC), spaces and hyphens removed."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", value))


def is_blank(value: str) -> bool:
    """Whether a parameter carries nothing: the official client sends every key, empty or as the word ``null``."""
    return folded(value).casefold() in ("", "null")


def is_masked(value: str) -> bool:
    """Whether every row of ``value`` is a masked number; list APIs join rows with ``|``. Decode CP932 before asking.

    Rows may be empty (a deleted card), but not all of them.
    """
    rows = [row for row in folded(value).split("|") if row]
    return bool(rows) and all(_row_is_masked(row) for row in rows)


def is_only_mask(value: str) -> bool:
    """Whether nothing but mask characters is left of ``value``, whatever its length: a code masked as ``***``."""
    text = folded(value)
    return bool(text) and all(character in MASK_CHARACTERS for character in text)


def token_shape(value: str) -> TokenShape:
    """Which kind of token ``value`` looks like; ``digits`` is a number smuggled as a token, ``""`` none of them.

    ``v1``: 64 hex. ``v2``: 40 to 128 characters of the base64 alphabets. ``wallet``: a longer base64 payload
    (Apple Pay, Google Pay). No token is made of digits only, so any such value of 10 digits or more is ``digits``.
    """
    if _DIGITS.fullmatch(folded(value)):
        return "digits"
    text = value.strip()
    if _V1.fullmatch(text):
        return "v1"
    if _V2.fullmatch(text):
        return "v2"
    return "wallet" if _WALLET.fullmatch(text) else ""


def _row_is_masked(row: str) -> bool:
    match = _MASK.fullmatch(row)
    if match is None:
        return False
    leading, hidden, trailing = (len(group) for group in match.groups())
    return any(
        rule.shortest <= len(row) <= rule.longest
        and leading <= rule.leading
        and trailing <= rule.trailing
        and hidden >= rule.hidden
        for rule in MASK_RULES
    )
