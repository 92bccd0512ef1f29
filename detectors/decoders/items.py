"""What msgpack and CBOR have in common: a stream of items, each behind a head that says its kind and length.

Limits: one item at a time and no recursion; a path shows 64 levels at the most.
Paths: as JSON's: ``$.a[0].b``; of several items in a row the second is ``[1]$``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from detectors.decoders.naming import LONGEST, segment
from detectors.decoders.offsets import Encode, Framed, Whole
from detectors.decoders.survey import Survey
from detectors.decoders.text import is_text
from detectors.model import Ask, Peel

TEXT, BYTES, INTEGER, REAL, ARRAY, MAP, BREAK, OTHER = range(8)
"""Kinds of items. ``BREAK`` ends an array or map whose head named no length (-1)."""

DEEPEST = 4096
"""Arrays and maps in one another. Libraries give up at a thousand."""
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_DIGITS = re.compile(rb"[0-9](?:[ ._+-]*[0-9]){11}")
_LEVELS = 32
_FEW, _MANY, _MOST = 100, 10**12, 10**19


Item = tuple[int, int, int, int, int, bytes | None]
"""One item as its head tells it: kind, offset of the head, span of what follows (of a number, of the whole item);
elements of an array, pairs of a map, or the value of an integer or of a real number without a fraction; the content,
where it does not stand there in one piece. There are very many: a plain tuple costs a tenth of a class."""


Called = Mapping[int, str]
NOBODY: Called = MappingProxyType({})

Items = Callable[[bytes, Ask], Iterator[Item | None]]
"""The items of some bytes in order; ``None`` where they break."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a format spells what is edited."""

    codec: str
    items: Items
    text_head: Callable[[int], bytes]
    bytes_head: Callable[[int], bytes]
    integer: Callable[[int], bytes]


_MAPPING, _LEFT, _NAMING, _KEY, _INDEX, _OWNER, _SHOWN = range(7)
"""Places in a frame, an array or map that is open: whether it is a map; elements or pairs missing, -1 for those
that end with a break; whether the next item is a name; the name of what comes; the elements so far; the name of what
the frame stands in; the name as a path shows it."""


class Nest:
    """Where in the stream the reader is."""

    def __init__(self) -> None:
        self.frames: list[list[Any]] = []
        self.documents = -1
        self.bare = False
        """Whether an item stood outside of every array and map."""

    @property
    def key(self) -> str:
        """The name of the value here: elements of an array go by the array's."""
        return str(self.frames[-1][_KEY]) if self.frames else ""

    @property
    def parent(self) -> str:
        """The name of what the value stands in."""
        return str(self.frames[-1][_OWNER]) if self.frames else ""

    @property
    def mapping(self) -> bool:
        """Whether the value is one of a map's."""
        return bool(self.frames and self.frames[-1][_MAPPING])

    def index(self, level: int) -> int:
        """Which element of the array at ``level`` the value is, or stands in."""
        return int(self.frames[level][_INDEX])

    def path(self) -> str:
        """The place of the item here."""
        shown = self.frames if len(self.frames) <= 2 * _LEVELS else self.frames[:_LEVELS]
        steps = [_step(frame) for frame in shown]
        if shown is not self.frames:
            steps += ["..", *(_step(frame) for frame in self.frames[-_LEVELS:])]
        return (f"[{self.documents}]." if self.documents else "") + "$" + "".join(steps)


def _step(frame: list[Any]) -> str:
    if not frame[_MAPPING]:
        return f"[{max(frame[_INDEX], 0)}]"
    if not frame[_SHOWN]:
        shown = segment(frame[_KEY])
        quoted = shown.replace("\\", "\\\\").replace("'", "\\'")
        frame[_SHOWN] = f".{shown}" if _PLAIN_NAME.fullmatch(shown) else f"['{quoted}']"
    return str(frame[_SHOWN])


def _name(data: bytes, item: Item) -> str:
    kind, _, start, end, number, whole = item
    if kind == INTEGER:
        return str(number)
    raw = data[start : min(end, start + LONGEST)] if whole is None else whole[:LONGEST]
    return raw.decode("utf-8", "replace") if kind in (TEXT, BYTES) else ""


def read(data: bytes, items: Items, ask: Ask, nest: Nest) -> Iterator[tuple[Item, bool] | None]:
    """Each text, byte string and number with whether it is a name; ``nest`` knows where it stands. Last ``None`` if the
    bytes break or end too early."""
    frames = nest.frames
    for item in items(data, ask):
        if item is None:
            yield None
            return
        kind = item[0]
        if kind == BREAK:
            if not frames or frames[-1][_LEFT] >= 0:
                yield None
                return
            frames.pop()
        else:
            naming = False
            if not frames:
                nest.documents += 1
                nest.bare |= kind not in (ARRAY, MAP)
            elif not frames[-1][_MAPPING]:
                frames[-1][_INDEX] += 1
            else:
                naming = frames[-1][_NAMING]
                frames[-1][_NAMING] = not naming
                if naming:
                    frames[-1][_KEY], frames[-1][_SHOWN] = _name(data, item), ""
            if kind in (ARRAY, MAP):
                frames.append(_opened(frames[-1] if frames else _OUTSIDE, item))
                if len(frames) > DEEPEST:
                    yield None
                    return
                if item[4]:
                    continue
                frames.pop()
            else:
                yield item, naming
        _count(frames)
    if frames:
        yield None


_OUTSIDE = (False, 0, False, "", 0, "", "")


def _opened(above: Sequence[Any], item: Item) -> list[Any]:
    mapping = item[0] == MAP
    return [mapping, item[4], mapping, above[_KEY], -1, above[_KEY] if mapping else above[_OWNER], ""]


def _count(frames: list[list[Any]]) -> None:
    """Behind a value or a name: leaves what is complete."""
    while frames:
        frame = frames[-1]
        if frame[_LEFT] < 0 or (frame[_MAPPING] and not frame[_NAMING]):
            return
        frame[_LEFT] -= 1
        if frame[_LEFT]:
            return
        frames.pop()


def _digits(number: int, key: str) -> bytes:
    """The digits of a number that is worth a look."""
    return b"%d" % number if (_FEW if key else _MANY) <= number < _MOST else b""


def survey(data: bytes, form: Format, ask: Ask, *, declared: bool, called: Called = NOBODY) -> Survey | None:
    """All values; ``None`` where the bytes are none of the format. Undeclared ones have to be arrays or maps, and hold
    something telling. ``called``: names that the items at these offsets go by."""
    found, nest = Survey(), Nest()
    for step in read(data, form.items, ask, nest):
        if step is None or (nest.bare and not declared):
            return None
        (kind, at, start, end, number, whole), naming = step
        key = "" if naming else nest.key
        if called and at in called:
            key = called[at]
        label = found.label(nest.parent, key) if key else b""
        if kind in (INTEGER, REAL):
            digits = _digits(number, key)
            if digits:
                found.number(label, digits, start, end)
        elif end > start:
            content = data[start:end] if whole is None else whole
            text = is_text(content)
            found.add(label, content, start, end, text=text)
            if whole is not None and not text:
                found.pieces[start] = content
    telling = found.telling or bool(_DIGITS.search(found.other.text()))
    return found if declared or telling else None


def _number(form: Format) -> Encode:
    """Spells what becomes of a number: the zero of a strict schema, or the text that shows the mask."""

    def encode(text: bytes) -> bytes | None:
        if text.isdigit():
            return form.integer(int(text)) if len(text) < 19 else None
        plain = text[1:-1] if text[:1] == text[-1:] == b'"' else text
        return form.text_head(len(plain)) + plain

    return encode


def _peel(data: bytes, form: Format, item: Item, path: str, key: str) -> Peel | None:
    kind, at, start, end, number, whole = item
    if kind in (INTEGER, REAL):
        digits = _digits(number, key)
        hook = Whole(start, end, digits, _number(form))
        return Peel(form.codec, digits, hook, path, key, number=True, framed=True) if digits else None
    head = form.text_head if kind == TEXT else form.bytes_head
    if whole is not None:
        pieces = Whole(at, end, whole, lambda text: head(len(text)) + text)
        return Peel(form.codec, whole, pieces, path, key, framed=True)
    content = data[start:end]
    spell = head if kind != OTHER else _no_other
    return Peel(form.codec, content, Framed(at, start, content, spell), path, key, framed=True)


def _no_other(size: int) -> None:
    """Extension types keep their length: what is in them counts its bytes itself."""


def peels(data: bytes, form: Format, ask: Ask, called: Called = NOBODY) -> Iterator[Peel | None]:
    """Each value that holds a hit; last ``None`` where the bytes break."""
    nest = Nest()
    hits = [*ask.hits, len(data)]
    following = iter(hits)
    hit = next(following)
    for step in read(data, form.items, ask, nest):
        if step is None:
            yield None
            return
        item, naming = step
        _, at, _, end, _, _ = item
        while hit < at:
            hit = next(following)
        if end > at and (hit < end or not ask.hits):
            peel = _peel(data, form, item, nest.path(), called.get(at) or ("" if naming else nest.key))
            if peel is not None and peel.data:
                yield peel
