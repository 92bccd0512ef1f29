"""Security codes (CVV2, CVC2, CID, CAV2): three or four digits under a name that says so. They never stand alone.

Source: PCI DSS 4.0.1, 3.3.1.2: the card verification code is not kept after authorization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.keys import SECURITY_CODE_KEY_SET, VERIFICATION_KEY_SET
from detectors.model import SECURITY_CODE
from detectors.recognizers import Recognized
from detectors.recognizers.surroundings import BETWEEN, names_before

_NAME = re.compile(
    r"(?:cvv2?|cvc2?|cvn2?|cav2|csc|verify[\s_.-]?code|(?:secur(?:ity|e)|sec)[\s_.-]?(?:code|cd|value|number|no)|verification)"
    r"(?:[\s_.-]?(?:code|val(?:ue)?|num(?:ber)?|no|input|field|te?xt|str|data))?"
    r"|(?:amex|card|cc)[\s_.-]?cid|c[óo]digo de seguridad|pr[üu]fnummer|cryptogramme(?: visuel)?"
    r"|安全[码碼]|보안 ?코드|カード確認番号|(?:セキュリティー?|ｾｷｭﾘﾃｨ)(?:コード|ｺｰﾄﾞ|番号)"
    r"|裏面?の?[34３４三四]\s?[桁ケけ]た?(?:の(?:番号|数字))?",
    re.IGNORECASE,
)
_STEMS = (
    *("cvv", "cvc", "cvn", "cav2", "csc", "cid", "sec", "verif", "segur", "fnummer", "crypt"),
    *("安全", "보안", "カード確認", "セキュリティ", "ｾｷｭﾘﾃｨ", "裏"),
)
"""Each name has one of these in it, in lower case: most texts have none, which is told a hundred times faster."""
_HINT = r"(?: ?[(（\[][^\n()（）\[\]]{1,24}[)）\]])?"
"""``(3桁)``, ``(3 digits)`` behind the name."""
_CODE = (
    r"(?!(?:19|20)[0-9]{2}(?:[-/.][01]?[0-9](?![0-9])|年))([0-9]{3,4})"
    r"(?![0-9A-Za-z*]|%3[0-9]|\.(?!0{1,2}(?![0-9]))[0-9]|-[0-9]{3,4}(?![0-9]))"
)
"""Three or four digits that are no year of a date, no group of a phone number and no fraction; ``123.0`` is one."""
_VALUE = re.compile(
    rf"{_HINT}(?:{BETWEEN}|[^0-9A-Za-z*]|\\+(?:[nrt\"]|x(?:2[0267]|3[ad]))|\*{{1,2}}(?=\s)"
    rf"|\b(?:is|was|no|null|in(?= ?\())\b"
    rf"|&(?:nbsp|#160);){{1,12}}?{_CODE}",
    re.IGNORECASE,
)
_JAPANESE_VALUE = re.compile(rf"{_HINT}(?:[^0-9\n*]{{1,12}}?|[^0-9\n*]{{0,4}}\r?\n[ \t　]{{0,8}}){_CODE}")
"""A Japanese sentence may put particles between the name and the digits."""
_STRICT_VALUE = re.compile(rf"{_HINT}(?:[^\w*]|[是은는]){{1,8}}?{_CODE}")
"""Chinese and Korean, where a word behind the name may begin another thought."""
_ARGUMENT = re.compile(r"[\"'] ?, ?[0-9]{3,4}\)")
"""``showError("cvv", 400)``."""
_THREE = 3

MUST_FIND = (
    ("securityCode: 123", "123"),
    ("secure_code=123", "123"),
    ('"cvv":"1234"', "1234"),
    ("CVC2=999&x=1", "999"),
    ("card.cvv: 123", "123"),
    ("セキュリティコードは123です", "123"),
    ("security code is 123", "123"),
    ("X-CVV: 123", "123"),
    ("cvv%3D123", "123"),
    ("&quot;cvc&quot;:&quot;123&quot;", "123"),
    ("card_verification_code: 123", "123"),
    ("url=https%3A%2F%2Fx%2Fpay%3Fcvv%3D123", "123"),
    ("a=1\\u0026cvv=123", "123"),
    ("<cvv><![CDATA[123]]></cvv>", "123"),
    ('{"cvv":123.0}', "123"),
    ("cvn2=123", "123"),
    ("verification_code=123", "123"),
    ("card_cvv_value: 123", "123"),
    ("txtCVV=123", "123"),
    ("裏面の3桁は123です", "123"),
    ("セキュリティ番号：123", "123"),
    ("cvvInput: 123", "123"),
    ("セキュリティコード(3桁)：123", "123"),
    ("■セキュリティコード\n123", "123"),
    ("CVV (3 digits): 123", "123"),
    ("*CVV:* 123", "123"),
    ("CVV:&nbsp;123", "123"),
    (r"{\x22cvv\x22:\x22123\x22}", "123"),
    ("WHERE cvv IN ('123')", "123"),
    ("código de seguridad: 123", "123"),
    ("安全码：123", "123"),
)
MUST_NOT = (
    "cvv: ***",
    "cvv:",
    "SecCodeRequiredFlag: 123",
    "cvv_result: 100",
    "order 123",
    "cvv: 12345",
    "cvc: null",
    "csc : 2014-09-25",
    "cvv: 2014/9/25",
    "csc: 123-456-7890",
    "cvv: 123.45",
    "verification_code: 123456",
    "安全码错误 400",
    "2026 in cvv in 404 pages",
    "セキュリティコード(3桁)を入力してください",
    "cv2 = 100",
)


def recognize(text: str) -> Iterator[Recognized]:
    """Every security code that stands under its name."""
    folded = _folded(text)
    if not any(stem in folded for stem in _STEMS):
        return
    at = 0
    while (name := _NAME.search(text, at)) is not None:
        at = name.end()
        ascii_name = name.group()[-1].isascii()
        strict = name.group()[0] in "安보"
        value = (_VALUE if ascii_name else _STRICT_VALUE if strict else _JAPANESE_VALUE).match(text, name.end())
        if value is None:
            continue
        names = names_before(text, name.end()) if ascii_name else ()
        sure = not ascii_name or not SECURITY_CODE_KEY_SET.isdisjoint(names)
        if not sure and VERIFICATION_KEY_SET.isdisjoint(names):
            continue
        at = value.end()
        if text[name.end() : value.start(1)] == "/":
            yield Recognized(SECURITY_CODE, *value.span(1), "low", "", ("security code key", "may be a page's path"))
        elif _ARGUMENT.fullmatch(text, name.end(), min(at + 1, len(text))):
            yield Recognized(SECURITY_CODE, *value.span(1), "low", "", ("security code key", "may be another argument"))
        elif sure or len(value[1]) == _THREE:
            yield Recognized(SECURITY_CODE, *value.span(1), "high", "", ("security code key",))
        else:
            yield Recognized(SECURITY_CODE, *value.span(1), "low", "", ("verification key", "may be a one-time code"))


def _folded(text: str) -> str:
    """In lower case, with whatever else ``re.IGNORECASE`` takes for an ``i`` or ``s``."""
    return text.lower() if text.isascii() else text.casefold().replace("\u0131", "i").replace("\u0307", "")
