"""What msgpack and CBOR have in common: a stream of items, each behind a head that says its kind and length.

Limits: one item at a time and no recursion; a path shows 64 levels at the most.
Paths: as JSON's: ``$.a[0].b``; of several items in a row the second is ``[1]$``.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from detectors.decoders.naming import LONGEST, segment
from detectors.decoders.offsets import Encode, Framed, Whole
from detectors.decoders.survey import Survey
from detectors.decoders.text import is_text
from detectors.model import Ask, Peel

TEXT, BYTES, INTEGER, REAL, ARRAY, MAP, BREAK, OTHER = range(8)
"""Kinds of items. ``BREAK`` ends an array or map whose head named no length (-1)."""

_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_LEVELS = 32
_FEW, _MANY, _MOST = 100, 10**12, 10**19


class Item(NamedTuple):
    """One item as its head tells it. There are many: a tuple costs a third of a dataclass."""

    kind: int
    at: int
    """Offset of the head."""
    start: int
    end: int
    """Span of what follows the head; of a number, of the whole item."""
    number: int = 0
    """Elements of an array, pairs of a map, the value of an integer or of a real number without a fraction."""
    whole: bytes | None = None
    """The content, where it does not stand there in one piece."""


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


class _Frame:
    """An array or map that is open: how many elements or pairs are missing, and where in it the next item stands."""

    __slots__ = ("_step", "index", "key", "left", "mapping", "naming")

    def __init__(self, *, mapping: bool, left: int, key: str) -> None:
        self.mapping = mapping
        self.left = left
        self.key = key
        self.index = -1
        self.naming = mapping
        self._step = ""

    def name(self, key: str) -> None:
        """What follows goes by ``key``."""
        self.naming = False
        self.key = key
        self._step = ""

    def step(self) -> str:
        """Its part of a path. Names are spelled once, for everything below them."""
        if not self.mapping:
            return f"[{max(self.index, 0)}]"
        if not self._step:
            shown = segment(self.key)
            quoted = shown.replace("\\", "\\\\").replace("'", "\\'")
            self._step = f".{shown}" if _PLAIN_NAME.fullmatch(shown) else f"['{quoted}']"
        return self._step


class Nest:
    """Where in the stream the reader is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.frames: list[_Frame] = []
        self.documents = -1
        self.bare = False
        """Whether an item stood outside of every array and map."""

    def place(self, item: Item) -> bool:
        """Goes on to ``item``; whether that is the name of a pair."""
        if not self.frames:
            self.documents += 1
            self.bare |= item.kind not in (ARRAY, MAP)
            return False
        frame = self.frames[-1]
        if frame.mapping and frame.naming:
            frame.name(self._name(item))
            return item.kind not in (ARRAY, MAP)
        frame.index += 1
        frame.naming = frame.mapping
        return False

    def _name(self, item: Item) -> str:
        if item.kind == INTEGER:
            return str(item.number)
        raw = item.whole if item.whole is not None else self._data[item.start : min(item.end, item.start + LONGEST)]
        return raw.decode("utf-8", "replace") if item.kind in (TEXT, BYTES) else ""

    def open(self, item: Item) -> None:
        """Enters the array or map."""
        self.frames.append(_Frame(mapping=item.kind == MAP, left=item.number, key=self.key))
        self._leave()

    def close(self, item: Item) -> bool:
        """Behind a value: leaves what is complete. False: a break where nothing is to break."""
        if item.kind == BREAK:
            if not self.frames or self.frames[-1].left >= 0:
                return False
            self.frames.pop()
        self._count()
        return True

    def _count(self) -> None:
        if self.frames and (not self.frames[-1].mapping or self.frames[-1].naming):
            self.frames[-1].left -= self.frames[-1].left > 0
        self._leave()

    def _leave(self) -> None:
        while self.frames and not self.frames[-1].left and (not self.frames[-1].mapping or self.frames[-1].naming):
            self.frames.pop()
            above = self.frames[-1] if self.frames else None
            if above is not None and above.left > 0 and (not above.mapping or above.naming):
                above.left -= 1

    @property
    def key(self) -> str:
        """The name of the value here: elements of an array go by the array's."""
        return self.frames[-1].key if self.frames else ""

    @property
    def parent(self) -> str:
        """The name of what the value stands in."""
        named = [frame.key for frame in self.frames[-4:-1] if frame.mapping]
        return named[-1] if named else ""

    def path(self) -> str:
        """The place of the item here."""
        shown = self.frames if len(self.frames) <= 2 * _LEVELS else self.frames[:_LEVELS]
        steps = [frame.step() for frame in shown]
        if shown is not self.frames:
            steps += ["..", *(frame.step() for frame in self.frames[-_LEVELS:])]
        return (f"[{self.documents}]." if self.documents else "") + "$" + "".join(steps)


def read(data: bytes, items: Items, ask: Ask) -> Iterator[tuple[Item, bool, Nest] | None]:
    """Each text, byte string and number with whether it is a name, and where it stands; last ``None`` if the bytes
    break or end too early."""
    nest = Nest(data)
    for item in items(data, ask):
        if item is None:
            yield None
            return
        if item.kind == BREAK:
            if not nest.close(item):
                yield None
                return
            continue
        naming = nest.place(item)
        if item.kind in (ARRAY, MAP):
            nest.open(item)
            continue
        yield item, naming, nest
        nest.close(item)
    if nest.frames:
        yield None


def _digits(item: Item, key: str) -> bytes:
    """The digits of a number that is worth a look."""
    return b"%d" % item.number if (_FEW if key else _MANY) <= item.number < _MOST else b""


def survey(data: bytes, form: Format, ask: Ask, *, declared: bool, called: Called = NOBODY) -> Survey | None:
    """All values; ``None`` where the bytes are none of the format. Undeclared ones have to be arrays or maps, and hold
    something telling. ``called``: names that the items at these offsets go by."""
    found = Survey()
    nest = None
    for step in read(data, form.items, ask):
        if step is None:
            return None
        item, naming, nest = step
        if nest.bare and not declared:
            return None
        key = called.get(item.at) or ("" if naming else nest.key)
        label = found.label(nest.parent, key) if key else b""
        if item.kind in (INTEGER, REAL):
            digits = _digits(item, key)
            if digits:
                found.text.add(label, digits, item.start, item.end)
                found.telling |= len(digits) > 12
        elif item.end > item.start:
            content = data[item.start : item.end] if item.whole is None else item.whole
            found.add(label, content, item.start, item.end, text=is_text(content))
    return found if declared or found.telling else None


def _number(form: Format, item: Item) -> Encode:
    """Spells what becomes of a number: the zero of a strict schema, or the text that shows the mask."""

    def encode(text: bytes) -> bytes | None:
        if text.isdigit():
            return form.integer(int(text)) if len(text) < 19 else None
        plain = text[1:-1] if text[:1] == text[-1:] == b'"' else text
        return form.text_head(len(plain)) + plain

    return encode


def _peel(data: bytes, form: Format, item: Item, nest: Nest, key: str) -> Peel | None:
    if item.kind in (INTEGER, REAL):
        digits = _digits(item, key)
        hook = Whole(item.at, item.end, digits, _number(form, item))
        return Peel(form.codec, digits, hook, nest.path(), key, number=True, framed=True) if digits else None
    head = form.text_head if item.kind == TEXT else form.bytes_head
    if item.whole is not None:
        pieces = Whole(item.at, item.end, item.whole, lambda text: head(len(text)) + text)
        return Peel(form.codec, item.whole, pieces, nest.path(), key, framed=True)
    content = data[item.start : item.end]
    spell = head if item.kind != OTHER else _no_other
    return Peel(form.codec, content, Framed(item.at, item.start, content, spell), nest.path(), key, framed=True)


def _no_other(size: int) -> None:
    """Extension types keep their length: what is in them counts its bytes itself."""


def _asked(item: Item, hits: Sequence[int]) -> bool:
    i = bisect_left(hits, item.at)
    return not hits or (i < len(hits) and hits[i] < max(item.end, item.at + 1))


def peels(data: bytes, form: Format, ask: Ask, called: Called = NOBODY) -> Iterator[Peel | None]:
    """Each value that holds a hit; last ``None`` where the bytes break."""
    for step in read(data, form.items, ask):
        if step is None:
            yield None
            return
        item, naming, nest = step
        if _asked(item, ask.hits) and item.end > item.at:
            peel = _peel(data, form, item, nest, called.get(item.at) or ("" if naming else nest.key))
            if peel is not None and peel.data:
                yield peel
