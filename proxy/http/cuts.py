"""Which bodies can be cut into pieces that are read one by one, and where."""

from __future__ import annotations

import re
from typing import Literal

from proxy.http.codings import coding_of
from proxy.http.codings_zlib import CodingError

SNIFF = 262
"""Bytes of a body that say what it is: to the end of a tar's magic."""
Kind = Literal["window", "line", "event", "grpc"]

_RUN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_%\\-"
"""Bytes of encodings that must not be cut: base64, percent, escapes."""
EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_WHOLE_TYPES = re.compile(
    r"\s*(?:multipart/|application/(?:x-)?(?:protobuf|msgpack|cbor|grpc|amf|java-|php|python-pickle|snappy)|"
    r"application/vnd\.(?:msgpack|google\.protobuf|apache\.(?:thrift|avro|parquet)))",
    re.IGNORECASE,
)
_WHOLE_STARTS = (
    b"PK\x03\x04", b"PK\x05\x06", b"%PDF-", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xd0\xcf\x11\xe0\xa1\xb1",
    b"PAR1", b"Obj\x01", b"ORC", b"PGDMP", b"{\\rtf", b"\x04\x22\x4d\x18", b"\xff\x06\0\0sNaPpY", b"\x1f\x9d",
    b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff",
)  # fmt: skip
"""Archives, documents, columns, dumps, other compressions; UTF-16 and UTF-32."""
_CHARSET = re.compile(r"charset\s*=\s*\"?\s*([^\s;\"]+)", re.IGNORECASE)
_WITH_ASCII = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"})
"""Charsets in which no part of another character is an ASCII byte."""
_LINEWISE = _WITH_ASCII | {"shift_jis", "shift-jis", "windows-31j", "cp932", "euc-jp", "iso-2022-jp"}
"""Charsets in which no part of another character is a line feed."""
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
                    "application/jsonlines", "application/json-seq", "application/stream+json"})  # fmt: skip


def kind_of(content_type: str) -> Kind:
    """How a body of this type is cut."""
    media = content_type.partition(";")[0].strip().lower()
    if media == "text/event-stream":
        return "event"
    if media in _LINES:
        return "line"
    return "grpc" if media.startswith("application/grpc") and not media.startswith("application/grpc-web") else "window"


def charset_of(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found[1].lower() if found else ""


def can_be_cut(content_type: str, content_encoding: str) -> bool:
    """Whether a body under these labels can be read in pieces; how it begins may still say that it cannot."""
    if charset_of(content_type) not in _LINEWISE:
        return False
    if kind_of(content_type) == "window" and _WHOLE_TYPES.match(content_type):
        return False
    try:
        coding_of(content_encoding)
    except CodingError:
        return False
    return True


def must_be_whole(start: bytes) -> bool:
    """Whether a body that begins with these ``SNIFF`` bytes can only be read whole."""
    wide = start[:1] == b"\0" and start[2:3] == b"\0"
    return start.startswith(_WHOLE_STARTS) or start[257:262] == b"ustar" or wide


def only_at_lines(content_type: str) -> bool:
    """Whether any other byte may be a part of a character."""
    return charset_of(content_type) not in _WITH_ASCII


def boundary(buffer: bytearray, start: int, before: int, near: int, *, only_lines: bool) -> int:
    """The last offset from ``start`` to ``before`` in no encoded run, behind a line feed if one is ``near``; or 0."""
    line = buffer.rfind(b"\n", start if only_lines else max(start, before - near), before) + 1
    if line or only_lines:
        return line
    kept = len(buffer[start:before].rstrip(_RUN))
    return start + kept if kept else 0
