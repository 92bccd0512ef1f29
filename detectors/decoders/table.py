"""Columns of text: CSV and TSV, ``;`` and ``|`` between the cells, the tables that database clients print.

Evasion: a code or number whose name stands a thousand lines above it; quoted cells, doubled quotes, line ends in cells;
a table behind other text. Nobody needs to declare it: a line of names, one of them of a card field, with rows of as
many cells below it is a header. Declared as CSV, the first line is.
Limits: output ≤ input. Columns that are told apart by blanks only are not.
Paths: ``[3].card_no``, rows counted from 0 below the header.
Source: RFC 4180; IANA text/tab-separated-values; the output of psql, mysql and Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectors.decoders.naming import LONGEST, name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.decoders.weaver import Piece, near, weave
from detectors.model import Ask, Gap, Peel

DECLARED = frozenset(
    {
        "text/csv",
        "text/tab-separated-values",
        "text/tsv",
        "text/comma-separated-values",
        "text/x-csv",
        "application/csv",
    }
    | {"application/x-csv", "application/vnd.ms-excel"}
)

_DELIMITERS = (b"\t", b"|", b";", b",")
_CELLS = {
    mark: re.compile(
        rb"[ ]*+(?:\"((?:[^\"]|\"\")*+)\"?[ ]*+|([^\r\nX]*+))(X|\r?\n|\r|\Z)".replace(b"X", re.escape(mark)), re.DOTALL
    )
    for mark in _DELIMITERS
}
_DOUBLED = re.compile(rb'(?:"")++')
_RULE = re.compile(rb"[-+|=: \t]*+\Z")
_NAME = re.compile(rb"[^\x00-\x1f=<>{}\\]{1,64}\Z")
_LETTER = re.compile(rb"[A-Za-z_\x80-\xff]")
_LONGEST_LINE = 8192
_MOST_COLUMNS = 1024
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class _Header:
    mark: bytes
    names: tuple[str, ...]
    end: int
    """Offset of the first row."""


@dataclass(frozen=True, slots=True)
class _Cell:
    start: int
    end: int
    quoted: bool


def _line(data: bytes, at: int) -> tuple[int, int]:
    """Start and end (without its line break) of the line around ``at``; long lines are no headers."""
    start = (
        max(data.rfind(b"\n", max(0, at - _LONGEST_LINE), at), data.rfind(b"\r", max(0, at - _LONGEST_LINE), at)) + 1
    )
    ends = [
        end for end in (data.find(b"\n", at, at + _LONGEST_LINE), data.find(b"\r", at, at + _LONGEST_LINE)) if end >= 0
    ]
    return start, min(ends, default=min(len(data), at + _LONGEST_LINE))


def _row(data: bytes, at: int, mark: bytes) -> tuple[list[_Cell], int]:
    """The cells of the row at ``at``, and the offset behind it."""
    cells: list[_Cell] = []
    while len(cells) < _MOST_COLUMNS:
        cell = _CELLS[mark].match(data, at)
        if cell is None:  # text behind a closing quote: no table
            return [], data.find(b"\n", at) + 1 or len(data)
        group = 1 if cell[1] is not None else 2
        start, end = cell.span(group)
        cells.append(_Cell(start, start + len(data[start:end].rstrip()), group == 1))
        at = cell.end()
        if cell[3] != mark:
            break
    return cells, at


def _beginning(data: bytes, at: int) -> tuple[int, tuple[bytes, ...]]:
    """Where the line around ``at`` begins, and what may part its cells."""
    start, end = _line(data, at)
    return start, tuple(mark for mark in _DELIMITERS if mark in data[start:end])


def _header(data: bytes, start: int, marks: Sequence[bytes], *, declared: bool) -> _Header | None:
    """The header in the line that begins at ``start``, if it is one."""
    for mark in marks or ([b","] if declared else []):
        cells, behind = _row(data, start, mark)
        raw = [data[cell.start : cell.end].strip() for cell in cells]
        if not all(_NAME.match(name) and _LETTER.search(name) for name in raw if name) or not any(raw):
            continue
        names = tuple(name_of(name[:LONGEST].replace(b'""', b'"')).strip("`'[] \ufeff") for name in raw)
        if declared or (any(map(is_card_field, names)) and _has_rows(data, behind, mark, len(names))):
            return _Header(mark, names, behind)
    return None


def _has_rows(data: bytes, at: int, mark: bytes, columns: int) -> bool:
    """Whether the next line has as many cells. A ruler (``---+---``) in between is part of the header."""
    for _ in range(2):
        start, end = _line(data, at)
        if not _RULE.match(data, start, end):
            cells, _ = _row(data, start, mark)
            return len(cells) == columns > 1
        at = end + 1 + data.startswith(b"\r\n", end)
    return False


def _undouble(match: re.Match[bytes]) -> Piece:
    return b'"' * (len(match[0]) // 2), (1, 2)


def _double(text: bytes) -> bytes:
    return text.replace(b'"', b'""')


def _cell(data: bytes, cell: _Cell, path: str, key: str, ask: Ask) -> Peel:
    span = (cell.start, cell.end)
    if not cell.quoted:
        return Peel("", data[cell.start : cell.end], side_by_side(*span), path, key)
    woven = weave(data, _DOUBLED, _undouble, _double, ask, span)
    return (
        Peel("csv", *woven, path, key)
        if woven
        else Peel("", data[slice(*span)], side_by_side(*span, _double), path, key)
    )


def _place(row: int, name: str) -> str:
    shown = segment(name)
    return f"[{row}].{shown}" if _PLAIN_NAME.fullmatch(shown) else f"[{row}]['{shown}']"


def _rows(data: bytes, header: _Header, ask: Ask, *, declared: bool) -> Iterator[Peel | int]:
    """The cells of card columns, and others that were asked for; in the end the offset behind the table."""
    wanted = [is_card_field(name) for name in header.names]
    at, number = header.end, 0
    while at < len(data):
        if not number & 255:
            ask.budget.check_time()
        start = at
        cells, at = _row(data, start, header.mark)
        if len(cells) != len(header.names):
            line = data[start:at].strip()
            if not declared and not (line and _RULE.match(line)):
                at = start
                break
            continue
        for cell, name, card in zip(cells, header.names, wanted, strict=True):
            if cell.start < cell.end and (card or near(cell.start, cell.end, ask.hits)):
                yield _cell(data, cell, _place(number, name), name, ask)
        number += 1
    yield at


def _headers(data: bytes, ask: Ask, *, declared: bool) -> Iterator[int]:
    """Where headers may be: at the beginning of what is declared, in the lines that hold a hit, or in every line."""
    if declared:
        yield 3 if data.startswith(b"\xef\xbb\xbf") else 0
        return
    if ask.hits:
        yield from (hit - 1 for hit in ask.hits)  # a hit may end with its line
        return
    at = 0
    while at < len(data):
        yield at
        at = data.find(b"\n", at) + 1 or len(data)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The cells below each header: all of columns that a card field's name stands over, others where asked for."""
    declared = ask.content_type.partition(";")[0].strip().lower() in DECLARED
    at, looked_at = 0, None
    for n, place in enumerate(_headers(data, ask, declared=declared)):
        if not n & 63:
            ask.budget.check_time()
        if place < at or (line := _beginning(data, min(place, len(data) - 1))) == looked_at:
            continue
        looked_at = line
        header = _header(data, *line, declared=declared)
        for item in _rows(data, header, ask, declared=declared) if header else ():
            if isinstance(item, int):
                at = item
            else:
                yield item
