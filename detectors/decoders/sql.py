r"""Literals of SQL text under the names of their columns: ``INSERT INTO t (card_no, cvv) VALUES ('…', '123'), (…)``.

Evasion: a name and its value on two sides of ``VALUES``; doubled quotes, backslashes, ``N'…'``, ``$tag$…$tag$``; many
rows; ``COPY … FROM stdin`` with its tab-separated lines. ``SET cvv = '123'`` and conditions need no decoder.
Limits: output ≤ input. Values that a statement takes from elsewhere (``?``, ``:name``) are where they are passed.
Paths: ``[1].cvv``, rows counted from 0 in each statement; the second statement's ``[1]/[0].cvv``.
Source: ISO/IEC 9075-2 §5.3 (literals); the manuals of PostgreSQL, MySQL, Oracle and SQL Server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.decoders.weaver import Piece, near, weave
from detectors.model import Ask, Edit, Gap, Peel

_INSERT = re.compile(
    rb"\b(?:INSERT|REPLACE|MERGE|UPSERT)\b[^()'\";]{0,200}?\bINTO\s[^()';]{1,200}?"
    rb"\(\s*+([^()']{1,4096}+)\)\s*+(?:OUTPUT\s[^()]{1,200}?|OVERRIDING\s[^()]{1,40}?)?VALUES?\s*+(?=\()",
    re.IGNORECASE,
)
_COPY = re.compile(
    rb"\bCOPY\s[^()';]{1,200}?\(\s*+([^()']{1,4096}+)\)\s*+FROM\s+stdin\b[^;\n]{0,200};?[ \t]*\r?\n", re.IGNORECASE
)
_TOKEN = (
    rb"[NnEeBbXxUu&]{0,2}'((?:[^'%s]|''|\\.)*+)'?"  # 1 string
    rb"|\$([A-Za-z_]*)\$(.*?)\$\2\$"  # 2, 3 dollar quoting
    rb"|\"((?:[^\"%s]|\"\"|\\.)*+)\"?"  # 4 string of MySQL
    rb"|(-?[0-9][0-9.eE+-]*+)"  # 5 number
    rb"|([(])|([)])|(,)"  # 6, 7, 8
    rb"|[A-Za-z_@:?][\w.@:?]*+"
)
_TOKENS = tuple(re.compile(_TOKEN % (but, but), re.DOTALL) for but in (b"\\\\", b""))
"""A backslash escapes a quote for MySQL and does not for others: where there is one, both readings count."""
_STRING, _DOLLAR, _DOUBLE, _NUMBER, _OPEN, _CLOSE, _COMMA = 1, 3, 4, 5, 6, 7, 8
_QUOTED = re.compile(rb"((?:'')++)|((?:\\[\\'\"])++)")
_DOUBLE_QUOTED = re.compile(rb"((?:\"\")++)|((?:\\[\\'\"])++)")
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_COPY_CELL = re.compile(rb"([^\t\r\n]*+)(\t|\r?\n|\Z)")
_COPY_END = b"\\."


@dataclass(frozen=True, slots=True, repr=False)
class Bare:
    """A number that stands without quotes: what replaces it needs some, and replaces all of it."""

    start: int
    end: int

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.start + start, self.start + end

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        size = self.end - self.start
        if len(edits) != 1 or (edits[0].start, edits[0].end) != (0, size):
            return None
        return (Edit(self.start, self.end, b"'" + edits[0].text.replace(b"'", b"''") + b"'"),)


def _unquote(match: re.Match[bytes]) -> Piece:
    return (match[1][::2], (1, 2)) if match[1] else (match[2][1::2], (1, 2))


def _columns(raw: bytes) -> list[str]:
    return [name_of(name.strip(b' \t\r\n`"[]')) for name in raw.split(b",")]


def _literal(data: bytes, token: re.Match[bytes], path: str, key: str, ask: Ask) -> Peel:
    kind = token.lastindex or 0
    start, end = token.span(kind)
    if kind == _NUMBER:
        return Peel("", token[kind], Bare(start, end), path, key)
    quote = b"'" if kind == _STRING else b'"'
    escapes = _QUOTED if kind == _STRING else _DOUBLE_QUOTED
    if kind == _DOLLAR:
        return Peel("", token[kind], side_by_side(start, end), path, key)
    woven = weave(data, escapes, _unquote, lambda text: text.replace(quote, quote * 2), ask, (start, end))
    if woven:
        return Peel("sql", *woven, path, key)
    return Peel("", token[kind], side_by_side(start, end, lambda text: text.replace(quote, quote * 2)), path, key)


def _place(statement: int, row: int, name: str) -> str:
    shown = segment(name)
    before = f"[{statement}]/" if statement else ""
    return f"{before}[{row}].{shown}" if _PLAIN_NAME.fullmatch(shown) else f"{before}[{row}]['{shown}']"


def _tuples(data: bytes, at: int, names: list[str], statement: int, ask: Ask) -> Iterator[Peel]:
    """The literals of all rows."""
    for tokens in _TOKENS if data.find(b"\\", at) >= 0 else _TOKENS[:1]:
        yield from _read(data, tokens.finditer(data, at), names, statement, ask)


def _read(data: bytes, tokens: Iterator[re.Match[bytes]], names: list[str], statement: int, ask: Ask) -> Iterator[Peel]:
    """A literal inside a function's brackets belongs to the same column."""
    wanted = [is_card_field(name) for name in names]
    depth, column, row = 0, 0, -1
    for n, token in enumerate(tokens):
        if not n & 255:
            ask.budget.check_time()
        kind = token.lastindex
        if kind == _OPEN:
            depth += 1
            if depth == 1:
                column, row = 0, row + 1
        elif kind == _CLOSE:
            depth -= 1
        elif kind == _COMMA:
            column += depth == 1
        elif depth <= 0:
            return
        elif kind in (_STRING, _DOLLAR, _DOUBLE, _NUMBER) and column < len(names):
            start, end = token.span(kind)
            if start < end and (wanted[column] or near(start, end, ask.hits)):
                yield _literal(data, token, _place(statement, row, names[column]), names[column], ask)


def _lines(data: bytes, at: int, names: list[str], statement: int, ask: Ask) -> Iterator[Peel]:
    """The cells of the lines that follow a ``COPY``."""
    wanted = [is_card_field(name) for name in names]
    row = column = 0
    while at < len(data) and not (column == 0 and data.startswith(_COPY_END, at)):
        cell = _COPY_CELL.match(data, at)
        if cell is None:
            return
        start, end = cell.span(1)
        if start < end and column < len(names) and (wanted[column] or near(start, end, ask.hits)):
            path = _place(statement, row, names[column])
            yield Peel("", data[start:end], side_by_side(start, end), path, names[column])
        at = cell.end()
        if cell[2] == b"\t":
            column += 1
            continue
        row, column = row + 1, 0
        if not row & 255:
            ask.budget.check_time()


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The literals that statements put into card columns, and others that were asked for."""
    found = [(match, _tuples) for match in _INSERT.finditer(data)] + [(match, _lines) for match in _COPY.finditer(data)]
    for n, (match, values) in enumerate(sorted(found, key=lambda item: item[0].start())):
        yield from values(data, match.end(), _columns(match[1]), n, ask)


def looks_like(data: bytes) -> bool:
    """Whether there is a statement with named columns."""
    return _INSERT.search(data) is not None or _COPY.search(data) is not None
