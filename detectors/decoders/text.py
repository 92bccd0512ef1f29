"""Whether bytes are text or binary.

Evasion: none of its own; what depends on it does more for binary bytes, never less.
Limits: one pass over the bytes.
Source: the control characters that no text file has (ISO/IEC 6429), RFC 3629.
"""

from __future__ import annotations

import re

from detectors.compiled import ONCE, Compiled

_CONTROL = Compiled([(rb"[\x00-\x06\x0e-\x1a\x1c\x1d\x1f\x7f]", ONCE)])
_LARGE = 4096
_TEXT = bytes((*range(7, 14), 27, 30, *range(32, 127), *range(128, 256)))
"""All bytes but most controls: the bell, tabs, line ends, escape (colours of a terminal) and RS (RFC 7464) may stay."""
_UNREADABLE = re.compile(rb"\xc2[\x80-\x9f]|\xef\xbf\xbd|\xef\xa3[\xb0-\xb3]")
"""C1 controls, U+FFFD, and the private letters that CP932 has for bytes that stand for nothing."""
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[\[{<]")
_MESSAGE = re.compile(r"[\w.+/-]*(?:protobuf|msgpack|messagepack|cbor|grpc|connect\+|\+proto)")
_DECLARED = re.compile(
    r"(?!application/(?:grpc|connect))(?:text/|multipart/|[\w.+/-]*(?:json|xml|javascript|urlencoded)\b)"
)


def is_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters that text does not have."""
    if _CONTROL.any(data) if len(data) >= _LARGE else data.translate(None, _TEXT):
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def came_out_well(data: bytes) -> bool:
    """Whether the bytes, decoded from a charset, are the text that somebody wrote: then nothing in the original counts
    its bytes."""
    return is_text(data) and not _UNREADABLE.search(data)


def is_rigid(data: bytes, content_type: str) -> bool:
    """Whether something in the bytes may depend on how many they are: they are binary, or declared as a message that is
    (which may be printable by accident), and neither declared as text (in a charset of its own, or broken) nor begun
    like JSON or markup."""
    if _START.match(data) or _DECLARED.match(content_type):
        return False
    return not is_text(data) or bool(_MESSAGE.match(content_type))
