"""Protocol buffers without their schema: OTLP, Loki and Prometheus pushes, gRPC messages.

Evasion: a tag or a length that is an ASCII digit stands right beside a number (field 6 is ``2``, a text of 52 bytes
begins behind ``4``); a number is a varint, a zigzag varint, a fixed64 or a double and no digit of it is in the bytes.
The wire does not tell a text from a message: what is no text, or begins with a line end or a tab, and reads as a whole
message is one; any other text that reads as one is looked at both ways, and then keeps its length.
Limits: one tag at a time; messages within ``DEPTH`` levels. Integers are read from 13 digits on, under a name from
three. Not read: a fixed64 of 17 to 19 digits whose bits are an everyday double or eight letters, unless its name says
card; a packed list of integers that is as long as a trace id or span id. Integers in such an id that reads as a message
go by the name ``trace_id``, and so are doubtful.
Put back: text at any length, with the lengths of all messages around it mended; a number only as ``0``.
Paths: field numbers, ``1.2[1].5``: the second field 2 of the first field 1. An entry of a map (field 1 names the rest:
``KeyValue`` of OTLP, ``Label`` of Prometheus) shows its name, ``6['card.number'].2``, and gives it to its value.
Source: protobuf.dev «Encoding»; opentelemetry-proto ``common/v1/common.proto``.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from detectors.decoders.naming import segment
from detectors.decoders.offsets import Framed, Whole
from detectors.decoders.protobuf_wire import (
    LENGTH,
    MOST_FIELDS,
    Field,
    entry_name,
    fields,
    number_key,
    numbers,
    packed,
    spell_varint,
    varint,
)
from detectors.decoders.survey import Survey
from detectors.decoders.text import is_text
from detectors.model import Ask, Gap, Peel

DECLARED = re.compile(r"application/(?:[\w.-]*protobuf(?:fer)?|x-proto|vnd\.google\.protobuf)\b|[\w./-]+\+proto\b")
NESTED = "application/x-protobuf; part=message"
"""What a message within a message is declared as."""
DEPTH = 40
"""Levels that a survey follows; what is deeper, and no text, is a Gap."""
MOST_UNDECLARED = 1023
"""The highest field number of bytes that nobody called protobuf."""

_TYPES = (0, 1, 2, 5)
_SHORT_NUMBER = 5
"""Bytes of a varint, or of a fixed32, that cannot hold 13 digits."""


class _Reader:
    """One survey under way."""

    def __init__(self, data: bytes, ask: Ask) -> None:
        self.data = data
        self.ask = ask
        self.found = Survey()

    def message(self, start: int, end: int, found: Sequence[Field], key: str, parent: str, level: int) -> None:
        """Every value of the message from ``start`` to ``end``."""
        name = entry_name(self.data, found)
        alone = len(found) == 1 or (bool(key) and len({field[0] for field in found}) == 1)
        inner = name or (key if alone else "")
        outer = parent if alone and not name else key or parent
        label = self.found.label(outer, inner)
        told = number_key(end - start, found, inner, root=not level)
        for field in found:
            number, kind, _, at, stop = field
            if kind == LENGTH:
                if at == stop:
                    continue
                if name and number == 1:
                    self._value(at, stop, "", outer, b"", level)
                else:
                    self._value(at, stop, inner, outer, label, level)
            elif told or stop - at > _SHORT_NUMBER:
                for digits, _ in numbers(self.data, field, told):
                    self.found.number(label if told == inner else self.found.label("", told), digits, at, stop)

    def _value(self, start: int, end: int, key: str, parent: str, label: bytes, level: int) -> None:
        payload = self.data[start:end]
        text, inner = read(self.data, start, end, payload, self.ask)
        if len(inner) >= MOST_FIELDS:
            self.found.gaps.append(Gap("too-many-candidates", start, end))
        if inner and level >= DEPTH:
            self.found.gaps.append(Gap("too-deep", start, end))
        elif inner:
            self.message(start, end, inner, key, parent, level + 1)
        if text:
            self.found.add(label, payload, start, end, text=True)
        elif not inner:
            self._other(start, end, label, payload)

    def _other(self, start: int, end: int, label: bytes, payload: bytes) -> None:
        elements = packed(self.data, start, end)
        for element in elements:
            for digits, _ in numbers(self.data, element, ""):
                self.found.number(b"", digits, element[3], element[4])
        if not elements:
            self.found.add(label, payload, start, end, text=False)


def read(data: bytes, start: int, end: int, payload: bytes, ask: Ask) -> tuple[bool, list[Field]]:
    """Whether ``payload``, from ``start`` to ``end`` of ``data``, is a text, and the fields of the message that it is.
    It may be both: then of the message only the texts, for eight letters are no number."""
    text = is_text(payload)
    if text and payload[0] & 7 not in _TYPES:
        return True, []
    found, good = fields(data, start, end, ask)
    if good < end and len(found) < MOST_FIELDS:
        return text, []
    if text and payload[0] >= 0x20:
        return True, [field for field in found if field[1] == LENGTH]
    return not found and text, found


def survey(data: bytes, ask: Ask, *, declared: bool) -> Survey | None:
    """All values of a message; ``None`` where it is none. Bytes that nobody calls protobuf have to hold something
    telling, and no field number that nobody uses."""
    found, good = fields(data, 0, len(data), ask)
    many = len(found) >= MOST_FIELDS
    if (good < len(data) and not many) or (not declared and any(field[0] > MOST_UNDECLARED for field in found)):
        return None
    reader = _Reader(data, ask)
    if many:
        reader.found.gaps.append(Gap("too-many-candidates", 0, len(data)))
    reader.message(0, len(data), found, "", "", 0)
    return reader.found if declared or reader.found.telling else None


def may_be(data: bytes, ask: Ask) -> bool:
    """Whether the first few fields are sound; where they are not, ``survey`` need not be asked."""
    found, good = fields(data, 0, len(data), ask, 8)
    return good == len(data) or len(found) == 8


class _Level:
    """The fields of one message as children."""

    def __init__(self, data: bytes, ask: Ask) -> None:
        self.data = data
        self.ask = ask
        self.found, self.good = fields(data, 0, len(data), ask)
        self.nested = ask.content_type == NESTED
        self.codec = "" if self.nested else "protobuf"
        self.name = entry_name(data, self.found)
        alone = len({field[0] for field in self.found}) == 1
        self.key = self.name or (ask.key if alone else "")
        self.told = number_key(len(data), self.found, self.key, root=not self.nested)

    def peels(self) -> Iterator[Peel]:
        """What was asked for of each field."""
        seen: Counter[int] = Counter()
        lead = "" if not self.nested else f"['{segment(self.name)}']." if self.name else "."
        for field in self.found:
            number = field[0]
            index = f"[{seen[number]}]" if seen[number] else ""
            seen[number] += 1
            if not _asked(field, self.ask.hits):
                continue
            path = f"{lead}{number}{index}"
            if field[1] == LENGTH:
                yield from self._value(field, path, "" if self.name and number == 1 else self.key)
            else:
                yield from self._numbers(field, path, self.told)

    def _numbers(self, field: Field, path: str, key: str) -> Iterator[Peel]:
        for digits, encode in numbers(self.data, field, key):
            hook = Whole(field[3], field[4], digits, encode)
            yield Peel(self.codec, digits, hook, path, key, number=True, framed=True)

    def _value(self, field: Field, path: str, key: str) -> Iterator[Peel]:
        _, _, prefix, start, end = field
        payload = self.data[start:end]
        text, inner = read(payload, 0, len(payload), payload, self.ask) if payload else (True, [])
        hook = Framed(prefix, start, payload, _no_other if text and inner else spell_varint)
        elements = [] if text or inner else packed(self.data, start, end)
        if inner:
            yield Peel(self.codec, payload, hook, path, key, NESTED, framed=True)
        if text or not (inner or elements):
            yield Peel(self.codec, payload, hook, path, key, framed=True)
        for n, element in enumerate(elements):
            yield from self._numbers(element, f"{path}[{n}]", "")


def _no_other(size: int) -> None:
    """A value that may be a text or a message keeps its length: nobody knows which counts stand in it."""


def _asked(field: Field, hits: Sequence[int]) -> bool:
    """Whether the field holds a hit."""
    i = bisect_left(hits, field[2])
    return not hits or (i < len(hits) and hits[i] < max(field[4], field[2] + 1))


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each field that holds a hit: texts, numbers, other bytes; and messages, declared as ``NESTED``. Of bytes that are
    declared as protobuf and break off or break, what is sound and a Gap."""
    declared = bool(DECLARED.match(ask.content_type))
    level = _Level(data, ask)
    many = len(level.found) >= MOST_FIELDS
    if level.good == len(data) or declared or many:
        yield from level.peels()
    if level.good < len(data) and declared and not many:
        yield Gap(f"{_fault(data, level.good)}-protobuf", level.good, len(data))


def _fault(data: bytes, at: int) -> str:
    """Whether the field at ``at`` is cut off, or none."""
    tag, behind = varint(data, at, len(data))
    if tag < 0:
        return "truncated" if behind >= len(data) else "corrupt"
    return "truncated" if tag >= 8 and tag & 7 in (0, 1, 2, 5) else "corrupt"
