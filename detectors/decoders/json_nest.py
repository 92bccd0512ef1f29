"""Where in a JSON document the tokenizer is: the open levels, the path to them, and the name a value goes by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from detectors.decoders.escapes import UNICODE, unicode_run
from detectors.decoders.naming import LONGEST, name_of, segment
from detectors.decoders.pairing import NAMING, SAYS_NOTHING, is_card_field, tells
from detectors.decoders.weaver import Piece, weave
from detectors.keys import may_name_card
from detectors.model import Ask, Peel

OBJECT = -2
"""What ``Nest.level`` gives inside an object."""

ESCAPES = re.compile(UNICODE + rb"|((?:\\[\"\\/bfnrt])++)")
_SHORT = bytes.maketrans(b"bfnrt", b"\b\f\n\r\t")
_UNSAFE = re.compile(rb'["\\\x00-\x1f]')
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
LEVELS = 64
"""Levels that a path shows at the most."""
_HALF = LEVELS // 2
_SHORT_NAME = 32
_REMEMBERED = 256
"""Names kept decoded: those of the open levels are asked for again and again."""

Span = tuple[int, int]
_NONE: Span = (0, 0)


def unescape(match: re.Match[bytes]) -> Piece:
    """What one match of ``ESCAPES`` stands for."""
    group = match.lastindex or 6
    return unicode_run(match, group) if group < 6 else (match[6][1::2].translate(_SHORT), (1, 2))


def escape(text: bytes) -> bytes:
    """Replacement text as the inside of a JSON string."""
    return _UNSAFE.sub(lambda byte: b"\\u%04x" % byte[0][0] if byte[0] < b" " else b"\\" + byte[0], text)


@dataclass(slots=True)
class _Level:
    """One open object or array."""

    index: int
    """Of the last element of an array; ``OBJECT``."""
    key: Span
    """The name that the next value goes by; an array's elements go by the array's."""
    lent: Span
    """The name of the whole, for members that say nothing themselves: ``{"cvv": {"S": "123"}}``."""
    text: bool = False
    """It was opened where JSON has no value: what is inside is no JSON either."""
    silent: bool = False
    """The whole is a member that says nothing: the name may stand one level further up."""
    called: Span = _NONE
    """The text beside that names the values: ``{"key": "cvv", "value": …}``; the element before in an array."""
    waiting: list[Peel] = field(default_factory=list)
    """Values whose name may follow."""


def _step(name: str) -> str:
    shown = segment(name)
    if _PLAIN_NAME.fullmatch(shown):
        return f".{shown}"
    quoted = shown.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"


class Names:
    """Short names without escapes, decoded: those of one document come again in the next."""

    def __init__(self) -> None:
        self.text = lru_cache(_REMEMBERED)(name_of)
        """The name in these bytes."""
        self.step = lru_cache(_REMEMBERED)(_step)
        """The name as a step of a path."""


class Nest:
    """The open levels of one document."""

    def __init__(self, data: bytes, document: str, names: Names) -> None:
        self._names = names
        self._data = data
        self._document = document
        self._count = 0
        self._levels: list[_Level] = []
        self._read: dict[Span, str] = {}
        self._outer: str | None = None
        """The path to the innermost level, once it has been asked for."""
        self.after_key = False
        """Whether the last token was a name."""

    def key(self, span: Span) -> None:
        if self.level == OBJECT:
            self._levels[-1].key = span
        else:
            self.value()

    def value(self) -> None:
        if self._levels and self._levels[-1].index != OBJECT:
            self._levels[-1].index += 1

    def passed_over(self, count: int) -> None:
        """So many values have come that nobody looked into."""
        self.after_key = False
        if not self._levels:
            self._count += count
        elif self._levels[-1].index != OBJECT:
            self._levels[-1].index += count

    def open(self, *, array: bool) -> None:
        self.value()
        self._outer = None
        if not self._levels:
            self._levels.append(_Level(-1 if array else OBJECT, _NONE, _NONE))
            return
        above = self._levels[-1]
        silent = self._says_nothing(above.key)
        lent = (above.called if above.called != _NONE else above.lent) if silent else above.key
        text = above.text or (above.index == OBJECT and not self.after_key)
        self._levels.append(_Level(-1 if array else OBJECT, above.key if array else _NONE, lent, text, silent))

    def close(self) -> Iterator[Peel]:
        """Ends the innermost level; gives the values whose name did not come."""
        self._outer = None
        if self._levels:
            level = self._levels.pop()
            if level.silent and self._levels:
                self._levels[-1].waiting += level.waiting
            else:
                yield from level.waiting
        if not self._levels:
            self._count += 1

    def rest(self) -> Iterator[Peel]:
        """The values still waiting where the document breaks off."""
        for level in self._levels:
            yield from level.waiting

    def passed(self, text: Span | None, ask: Ask) -> Iterator[Peel]:
        """A value has been read, and its ``text`` may be the name of others. Gives those that waited for it."""
        level = self._levels[-1] if self._levels else None
        if level is None or (level.index == OBJECT and (text is None or not self._is(level.key, NAMING))):
            return
        if level.index != OBJECT:
            level.called = text if text is not None and is_card_field(self._text(text, ask)) else _NONE
            if level.called != _NONE and len(self._levels) > 1 and self._is(level.key, NAMING):
                yield from self._called(self._levels[-2], level.called, ask)
        elif text is not None and tells(self._text(text, ask)):
            yield from self._called(level, text, ask)

    def _called(self, level: _Level, text: Span, ask: Ask) -> Iterator[Peel]:
        """``text`` names the values of ``level`` whose own names say nothing; gives those that waited for it."""
        level.called = text
        yield from (replace(peel, key=self._text(text, ask)) for peel in level.waiting)
        level.waiting.clear()

    def hold(self, peel: Peel) -> bool:
        """Whether the value waits for a name that may follow."""
        if not self.unsaid or tells(peel.key):
            return False
        self._levels[-1].waiting.append(peel)
        return True

    @property
    def unsaid(self) -> bool:
        """Whether the value stands under a name that says nothing: another may follow."""
        return self.level == OBJECT and self._says_nothing(self._levels[-1].key)

    @property
    def level(self) -> int | None:
        """``OBJECT``, the index in an array, or ``None`` outside of any."""
        return self._levels[-1].index if self._levels else None

    @property
    def depth(self) -> int:
        """How many levels are open."""
        return len(self._levels)

    @property
    def naming(self) -> bool:
        """Whether what comes here may be the name of others."""
        return bool(self._levels) and self._is(self._levels[-1].key, NAMING)

    @property
    def called(self) -> bool:
        """Whether an element has named those behind it, until a number comes."""
        return bool(self._levels) and self._levels[-1].index != OBJECT and self._levels[-1].called != _NONE

    @property
    def in_text(self) -> bool:
        """Whether the document has turned out to be text with brackets."""
        return bool(self._levels) and self._levels[-1].text

    @property
    def key_start(self) -> int | None:
        """Offset of the name of an object's value."""
        return self._levels[-1].key[0] if self.level == OBJECT else None

    @property
    def raw_key(self) -> bytes:
        """The name of an object's value as it is spelled."""
        return self._data[slice(*self._levels[-1].key)]

    def name(self, ask: Ask) -> str:
        """What the value goes by: its member's name, or the text beside it that names it better."""
        if not self._levels:
            return ""
        level = self._levels[-1]
        if level.index != OBJECT and level.called != _NONE:
            return self._text(level.called, ask)
        if self._says_nothing(level.key):
            better = (self._text(span, ask) for span in (level.called, level.lent) if span != _NONE)
            return next(filter(tells, better), self._text(level.key, ask))
        return self._text(level.key, ask)

    def may_name_card(self, ask: Ask) -> bool:
        """Whether one of the names around the value may say that it is a card number, or such a name may follow."""
        spans = {span for level in self._levels for span in (level.key, level.lent, level.called) if span != _NONE}
        return self.unsaid or any(may_name_card(self._text(span, ask).encode()) for span in spans)

    def _says_nothing(self, span: Span) -> bool:
        return self._is(span, SAYS_NOTHING)

    def _is(self, span: Span, words: frozenset[bytes]) -> bool:
        return span[1] - span[0] < 16 and self._data[slice(*span)].lower() in words

    def path(self, ask: Ask) -> str:
        depth = len(self._levels)
        if 0 < depth <= LEVELS:
            if self._outer is None:
                self._outer = f"{self._place()}${''.join(self._step(level, ask) for level in self._levels[:-1])}"
            return self._outer + self._step(self._levels[-1], ask)
        shown = [*range(min(depth, _HALF)), *range(max(_HALF, depth - _HALF), depth)]
        steps = [self._step(self._levels[level], ask) for level in shown]
        if depth > LEVELS:
            steps.insert(_HALF, ".")
        return f"{self._place()}${''.join(steps)}"

    def _place(self) -> str:
        """The document, where it is not the only one."""
        return self._document or (f"[{self._count}]." if self._count else "")

    def around(self, ask: Ask) -> str:
        """The path of the innermost array."""
        return self.path(ask).rpartition("[")[0]

    def place(self, ask: Ask) -> str:
        """The path of the value that comes next."""
        level = self._levels[-1] if self._levels else None
        if level is None or level.index == OBJECT:
            return self.path(ask)
        level.index += 1
        path = self.path(ask)
        level.index -= 1
        return path

    def _step(self, level: _Level, ask: Ask) -> str:
        if level.index != OBJECT:
            return f"[{max(level.index, 0)}]"
        name = self._text(level.key, ask)
        return self._names.step(name) if len(name) < _SHORT_NAME else _step(name)

    def _text(self, span: Span, ask: Ask) -> str:
        raw = self._data[span[0] : min(span[1], span[0] + _SHORT_NAME)]
        if span[1] - span[0] < _SHORT_NAME and b"\\" not in raw:
            return self._names.text(raw)
        text = self._read.get(span)
        if text is None:
            start, end = span[0], min(span[1], span[0] + LONGEST)
            escaped = self._data.find(b"\\", start, end) >= 0
            woven = weave(self._data, ESCAPES, unescape, escape, ask, (start, end)) if escaped else None
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            text = self._read[span] = name_of(woven[0] if woven else self._data[start:end])
        return text
