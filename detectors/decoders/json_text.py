r"""Strings, numbers and keys of JSON, NDJSON and JSON inside log lines.

Evasion: comments between a name and its value (JSON5, JSONC); a number spelled ``\u0034\u0031``, a number as a *key*,
``4.111111111111111e15``, JSON behind a log prefix, nesting so deep that a recursive parser gives up. The tokenizer
never recurses and reads on through broken JSON.
Limits: output ≤ input; a path shows 64 levels at the most.
Paths: ``$.a[0].b``, odd names as ``$['a b']``. Where each line is a document (NDJSON, log lines) the line comes first,
counted from 0: ``[3].$.a``. Of documents without line ends between them, the second is ``[1]``.
Source: RFC 8259, RFC 7464 and the NDJSON convention, RFC 9535 §2.3 (paths).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from detectors.decoders.json_nest import ESCAPES, OBJECT, Names, Nest, escape, unescape
from detectors.decoders.json_skip import NAMES, Skip, skips
from detectors.decoders.offsets import side_by_side
from detectors.decoders.weaver import NEAR, near, weave
from detectors.keys import may_name_card
from detectors.model import Ask, Gap, Peel, Plain, Sift

_TOKEN = re.compile(
    rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)("?)(\s*+(?:/\*[^*]{0,256}+\*/\s*+){0,4}+:)?'
    # 1 string, 2 its end (missing at the end of the data), 3 it is a key
    rb"|(-?[0-9][0-9A-Za-z.+-]*+)"  # 4
    rb"|([\[{])|([\]}])"  # 5, 6
    rb"|([A-Za-z_$]++)"  # 7: true, false, null and what is none of JSON; each is an element of its array
    rb"|(/[/*])",  # 8: a comment begins
    re.DOTALL,
)
_STRING, _KEY, _NUMBER, _OPEN, _CLOSE, _COMMENT = 2, 3, 4, 5, 6, 8

_ENDS = re.compile(rb"\s*+(?:[,\]}]|/[/*]|\Z)")
_BEFORE_ELEMENT = re.compile(rb"[\[,](?:\s++|/\*[^*]*+\*/|//[^\n]*+\n)*+\Z")

_START = re.compile(rb"(?:\xef\xbb\xbf|\x1e|\s)*+(?=[\[{]|\"(?s:.*)\"\s*+\Z)")
_EMBEDDED = re.compile(rb"\{\s*+\"")
_BLANK = re.compile(rb"\s*+\Z")
_REMEMBERED = 256
"""Names of which it is known whether they are wanted."""
_TOGETHER = 256
"""Values of which it is told at once whether they are worth a view."""
_SHORT = 512
"""Bytes of the longest of these."""
_BLANKS = 256
"""Blanks between an array's elements that are looked over, from the element back to its comma."""


class _Wanted:
    """What was asked for."""

    def __init__(self, ask: Ask) -> None:
        self._all = not ask.hits
        self._hopeless = () if ask.nameless else ask.hopeless
        self._near = tuple(sorted(set(ask.hits).difference(ask.digits))) if ask.digits else ask.hits
        self._sure = tuple(sorted(set(ask.digits).difference(ask.hopeless)))
        self._lines = sorted({*self._near, *self._sure, *self._hopeless})
        self._every = ask.hits
        self._dull: dict[bytes, bool] = {}
        self.names = Names()

    def says_nothing(self, nest: Nest, start: int, end: int, ask: Ask) -> bool:
        """Whether the value here is neither wanted nor of any use to others: true for most, and told at little cost."""
        if ask.named is not None:
            return nest.level == OBJECT and self._is_dull(nest, ask, ask.named)
        key = nest.key_start
        return self._far(start if key is None else key, end) and not nest.called

    def _far(self, start: int, end: int) -> bool:
        if self._all:
            return False
        following = bisect_left(self._every, start - NEAR)
        return following == len(self._every) or self._every[following] > end + NAMES

    def _is_dull(self, nest: Nest, ask: Ask, named: Callable[[str], bool]) -> bool:
        """Whether the member here goes by a name that is not wanted, and by no other."""
        raw = nest.raw_key
        dull = self._dull.get(raw)
        if dull is None:
            dull = not (nest.unsaid or nest.naming or named(nest.name(ask)))
            if len(self._dull) < _REMEMBERED:
                self._dull[raw] = dull
        return dull

    def key(self, start: int, end: int) -> bool:
        """Whether the key is."""
        if self._far(start, end):
            return False
        return self._near_by(start, end) or _holds(self._sure, start, end) or _holds(self._hopeless, start, end)

    def value(self, key: int, start: int, end: int, nest: Nest, ask: Ask) -> bool:
        """Whether the value is, whose name begins at ``key``."""
        if self._near_by(key, end) or _holds(self._sure, start, end):
            return True
        return _holds(self._hopeless, start, end) and nest.may_name_card(ask)

    def line(self, data: bytes, start: int, end: int) -> bool:
        """Whether anything on the line may be."""
        if self._near_by(start, end) or _holds(self._sure, start, end):
            return True
        return _holds(self._hopeless, start, end) and may_name_card(data[start:end])

    def ahead(self, data: bytes, at: int) -> int:
        """The beginning of the first line from ``at`` on on which anything may be."""
        if self._all:
            return at
        hit = bisect_left(self._lines, at - NEAR)
        if hit == len(self._lines):
            return len(data)
        return data.rfind(b"\n", at, max(at, self._lines[hit] - NEAR - 1)) + 1 or at

    def _near_by(self, start: int, end: int) -> bool:
        return self._all or (bool(self._near) and near(start, end, self._near))


def _holds(hits: Sequence[int], start: int, end: int) -> bool:
    """Whether a hit is in ``[start, end]``."""
    i = bisect_left(hits, start)
    return i < len(hits) and hits[i] <= end


def _string(data: bytes, span: tuple[int, int], path: str, key: str, ask: Ask) -> Peel:
    woven = weave(data, ESCAPES, unescape, escape, ask, span) if data.find(b"\\", *span) >= 0 else None
    if woven:
        return Peel("json-escape", *woven, path, key)
    return Peel("", data[span[0] : span[1]], side_by_side(*span, escape), path, key)


def _tokens(data: bytes, start: int, end: int, nest: Nest, skip: Skip | None, ask: Ask) -> Iterator[re.Match[bytes]]:
    """Each token, but for those in comments and in what nobody asked for. In text that only begins like JSON ``//``
    begins no comment."""
    at = start
    while at < end:
        for token in _TOKEN.finditer(data, at, end):
            kind = token.lastindex
            if kind == _COMMENT:
                if nest.in_text:
                    continue
                ask.budget.check_time()
                line = token[8] == b"//"
                behind = data.find(b"\n" if line else b"*/", token.end(), end)
                at = end if behind < 0 else behind + (1 if line else 2)
                break
            if skip is None:
                yield token
                continue
            past = skip.whole(nest, token.start()) if kind == _OPEN else 0
            if not past:
                yield token
                past = skip.on(nest, token.end()) if kind != _KEY else 0
            if past > token.end():
                ask.budget.check_time()
                at = past
                break
        else:
            return


def _values(
    data: bytes, start: int, end: int, document: str, wanted: _Wanted, skip: Skip | None, ask: Ask
) -> Iterator[Peel | Plain]:
    nest = Nest(data, document, wanted.names)
    for n, token in enumerate(_tokens(data, start, end, nest, skip, ask)):
        if not n & 1023:
            ask.budget.check_time()
        kind = token.lastindex
        if kind == _OPEN:
            nest.open(array=token[5] == b"[")
        elif kind == _CLOSE:
            yield from nest.close()
        elif kind == _KEY:
            nest.key(token.span(1))
            if ask.named is None and wanted.key(*token.span(1)) and not (ask.sift and ask.sift.knows(*token.span(1))):
                yield _child(data, token.span(1), nest, "", ask)
        else:
            nest.value()
            if wanted.says_nothing(nest, *token.span(), ask):
                pass
            elif kind in (_STRING, _NUMBER) and _stands_as_value(data, token, nest):
                yield from _value(data, token, nest, wanted, ask)
                text = token.span(1) if kind == _STRING else None
                if text is None or near(text[0], text[1] + NAMES, ask.hits):
                    yield from nest.passed(text, ask)
        nest.after_key = kind == _KEY
    yield from nest.rest()


def _stands_as_value(data: bytes, token: re.Match[bytes], nest: Nest) -> bool:
    """Whether the token is where JSON has a value. Not so in ``[INFO] cardNo=4111 …`` or ``{cardNo=4111, …}``: that is
    text that begins like JSON, and it is read better as text, with the words around it."""
    if token.lastindex == _NUMBER and not _ENDS.match(data, token.end()):
        return False
    if nest.in_text:
        return False
    if nest.level is None:
        return _BLANK.match(data, token.end()) is not None and not data[: token.start()].strip()
    if nest.level == OBJECT:
        return nest.after_key
    start = token.start()
    if data[max(0, start - _BLANKS) : start].rstrip().endswith((b"[", b",")):
        return True
    return _BEFORE_ELEMENT.search(data, max(0, start - _BLANKS), start) is not None


def _value(data: bytes, token: re.Match[bytes], nest: Nest, wanted: _Wanted, ask: Ask) -> Iterator[Peel | Plain]:
    number = token.lastindex == _NUMBER
    start, end = token.span(4 if number else 1)
    key_start = nest.key_start
    if not wanted.value(start if key_start is None else key_start, start, end, nest, ask):
        return
    name = nest.name(ask)
    if ask.named is not None and not nest.unsaid and not ask.named(name):
        return
    child = _child(data, (start, end), nest, name, ask, number=number)
    if isinstance(child, Plain) or not nest.hold(child):
        yield child


def _child(
    data: bytes, span: tuple[int, int], nest: Nest, name: str, ask: Ask, *, number: bool = False
) -> Peel | Plain:
    """The string or number as a view of its own; or as one of those that are told together whether they need one."""
    start, end = span
    path = nest.path(ask)
    together = ask.sift is not None and end - start <= _SHORT and not _holds(ask.digits, start, end)
    if together and not nest.unsaid and data.find(b"\\", start, end) < 0:
        return Plain(start, end, path, name, number)
    if number:
        return Peel("", data[start:end], side_by_side(start, end), path, name, number=True)
    return _string(data, span, path, name, ask)


def _sifted(data: bytes, values: Iterator[Peel | Plain], sift: Sift | None) -> Iterator[Peel]:
    """The views among ``values``, and those of the others that are worth one."""
    while some := list(islice(values, _TOGETHER if sift is not None else 1)):
        plain = [item for item in some if isinstance(item, Plain)]
        worth = iter(sift.worth(plain) if sift is not None and plain else ())
        for item in some:
            if isinstance(item, Peel):
                yield item
            elif next(worth):
                start, end, path, key, number = item
                hook = side_by_side(start, end) if number else side_by_side(start, end, escape)
                yield Peel("", data[start:end], hook, path, key, number=number)


def _whole_in_a_line(data: bytes, start: int, end: int) -> bool:
    """Whether as many levels are closed as were opened."""
    level = 0
    for token in _TOKEN.finditer(data, start, end):
        level += (token.lastindex == _OPEN) - (token.lastindex == _CLOSE)
    return level == 0


def _lines(data: bytes, wanted: _Wanted, ask: Ask) -> Iterator[tuple[int, int, str]]:
    """Span and document of each line that was asked for."""
    if ask.named is not None and ask.beside is not None and not ask.beside.inside("[-1]"):  # there is no such line
        yield from _numbered(data, sorted(ask.beside.elements("")), ask)
        return
    at = number = 0
    while at < len(data):
        ahead = wanted.ahead(data, at)
        if ahead > at:
            at, number = ahead, number + data.count(b"\n", at, ahead)
            ask.budget.check_time()
            continue
        end = data.find(b"\n", at) + 1 or len(data)
        if wanted.line(data, at, end):
            yield at, end, f"[{number}]."
        at, number = end, number + 1


def _numbered(data: bytes, numbers: Sequence[int], ask: Ask) -> Iterator[tuple[int, int, str]]:
    """Likewise, of the lines of these numbers."""
    at = here = 0
    for number in numbers:
        ask.budget.check_time()
        while here < number:
            at, here = data.find(b"\n", at) + 1, here + 1
            if not at:
                return
        if at < len(data):
            yield at, data.find(b"\n", at) + 1 or len(data), f"[{number}]."


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each string, number (``number=True``) and key that was asked for. Elements of arrays go by their array's name. A
    key is a child of its own, without a name, at the path of its value."""
    values = _documents(data, ask)
    return _sifted(data, values, ask.sift)


def _documents(data: bytes, ask: Ask) -> Iterator[Peel | Plain]:
    start = _START.match(data)
    first = start.end() if start else -1
    if first < 0 and "json" not in ask.content_type.lower():
        embedded = _EMBEDDED.search(data)
        first = embedded.start() if embedded else -1
    elif first < 0:
        first = 0
    if first < 0:
        return
    wanted, skip = _Wanted(ask), skips(data, ask)
    line_end = data.find(b"\n", first)
    if line_end < 0 or _BLANK.match(data, line_end) or not _whole_in_a_line(data, first, line_end):
        yield from _values(data, first, len(data), "", wanted, skip(first, len(data)), ask)
        return
    for at, end, document in _lines(data, wanted, ask):
        begin = at if _START.match(data, at, end) or start else _embedded(data, at, end)
        if begin is not None:
            yield from _values(data, begin, end, document, wanted, skip(begin, end), ask)


def _embedded(data: bytes, start: int, end: int) -> int | None:
    match = _EMBEDDED.search(data, start, end)
    return match.start() if match else None
