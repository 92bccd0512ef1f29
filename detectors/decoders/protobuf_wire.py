"""The wire format of protocol buffers: fields of a message, varints, and the numbers that a field may stand for.

Limits: one field at a time; tags up to 32 bits, varints up to ten bytes, groups within groups.
Source: protobuf.dev «Encoding».
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence

from detectors.decoders.offsets import Encode
from detectors.keys import CARD_KEY_SET, fold
from detectors.model import Ask

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_GROUP, _GROUP_END = 3, 4
_NAME = re.compile(r"[^\W\d][\w.\-/ :\[\]@$]{0,63}")
_LONGEST_NAME = 192
_ID_SIZES = (8, 16)
_FEW, _MANY, _MOST = 100, 10**12, 10**19
_EVERYDAY = (1e-9, 1e16)
MOST_FIELDS = 1_000_000
"""Fields of one message that are read. Each takes a hundred bytes of memory while it is."""

Field = tuple[int, int, int, int, int]
"""Number, wire type, offset behind the tag, and the span of the value (of a text or message, without its length)."""


def fields(data: bytes, at: int, end: int, ask: Ask, most: int | None = None) -> tuple[list[Field], int]:
    """The fields of the message ``data[at:end]``, ``most`` of them, and the offset up to which they are sound: ``end``
    if all are."""
    out: list[Field] = []
    groups: list[int] = []
    good = at
    most = MOST_FIELDS if most is None else most
    while at < end and len(out) < most:
        if not len(out) & 1023:
            ask.budget.check_time()
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = varint(data, at - 1, end)
        kind = tag & 7
        if tag < 8 or tag > 0xFFFFFFFF:
            return out, good
        behind = at
        if kind == LENGTH:
            if at >= end:
                return out, good
            length = data[at]
            at += 1
            if length > 0x7F:
                length, at = varint(data, at - 1, end)
            if not 0 <= length <= end - at:
                return out, good
            out.append((tag >> 3, kind, behind, at, at + length))
            at += length
        elif kind == VARINT:
            value, at = varint(data, at, end)
            if value < 0:
                return out, good
            out.append((tag >> 3, kind, behind, behind, at))
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
            if at > end:
                return out, good
            out.append((tag >> 3, kind, behind, behind, at))
        elif kind == _GROUP:
            groups.append(tag >> 3)
        elif kind != _GROUP_END or not groups or groups.pop() != tag >> 3:
            return out, good
        if not groups:
            good = at
    return out, good


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The varint at ``at`` and the offset behind it; (-1, at) where there is none."""
    if at >= end:
        return -1, at
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        if at >= end:
            return -1, at
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    return -1, at


def spell_varint(value: int) -> bytes:
    """A number as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def entry_name(data: bytes, found: Sequence[Field]) -> str:
    """The name that field 1 gives to the other one or two fields of the message; "" where it is none."""
    if not 2 <= len(found) <= 3 or found[0][0] != 1 or found[0][1] != LENGTH:
        return ""
    if found[1][0] == 1 or len({field[0] for field in found}) != len(found):
        return ""
    raw = data[found[0][3] : found[0][4]]
    try:
        text = raw.decode() if len(raw) <= _LONGEST_NAME else ""
    except UnicodeDecodeError:
        return ""
    return text if _NAME.fullmatch(text) else ""


def _unsigned(text: bytes) -> bytes | None:
    return spell_varint(int(text)) if text.isdigit() and len(text) < 19 else None


def _zigzag(text: bytes) -> bytes | None:
    return spell_varint(int(text) * 2) if text.isdigit() and len(text) < 19 else None


def _fixed(text: bytes) -> bytes | None:
    return struct.pack("<Q", int(text)) if text.isdigit() and len(text) < 19 else None


def _short(text: bytes) -> bytes | None:
    return struct.pack("<L", int(text)) if text.isdigit() and len(text) < 10 else None


def _double(text: bytes) -> bytes | None:
    return struct.pack("<d", int(text)) if text.isdigit() and len(text) < 16 else None


def _readings(data: bytes, field: Field, key: str) -> Iterator[tuple[int, Encode]]:
    """The numbers that a field of no text may stand for, and how an edited one is spelled."""
    _, kind, _, start, end = field
    least = _FEW if key else _MANY
    if kind == FIXED32:
        if key:
            yield int.from_bytes(data[start:end], "little"), _short
        return
    if kind == VARINT:
        value, _ = varint(data, start, end)
        yield value, _unsigned
        if value & 1 == 0 and (key or value < 2 * 10**16) and value >= 2 * least:
            yield value >> 1, _zigzag
        return
    value = int.from_bytes(data[start:end], "little")
    (real,) = struct.unpack_from("<d", data, start)
    letters = all(0x20 <= byte < 0x7F for byte in data[start:end])
    everyday = _EVERYDAY[0] < abs(real) < _EVERYDAY[1] or math.isnan(real) or letters
    if value < 10**16 or not everyday or fold(key) in CARD_KEY_SET:
        yield value, _fixed
    if least <= real < 10**16 and real == int(real):
        yield int(real), _double


def numbers(data: bytes, field: Field, key: str) -> Iterator[tuple[bytes, Encode]]:
    """The digits of the numbers that are worth a look, and how an edited one is spelled."""
    least = _FEW if key else _MANY
    for value, encode in _readings(data, field, key):
        if least <= value < _MOST:
            yield b"%d" % value, encode


def packed(data: bytes, start: int, end: int) -> list[Field]:
    """The elements of a packed list of integers, each with 13 digits or more; none where it is no such list."""
    out: list[Field] = []
    if (end - start) in _ID_SIZES:
        return out
    at = start
    while at < end:
        value, behind = varint(data, at, end)
        if not _MANY <= value < _MOST:
            return []
        out.append((0, VARINT, at, at, behind))
        at = behind
    return out


def number_key(size: int, found: Sequence[Field], key: str, *, root: bool) -> str:
    """The name of the numbers of a message of ``size`` bytes: ``trace_id`` where it is more likely that."""
    if key or root or size not in _ID_SIZES or any(field[1] == LENGTH for field in found):
        return key
    return "trace_id"
