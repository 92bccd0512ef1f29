r"""Cells of a query's result whose names stand apart: ``{"columns": ["id", "cvv"], "rows": [[1, "123"]]}``.

Evasion: the name of a value in another array than the value. Names are strings or objects (``{"name": "cvv"}``); rows
are arrays, arrays in objects (``{"f": [{"v": "123"}]}``) or objects by the columns' ids, or there is an array for each
column. The first row may hold the names. Python's spelling is read, too, and broken JSON as far as it goes.
Limits: output ≤ input; ``MOST`` columns, values five levels deep. One of the first rows has as many cells as there are
names, the others may have more or fewer; below a first row of names they have no more. Columns within a column (records
of BigQuery) are not told apart.
Paths: ``$..rows[0].cvv``; in the second table of a message ``[1]/$..rows[0].cvv``.
Source: the answers of Elasticsearch SQL and ES|QL, Trino, BigQuery, InfluxDB, ClickHouse, Snowflake, Databricks,
Athena, RDS Data API, Neo4j, libSQL, Metabase, Grafana, Kibana and Google Sheets; pandas (``orient="split"``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from detectors.decoders.json_nest import ESCAPES, escape, unescape
from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.decoders.weaver import near, weave
from detectors.model import Ask, Gap, Peel, Wrap

MOST = 1024
"""Columns of one table."""

_STRING = rb"(?:\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\]++|\\.)*+')"
_SCALAR = _STRING + rb"|-?[0-9][0-9A-Za-z.+-]*+|[A-Za-z_][A-Za-z_0-9]*+"


def _container(levels: int) -> bytes:
    inner = _STRING if levels == 0 else _STRING + rb"|" + _container(levels - 1)
    return rb"[\[({](?:[^\[\](){}\"']++|" + inner + rb")*+[\])}]"


_ELEMENT = re.compile(
    rb"\s*+(" + _SCALAR + rb"|" + _container(4) + rb"|[\[({].{0,4096}+\Z)\s*+(?:,\s*+|(?=[\])])|\Z)", re.DOTALL
)
"""One element of an array and the comma behind it; the last of broken JSON without its end."""
_CLOSE = re.compile(rb"[\s,]*+[\])]")
_NAMES = (
    rb"columns|cols|fields|headers?|head(?:ings?)?|names|(?:column|field)_?names|row_?type|meta|column_?(?:metadata|info)"
    rb"|keys|labels|titles?|schema|attributes"
)
_IN_OBJECT = re.compile(
    rb"\{\s*+[\"'](?!(?:" + _NAMES + rb")[\"'])[A-Za-z_]{1,16}[\"']\s*+:\s*+(?=[\[(])", re.IGNORECASE
)
_MEMBER = re.compile(rb"[{,]\s*+(" + _STRING + rb")\s*+:\s*+(" + _SCALAR + rb")", re.DOTALL)
_VALUE = re.compile(rb"[\"'](?:v|[a-z]{0,16}value)[\"']\s*+:\s*+(" + _SCALAR + rb")", re.DOTALL | re.IGNORECASE)
_SAYS = re.compile(
    rb"[\"'](?:name|label|id|key|field|title|caption|header|(?:column|display|header)_?name|column|data_?index|accessor"
    rb"|[a-z]{0,16}value)[\"']\s*+:\s*+(" + _STRING + rb")",
    re.DOTALL | re.IGNORECASE,
)
_PART = re.compile(
    rb"(?:(?<![A-Za-z])(?:"
    rb"(?P<names>" + _NAMES + rb")"
    rb"|(?P<rows>rows?|values|data|data_?array|records|results?|body|table|cells|items"
    rb"|entries|tuples|lines|list))[\"']?\s*+[:=]|\A)\s*+(?=[\[(])",
    re.IGNORECASE,
)
"""The word before an array of names or of rows. A message may begin with its rows."""
_IN_COLUMNS = re.compile(rb"[\"']data[\"']\s*+:\s*+\{\s*+[\"']values[\"']\s*+:\s*+\Z")
"""What stands before the rows where Grafana has an array for each column."""
_BEFORE = 64
"""Bytes of that, at the most."""
_DULL = re.compile(rb"[\"']?(?:[^0-9\\\x80-\xff]*+|[0-9 -]{0,7}+[*xX][*xX -]*+[0-9]{0,4}+)[\"']?\Z")
"""A cell without digits, or masked: nothing under any name."""
_BETWEEN = range(32)
"""Bytes between names and values that stand side by side without rows."""
_TRIED = 64
"""Rows among which one has as many cells as there are names, if they are rows of those."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of the columns, and the offset behind them."""

    end: int
    names: tuple[str, ...]
    called: tuple[frozenset[str], ...]
    """Of each column, all that it is called."""


def _opens(data: bytes, at: int) -> bool:
    return data[at : at + 1] in (b"[", b"(")


def _elements(data: bytes, at: int) -> Iterator[Span]:
    """The elements of the array that opens at ``at``."""
    at += 1
    while (element := _ELEMENT.match(data, at)) is not None:
        yield element.span(1)
        at = element.end()


def _text(raw: bytes, ask: Ask) -> str:
    woven = weave(raw, ESCAPES, unescape, escape, ask, (1, len(raw) - 1)) if b"\\" in raw else None
    return name_of(woven[0] if woven else raw[1:-1])


def _said(raw: bytes, ask: Ask) -> list[str]:
    """What a column is called: by a string, or by members of an object."""
    if raw.startswith((b'"', b"'")):
        return [_text(raw, ask)]
    return [_text(said[1], ask) for said in _SAYS.finditer(raw)] if raw.startswith(b"{") else []


def _names(data: bytes, at: int, ask: Ask) -> _Names | None:
    """The array at ``at`` as names of columns, if that is what it holds."""
    spans = list(islice(_elements(data, at), MOST))
    called = [_said(data[slice(*span)], ask) for span in spans]
    closed = _CLOSE.match(data, spans[-1][1]) if spans else None
    if closed is None or not all(called):
        return None
    names = tuple(next(filter(is_card_field, said), said[0]) for said in called)
    return _Names(closed.end(), names, tuple(map(frozenset, called)))


def _array_of(data: bytes, span: Span) -> int:
    """Where the array of a row begins: the row itself, or the first member of an object; -1: there is none."""
    if _opens(data, span[0]):
        return span[0]
    inside = _IN_OBJECT.match(data, *span)
    return inside.end() if inside else -1


def _cells(data: bytes, row: Span) -> list[Span]:
    at = _array_of(data, row)
    return list(islice(_elements(data, at), MOST + 1)) if at >= 0 else []


def _value(data: bytes, span: Span, path: str, name: str, ask: Ask) -> Iterator[Peel]:
    """What a cell holds: a string or number, by itself or as the value of an object."""
    if data[span[0]] in b"{[(":
        inside = _VALUE.search(data, *span)
        if inside is None:
            return
        span = inside.span(1)
    if data[span[0]] not in b"\"'":
        yield Peel("", data[slice(*span)], side_by_side(*span), path, name, number=True)
    elif span[1] - span[0] > 2:
        span = span[0] + 1, span[1] - 1
        woven = weave(data, ESCAPES, unescape, escape, ask, span) if data.find(b"\\", *span) >= 0 else None
        child: tuple[bytes, Wrap] = woven or (data[slice(*span)], side_by_side(*span, escape))
        yield Peel("json-escape" if woven else "", *child, path, name)


class _Table:
    """The rows at ``at`` under their names."""

    def __init__(self, data: bytes, at: int, header: _Names, base: str, ask: Ask) -> None:
        self._data, self._at, self._header, self._base, self._ask = data, at, header, base, ask
        self._says_row = base.endswith("..row")
        wanted = ask.named or is_card_field
        self._wanted = [wanted(name) for name in header.names]

    def cells(self) -> Iterator[Peel]:
        """The cells that were asked for, if the rows are those of the names."""
        first = list(islice(_elements(self._data, self._at), MOST + 1))
        arrays, columns = all(_opens(self._data, start) for start, _ in first), len(self._header.names)
        if not first:
            return
        fits = any(len(_cells(self._data, row)) == columns for row in first[:_TRIED])
        in_columns = arrays and len(first) == columns
        if in_columns and (not fits or _IN_COLUMNS.search(self._data, max(0, self._at - _BEFORE), self._at)):
            yield from self._by_column(first)
        elif fits:
            yield from self.below(_elements(self._data, self._at), MOST)
        elif self._data[first[0][0]] in b"{":
            yield from self._by_name()
        elif not arrays and len(first) == columns > 1 and (self._says_row or self._at - self._header.end in _BETWEEN):
            yield from self._row(0, first)

    def below(self, rows: Iterable[Span], most: int) -> Iterator[Peel]:
        """The cells of ``rows`` under a name; rows of more than ``most`` cells are none."""
        for n, span in enumerate(rows):
            if not n & 63:
                self._ask.budget.check_time()
            cells = _cells(self._data, span)
            if len(cells) <= most:
                yield from self._row(n, cells[: len(self._header.names)])

    def _row(self, row: int, cells: list[Span]) -> Iterator[Peel]:
        for column, span in enumerate(cells):
            yield from self._cell(column, row, span)

    def _cell(self, column: int, row: int, span: Span) -> Iterator[Peel]:
        beside = self._ask.named is not None
        by_name = self._wanted[column] and (beside or not _DULL.match(self._data, *span))
        if by_name or (not beside and near(*span, self._ask.hits)):
            name = self._header.names[column]
            yield from _value(self._data, span, f"{self._base}[{row}].{segment(name)}", name, self._ask)

    def _by_column(self, columns: list[Span]) -> Iterator[Peel]:
        for column, (start, _) in enumerate(columns):
            for n, cell in enumerate(_elements(self._data, start)):
                if not n & 255:
                    self._ask.budget.check_time()
                yield from self._cell(column, n, cell)

    def _by_name(self) -> Iterator[Peel]:
        """The members of objects that go by what a column is called, and not by its name."""
        columns = {
            said: n for n, called in enumerate(self._header.called) for said in called if said != self._header.names[n]
        }
        for n, span in enumerate(_elements(self._data, self._at)):
            if not n & 63:
                self._ask.budget.check_time()
            for member in _MEMBER.finditer(self._data, *span):
                column = columns.get(_text(member[1], self._ask))
                if column is not None:
                    yield from self._cell(column, n, member.span(2))


def _around(data: bytes, at: int, place: int) -> bool:
    """Whether ``place`` is inside of an element of the array that opens at ``at``."""
    return next((start < place for start, end in _elements(data, at) if end > place), False)


def _tables(data: bytes, ask: Ask) -> Iterator[tuple[int, _Names | None, str]]:
    """Where rows begin, their names (``None``: the first row holds them) and the word before them."""
    at, names, waiting = 0, None, None
    while (part := _PART.search(data, at)) is not None:
        ask.budget.check_time()
        at = part.end() + 1
        header = _names(data, part.end(), ask) if part["names"] else None
        if header is not None:
            names, at = header, header.end
            if waiting and not _around(data, waiting[0], part.end()):
                yield waiting[0], names, waiting[1]
            waiting = None
        elif not part["names"]:
            rows = part.end(), (part["rows"] or b"").decode()
            yield rows[0], names, rows[1]
            waiting = rows if names is None else None


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The cells of columns that go by the name of a card field, and others that were asked for."""
    count = 0
    for at, header, word in _tables(data, ask):
        base = f"[{count}]/$..{word}" if count else f"$..{word}"
        names = header
        if names is None:
            rows = _elements(data, at)
            first = next(rows, None)
            inner = _array_of(data, first) if first else -1
            names = _names(data, inner, ask) if inner >= 0 else None
            most = len(names.names) if names else 0
            cells = _Table(data, at, names, base, ask).below(rows, most) if names and most > 1 else iter(())
        else:
            cells = _Table(data, at, names, base, ask).cells()
        if names is not None and any(map(is_card_field, names.names)):
            found = False
            for cell in cells:
                found = True
                yield cell
            count += found
