"""What counts only beside a card number: expiry, holder name, a bare security code, a PIN.

``4111 1111 1111 1111 12/30 123`` and the sibling fields of a number in a form or a JSON object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from detectors.keys import EXPIRY_KEY_SET, HOLDER_KEY_SET, PIN_BESIDE_SET, SECURITY_CODE_BESIDE_SET
from detectors.model import CARDHOLDER_NAME, EXPIRY, PIN_BLOCK, SECURITY_CODE
from detectors.recognizers import Recognized

_BETWEEN = r"[\s|,;/:.\-_]{1,4}"
_MONTH = r"(?:0[1-9]|1[0-2])"
_EXPIRY = re.compile(
    rf"(?:{_BETWEEN}|[^0-9\n]{{1,24}}?)({_MONTH}\s?[/\-|.]\s?(?:20)?[2-4][0-9]|{_MONTH}[2-4][0-9]|[2-4][0-9]{_MONTH}"
    rf"|20[2-4][0-9][/\-]{_MONTH})(?![0-9]|[/\-.][0-9])"
)
"""Month and year, or year and month as GMO wants it (``3012``); a whole date is none."""
_GLUED = re.compile(rf"({_MONTH}[2-4][0-9]|[2-4][0-9]{_MONTH})([0-9]{{3,4}})?(?![0-9])")
_CODE = re.compile(rf"{_BETWEEN}([0-9]{{3,4}})(?![0-9A-Za-z])")

_SHAPES = (
    (
        EXPIRY,
        EXPIRY_KEY_SET,
        re.compile(r"[0-9]{1,2}|[0-9]{4}|[0-9]{6}|[0-9]{1,2}\s?[/\-.]\s?[0-9]{2,4}|[0-9]{4}[/\-.][0-9]{1,2}"),
    ),
    (CARDHOLDER_NAME, HOLDER_KEY_SET, re.compile(r"(?=.*[^\W\d_])[^*\r\n]{2,64}")),
    (SECURITY_CODE, SECURITY_CODE_BESIDE_SET, re.compile(r"[0-9]{3,4}")),
    (PIN_BLOCK, PIN_BESIDE_SET, re.compile(r"[0-9]{4,12}")),
)


_UNNAMED = (
    (EXPIRY, re.compile(rf"{_MONTH}\s?[/-]?\s?(?:20)?[2-4][0-9]|(?:20)?[2-4][0-9][/-]?{_MONTH}")),
    (CARDHOLDER_NAME, re.compile(r"(?=.{5,40}\Z)[A-Z][A-Z'.-]+(?: [A-Z][A-Z'.-]*){1,3}")),
    (SECURITY_CODE, re.compile(r"[0-9]{3}")),
)
"""What siblings of a card number look like in messages whose fields have no names."""
_NAMED = re.compile(
    r"(?:(?<![A-Za-z])(?<!error )(?<!status )(?<!result )(?<!zip )(?<!postal )(?<!response )(?i:code|cid|cvd|vcode)"
    r"|[34３４]桁(?:の(?:番号|数字))?|コード)"
    r"(?:[\s:=：＝#]{1,3}|\s?(?:is|は)\s?){1,2}([0-9]{3,4})(?![0-9A-Za-z])"
)
_WORD = re.compile(r"([A-Za-z][\w.\-]*)[^\w\n]{0,6}\Z")
_SAYS_EXPIRY = re.compile(r"exp|val|thru|until|good|date|mm|yy|end", re.IGNORECASE)
_NAMED_WITHIN = 64
"""Characters behind a card number in which a code by a common name is its security code."""


def after(text: str, ends: Sequence[int]) -> Iterator[Recognized]:
    """Expiry and security code that follow a card number ending at one of ``ends``, in free text."""
    for end in ends:
        expiry = _GLUED.match(text, end) or _EXPIRY.match(text, end)
        named = _NAMED.search(text, end, end + _NAMED_WITHIN)
        if named is not None and "\n" not in text[end : named.start()]:
            yield Recognized(SECURITY_CODE, *named.span(1), "high", "", ("beside a card number",))
        if expiry is None or (named is not None and expiry.start(1) == named.start(1)):
            continue
        if (
            expiry[1].isdigit()
            and (word := _WORD.search(text, end, expiry.start(1)))
            and not _SAYS_EXPIRY.search(word[1])
        ):
            continue
        yield Recognized(EXPIRY, expiry.start(1), expiry.end(1), "high", "", ("beside a card number",))
        glued = expiry.re is _GLUED and expiry[2]
        code = None if glued else _CODE.match(text, expiry.end(1))
        if glued or code is not None:
            start, end_of_code = expiry.span(2) if code is None else code.span(1)
            yield Recognized(SECURITY_CODE, start, end_of_code, "high", "", ("beside a card number",))


def unnamed(value: str) -> str:
    """The entity that ``value`` is, beside a card number in a message without names; ``""``: none."""
    return next((entity for entity, shape in _UNNAMED if shape.fullmatch(value)), "")


def sibling(name: str, value: str) -> str:
    """The entity that ``value`` is, under the folded ``name`` and beside a card number; ``""``: none."""
    text = value.strip()
    for entity, keys, shape in _SHAPES:
        if name in keys and shape.fullmatch(text):
            return entity
    return ""
