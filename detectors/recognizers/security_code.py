"""Security codes (CVV2, CVC2, CID, CAV2): three or four digits under a name that says so. They never stand alone.

Source: PCI DSS 4.0.1, 3.3.1.2: the card verification code is not kept after authorization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.keys import SECURITY_CODE_KEY_SET
from detectors.model import SECURITY_CODE
from detectors.recognizers import Recognized
from detectors.recognizers.surroundings import BETWEEN, names_before

_NAME = re.compile(
    r"(?<![a-z])(?:[a-z]*?(?:cvv2?|cvc2?|cav2)|[a-z]*csc|(?:card[\s_.-]?)?(?:security|sec|verification)[\s_.-]?(?:code|cd|value))"
    r"(?:[\s_.-]?(?:code|value|number|no))?"
    r"|カード確認番号|(?:セキュリティ|ｾｷｭﾘﾃｨ)(?:コード|ｺｰﾄﾞ)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    rf"(?:{BETWEEN}|[^0-9A-Za-z*]|\\+[nrt\"]|\bis\b|\bwas\b|\bno\b){{1,12}}?([0-9]{{3,4}})(?![0-9A-Za-z*]|%3[0-9]|\.[0-9])"
)
_FREE = 40
"""A Japanese sentence may put particles between the name and the digits."""
_JAPANESE_VALUE = re.compile(r"[^0-9\n*]{1,12}?([0-9]{3,4})(?![0-9A-Za-z*]|\.[0-9])")

MUST_FIND = (
    ("securityCode: 123", "123"),
    ('"cvv":"1234"', "1234"),
    ("CVC2=999&x=1", "999"),
    ("card.cvv: 123", "123"),
    ("セキュリティコードは123です", "123"),
    ("security code is 123", "123"),
    ("X-CVV: 123", "123"),
    ("cvv%3D123", "123"),
    ("&quot;cvc&quot;:&quot;123&quot;", "123"),
    ("card_verification_code: 123", "123"),
)
MUST_NOT = ("cvv: ***", "cvv:", "SecCodeRequiredFlag: 123", "cvv_result: 100", "order 123", "cvv: 12345", "cvc: null")


def recognize(text: str) -> Iterator[Recognized]:
    """Every security code that stands under its name."""
    at = 0
    while (name := _NAME.search(text, at)) is not None:
        at = name.end()
        ascii_name = name.group()[-1].isascii()
        value = (_VALUE if ascii_name else _JAPANESE_VALUE).match(text, name.end())
        if value is None:
            continue
        if ascii_name and SECURITY_CODE_KEY_SET.isdisjoint(names_before(text, name.end())):
            continue
        yield Recognized(SECURITY_CODE, value.start(1), value.end(1), "high", "", ("security code key",))
        at = value.end()
