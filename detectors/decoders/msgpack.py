"""MessagePack: fluentd's forward protocol in all its modes, traces of Datadog, caches and queues.

Evasion: a length byte that is an ASCII digit before a number; a number that is an integer or a double; a number as a
key; events packed into a byte string, and that compressed (PackedForward, CompressedPackedForward): it is an item of
its own and goes through every decoder again. Datadog's v0.5 puts names and values into a table of texts: a value
there goes by the name that the table gives it.
Limits: one item at a time. Undeclared bytes have to be maps or arrays to the end, with text or a long number in them.
Put back: texts and byte strings at any length, a number as ``0`` or as the text of its mask.
Source: msgpack ``spec.md`` (2017), fluent ``Forward-Protocol-Specification-v1``, Datadog agent ``/v0.5/traces``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from detectors.decoders import items
from detectors.decoders.items import ARRAY, BYTES, INTEGER, MAP, OTHER, REAL, TEXT, Format, Item
from detectors.decoders.survey import Survey
from detectors.keys import CARD_KEY_SET, PIN_BLOCK_KEY_SET, SECURITY_CODE_KEY_SET, fold
from detectors.model import Ask, Gap, Peel

DECLARED = re.compile(r"application/(?:x-|vnd\.)?(?:msgpack|messagepack)\b|[\w./-]+\+msgpack\b")
STARTS = frozenset({*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})
"""First bytes of maps and arrays."""

_SIZED = {
    0xC4: (BYTES, 1), 0xC5: (BYTES, 2), 0xC6: (BYTES, 4), 0xD9: (TEXT, 1), 0xDA: (TEXT, 2), 0xDB: (TEXT, 4),
    0xDC: (ARRAY, 2), 0xDD: (ARRAY, 4), 0xDE: (MAP, 2), 0xDF: (MAP, 4),
}  # fmt: skip
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_INTEGERS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: -1, 0xD1: -2, 0xD2: -4, 0xD3: -8}
_NUMBERS = {3: "trace_id", 4: "span_id", 5: "parent_id", 6: "start_time", 7: "duration"}
"""Places of a span's numbers in Datadog's v0.5."""
_TELLING = CARD_KEY_SET | SECURITY_CODE_KEY_SET | PIN_BLOCK_KEY_SET
_REALS = {0xCA: ">f", 0xCB: ">d"}


def whole(real: float) -> int:
    """A real number as an integer; 0 where it has a fraction, or more digits than a double can tell apart."""
    return int(real) if 0 < real < 10**16 and real == int(real) else 0


def tokens(data: bytes, ask: Ask) -> Iterator[Item | None]:
    """Every item in order; ``None`` where one is none or breaks off. The frequent kinds come first."""
    at = count = 0
    size = len(data)
    while at < size:
        count += 1
        if not count & 1023:
            ask.budget.check_time()
        head = data[at]
        start = at + 1
        if 0xA0 <= head < 0xC0:
            end = start + (head & 0x1F)
            item: Item | None = (TEXT, at, start, end, 0, None)
        elif head < 0x80:
            end = start
            item = (INTEGER, at, at, end, head, None)
        elif head < 0xA0:
            end = start
            item = (MAP if head < 0x90 else ARRAY, at, start, start, head & 0x0F, None)
        else:
            item = _sized(data, at, head)
            end = item[3] if item else 0
        if item is None or end > size:
            yield None
            return
        yield item
        at = end


def _sized(data: bytes, at: int, head: int) -> Item | None:
    """The item at ``at``, whatever is behind it."""
    start = at + 1
    if head in _SIZED:
        kind, width = _SIZED[head]
        size = int.from_bytes(data[start : start + width], "big")
        start += width
        if kind in (ARRAY, MAP):
            return (kind, at, start, start, size, None)
        return (kind, at, start, start + size, 0, None)
    if head in _INTEGERS:
        width = _INTEGERS[head]
        end = start + abs(width)
        return (INTEGER, at, at, end, int.from_bytes(data[start:end], "big", signed=width < 0), None)
    if head in _REALS:
        end = start + struct.calcsize(_REALS[head])
        if end > len(data):
            return None
        return (REAL, at, at, end, whole(struct.unpack_from(_REALS[head], data, start)[0]), None)
    if head >= 0xE0:
        return (INTEGER, at, at, start, 0, None)
    return _rare(data, at, head)


def _rare(data: bytes, at: int, head: int) -> Item | None:
    start = at + 1
    if head in _EXTENSIONS:
        width = _EXTENSIONS[head]
        start += width + 1
        return (OTHER, at, start, start + int.from_bytes(data[at + 1 : at + 1 + width], "big"), 0, None)
    if head in _FIXED_EXTENSIONS:
        return (OTHER, at, start + 1, start + 1 + _FIXED_EXTENSIONS[head], 0, None)
    return (OTHER, at, start, start, 0, None) if head != 0xC1 else None


def _text_head(size: int) -> bytes:
    if size < 32:
        return bytes([0xA0 | size])
    return _head(size, (0xD9, 0xDA, 0xDB))


def _bytes_head(size: int) -> bytes:
    return _head(size, (0xC4, 0xC5, 0xC6))


def _head(size: int, heads: tuple[int, int, int]) -> bytes:
    fits = ((head, width) for head, width in zip(heads, (1, 2, 4), strict=True) if size < 1 << 8 * width)
    head, width = next(fits)
    return bytes([head]) + size.to_bytes(width, "big")


def _integer(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else b"\xcf" + value.to_bytes(8, "big")


FORMAT = Format("msgpack", tokens, _text_head, _bytes_head, _integer)


def _called(data: bytes, ask: Ask) -> dict[int, str]:
    """Datadog's v0.5, ``[[text, …], [[span, …], …]]``: the names that values in the table of texts go by where they say
    something, and the names of the numbers of a span."""
    out: dict[int, str] = {}
    if len(data) < 4 or data[0] != 0x92 or (data[1] & 0xF0 != 0x90 and data[1] not in (0xDC, 0xDD)):
        return out
    table: list[Item] = []
    nest, name = items.Nest(), -1
    for step in items.read(data, tokens, ask, nest):
        if step is None or not nest.frames:
            return {}
        (kind, at, _, _, number, _), naming = step
        depth = len(nest.frames)
        if nest.index(0) == 0:
            if kind != TEXT or depth != 2:
                return {}
            table.append(step[0])
        elif kind == INTEGER and depth == 4 and nest.index(3) in _NUMBERS:
            out[at] = _NUMBERS[nest.index(3)]
        elif kind == INTEGER and naming:
            name = number
        elif kind == INTEGER and nest.mapping and 0 <= number < len(table) > name >= 0:
            key = data[table[name][2] : table[name][3]].decode("utf-8", "replace")
            if fold(key) in _TELLING:
                out[table[number][1]] = key
    return out


def survey(data: bytes, ask: Ask, *, declared: bool) -> Survey | None:
    """All values of a stream of items; ``None`` where the bytes are none."""
    return items.survey(data, FORMAT, ask, declared=declared, called=_called(data, ask))


def may_be(data: bytes, ask: Ask) -> bool:
    """Whether the bytes begin with a map or an array."""
    return data[0] in STARTS


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each value that holds a hit. Of declared bytes that break, a Gap over all."""
    declared = bool(DECLARED.match(ask.content_type))
    if not data or not (declared or data[0] in STARTS):
        return
    for item in items.peels(data, FORMAT, ask, _called(data, ask)):
        if item is not None:
            yield item
        elif declared:
            yield Gap("corrupt-msgpack", 0, len(data))
