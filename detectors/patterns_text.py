"""More rows of the sieve: text encodings besides those that ``detectors.patterns`` spells out, names that stand apart
from their values (columns, name/value pairs, dumps), and numbers in pieces."""

from __future__ import annotations

from detectors.sieve_through import base32_patterns, base64_stacks, hex_patterns

Row = tuple[str, bytes, bool]
"""Kind, expression, caseless: the fields of ``detectors.patterns.Pattern``."""

_SMALL = rb"(?:4[5-9]|5[0-7]|32)"
_COMMAS = (rb",", rb", ", rb" ", rb",\r?\n[ \t]{0,12}")
_BUFFER = rb"Buffer\\*[\"'][\s,]{0,32}\\*[\"']data\\*[\"'][\s:]{1,8}\["


def encodings() -> list[Row]:
    """Hex, base32, stacks of base64, lists of byte values."""
    return [
        *(("hex", row, True) for row in hex_patterns()),
        *(("base32", row, True) for row in base32_patterns()),
        *(("base64", row, False) for row in base64_stacks()),
        *(("bytes", rb"(?:" + _SMALL + between + rb"){12}", False) for between in _COMMAS),
        ("bytes", _BUFFER + rb"|byte[s\]\[]{0,4}[\s:=]{0,3}\[\s{0,8}[0-9]", False),
        ("bytes", rb"(?:99|67),? ?(?:118|86),? ?(?:118|86|99|67),? ?[0-9]", False),
    ]
