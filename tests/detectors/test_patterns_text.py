from __future__ import annotations

import pytest

from detectors.patterns_text import encodings
from detectors.sieve import Sieve


@pytest.fixture(scope="module")
def sieve() -> Sieve:
    return Sieve()


POINTED_AT = {
    "bytes": [
        b'{"type":"Buffer","data":[52]}', b"[52,49,49,49,49,49,49,49,49,49,49,49,49]", b"[52 49 49 49 49 49 49 49 49 49 49 49 49]",
        b"[\n  52,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49\n]", b"bytes: [52 1]", b"[34, 99, 118, 118, 34]",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "data"), [(kind, data) for kind, rows in POINTED_AT.items() for data in rows])
def test_points_at(sieve, kind, data):
    hits = sieve.scan(data)
    assert hits is not None
    assert kind in hits.by_kind


QUIET = (
    b'{"temperatures":[21, 22, 24, 25, 23, 21, 20, 19, 18, 17, 18, 20, 21]}',
    b'{"bytes":1234,"data":[1,2,3],"buffered":true}',
    b"00:1b:44:11:3a:b7 -> 10.0.0.1",
    b"AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01",
    b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


@pytest.mark.parametrize("data", QUIET)
def test_ordinary_lines_cost_nothing(sieve, data):
    assert sieve.scan(data) is None


def test_rows_name_a_kind_and_whether_case_counts():
    assert {(type(kind), type(expression), type(caseless)) for kind, expression, caseless in encodings()} == {
        (str, bytes, bool)
    }
