"""The sheets of an Excel workbook as tab-separated text: the names of columns stand above their values there.

Evasion: a sheet holds numbers, and of texts only their places in another file of the archive; ``123`` below ``CVV`` is
a bare number in the XML, far from a name that stands nowhere near.
Limits: sheets and texts up to ``MOST_BYTES`` together; a row of names among the first ``_ROWS`` rows; of cells longer
than ``_LONGEST`` bytes nothing, which are read where they stand. Nothing is put back.
Source: ECMA-376 part 1 §18.3.1 (cells), §18.4.8 and §18.4.9 (shared strings).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import islice

from detectors.decoders.naming import name_of
from detectors.decoders.pairing import is_card_field
from detectors.model import Ask

MOST_BYTES = 32 * 1024 * 1024

_ROWS = 64
_LONGEST = 64
_TAG = rb"<(?:\w{1,8}:)?"
_ITEM = re.compile(_TAG + rb"si(?:\s*+/>|[\s>](.*?)</(?:\w{1,8}:)?si>)", re.DOTALL)
_T = re.compile(_TAG + rb"t(?:\s[^<>]*+)?>([^<]*+)<")
_ROW = re.compile(_TAG + rb"row(?=[\s>])[^<>]*+>(.*?)</(?:\w{1,8}:)?row>", re.DOTALL)
_CELL = re.compile(_TAG + rb"c((?:\s[^<>]*+)?)(?:(?<=/)>|(?<!/)>(.*?)</(?:\w{1,8}:)?c>)", re.DOTALL)
_PLACE = re.compile(rb"\sr=[\"']([A-Z]{1,3})[0-9]")
_KIND = re.compile(rb"\st=[\"'](\w++)")
_V = re.compile(_TAG + rb"v(?:\s[^<>]*+)?>([^<]*+)<")
_ENDS = bytes.maketrans(b'\t\r\n"', b"   '")


class Book:
    """The parts of one archive that belong to sheets."""

    def __init__(self) -> None:
        self._strings = b""
        self._sheets: list[bytes] = []
        self._size = 0

    def add(self, name: str, data: bytes) -> None:
        """Remembers a file of the archive, if it is one of them. Names of parts have no case (ECMA-376 part 2 §6.2)."""
        part = name.lower().removeprefix("/")
        if not part.startswith("xl/") or self._size + len(data) > MOST_BYTES:
            return
        if part == "xl/sharedstrings.xml":
            self._strings = data
        elif part.startswith("xl/worksheets/"):
            self._sheets.append(data)
        else:
            return
        self._size += len(data)

    def text(self, ask: Ask) -> bytes:
        """The rows below each row of names that has a card field in it; empty: there is none."""
        strings = list(_strings(self._strings, ask)) if self._sheets else []
        return b"\n".join(b"\n".join(_below(sheet, strings, ask)) for sheet in self._sheets).strip(b"\n")


def _strings(data: bytes, ask: Ask) -> Iterator[bytes]:
    for n, item in enumerate(_ITEM.finditer(data)):
        if not n & 1023:
            ask.budget.check_time()
        yield _plain(b"".join(_T.findall(item[1] or b"")))


def _plain(text: bytes) -> bytes:
    if b"&" in text:
        text = html.unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace")
    return text.translate(_ENDS).strip() if len(text) <= _LONGEST else b""


def _cells(row: bytes, strings: list[bytes]) -> dict[bytes, bytes]:
    """The texts of a row by the letters of their columns."""
    found: dict[bytes, bytes] = {}
    for n, cell in enumerate(_CELL.finditer(row)):
        place, kind, inside = _PLACE.search(cell[1]), _KIND.search(cell[1]), cell[2] or b""
        value = _V.search(inside)
        text = _plain(value[1] if value else b"".join(_T.findall(inside)))
        if kind and kind[1] == b"s":
            index = int(text) if text.isdigit() else len(strings)
            text = strings[index] if index < len(strings) else b""
        found[place[1] if place else b"%d" % n] = text
    return found


def _below(sheet: bytes, strings: list[bytes], ask: Ask) -> Iterator[bytes]:
    rows = _ROW.finditer(sheet)
    for row in islice(rows, _ROWS):
        ask.budget.check_time()
        names = _cells(row[1], strings)
        if any(is_card_field(name_of(name)) for name in names.values()):
            yield b"\t".join([*names.values(), b"sheet"])
            break
    else:
        return
    for n, row in enumerate(rows):
        if not n & 63:
            ask.budget.check_time()
        cells = _cells(row[1], strings)
        yield b"\t".join([*(cells.get(column, b"") for column in names), b"-"])
