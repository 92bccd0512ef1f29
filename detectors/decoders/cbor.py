"""CBOR: devices, web authentication, queues; and sequences of it.

Evasion: a text of 48 bytes or more has a length byte that may be an ASCII digit; a number is an integer or a float; a
text in chunks, cut in the middle of a number (it is read, and put back, in one piece); CBOR within a byte string.
Limits: one item at a time. Undeclared bytes have to be maps or arrays to the end, with text or a long number in them.
Put back: texts and byte strings at any length, a number as ``0`` or as the text of its mask.
Source: RFC 8949, RFC 8742 (sequences).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from detectors.decoders import items
from detectors.decoders.items import ARRAY, BREAK, BYTES, INTEGER, MAP, OTHER, REAL, TEXT, Format, Item
from detectors.decoders.msgpack import whole
from detectors.decoders.survey import Survey
from detectors.model import Ask, Gap, Peel

DECLARED = re.compile(r"application/(?:x-)?cbor(?:-seq)?\b|[\w./-]+\+cbor(?:-seq)?\b")
STARTS = frozenset({*range(0x80, 0x9C), 0x9F, *range(0xA0, 0xBC), 0xBF, 0xD9})
"""First bytes of arrays and maps, and of the tag that says «this is CBOR»."""

_KINDS = (INTEGER, OTHER, BYTES, TEXT, ARRAY, MAP)
_REALS = {25: ">e", 26: ">f", 27: ">d"}
_ENDLESS = 31
_BREAK = 0xFF


def _argument(data: bytes, at: int) -> tuple[int, int]:
    """The number in the head at ``at`` and the offset behind it; -1 for none, -2 for what is no head."""
    low = data[at] & 0x1F
    if low < 24:
        return low, at + 1
    if low < 28:
        end = at + 1 + (1 << low - 24)
        return (int.from_bytes(data[at + 1 : end], "big"), end) if end <= len(data) else (-2, at)
    return (-1, at + 1) if low == _ENDLESS else (-2, at)


def _chunks(data: bytes, at: int, start: int, kind: int, ask: Ask) -> Item | None:
    """A text or byte string whose length nobody named, up to its break."""
    pieces = list[bytes]()
    major = data[at] >> 5
    while start < len(data) and data[start] != _BREAK:
        if not len(pieces) & 1023:
            ask.budget.check_time()
        size, begin = _argument(data, start)
        if data[start] >> 5 != major or size < 0 or size > len(data) - begin:
            return None
        pieces.append(data[begin : begin + size])
        start = begin + size
    return (kind, at, at + 1, start + 1, 0, b"".join(pieces)) if start < len(data) else None


def _item(data: bytes, at: int, ask: Ask) -> Item | None:
    major, low = data[at] >> 5, data[at] & 0x1F
    value, start = _argument(data, at)
    if value == -2:
        return None
    if major == 7:
        if low == _ENDLESS:
            return (BREAK, at, start, start, 0, None)
        real = whole(struct.unpack_from(_REALS[low], data, at + 1)[0]) if low in _REALS else 0
        return (REAL, at, at, start, real, None) if low in _REALS else (OTHER, at, start, start, 0, None)
    if major == 6:
        return (OTHER, at, start, start, 0, None) if value >= 0 else None
    kind = _KINDS[major]
    if kind in (ARRAY, MAP):
        return (kind, at, start, start, value, None)
    if value < 0:
        return _chunks(data, at, start, kind, ask) if kind in (TEXT, BYTES) else None
    if kind in (TEXT, BYTES):
        return (kind, at, start, start + value, 0, None)
    return (INTEGER, at, at, start, value, None) if kind == INTEGER else (OTHER, at, start, start, 0, None)


def tokens(data: bytes, ask: Ask) -> Iterator[Item | None]:
    """Every item in order, without tags; ``None`` where one is none or breaks off."""
    at = count = 0
    size = len(data)
    tagged = False
    while at < size:
        count += 1
        if not count & 1023:
            ask.budget.check_time()
        item = _item(data, at, ask)
        if item is None or item[3] > size:
            yield None
            return
        tagged = data[at] >> 5 == 6
        if not tagged:
            yield item
        at = item[3]
    if tagged:
        yield None


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    low, width = next((low, width) for low, width in ((24, 1), (25, 2), (26, 4), (27, 8)) if value < 1 << 8 * width)
    return bytes([major << 5 | low]) + value.to_bytes(width, "big")


FORMAT = Format("cbor", tokens, lambda size: _head(3, size), lambda size: _head(2, size), lambda value: _head(0, value))


def survey(data: bytes, ask: Ask, *, declared: bool) -> Survey | None:
    """All values of a sequence of items; ``None`` where the bytes are none."""
    return items.survey(data, FORMAT, ask, declared=declared)


def may_be(data: bytes, ask: Ask) -> bool:
    """Whether the bytes begin with a map, an array or CBOR's own tag."""
    return data[0] in STARTS


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each value that holds a hit. Of declared bytes that break, a Gap over all."""
    declared = bool(DECLARED.match(ask.content_type))
    if not data or not (declared or data[0] in STARTS):
        return
    for item in items.peels(data, FORMAT, ask):
        if item is not None:
            yield item
        elif declared:
            yield Gap("corrupt-cbor", 0, len(data))
