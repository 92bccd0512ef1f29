"""Cells of tables in markup whose names stand in a row above: ``<tr><th>CVV</th></tr> … <tr><td>123</td></tr>``.

Evasion: a value whose name stands in another row, in HTML, in an office document or in a table of DocBook.
Limits: output ≤ input; rows as long as the row of names, without cells that span several; a cell with one text in it.
A row of names is one of names: no cell in it holds a digit, and one is that of a card field.
Paths: ``//tr[3].cvv``, rows counted from 0 below the names, those of all tables together.
Source: HTML Living Standard §4.9; OpenDocument 1.3 §9.1; ECMA-376 part 1 §17.4; SpreadsheetML of Excel 2003.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count

from detectors.decoders import html
from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.decoders.weaver import near, weave
from detectors.model import Ask, Gap, Peel

_ROW = re.compile(rb"<(?:[a-z]{1,8}:)?(?:tr|row|table-row)(?=[\s>/])", re.IGNORECASE)
_END = re.compile(rb"</?(?:[a-z]{1,8}:)?(?:tr|row|table-row|table|tbody)(?=[\s>/])", re.IGNORECASE)
_CELL = re.compile(rb"<(?:[a-z]{1,8}:)?(?:t[hdc]|cell|table-cell|entry)(?=[\s>/])[^<>]*+>", re.IGNORECASE)
_TEXT = re.compile(rb"(?:\A|>)\s*+([^<>\s](?:[^<>]*[^<>\s])?)")
_DIGITS = re.compile(rb"[0-9]{3}")
_WORTH = re.compile(rb"[0-9&\\\x80-\xff]")
"""What a cell has if it holds anything but a name: a digit, or what may be one."""
_AROUND = " *:：▲▼△▽↑↓↕⇅?"
"""What stands around a name: marks of what is required or sorted."""
_MOST = 1024
"""Cells of a row."""

Cell = tuple[int, int]


def _cells(data: bytes, start: int, end: int) -> list[Cell]:
    """The insides of the cells of one row."""
    tags = [(cell.start(), cell.end()) for cell in _CELL.finditer(data, start, end)][:_MOST]
    return [(behind, tags[n + 1][0] if n + 1 < len(tags) else end) for n, (_, behind) in enumerate(tags)]


def _text(data: bytes, cell: Cell) -> Cell:
    """Where the one text of a cell stands; empty: there is none, or more than one."""
    texts = [text.span(1) for text in _TEXT.finditer(data[cell[0] : cell[1]])]
    start, end = texts[0] if len(texts) == 1 else (0, 0)
    return cell[0] + start, cell[0] + end


def _names(data: bytes, cells: list[Cell], known: Callable[[str], bool]) -> list[str]:
    """The texts of a row of names; none, if it is none."""
    texts = [b" ".join(_TEXT.findall(data[slice(*cell)])) for cell in cells]
    if any(map(_DIGITS.search, texts)):
        return []
    names = [name_of(text).strip(_AROUND) for text in texts]
    return names if any(map(known, names)) else []


def _value(data: bytes, span: Cell, path: str, key: str, ask: Ask) -> Peel:
    woven = weave(data, html.REFERENCES, html.unescape, html.escape, ask, span)
    if woven:
        return Peel("html", *woven, path, key)
    return Peel("", data[slice(*span)], side_by_side(*span, html.escape), path, key)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The cells below each row of names: all of card fields, others where asked for."""
    names, numbers = list[str](), count()
    known = lru_cache(maxsize=1024)(is_card_field)  # most rows repeat the texts of others
    wanted = ask.named or known
    for n, row in enumerate(_ROW.finditer(data)):
        if not n & 63:
            ask.budget.check_time()
        end = _END.search(data, row.end())
        cells = _cells(data, row.end(), end.start() if end else len(data))
        found = _names(data, cells, known)
        if found:
            names = found
            continue
        if not names or len(cells) != len(names):
            continue
        number = next(numbers)
        for cell, name in zip(cells, names, strict=True):
            start, stop = _text(data, cell)
            by_name = wanted(name) and (ask.named is not None or _WORTH.search(data, start, stop))
            if start < stop and (by_name or (ask.named is None and near(start, stop, ask.hits))):
                yield _value(data, (start, stop), f"//tr[{number}].{segment(name)}", name, ask)
