"""Protocol buffers without their schema: OTLP, Loki and Prometheus pushes, gRPC messages.

Evasion: a tag or a length that is an ASCII digit stands right beside a number (field 6 is ``2``, a text of 52 bytes
begins behind ``4``); a number is a varint, a zigzag varint, a fixed64 or a double and no digit of it is in the bytes.
The wire does not tell a text from a message: what is no text and reads as a whole message is one; a text with many
digits in it that also reads as one is looked at both ways, and then keeps its length.
Limits: one tag at a time; messages within ``DEPTH`` levels. Integers are read from 13 digits on, under a name from
three. Not read: a fixed64 of 17 to 19 digits whose bits are an everyday double, unless its name says card; a packed
list of integers that is as long as a trace id or span id. Integers in such an id that reads as a message go by the name
``trace_id``, and so are doubtful.
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
"""Levels that a survey follows; deeper ones are values that nobody could look into."""
MOST_UNDECLARED = 1023
"""The highest field number of bytes that nobody called protobuf."""

_DIGITS = re.compile(rb"[0-9](?:[ ._+-]*[0-9]){11}")


class _Reader:
    """One survey under way."""

    def __init__(self, data: bytes, ask: Ask) -> None:
        self.data = data
        self.ask = ask
        self.found = Survey()

    def message(self, start: int, end: int, found: Sequence[Field], key: str, parent: str, level: int) -> None:
        """Every value of the message from ``start`` to ``end``."""
        name = entry_name(self.data, found)
        alone = len({field[0] for field in found}) == 1
        inner = name or (key if alone else "")
        outer = parent if alone and not name else key or parent
        told = number_key(end - start, found, inner, root=not level)
        for field in found:
            if field[1] == LENGTH:
                self._value(field, "" if name and field[0] == 1 else inner, outer, level)
            else:
                self._numbers(field, told, outer)

    def _numbers(self, field: Field, key: str, parent: str) -> None:
        for digits, _ in numbers(self.data, field, key):
            self.found.text.add(self.found.label(parent, key), digits, field[3], field[4])
            self.found.telling |= len(digits) > 12

    def _value(self, field: Field, key: str, parent: str, level: int) -> None:
        _, _, _, start, end = field
        if start == end:
            return
        payload = self.data[start:end]
        if is_text(payload):
            self.found.add(self.found.label(parent, key), payload, start, end, text=True)
            return
        inner, good = fields(self.data, start, end, self.ask) if level < DEPTH else ([], -1)
        if good == end:
            self.message(start, end, inner, key, parent, level + 1)
            return
        elements = packed(self.data, start, end)
        for element in elements:
            self._numbers(element, "", "")
        if not elements:
            self.found.add(self.found.label(parent, key), payload, start, end, text=False)
        if level >= DEPTH:
            self.found.closed.append(start)

    def ambiguous(self) -> None:
        """Texts with many digits once more, as messages."""
        spans = dict(self.found.text.spans())
        ends = [match.end() for match in _DIGITS.finditer(self.found.text.text())]
        for start in self.found.text.at(ends):
            inner = _message_in_text(self.data[start : spans[start]], self.ask)
            if inner:
                moved = [(n, kind, tag + start, a + start, b + start) for n, kind, tag, a, b in inner]
                self.message(start, spans[start], moved, "", "", 1)


def _message_in_text(text: bytes, ask: Ask) -> list[Field]:
    """The texts of a message that happens to be printable, where ``text`` with its many digits may be one."""
    found, good = fields(text, 0, len(text), ask)
    return [field for field in found if field[1] == LENGTH] if good == len(text) else []


def survey(data: bytes, ask: Ask, *, declared: bool) -> Survey | None:
    """All values of a message; ``None`` where it is none. Bytes that nobody calls protobuf have to hold something
    telling, and no field number that nobody uses."""
    found, good = fields(data, 0, len(data), ask)
    if good < len(data) or (not declared and any(field[0] > MOST_UNDECLARED for field in found)):
        return None
    reader = _Reader(data, ask)
    reader.message(0, len(data), found, "", "", 0)
    reader.ambiguous()
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
        text = is_text(payload)
        either = text and bool(_DIGITS.search(payload)) and bool(_message_in_text(payload, self.ask))
        hook = Framed(prefix, start, payload, _no_other if either else spell_varint)
        inner, good = fields(payload, 0, len(payload), self.ask) if not text or either else ([], -1)
        elements = [] if text or good == len(payload) else packed(self.data, start, end)
        if (not elements and good < len(payload)) or either:
            yield Peel(self.codec, payload, hook, path, key, framed=True)
        if inner and good == len(payload):
            yield Peel(self.codec, payload, hook, path, key, NESTED, framed=True)
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
    if level.good == len(data) or declared:
        yield from level.peels()
    if level.good < len(data) and declared:
        yield Gap(f"{_fault(data, level.good)}-protobuf", level.good, len(data))


def _fault(data: bytes, at: int) -> str:
    """Whether the field at ``at`` is cut off, or none."""
    tag, behind = varint(data, at, len(data))
    if tag < 0:
        return "truncated" if behind >= len(data) else "corrupt"
    return "truncated" if tag >= 8 and tag & 7 in (0, 1, 2, 5) else "corrupt"
