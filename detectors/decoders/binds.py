r"""Values that are passed beside an SQL statement: ``insert into cards (holder, cvv) values (?, ?) ["TARO", "123"]``.

Evasion: a value whose column stands in the statement and its digits in a list behind it, as loggers of database layers
print them. Read are lists in brackets or behind a semicolon (Laravel, Sequelize, Knex, Django, SQLAlchemy), MyBatis's
``Parameters: 123(String)``, those behind the declarations of ``sp_executesql``, numbered ones (``$2 = '123'`` of
PostgreSQL, ``parameter [2] … - [123]`` of Hibernate, ``{"2":"123"}`` of Doctrine), and named ones (``@p1='123'`` of
EF Core, ``{"c": "123"}`` for ``:c``).
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

_MARK = rb"(?:\?|\$[0-9]{1,3}|%s|[:@]\w{1,32}+)"
_QUOTES = rb"\\*[\"'`\]]?"
_INSERT = (
    rb"\bINTO\s[^()';]{1,200}?\(\s*+([^()']{1,4096}+)\)\s*+(?:OUTPUT\s[^()';]{1,200}?)?"
    rb"VALUES?\s*+\(((?:[^()']|\(\)){1,4096}+)\)"
)
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
_ONE = re.compile(rb"\s*+" + _VALUE + rb"\s*+(,|[\])\r\n}\"]|\\|\Z)")
_DECLARED = rb"N?'\s*+@\w[^'\r\n]{1,1024}+'\s*+,\s*+"
_LIST = re.compile(rb"[\[(]\s*+(?=[^\s])|;\s++(?=[\"'0-9])|\bParameters:\s++|" + _DECLARED)
_DIGITS = rb"([0-9]{3,24})(?![0-9A-Za-z])"
_IS = rb"\\*+[\"']?+\s?+(?:=>|[=:])\s?+N?\\*+[\"']?+"
_NUMBERED = re.compile(
    rb"(?:\$|\bparameter [\[(])([0-9]{1,3})\b[^=\r\n]{0,32}?(?:=|<-|-)\s*+[\[\"']*+" + _DIGITS
    + rb"|[\[{,]\s?+\\*+[\"']?+([0-9]{1,3})" + _IS + _DIGITS
)  # fmt: skip
_NAMED = re.compile(rb"(?<![\w:@])[:@]?+(\w{1,32}+)" + _IS + _DIGITS)
_REACH = 1024


def _columns(match: re.Match[bytes]) -> list[tuple[str, bytes]]:
    """The column of each mark, and the mark, in the order of the values."""
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
    return marked


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


def _values(data: bytes, match: re.Match[bytes], columns: list[tuple[str, bytes]]) -> Iterator[tuple[str, int, int]]:
    low = match.end()
    if match[3] is not None:
        low = max(compared.end() for compared in _COMPARED.finditer(data, *match.span(3)))
    high, before = min(len(data), low + _REACH), max(0, match.start() - _REACH)
    named = {mark[1:]: name for name, mark in columns if mark[:1] in b":@" and not mark[1:].isdigit()}
    for place in ((low, high), (before, match.start())) if named else ():
        given = [(named[one[1]], *one.span(2)) for one in _NAMED.finditer(data, *place) if one[1] in named]
        if given:
            yield from given
            return
    names = [name for name, _ in columns]
    found = [(int(one[1] or one[3]), one.span(2 if one[1] else 4)) for one in _NUMBERED.finditer(data, low, high)]
    numbered = [(names[n - 1], *span) for n, span in found if 0 < n <= len(names)]
    if numbered:
        yield from numbered
        return
    spans = _listed(data, low, high, len(names)) or _listed(data, before, match.start(), len(names))
    yield from ((name, *span) for name, span in zip(names, spans, strict=False))


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The values of card columns."""
    for n, match in enumerate(_STATEMENT.finditer(data)):
        ask.budget.check_time()
        columns = _columns(match)
        if not any(is_card_field(name) for name, _ in columns):
            continue
        for name, start, end in _values(data, match, columns):
            if start < end and is_card_field(name):
                yield Peel("", data[start:end], side_by_side(start, end), f"[{n}].{segment(name)}", name)
