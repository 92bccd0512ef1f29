"""Whether decoded bytes look as if somebody had encoded them: any run of letters *can* be read as base64 or hex."""

from __future__ import annotations

import re

DIGITS = re.compile(rb"[0-9](?:[^0-9]{0,3}[0-9]){7}|(?:\x82[\x4f-\x58]){8}|(?:\xa3[\xb0-\xb9]){8}")
"""Eight digits with at most three bytes between them, as separators, UTF-16, UTF-32 and full-width forms leave them; or
full-width ones in CP932 or EUC-JP."""

_MAGIC = (
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"x\x01",
    b"x\x5e",
    b"x\x9c",
    b"x\xda",
    b"PK\x03\x04",
    b"BZh",
    b"\xfd7zXZ",
    b"\xff\x06\x00\x00sNaPpY",
    b"7z\xbc\xaf",
    b"Rar!",
    b"%PDF-",
    b"\x04\x22\x4d\x18",
    b"\xd0\xcf\x11\xe0",
)
_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))


def says_something(data: bytes) -> bool:
    """Text, digits in any wrapping, or compression: worth a look."""
    if data.startswith(_MAGIC) or DIGITS.search(data):
        return True
    if len(data.translate(None, _PRINTABLE)) * 10 <= len(data) * 4:
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
