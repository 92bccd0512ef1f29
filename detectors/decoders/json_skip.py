r"""Stretches of a JSON document in which nobody asked for anything: passed over by compiled expressions.

What the tokenizer would say of them is known without it: nothing, and how many elements an array has got on by. So a
stretch is made of whole members or elements, each with its comma, as RFC 8259 spells them; where they are spelled
otherwise (comments, nesting too deep for an expression, a string without an end), the tokenizer reads on as ever.
Source: the on-demand reading of simdjson and the skipping of JSONSki, with expressions in the place of SIMD.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from detectors.decoders.json_nest import LEVELS, OBJECT, Nest
from detectors.decoders.naming import name_of
from detectors.decoders.pairing import NAMING, SAYS_NOTHING
from detectors.decoders.weaver import NEAR
from detectors.model import Ask, Places

_STRING = rb'(?:"[^"]*+"(?<!\\")|"[^"\\]*+(?:\\.[^"\\]*+)*+")'
"""The first half reads most strings, and several times as fast as the second."""
_DEEP = 6
"""Levels of a container that an expression reads over."""
_SHALLOW = LEVELS - _DEEP
"""Levels that a path shows, less those that may be passed over."""
_WORTH = 256
"""Bytes that have to be won, or to be read after an attempt that won nothing, before the next is made."""
_LARGE = 1024
"""Bytes of a document in which it is worth the while."""
_REMEMBERED = 256
"""Names of which it is known whether they are wanted."""
NAMES = 128
"""Bytes behind a text in which the value may stand that it names."""


def _container(levels: int, opens: bytes = rb"[\[{]", closes: bytes = rb"[\]}]") -> bytes:
    """An object or array with so many levels in it. Without a slash outside of strings: it may begin a comment."""
    inner = _STRING if levels == 0 else rb"(?:" + _STRING + rb"|" + _container(levels - 1, opens, closes) + rb")"
    other = rb'[^"\[\]{}/]*+'
    return opens + other + rb"(?:" + inner + other + rb")*+" + closes


_WHOLE = _container(_DEEP)
_VALUE = rb"(?:" + _STRING + rb"|-?[0-9][0-9A-Za-z.+-]*+|[A-Za-z_$]++|" + _WHOLE + rb")"
_COMMA = re.compile(rb"\s*+,?+")
_MEMBERS = re.compile(rb"(?:\s*+(" + _STRING + rb")\s*+:\s*+" + _VALUE + rb"\s*+,)*+", re.DOTALL)
_ELEMENT = re.compile(rb"\s*+" + _VALUE + rb"\s*+,|()", re.DOTALL)
_CONTAINER = re.compile(_WHOLE, re.DOTALL)
_OBJECT = re.compile(_container(_DEEP, rb"[{]", rb"[}]"), re.DOTALL)
"""An object without arrays: each value in it goes by the name before it, unless that says nothing."""
_STRINGS = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\s*+:)?', re.DOTALL)
_SMALL = 4096
"""Bytes of an object whose names are looked through."""
_CONTAINERS = re.compile(rb"\s*+" + _WHOLE + rb"\s*+,|()", re.DOTALL)


class Skip(Protocol):
    """What need not be read."""

    def whole(self, nest: Nest, start: int) -> int:
        """The end of the container that opens at ``start``, if nothing in it is wanted; 0: it may be."""

    def on(self, nest: Nest, at: int) -> int:
        """Where to read on behind a token that ended ``at``. What is passed over, ``nest`` has counted."""


def skips(data: bytes, ask: Ask) -> Callable[[int, int], Skip | None]:
    """What ``ask`` leaves out of a stretch of ``data``, a document or a line; ``None``: nothing to speak of."""
    places = ask.beside
    if (ask.named is None and not ask.hits) or (ask.named is not None and places is None):
        return lambda *_: None
    if ask.named is not None and places is not None:
        dull: dict[bytes, bool] = {}
        return lambda start, end: Beside(data, end, ask, places, dull, large=end - start >= _LARGE)
    hopeful = sorted(set(ask.hits).difference(ask.hopeless)) if ask.nameless else ask.hits
    return lambda start, end: Far(data, end, ask.hits, hopeful) if end - start >= _LARGE else None


class _Attempts:
    """Holds back attempts where one has won nothing: they might all read as far."""

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0

    def held_back(self, nest: Nest, at: int) -> bool:
        return at < self._at and nest.depth >= self._depth

    def lost(self, nest: Nest, at: int) -> None:
        self._at, self._depth = at + _WORTH, nest.depth


class Far:
    """Leaves out what is far from every hit: neither a value nor the name of one."""

    def __init__(self, data: bytes, end: int, hits: Sequence[int], hopeful: Sequence[int]) -> None:
        self._data = data
        self._end = end
        self._hits = hits
        self._hopeful = hopeful
        self._attempts = _Attempts()

    def whole(self, nest: Nest, start: int) -> int:
        return 0

    def on(self, nest: Nest, at: int) -> int:
        if nest.level is None or self._attempts.held_back(nest, at):
            return at
        past = at
        limit = self._limit(self._hopeful, at)
        if limit - at >= _WORTH and nest.level != OBJECT and not nest.naming:  # a hopeless one is not looked into there
            past = _elements(_CONTAINERS, self._data, at, limit, nest)
        limit = self._limit(self._hits, past)
        if limit - past >= _WORTH and not nest.called:
            past = over(self._data, past, limit, nest)
        if past == at:
            self._attempts.lost(nest, at)
        return past

    def _limit(self, hits: Sequence[int], at: int) -> int:
        """The offset up to which no value behind ``at``, and no name of one, is near a hit."""
        following = bisect_left(hits, at - NEAR)
        return min(self._end, hits[following] - NAMES - 1) if following < len(hits) else self._end


class Beside:
    """Leaves out the containers whose values stand beside no card number, and those in which nothing goes by a name
    that is wanted."""

    def __init__(
        self, data: bytes, end: int, ask: Ask, places: Places, dull: dict[bytes, bool], *, large: bool
    ) -> None:
        """``dull``: names, as they are spelled, and whether no value by them is wanted; more are added."""
        self._data = data
        self._end = end
        self._ask = ask
        self._places = places
        self._dull = dull
        self._large = large
        self._all_below: int | None = None
        self._attempts = _Attempts()

    def whole(self, nest: Nest, start: int) -> int:
        past = self._of_dull_names(nest, start)
        if past or not self._large or not self._may(nest):
            return past
        place = nest.place(self._ask)
        if self._places.inside(place):
            self._all_below = nest.depth if self._places.inside(f"{place}[-1]") else None  # a place that nothing has
            return 0
        found = _CONTAINER.match(self._data, start, self._end)
        if found is None:
            return 0
        nest.passed_over(1)
        return found.end()

    def on(self, nest: Nest, at: int) -> int:
        if not self._large or nest.level in (None, OBJECT) or self._attempts.held_back(nest, at) or not self._may(nest):
            return at
        wanted = self._places.elements(nest.around(self._ask))
        past = _elements(_CONTAINERS, self._data, at, self._end, nest, wanted)
        if past == at:
            self._attempts.lost(nest, at)
        return past

    def _of_dull_names(self, nest: Nest, start: int) -> int:
        """The end of the object that opens at ``start``, if no value in it goes by a wanted name; 0: one may."""
        if nest.naming or nest.depth >= _SHALLOW:
            return 0
        found = _OBJECT.match(self._data, start, min(self._end, start + _SMALL))
        if found is None:
            return 0
        for raw, is_name in _STRINGS.findall(self._data, start, found.end()):
            if is_name and not self._is_dull(raw):
                return 0
        nest.passed_over(1)
        return found.end()

    def _is_dull(self, raw: bytes) -> bool:
        dull = self._dull.get(raw)
        if dull is None:
            told = raw.lower() in SAYS_NOTHING or raw.lower() in NAMING or b"\\" in raw
            dull = not told and self._ask.named is not None and not self._ask.named(name_of(raw))
            if len(self._dull) < _REMEMBERED:
                self._dull[raw] = dull
        return dull

    def _may(self, nest: Nest) -> bool:
        """Whether anything here may be left out: what names other values may not."""
        if self._all_below is not None and nest.depth > self._all_below:
            return False
        self._all_below = None
        return not nest.naming and nest.depth < _SHALLOW


def over(data: bytes, at: int, limit: int, nest: Nest) -> int:
    """Behind the members or elements that follow ``at`` and end by ``limit``."""
    if nest.level != OBJECT:
        return _elements(_ELEMENT, data, at, limit, nest)
    found = _MEMBERS.match(data, _behind_comma(data, at), limit)
    if found is None or found.start(1) < 0:
        return at
    nest.key((found.start(1) + 1, found.end(1) - 1))
    return found.end()


def _elements(
    kind: re.Pattern[bytes], data: bytes, at: int, limit: int, nest: Nest, wanted: Container[int] = ()
) -> int:
    """Behind the elements that follow ``at``: up to the next of those ``wanted``."""
    first = index = (nest.level or 0) + 1
    if index in wanted:
        return at
    for element in kind.finditer(data, _behind_comma(data, at), limit):
        if element.lastindex:
            break
        index, at = index + 1, element.end()
        if index in wanted:
            break
    nest.passed_over(index - first)
    return at


def _behind_comma(data: bytes, at: int) -> int:
    comma = _COMMA.match(data, at)
    return comma.end() if comma else at
