"""Chip data in hexadecimal: ``5A`` (application PAN) and ``57`` (track 2 equivalent data) with their lengths.

Source: EMV 4.3 Book 3, annex A (tags 57, 5A, 9F6B) and B (BER-TLV); PCI DSS 4.0.1, 3.3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.iin import issuers
from detectors.luhn import luhn
from detectors.model import PAN, TRACK_2
from detectors.recognizers import Recognized
from detectors.test_numbers import TEST_NUMBERS

_TRACK = re.compile(
    r"(?:57|9F6B)(0[89A-F]|1[0-3])(([0-9]{12,19})D[0-9]{2}(?:0[1-9]|1[0-2])[0-9]{3}[0-9]*F?)", re.IGNORECASE
)
_PAN = re.compile(r"5A(0[6-9A])([0-9]{12,19})F?", re.IGNORECASE)

MUST_FIND = (
    ("57134111111111111111D25121010000012300000F", TRACK_2, "4111111111111111D25121010000012300000F"),
    ("9f26081122334455667788570c4111111111111111d25122019f3602", TRACK_2, "4111111111111111d2512201"),
    ("5A0841111111111111115F2403251231", PAN, "4111111111111111"),
    ("9F02065A08378282246310005F5F2403", PAN, "378282246310005"),
)
MUST_NOT = ("5A084111111111111112", "57134111111111111112D25121010000012300000F", "5A074111111111111111", "5A08ABCDEF")


def _is_card(digits: bytes) -> bool:
    return (bool(issuers(digits)) and luhn(digits)) or digits in TEST_NUMBERS


def recognize(text: str) -> Iterator[Recognized]:
    """Every number and every track whose length is what the byte before it says."""
    for match in _PAN.finditer(text):
        size = 2 * int(match[1], 16)
        digits = match[2][:size].encode()
        whole = len(digits) == size or (len(digits) == size - 1 and text[match.end(2) : match.end(2) + 1] in "Ff")
        if whole and _is_card(digits):
            brand = issuers(digits)[0].brand if issuers(digits) else ""
            start = match.start(2)
            yield Recognized(PAN, start, start + len(digits), "high", brand, ("chip data, tag 5A", "luhn"))
    for match in _TRACK.finditer(text):
        digits = match[3].encode()
        size = 2 * int(match[1], 16)
        if len(match[2]) >= size > len(digits) + 1 and _is_card(digits):
            brand = issuers(digits)[0].brand if issuers(digits) else ""
            start = match.start(2)
            yield Recognized(TRACK_2, start, start + size, "high", brand, ("chip data, tag 57", "luhn"))
