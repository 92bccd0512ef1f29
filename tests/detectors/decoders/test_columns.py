import json
import re

import pytest

from detectors.decoders.columns import peel
from detectors.model import Limits, OutOfTime
from detectors.redaction import redact
from tests.detectors.decoders.peeling import Plenty, ask, fields

NUMBER = "1234567890123456"
"""No issuer's, and without a check digit: only a card's name makes it a number."""

TABLES = {
    "strings": {"columns": ["id", "card_number", "cvv"], "rows": [["a", NUMBER, "123"]]},
    "numbers": {"columns": ["id", "card_number", "cvv"], "rows": [[1, int(NUMBER), 123]]},
    "objects": {"columns": [{"name": "card_number", "type": "text"}, {"name": "cvv"}], "rows": [[NUMBER, "123"]]},
    "cells in objects": {"schema": {"fields": [{"name": "card_number"}, {"name": "cvv"}]}, "rows": [{"f": [{"v": NUMBER}, {"v": "123"}]}]},
    "rows in objects": {"results": [{"columns": ["c.card_number", "c.cvv"], "data": [{"row": [NUMBER, "123"], "meta": [None, None]}]}]},
    "names behind": {"data": {"rows": [[NUMBER, "123"]], "cols": [{"name": "card_number"}, {"name": "cvv"}]}},
    "names in the first row": {"values": [["card_number", "cvv"], [NUMBER, "123"]]},
    "names in the first row of objects": {"Rows": [{"Data": [{"VarCharValue": "card_number"}, {"VarCharValue": "cvv"}]}, {"Data": [{"VarCharValue": NUMBER}, {"VarCharValue": "123"}]}]},
    "names in the first row of all": [["card_number", "cvv"], [NUMBER, "123"]],
    "an array for each column": {"columns": ["id", "card_number", "cvv"], "values": [["a", "b"], [NUMBER, None], ["123", None]]},
    "as many rows as columns": {"schema": {"fields": [{"name": "card_number"}, {"name": "cvv"}]}, "data": {"values": [[NUMBER, None], ["123", 7]]}},
    "by the columns' ids": {"columns": [{"id": "c0", "name": "card_number"}, {"id": "c1", "name": "cvv"}], "rows": [{"c0": NUMBER, "c1": "123"}]},
    "by the grid's ids": {"columns": [{"headerName": "card_number", "field": "c0"}, {"headerName": "cvv", "field": "c1"}], "items": [{"c0": NUMBER, "c1": "123"}]},
    "an empty row first": {"labels": ["id", "card_number", "cvv"], "entries": [[], None, ["a"], ["b", None, None], ["c", NUMBER, "123"]]},
    "a longer row": {"columns": ["id", "card_number", "cvv"], "rows": [["a", None, None], ["b", NUMBER, "123", "more"]]},
    "a row by itself": {"columns": ["card_number", "cvv"], "stats": {"rows_read": 1, "elapsed": 0.001}, "row": [NUMBER, "123"]},
    "side by side": {"fields": ["card_number", "cvv"], "values": [NUMBER, "123"]},
    "an escaped name": {"columns": ["カード番号", "セキュリティコード"], "rows": [[NUMBER, "123"]]},
    "in a string": {"message": json.dumps({"columns": ["card_number", "cvv"], "rows": [[NUMBER, "123"]]})},
    "a far row": {"columns": ["id", "card_number", "cvv"], "rows": [*([n, None, None] for n in range(500) if n != 123), ["a", NUMBER, "123"]]},
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_the_name_of_a_column_is_the_name_of_its_cells(inspector, name):
    data = json.dumps(TABLES[name]).encode()
    found = inspector.inspect(data, "application/json").findings
    assert [(f.entity, f.confidence, data[f.start : f.end]) for f in found] == [
        ("PAN", "high", NUMBER.encode()), ("SECURITY_CODE", "high", b"123"),
    ]  # fmt: skip
    left = redact(data, found, "mask")
    assert left is not None
    assert json.loads(left) == _masked(TABLES[name])
    assert inspector.inspect(left, "application/json").findings == ()


def _masked(table):
    """The document with the number and the code masked, as strings."""
    text = json.dumps(table)
    digits = r"(?<!\d)(\\?\"|){}(\\?\"|)(?![\d*])"
    for plain, masked in ((NUMBER, "123456******3456"), ("123", "***")):
        for found in reversed(list(re.finditer(digits.format(plain), text))):
            before, after = found[1] or '"', found[2] or '"'
            text = f"{text[: found.start()]}{before}{masked}{after}{text[found.end() :]}"
    return json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        f'2026-11-22 rows {{"columns": ["card_number", "cvv"], "rows": [["{NUMBER}", "123"]]}}',
        f"columns=['card_number', 'cvv'] rows=[('{NUMBER}', '123')]",
        f'q {{"columns":["card_number","cvv"],"rows":[["{NUMBER}","123"',
    ],
)  # fmt: skip
def test_in_text_in_python_and_broken_off(inspector, text):
    data = text.encode()
    found = inspector.inspect(data).findings
    assert [(f.entity, data[f.start : f.end]) for f in found] == [("PAN", NUMBER.encode()), ("SECURITY_CODE", b"123")]
    assert inspector.inspect(redact(data, found, "mask")).findings == ()


def test_what_counts_beside_a_card_number_is_of_the_same_row_and_table(inspector):
    columns = ["name", "card", "expiry", "code"]
    tables = [
        {"columns": columns, "rows": [["a", "4111111111111111", "12/30", "123"], ["b", None, "11/29", "456"]]},
        {"columns": columns, "rows": [["c", None, "10/28", "789"]]},
    ]
    data = json.dumps({"results": tables}).encode()
    found = inspector.inspect(data, "application/json").findings
    assert [(f.entity, f.path) for f in found] == [
        ("PAN", "$..rows[0].card"), ("EXPIRY", "$..rows[0].expiry"), ("SECURITY_CODE", "$..rows[0].code"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "table",
    [
        {"columns": ["id", "cvv"], "rows": [[1, 123, 5]]},
        {"columns": ["id", "cvv"], "rows": [[123, None], [124, "***"]]},
        {"columns": ["id", "cvv_result"], "rows": [[1, 123]]},
        {"columns": ["id", "cvv"], "sizes": [[1, 123]]},
        {"required": ["card_number", "cvv"], "rows": [["4111", "123"]]},
        {"fields": ["card_number", "cvv"], "note": "x" * 40, "values": [400, 123]},
        {"columns": ["card", "a", "b", "c"], "rows": [[4111, 1111, 1111, 1111]]},
        {"rows": [["cvv"], ["123"]]},
        {"columns": [], "rows": [[]]},
    ],
)
def test_other_arrays_stay(inspector, table):
    assert inspector.inspect(json.dumps(table).encode(), "application/json").findings == ()


def test_names_that_stand_inside_of_rows_are_not_theirs():
    data = b'{"results":[{"columns":["a","cvv"],"data":[[1,"123"]]}]}'
    assert fields(peel(data, ask())) == [("$..data[0].a", "a", b"1"), ("$..data[0].cvv", "cvv", b"123")]


def test_each_table_has_a_place_of_its_own():
    data = b'[{"columns":["cvv"],"rows":[["1"]]},{"columns":["cvv"],"rows":[["2"],["3"]]}]'
    assert [path for path, _, _ in fields(peel(data, ask()))] == [
        "$..rows[0].cvv", "[1]/$..rows[0].cvv", "[1]/$..rows[1].cvv",
    ]  # fmt: skip


def test_only_columns_of_cards_and_what_the_hits_ask_for():
    data = json.dumps({"columns": ["x", "cvv", "y", "z"], "rows": [["a" * 100, "1", "b" * 100, "c" * 100]]}).encode()
    assert [key for _, key, _ in fields(peel(data, ask("", data.index(b"bb"))))] == ["cvv", "y"]
    assert [key for _, key, _ in fields(peel(data, ask("", 1)))] == ["x", "cvv"]


@pytest.mark.parametrize(
    "evil", [b'"columns":["cvv"],"rows":[', b'"rows":[[', b'"columns":[{"name":"cvv"},', b'"rows":[["cvv",']
)
def test_brackets_without_end_cost_no_more_than_the_time_there_is(inspector, evil):
    data = evil * (512 * 1024 // len(evil))
    with pytest.raises(OutOfTime):
        fields(peel(data, ask(budget=Plenty(checks=100))))
    result = inspector.inspect(data, "application/json", limits=Limits(seconds=0.05))
    assert {gap.reason for gap in result.gaps} <= {"timeout", "too-many-candidates"}


def test_cells_without_digits_and_masked_ones_are_passed_over():
    rows = [[None, "***"], ["411111******1111", ""], ["XXXX-XXXX-XXXX-1111", "123"], ["１２３", "\u0031"]]
    data = json.dumps({"x": "x" * 99, "columns": ["card_number", "cvv"], "rows": rows}, ensure_ascii=False).encode()
    assert [child for _, _, child in fields(peel(data, ask("", 1)))] == [b"123", "１２３".encode(), b"1"]
