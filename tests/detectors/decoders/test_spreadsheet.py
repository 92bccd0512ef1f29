import io
import zipfile

import pytest

from detectors.decoders import spreadsheet
from detectors.decoders.spreadsheet import Book
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask

NUMBER = "1234567890123456"
"""No issuer's, and without a check digit: only a card's name makes it a number."""
STRINGS = ["id", "Card No", "CVV", NUMBER]


def cell(place, value, kind=""):
    return f'<c r="{place}"{kind and f" t={chr(34)}{kind}{chr(34)}"}><v>{value}</v></c>'


def rows(*cells):
    inside = "".join(f'<row r="{n}">{"".join(row)}</row>' for n, row in enumerate(cells, 1))
    return f"<worksheet><sheetData>{inside}</sheetData></worksheet>"


NAMES = [cell("A1", 0, "s"), cell("B1", 1, "s"), cell("C1", 2, "s")]
SHEET = rows(NAMES, [cell("A2", 7), cell("B2", 3, "s"), cell("C2", 123)])


def shared(*strings):
    return (
        "<sst>"
        + "".join(f"<si>{text}</si>" if "<" in text else f"<si><t>{text}</t></si>" for text in strings)
        + "</sst>"
    )


def packed(sheet, strings=None, name="xl/worksheets/sheet1.xml"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, sheet)
        if strings:
            archive.writestr("xl/sharedStrings.xml", strings)
    return out.getvalue()


BOOKS = {
    "shared strings": packed(SHEET, shared(*STRINGS)),
    "numbers": packed(rows(NAMES, [cell("A2", 7), cell("B2", NUMBER), cell("C2", 123)]), shared(*STRINGS)),
    "rich text": packed(SHEET, shared("id", "<r><t>Card</t></r><r><t xml:space='preserve'> No</t></r>", *STRINGS[2:])),
    "inline strings": packed(
        '<x:worksheet><x:row><x:c t="inlineStr"><x:is><x:t>Card No</x:t></x:is></x:c><x:c t="str"><x:v>CVV</x:v></x:c></x:row>'
        f'<x:row><x:c><x:v>{NUMBER}</x:v></x:c><x:c t="str"><x:f>A1</x:f><x:v>123</x:v></x:c></x:row></x:worksheet>'
    ),
    "names of parts in capitals": packed(SHEET, shared(*STRINGS), "XL/Worksheets/Sheet1.xml"),
    "rows above and cells left out": packed(
        rows([cell("A1", "a title", "str")], [], NAMES, ['<c r="A4" s="1"/>', cell("C4", 123)], [cell("B5", 3, "s")]),
        shared(*STRINGS),
    ),
}


@pytest.mark.parametrize("name", BOOKS)
def test_the_name_above_is_the_name_of_the_cell(inspector, name):
    result = inspector.inspect(BOOKS[name])
    assert sorted((f.entity, f.confidence, f.path.rpartition(".")[2][-9:]) for f in result.findings) == [
        ("PAN", "high", "['Card No']"[-9:]), ("SECURITY_CODE", "high", "CVV"),
    ]  # fmt: skip
    assert result.gaps == ()
    assert redact(BOOKS[name], result.findings, "mask") is None


@pytest.mark.parametrize(
    "cells",
    [
        [cell("A2", 123)],
        [cell("A2", 123), cell("C2", "***", "str")],
        [cell("A2", 123), cell("C2", 99, "s")],
        [cell("C2", 2, "s"), cell("D2", 123)],
    ],
)
def test_cells_of_other_columns_stay(inspector, cells):
    assert inspector.inspect(packed(rows(NAMES, cells), shared(*STRINGS[:3]))).findings == ()


def test_other_names_make_no_text():
    book = Book()
    book.add("xl/sharedStrings.xml", shared("id", "cvv_result", "card_count").encode())
    book.add("xl/worksheets/sheet1.xml", SHEET.encode())
    assert book.text(ask()) == b""


def test_what_is_long_is_read_where_it_stands_only():
    book = Book()
    book.add("xl/sharedStrings.xml", shared("CVV", "x" * 65).encode())
    book.add("xl/worksheets/sheet1.xml", rows([cell("A1", 0, "s")], *[[cell("A2", 1, "s")]] * 3).encode())
    assert book.text(ask()) == b"CVV\tsheet\n\t-\n\t-\n\t-"


def test_a_book_is_remembered_up_to_a_size(monkeypatch):
    monkeypatch.setattr(spreadsheet, "MOST_BYTES", 100)
    book = Book()
    book.add("xl/worksheets/sheet1.xml", SHEET.encode())
    book.add("xl/styles.xml", b"x")
    assert book.text(ask()) == b""
