import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.sql import Bare, peel
from detectors.model import Edit, apply_edits
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, ask, few, fields, numbers, peels

PAN, CODE = "PAN", "SECURITY_CODE"

STATEMENTS = {
    "plain": b"INSERT INTO cards (id, card_no, cvv) VALUES (1, '1234567890', '123');",
    "quoted names": b'insert into "public"."cards" ("id", "card_no", "cvv") values (1, \'1234567890\', \'123\')',
    "backquotes": b"REPLACE INTO `shop`.`cards` (`cvv`,`card_no`) VALUES ('123','1234567890') ON DUPLICATE KEY UPDATE x=1",
    "brackets": b"INSERT INTO [dbo].[cards] ([card_no], [cvv]) OUTPUT inserted.id VALUES (N'1234567890', N'123')",
    "numbers": b"INSERT INTO cards (card_no, cvv) VALUES (1234567890, 123)",
    "expressions": b"INSERT INTO cards (id, card_no, at, cvv) VALUES (nextval('s'), trim('1234567890'), now(), upper(trim('123')))",
    "doubled quotes": b"INSERT INTO t (note, card_no, cvv) VALUES ('it''s, (a) note', '1234567890', '123')",
    "backslashes of mysql": rb"INSERT INTO t (note, card_no, cvv) VALUES ('it\'s, (a) note', '1234567890', '123')",
    "backslashes of others": rb"INSERT INTO t (note, card_no, cvv) VALUES ('C:\', '1234567890', '123')",
    "double quotes": b'INSERT INTO t (note, card_no, cvv) VALUES ("it\'s", "1234567890", "123")',
    "dollar quotes": b"INSERT INTO t (note, card_no, cvv) VALUES ($$it's$$, $q$1234567890$q$, '123')",
    "several lines": b"INSERT IGNORE INTO cards\n  (\n    id,\n    card_no,\n    cvv\n  )\nVALUES\n  (\n    1,\n    '1234567890',\n    '123'\n  );",
    "in a log line": b"2026-11-22 10:00:00 DEBUG org.hibernate.SQL - INSERT INTO cards (card_no, cvv) VALUES ('1234567890', '123') took 3 ms",
    "behind a bracket": b"[2026-11-22 10:00:00] local.INFO: INSERT INTO cards (card_no, cvv) VALUES ('1234567890', '123')",
    "in json": json.dumps({"sql": "INSERT INTO cards (card_no, cvv) VALUES ('1234567890', '123')"}).encode(),
    "repr": b"cursor.execute('INSERT INTO cards (card_no, cvv) VALUES (\\'1234567890\\', \\'123\\')')",
    "copy": b"COPY public.cards (id, card_no, cvv) FROM stdin;\n1\t1234567890\t123\n\\.\n",
    "update": b"UPDATE cards SET card_no = '1234567890', cvv = '123' WHERE id = 1",
    "condition": b"SELECT 1 FROM cards WHERE card_no='1234567890' AND cvv=123",
    "json in a literal": b"INSERT INTO log (body) VALUES ('{\"card_no\": \"1234567890\", \"cvv\": \"123\"}')",
}  # fmt: skip


@pytest.mark.parametrize("name", STATEMENTS)
def test_columns_name_their_values(inspector, name):
    data = STATEMENTS[name]
    found = inspector.inspect(data).findings
    assert sorted((f.entity, data[f.start : f.end]) for f in found) == [(PAN, b"1234567890"), (CODE, b"123")]
    left = redact(data, found, "mask")
    assert inspector.inspect(left).findings == ()
    assert b"******7890" in left


def test_every_row_and_every_statement():
    data = b"INSERT INTO a (x, cvv) VALUES (1, '2'), (3, NULL), (4, '5'); INSERT INTO b (cvv) VALUES (6) RETURNING id"
    assert fields(peel(data, ask())) == [
        ("[0].x", "x", b"1"), ("[0].cvv", "cvv", b"2"), ("[1].x", "x", b"3"), ("[2].x", "x", b"4"), ("[2].cvv", "cvv", b"5"), ("[1]/[0].cvv", "cvv", b"6"),
    ]  # fmt: skip


def test_lines_of_copy_end_at_their_mark():
    data = b"COPY t (a, cvv) FROM stdin;\n1\t2\n3\t4\n\\.\n5\t6\n"
    assert [(path, text) for path, _, text in fields(peel(data, ask()))] == [
        ("[0].a", b"1"),
        ("[0].cvv", b"2"),
        ("[1].a", b"3"),
        ("[1].cvv", b"4"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"INSERT INTO orders (id, amount, cvv_result) VALUES (1, 123, 456)", b"INSERT INTO cards (cvv) SELECT 123 FROM x", b"INSERT INTO t VALUES (123)",
        b"INSERT INTO t (cvv, amount) VALUES (NULL, 123)", b"CREATE TABLE t (card_no char(16), cvv char(3), qty int)", b"SELECT card_no, cvv FROM t LIMIT 100",
    ],
)  # fmt: skip
def test_other_numbers_stay_what_they_are(inspector, data):
    assert inspector.inspect(data).findings == ()


def test_a_replaced_number_is_quoted(inspector):
    data = b"INSERT INTO cards (card_no, cvv) VALUES (4111111111111111, 123)"
    assert (
        redact(data, inspector.inspect(data).findings, "mask")
        == b"INSERT INTO cards (card_no, cvv) VALUES ('411111******1111', '***')"
    )
    assert Bare(1, 4).wrap([Edit(0, 2, b"x")]) is None


def test_only_what_the_hits_ask_for_and_card_columns():
    data = b"INSERT INTO t (x, y, cvv) VALUES ('" + b"a" * 200 + b"', '" + b"b" * 200 + b"', '1')"
    assert [key for _, key, _ in fields(peel(data, ask("", 36)))] == ["x", "cvv"]


@few
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), numbers)
def test_round_trip(note, number):
    def quoted(text):
        return "'" + text.replace("'", "''") + "'"

    data = f"INSERT INTO t (note, card_no) VALUES ({quoted(note)}, {quoted(number)})".encode()
    cells = [child for child in peels(peel(data, ask())) if child.key == "card_no" and child.data == number.encode()]
    changed = apply_edits(data, cells[0].hook.wrap([Edit(0, len(number), MASKED.encode())]))
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (note TEXT, card_no TEXT)")
    database.execute(changed.decode())
    assert database.execute("SELECT note, card_no FROM t").fetchone() == (note, MASKED)
    database.close()
