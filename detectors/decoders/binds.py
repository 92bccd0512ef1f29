r"""Values that are passed beside an SQL statement: ``insert into cards (holder, cvv) values (?, ?) ["TARO", "123"]``.

Evasion: a value whose column stands in the statement and its digits in a list behind it, as loggers of database layers
print them. Read are lists in brackets or behind a semicolon (Laravel, Sequelize, Knex, Django, SQLAlchemy), MyBatis's
``Parameters: 123(String)``, and numbered ones (``$2 = '123'`` of PostgreSQL, ``parameter [2] … - [123]`` of Hibernate).
Limits: output ≤ input; a statement's list begins within 1 KB of it and has as many values as the statement has marks.
Paths: ``[1].cvv``, statements counted from 0.
Source: the logs of these layers; PostgreSQL's ``log_parameter_max_length``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.model import Ask, Gap, Peel

_MARK = rb"(?:\?|\$[0-9]{1,3}|%s|:[0-9]{1,3})"
_QUOTES = rb"\\*[\"'`\]]?"
_INSERT = rb"\bINTO\s[^()';]{1,200}?\(\s*+([^()']{1,4096}+)\)\s*+VALUES?\s*+\(((?:[^()']|\(\)){1,4096}+)\)"
_OTHER = rb"\b(?:UPDATE|DELETE|SELECT|MERGE)\b[^\r\n;]{1,4096}?" + _MARK + rb"[^\r\n;\[]{0,2048}"
_STATEMENT = re.compile(_INSERT + rb"|(" + _OTHER + rb")", re.IGNORECASE)  # 1 columns, 2 values, 3 anything else
_COMPARED = re.compile(
    rb"([\w.]{1,64})" + _QUOTES + rb"\s?(?:=|<>|!=|<=?|>=?|\blike\b)\s?(" + _MARK + rb")", re.IGNORECASE
)
_IS_MARK = re.compile(_MARK + rb"\Z")
_VALUE = (
    rb"(?:[A-Za-z.]{0,16}\\*'([^'\\\r\n]{0,256}+)\\*'|\\*\"([^\"\\\r\n]{0,256}+)\\*\"|([^,'\"()\[\]\r\n]{0,256}+))"
    rb"(?:\([A-Za-z]{1,24}\))?"
)
_ONE = re.compile(rb"\s*+" + _VALUE + rb"\s*+(,|[\])\r\n}]|\\|\Z)")
_LIST = re.compile(rb"[\[(]\s*+(?=[^\s])|;\s++(?=[\"'0-9])|\bParameters:\s++")
_NUMBERED = re.compile(
    rb"(?:\$|\bparameter [\[(])([0-9]{1,3})\b[^=\r\n]{0,32}?(?:=|<-|-)\s*+[\[\"']*+([0-9]{3,24})(?![0-9A-Za-z])"
)
_REACH = 1024


def _columns(match: re.Match[bytes]) -> list[str]:
    """The column of each mark, in the order of the values."""
    if match[3] is not None:
        pairs = [(found[1], found[2]) for found in _COMPARED.finditer(match[3])]
    else:
        pairs = list(zip(match[1].split(b","), (value.strip() for value in match[2].split(b",")), strict=False))
    marked = [
        (name_of(name.strip(b' \t\r\n`"[]\\').rpartition(b".")[2]), mark)
        for name, mark in pairs
        if _IS_MARK.match(mark)
    ]
    if all(mark[1:].isdigit() for _, mark in marked):
        marked.sort(key=lambda pair: int(pair[1][1:]))
    return [name for name, _ in marked]


def _listed(data: bytes, start: int, end: int, count: int) -> list[tuple[int, int]]:
    """The spans of the values of the first list of ``count`` between ``start`` and ``end``."""
    for opening in _LIST.finditer(data, start, end):
        at, spans = opening.end(), list[tuple[int, int]]()
        while len(spans) <= count:
            one = _ONE.match(data, at)
            if one is None:
                break
            spans.append(next(one.span(group) for group in (1, 2, 3) if one[group] is not None))
            at = one.end()
            if one[4] != b",":
                break
        if len(spans) == count:
            return spans
    return []


def _values(data: bytes, match: re.Match[bytes], columns: list[str]) -> Iterator[tuple[str, int, int]]:
    low = match.end()
    if match[3] is not None:
        low = max(compared.end() for compared in _COMPARED.finditer(data, *match.span(3)))
    high = min(len(data), low + _REACH)
    numbered = [(int(value[1]), value.span(2)) for value in _NUMBERED.finditer(data, low, high)]
    if numbered:
        yield from ((columns[n - 1], *span) for n, span in numbered if 0 < n <= len(columns))
        return
    before = max(0, match.start() - _REACH)
    spans = _listed(data, low, high, len(columns)) or _listed(data, before, match.start(), len(columns))
    yield from ((name, *span) for name, span in zip(columns, spans, strict=False))


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The values of card columns."""
    for n, match in enumerate(_STATEMENT.finditer(data)):
        ask.budget.check_time()
        columns = _columns(match)
        if not any(map(is_card_field, columns)):
            continue
        for name, start, end in _values(data, match, columns):
            if start < end and is_card_field(name):
                yield Peel("", data[start:end], side_by_side(start, end), f"[{n}].{segment(name)}", name)
