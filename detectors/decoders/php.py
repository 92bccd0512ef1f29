"""PHP's ``serialize()``, and session files: ``a:1:{s:4:"card";s:16:"…";}``, ``card|s:16:"…";``.

Evasion: a code whose name is another string of its own; private members, whose names begin with NUL bytes. Strings say
how long they are: an edit that changes the length writes the new one, so that the reader does not refuse the whole.
Limits: output ≤ input. Where a length does not fit (another charset was decoded, another edit was careless) the string
is read up to its quote and cannot be put back.
Paths: ``.card.cvv`` along the keys.
Source: the PHP manual on ``serialize``; ``ext/standard/var_unserializer.re``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectors.decoders.naming import name_of, segment
from detectors.decoders.weaver import near
from detectors.model import Ask, Edit, Gap, Peel, Wrap

_TOKEN = re.compile(
    rb"s:([0-9]{1,10}):\""  # 1 string
    rb"|([aOE]):[0-9]{1,10}:(?:\"[^\"]{0,256}\":[0-9]{1,10}:)?\{"  # 2 array or object
    rb"|C:[0-9]{1,10}:\"[^\"]{0,256}\":[0-9]{1,10}:\{"
    rb"|([id]):(-?[0-9.eE+-]{1,32});|[bRr]:[0-9]{1,10};|N;"  # 3, 4 number
    rb"|(\})"  # 5
    rb"|([A-Za-z_\x80-\xff][^\x00-\x20|!;{}\"]{0,127})\|(?=[aOsidbN][:;])"  # 6 name of a session's variable
)
_STRING, _OPEN, _NUMBER, _CLOSE, _SESSION = 1, 2, 4, 5, 6
_START = re.compile(rb"(?:^|[^0-9A-Za-z_])(?=[aO]:[0-9]{1,10}:[{\"]|s:[0-9]{1,10}:\")|\|(?=[aOsi]:[0-9])", re.MULTILINE)
_SESSION_NAME = re.compile(rb"[A-Za-z_\x80-\xff][^\x00-\x20|!;{}\"]{0,127}\Z")
_DEEPEST = 64


@dataclass(frozen=True, slots=True, repr=False)
class Counted:
    """A string behind its length. ``digits`` is where the length stands; ``None``: it did not fit."""

    digits: tuple[int, int] | None
    start: int
    size: int

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.start + start, self.start + end

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        grown = sum(len(edit.text) - (edit.end - edit.start) for edit in edits)
        if self.digits is None and grown:
            return None
        moved = [Edit(self.start + edit.start, self.start + edit.end, edit.text) for edit in edits]
        if self.digits is not None and grown:
            moved.append(Edit(*self.digits, b"%d" % (self.size + grown)))
        return moved


class _Keys:
    """The keys on the way to where the reader is; strings take turns as key and value."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._key: str | None = None
        self._own = ""
        self.name = ""
        """Of the value read last: its key, or for a list's element the list's."""

    def take(self, text: str) -> bool:
        """Whether a string or number is a value; else it is the key of the next one."""
        if self._open and self._key is None:
            self._key = text
            return False
        if self._open:
            self._own, self._key = self._key or "", None
            self.name = self._own or self._open[-1]
        return True

    def named(self, text: str) -> None:
        """A session's variable of that name follows."""
        self._open, self._key, self._own, self.name = [], None, text, text

    def open(self) -> None:
        if len(self._open) < _DEEPEST:
            above = self._open[-1] if self._open else self._own
            self._open.append(self._key or above)
        self._key = None

    def close(self) -> None:
        self._key = None
        if self._open:
            self._open.pop()

    def path(self) -> str:
        return "".join(f".{segment(step)}" for step in (*self._open, self._own) if step)


def _own(raw: bytes) -> str:
    r"""A member's name without ``\0Class\0``."""
    return name_of(raw.rpartition(b"\0")[2])


def _string(data: bytes, token: re.Match[bytes]) -> tuple[int, int, bool]:
    """Start and end of a string, and whether its length says so."""
    start, size = token.end(), int(token[1])
    if data.startswith(b'"', start + size):
        return start, start + size, True
    end = data.find(b'"', start)
    return start, end if end >= 0 else len(data), False


def _values(data: bytes, at: int, ask: Ask) -> Iterator[Peel | int]:
    """The values from ``at`` on, as long as tokens follow one another; in the end the offset behind them."""
    keys, n = _Keys(), 0
    while (token := _TOKEN.match(data, at)) is not None:
        n += 1
        if not n & 255:
            ask.budget.check_time()
        kind, at = token.lastindex, token.end()
        if kind == _STRING:
            start, end, fits = _string(data, token)
            at = end + 1 + data.startswith(b";", end + 1)
            if keys.take(_own(data[start:end])) and start < end and near(token.start(), end, ask.hits):
                hook: Wrap = Counted(token.span(1) if fits else None, start, end - start)
                yield Peel("", data[start:end], hook, keys.path(), keys.name, framed=True)
        elif kind == _NUMBER:
            start, end = token.span(4)
            if keys.take("") and near(start, end, ask.hits):
                hook = _Number(token.start(), at, start)
                yield Peel("", token[4], hook, keys.path(), keys.name, framed=True)
        elif kind == _SESSION:
            keys.named(name_of(token[6]))
        elif kind == _CLOSE:
            keys.close()
        elif token[0].endswith(b"{"):
            keys.open()
        else:
            keys.take("")
    yield at


@dataclass(frozen=True, slots=True, repr=False)
class _Number:
    """A number ``i:123;`` that becomes a string: what replaces it is no number."""

    start: int
    end: int
    digits: int

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.digits + start, self.digits + end

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        size = self.end - 1 - self.digits
        if len(edits) != 1 or (edits[0].start, edits[0].end) != (0, size):
            return None
        return (Edit(self.start, self.end, b's:%d:"%s";' % (len(edits[0].text), edits[0].text)),)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each value that was asked for, wherever serialized data begins."""
    at = 0
    while (start := _START.search(data, at)) is not None:
        ask.budget.check_time()
        begin = max(start.end(), at)
        session = _SESSION_NAME.search(data, max(at, begin - 128), begin - 1)
        if data[begin - 1 : begin] == b"|" and session is not None:
            begin = session.start()
        at = max(begin, start.end())
        for item in _values(data, begin, ask):
            if isinstance(item, int):
                at = max(at + 1, item)
            else:
                yield item
