"""Magnetic-stripe data, with and without its sentinels. Source: ISO/IEC 7813; PCI DSS 4.0.1, 3.3.1.1."""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.iin import issuers
from detectors.luhn import luhn
from detectors.model import TRACK_1, TRACK_2
from detectors.recognizers import Recognized
from detectors.recognizers.surroundings import names_before
from detectors.test_numbers import TEST_NUMBERS

_TRACK_1 = re.compile(
    r"%?[Bb]([0-9][0-9 ]{10,22}[0-9])\^([^\^\r\n]{2,26})\^(?:[0-9]{4}|\^)(?:[0-9A-Z ^/.-]{0,60}\?|[0-9^]{0,48})"
)
_TRACK_2 = re.compile(r";?(?<![0-9])([0-9]{12,19})[=D]([0-9]{2}(?:0[1-9]|1[0-2]))([0-9]{3})([0-9]*)\??")
_TRACK_KEY_PART = "track"

MUST_FIND = (
    ("%B4111111111111111^YAMADA/TARO^30121010000000000?", TRACK_1),
    ("B4111111111111111^YAMADA/TARO^3012101", TRACK_1),
    (";4111111111111111=30121010000000000?", TRACK_2),
    ("4111111111111111=30121010000", TRACK_2),
    ("4111111111111111D30121010000", TRACK_2),
)
MUST_NOT = ("order=4111111111111112=30121010000", "4111111111111111=1", ";id=30121010000")


def recognize(text: str) -> Iterator[Recognized]:
    """Every track, whole: sentinels and discretionary data included."""
    for entity, pattern in ((TRACK_1, _TRACK_1), (TRACK_2, _TRACK_2)):
        for match in pattern.finditer(text):
            digits = match.group(1).replace(" ", "").encode()
            rows = issuers(digits)
            keyed = any(_TRACK_KEY_PART in name or "magstripe" in name for name in names_before(text, match.start()))
            if (rows and luhn(digits)) or digits in TEST_NUMBERS or keyed:
                brand = rows[0].brand if rows else ""
                yield Recognized(entity, match.start(), match.end(), "high", brand, ("track layout",))
