r"""Strings, numbers and keys of JSON, NDJSON and JSON inside log lines.

Evasion: a number spelled ``\u0034\u0031``, a number as a *key*, ``4.111111111111111e15``, JSON behind a log prefix,
nesting so deep that a recursive parser gives up. The tokenizer never recurses and reads on through broken JSON.
Limits: output ≤ input; a path shows 64 levels at the most.
Paths: ``$.a[0].b``, odd names as ``$['a b']``. Where each line is a document (NDJSON, log lines) the line comes first,
counted from 0: ``[3].$.a``. Of documents without line ends between them, the second is ``[1]``.
Source: RFC 8259, RFC 7464 and the NDJSON convention, RFC 9535 §2.3 (paths).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.escapes import UNICODE, unicode_run
from detectors.decoders.naming import LONGEST, name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.weaver import Piece, near, weave
from detectors.model import Ask, Gap, Peel

_TOKEN = re.compile(
    rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)("?)(\s*+:)?'  # 1 string, 2 its end (missing at the end of the data), 3 it is a key
    rb"|(-?[0-9][0-9A-Za-z.+-]*+)"  # 4
    rb"|([\[{])|([\]}])"  # 5, 6
    rb"|([A-Za-z_$]++)",  # 7: true, false, null and what is none of JSON; each is an element of its array
    re.DOTALL,
)
_STRING, _KEY, _NUMBER, _OPEN, _CLOSE = 2, 3, 4, 5, 6

_ENDS = re.compile(rb"\s*+(?:[,\]}]|\Z)")
_BEFORE_ELEMENT = re.compile(rb"[\[,]\s*+\Z")

_ESCAPES = re.compile(UNICODE + rb"|((?:\\[\"\\/bfnrt])++)")
_SHORT = bytes.maketrans(b"bfnrt", b"\b\f\n\r\t")
_UNSAFE = re.compile(rb'["\\\x00-\x1f]')

_START = re.compile(rb"(?:\xef\xbb\xbf|\x1e|\s)*+(?=[\[{]|\"(?s:.*)\"\s*+\Z)")
_EMBEDDED = re.compile(rb"\{\s*+\"")
_BLANK = re.compile(rb"\s*+\Z")
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_LEVELS = 32
_BLANKS = 256
"""Blanks between an array's elements that are looked over, from the element back to its comma."""
_REMEMBERED = 256
"""Names kept decoded: those of the open levels are asked for again and again."""
_OBJECT = -2
_NO_KEY = (0, 0)


def _unescape(match: re.Match[bytes]) -> Piece:
    group = match.lastindex or 6
    return unicode_run(match, group) if group < 6 else (match[6][1::2].translate(_SHORT), (1, 2))


def escape(text: bytes) -> bytes:
    """Replacement text as the inside of a JSON string."""
    return _UNSAFE.sub(lambda byte: b"\\u%04x" % byte[0][0] if byte[0] < b" " else b"\\" + byte[0], text)


class _Nest:
    """Where in the document the tokenizer is: for each open level an array's index or ``_OBJECT``, and the span of the
    name that its values go by."""

    def __init__(self, data: bytes, document: str) -> None:
        self._data = data
        self._document = document
        self._count = 0
        self._index: list[int] = []
        self._keys: list[tuple[int, int]] = []
        self._read: dict[tuple[int, int], str] = {}

    def key(self, span: tuple[int, int]) -> None:
        if self._index and self._index[-1] == _OBJECT:
            self._keys[-1] = span
        else:
            self.value()

    def value(self) -> None:
        if self._index and self._index[-1] != _OBJECT:
            self._index[-1] += 1

    def open(self, *, array: bool) -> None:
        self.value()
        self._keys.append(self._keys[-1] if array and self._keys else _NO_KEY)
        self._index.append(-1 if array else _OBJECT)

    def close(self) -> None:
        if self._index:
            self._index.pop()
            self._keys.pop()
        if not self._index:
            self._count += 1

    @property
    def level(self) -> int | None:
        """``_OBJECT``, the index in an array, or ``None`` outside of any."""
        return self._index[-1] if self._index else None

    @property
    def key_start(self) -> int | None:
        """Offset of the name of an object's value."""
        return self._keys[-1][0] if self._index and self._index[-1] == _OBJECT else None

    def name(self, ask: Ask) -> str:
        return self._text(self._keys[-1], ask) if self._keys else ""

    def path(self, ask: Ask) -> str:
        depth = len(self._index)
        shown = [*range(min(depth, _LEVELS)), *range(max(_LEVELS, depth - _LEVELS), depth)]
        steps = [self._step(self._index[level], self._keys[level], ask) for level in shown]
        if depth > 2 * _LEVELS:
            steps.insert(_LEVELS, ".")
        document = self._document or (f"[{self._count}]." if self._count else "")
        return f"{document}${''.join(steps)}"

    def _step(self, index: int, key: tuple[int, int], ask: Ask) -> str:
        if index != _OBJECT:
            return f"[{max(index, 0)}]"
        shown = segment(self._text(key, ask))
        if _PLAIN_NAME.fullmatch(shown):
            return f".{shown}"
        quoted = shown.replace("\\", "\\\\").replace("'", "\\'")
        return f"['{quoted}']"

    def _text(self, span: tuple[int, int], ask: Ask) -> str:
        text = self._read.get(span)
        if text is None:
            start, end = span[0], min(span[1], span[0] + LONGEST)
            woven = weave(self._data, _ESCAPES, _unescape, escape, ask, (start, end))
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            text = self._read[span] = name_of(woven[0] if woven else self._data[start:end])
        return text


def _string(data: bytes, span: tuple[int, int], path: str, key: str, ask: Ask) -> Peel:
    woven = weave(data, _ESCAPES, _unescape, escape, ask, span) if data.find(b"\\", *span) >= 0 else None
    if woven:
        return Peel("json-escape", *woven, path, key)
    return Peel("", data[span[0] : span[1]], side_by_side(*span, escape), path, key)


def _values(data: bytes, start: int, end: int, document: str, ask: Ask) -> Iterator[Peel]:
    nest = _Nest(data, document)
    after_key = False
    for n, token in enumerate(_TOKEN.finditer(data, start, end)):
        if not n & 1023:
            ask.budget.check_time()
        kind = token.lastindex
        if kind == _OPEN:
            nest.open(array=token[5] == b"[")
        elif kind == _CLOSE:
            nest.close()
        elif kind == _KEY:
            nest.key(token.span(1))
            if near(*token.span(1), ask.hits):
                yield _string(data, token.span(1), nest.path(ask), "", ask)
        else:
            nest.value()
            if kind in (_STRING, _NUMBER) and _stands_as_value(data, token, nest, after_key=after_key):
                yield from _value(data, token, nest, ask)
        after_key = kind == _KEY


def _stands_as_value(data: bytes, token: re.Match[bytes], nest: _Nest, *, after_key: bool) -> bool:
    """Whether the token is where JSON has a value. Not so in ``[INFO] cardNo=4111 …`` or ``{cardNo=4111, …}``: that is
    text that begins like JSON, and it is read better as text, with the words around it."""
    if token.lastindex == _NUMBER and not _ENDS.match(data, token.end()):
        return False
    if nest.level is None:
        return _BLANK.match(data, token.end()) is not None and not data[: token.start()].strip()
    if nest.level == _OBJECT:
        return after_key
    start = token.start()
    return _BEFORE_ELEMENT.search(data, max(0, start - _BLANKS), start) is not None


def _value(data: bytes, token: re.Match[bytes], nest: _Nest, ask: Ask) -> Iterator[Peel]:
    number = token.lastindex == _NUMBER
    start, end = token.span(4 if number else 1)
    key_start = nest.key_start
    if not near(start if key_start is None else key_start, end, ask.hits):
        return
    if number:
        yield Peel("", token[4], side_by_side(start, end), nest.path(ask), nest.name(ask), number=True)
    else:
        yield _string(data, (start, end), nest.path(ask), nest.name(ask), ask)


def _whole_in_a_line(data: bytes, start: int, end: int) -> bool:
    """Whether as many levels are closed as were opened."""
    level = 0
    for token in _TOKEN.finditer(data, start, end):
        level += (token.lastindex == _OPEN) - (token.lastindex == _CLOSE)
    return level == 0


def _lines(data: bytes, ask: Ask) -> Iterator[tuple[int, int, str]]:
    """Span and document of each line that was asked for."""
    at = number = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        if near(at, end, ask.hits):
            yield at, end, f"[{number}]."
        elif ask.hits:
            ask.budget.check_time()
        at, number = end, number + 1


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each string, number (``number=True``) and key that was asked for. Elements of arrays go by their array's name. A
    key is a child of its own, without a name, at the path of its value."""
    start = _START.match(data)
    first = start.end() if start else -1
    if first < 0 and "json" not in ask.content_type.lower():
        embedded = _EMBEDDED.search(data)
        first = embedded.start() if embedded else -1
    elif first < 0:
        first = 0
    if first < 0:
        return
    line_end = data.find(b"\n", first)
    if line_end < 0 or _BLANK.match(data, line_end) or not _whole_in_a_line(data, first, line_end):
        yield from _values(data, first, len(data), "", ask)
        return
    for at, end, document in _lines(data, ask):
        begin = at if _START.match(data, at, end) or start else _embedded(data, at, end)
        if begin is not None:
            yield from _values(data, begin, end, document, ask)


def _embedded(data: bytes, start: int, end: int) -> int | None:
    match = _EMBEDDED.search(data, start, end)
    return match.start() if match else None
