import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders import table
from detectors.decoders.table import peel
from detectors.model import Edit, apply_edits
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, fields, numbers, peels

PAN, CODE = "PAN", "SECURITY_CODE"


def written(rows, delimiter=",", **more):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, **more).writerows(rows)
    return out.getvalue().encode()


ROWS = [
    ["id", "note", "card_no", "cvv"],
    ["1", 'he said "hi", then\nleft', "1234567890", "123"],
    ["2", "", "2345678901", "4567"],
    ["3", "x", "", ""],
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "more", [{}, {"quoting": csv.QUOTE_ALL}, {"lineterminator": "\n"}], ids=["minimal", "quoted", "unix"]
)
@pytest.mark.parametrize("content_type", ["text/csv", "text/plain", ""])
def test_a_header_names_its_columns(inspector, delimiter, more, content_type):
    data = written(ROWS, delimiter, **more)
    found = inspector.inspect(data, content_type).findings
    assert [(f.entity, f.path, data[f.start : f.end]) for f in found] == [
        (PAN, "[0].card_no", b"1234567890"), (CODE, "[0].cvv", b"123"), (PAN, "[1].card_no", b"2345678901"), (CODE, "[1].cvv", b"4567"),
    ]  # fmt: skip
    left = list(csv.reader(io.StringIO(redact(data, found, "mask").decode()), delimiter=delimiter))
    assert [row[:2] for row in left] == [row[:2] for row in ROWS]
    assert [row[2:] for row in left[1:3]] == [["******7890", "***"], ["******8901", "***"]]


PRINTED = {
    "psql": b" id | card_no    | cvv \n----+------------+-----\n  1 | 1234567890 | 123\n  2 | 2345678901 | 456\n(2 rows)\n",
    "mysql": b"+----+------------+-----+\n| id | card_no    | cvv |\n+----+------------+-----+\n|  1 | 1234567890 | 123 |\n+----+------------+-----+\n",
    "markdown": b"Look:\n\n| id | Card No | CVV |\n|----|:-------:|-----|\n| 1 | 1234567890 | 123 |\n\nthanks\n",
    "behind other text": b"export of 2026-11-22\nby taro\n\nid;card_no;cvv\n1;1234567890;123\n",
    "byte order mark": "\ufeffcard_no,cvv\r\n1234567890,123\r\n".encode(),
    "japanese": "注文番号,カード番号,セキュリティコード\n1,1234567890,123\n".encode(),
    "cp932": "注文番号,カード番号,cvv\n1,1234567890,123\n".encode("cp932"),
    "in json": b'{"csv":"id,card_no,cvv\\n1,1234567890,123\\n"}',
    "in a form": b"a=1&csv=id%2Ccard_no%2Ccvv%0A1%2C1234567890%2C123",
    "two tables": b"card_no,x\n1234567890,y\n\nid,cvv\n1,123\n",
    "quoted names": b'"card_no","cvv"\n"1234567890","123"\n',
    "code only in the last row": b"card_no,cvv\n1234567890,\n,123\n",
}


@pytest.mark.parametrize("name", PRINTED)
def test_tables_that_nobody_declares(inspector, name):
    found = inspector.inspect(PRINTED[name]).findings
    assert {PAN, CODE} == {finding.entity for finding in found}
    assert inspector.inspect(redact(PRINTED[name], found, "mask")).findings == ()


def test_a_card_in_a_row_makes_its_neighbours_count(inspector):
    data = b"card,expire,holder_name,code,qty\n4111111111111111,12/30,TARO YAMADA,123,123\n,12/29,HANAKO SATO,456,456\n"
    found = inspector.inspect(data, "text/csv").findings
    assert [f.path for f in found] == ["[0].card", "[0].expire", "[0].holder_name", "[0].code"]


@pytest.mark.parametrize(
    "data",
    [
        b"declined, cvv, try again\nthe 123, second, time\n", b"id,cvv_result,qty\n1,100,123\n", b"a,b\n1,123\n", b"cvv,\n\n123\n",
        b"id,cvv\n", b"id,cvv\nonly 123\n", b"cvv\n123\n456",
    ],
)  # fmt: skip
def test_other_text_is_no_table(inspector, data):
    assert [f for f in inspector.inspect(data).findings if f.path] == []


def test_rows_of_another_width_are_skipped_where_it_is_declared(inspector):
    data = b"card_no,cvv\n# comment\n1234567890,123\n"
    assert [f.path for f in inspector.inspect(data, "text/csv").findings] == ["[0].card_no", "[0].cvv"]


def test_cells_have_places_and_names():
    data = b'a b,"c ""d""",x\n1, "2 ""3""" ,\n'
    assert fields(peel(data, ask("text/csv"))) == [("[0]['a b']", "a b", b"1"), ("[0]['c \"d\"']", 'c "d"', b'2 "3"')]


def test_only_what_the_hits_ask_for_and_card_columns():
    data = b"x,cvv,y\n" + b"a" * 100 + b",1," + b"b" * 100 + b"\n" + b"c" * 100 + b",2," + b"d" * 100 + b"\n"
    assert [key for _, key, _ in fields(peel(data, ask("", 7)))] == ["x", "cvv", "cvv"]


@few
@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=4,
    ),
    numbers,
    st.sampled_from([",", ";", "\t"]),
)
def test_round_trip(rows, number, delimiter):
    data = written([["a", "b", "c", "card_no"], *([*row, number] for row in rows)], delimiter)
    found = peels(peel(data, ask("text/csv")))
    assert [child.data.decode() for child in found if child.key == "card_no"] == [number] * len(rows)
    changed = apply_edits(
        data,
        [
            e
            for child in found
            if child.key == "card_no"
            for e in child.hook.wrap([Edit(0, len(child.data), MASKED.encode())])
        ],
    )
    assert list(csv.reader(io.StringIO(changed.decode()), delimiter=delimiter))[1:] == [[*row, MASKED] for row in rows]


def test_an_edit_keeps_the_quotes(inspector):
    data = written([["card_no", "note"], [NUMBER, 'a "b"']], quoting=csv.QUOTE_ALL)
    left = redact(data, inspector.inspect(data, "text/csv").findings, "mask")
    assert left == written([["card_no", "note"], [MASKED, 'a "b"']], quoting=csv.QUOTE_ALL)


def test_a_line_with_many_hits_is_read_once(monkeypatch):
    """A line of nothing but candidates would otherwise cost their number times its length."""
    data = b",".join([b"4111111111111111"] * 400)
    hits = tuple(range(16, len(data) + 1, 17))
    read: list[int] = []
    monkeypatch.setattr(table, "_row", lambda data, at, mark, row=table._row: read.append(at) or row(data, at, mark))
    assert list(peel(data, ask("", *hits))) == []
    assert read == [0]
