from __future__ import annotations

import base64
import gzip
import json

import pytest

from detectors.explain import Explainer
from detectors.model import EXPIRY, PAN, SECURITY_CODE, TRACK_2

N = "4111111111111111"
JSON = "application/json"


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer()


def told(explainer, body, content_type="", content_encoding=""):
    result = explainer.explain(body.encode() if isinstance(body, str) else body, content_type, content_encoding)
    return [*result.found, *result.rejected]


@pytest.mark.parametrize(
    ("text", "verdict", "passed", "failed", "key", "word"),
    [
        (N, "high", ("issuer", "length", "luhn", "published test number"), (), "", ""),
        (f"Visa {N}", "high", ("issuer", "length", "luhn", "published test number", "card word"), (), "", "visa"),
        ("order_id=4539148803436467", "low", ("issuer", "length", "luhn"), ("key says otherwise",), "orderid", ""),
        ("cardNo=1234567890123456", "high", ("card key",),
         ("issuer, outweighed by the key", "luhn, outweighed by the key"), "cardno", ""),
        ("4539148803436468", "none", ("issuer", "length"), ("luhn: wrong check digit",), "", ""),
        ("9939148803436468", "none", (), ("issuer: no brand begins so",), "", ""),
        ("jan: 4901234567894", "none", ("issuer", "length", "luhn"),
         ("a JAN code by its key and by its own check digit",), "jan", ""),
        ("deadbeef4539148803436467abcdef00", "low", ("issuer", "length", "luhn"), ("inside a hash or token",), "", ""),
        ("12345678901", "none", (), ("issuer: no brand begins so",), "", ""),
    ],
)  # fmt: skip
def test_each_candidate_says_what_was_checked(explainer, text, verdict, passed, failed, key, word):
    (only,) = told(explainer, text)
    assert (only.verdict, only.passed, only.failed, only.key, only.word) == (verdict, passed, failed, key, word)


def test_places_are_those_of_the_findings(explainer):
    inner = base64.b64encode(json.dumps({"card": {"number": N}}).encode()).decode()
    body = json.dumps({"a": ["paid 5555 5555 5555 4444 12/30 123", inner], "b": "9999888877776666"})
    rows = [(row.entity, row.verdict, row.path, row.trail, row.start) for row in told(explainer, body, JSON)]
    at = body.index(inner)
    assert rows == [
        (PAN, "high", "$.a[0]", (), body.index("5555")),
        (EXPIRY, "high", "$.a[0]", (), body.index("12/30")),
        (SECURITY_CODE, "high", "$.a[0]", (), body.index("123")),
        (PAN, "high", "$.a[1]/$.card.number", ("base64",), at),
        (PAN, "none", "$.b", (), body.index("9999")),
    ]


def test_a_number_within_a_track_says_so(explainer):
    rows = told(explainer, ";4111111111111111=30121010000?")
    assert (rows[0].entity, rows[0].verdict) == (TRACK_2, "high")
    assert f"part of the {TRACK_2} found there" in rows[1].failed


def test_what_cannot_be_read_is_told(explainer):
    result = explainer.explain(b"plain", "", "gzip")
    assert [gap.reason for gap in result.gaps] == ["bad-content-encoding"]
    assert [row.verdict for row in told(explainer, gzip.compress(N.encode()), "", "gzip")] == ["high"]


def test_a_boundary_keeps_its_case(explainer):
    body = f'--AbC\r\nContent-Disposition: form-data; name="card[no]"\r\n\r\n{N}\r\n--AbC--\r\n'
    assert [row.path for row in told(explainer, body, "Multipart/Form-Data; boundary=AbC")] == ["card[no]"]


def test_it_agrees_with_the_inspector(explainer, inspector):
    from tests.corpus.rows import load

    rows = [row for row in load() if not row.key][::7]
    assert len(rows) > 300
    for row in rows:
        result = explainer.explain(row.body, row.content_type, row.content_encoding)
        found = inspector.inspect(row.body, row.content_type, row.content_encoding).findings
        assert [(c.entity, c.verdict, c.start, c.end) for c in result.found] == [
            (f.entity, f.confidence, f.start, f.end) for f in found
        ], row.id
        unseen = [c for c in result.rejected if "the sieve does not point here" in c.failed]
        assert unseen == [], row.id


@pytest.mark.parametrize(
    "body", [N, f"order_id={N}", "4539148803436468", "12345678901234", f"{N}card: 1234567890123456"]
)
def test_digits_are_never_whole(explainer, body):
    text = repr(explainer.explain(body.encode()))
    digits = "".join(c for c in body if c.isdigit())
    assert digits[:12] not in text
    assert all(row.masked.count("*") >= 4 for row in told(explainer, body))


def test_any_bytes_are_explained(explainer):
    for body in (b"", bytes(range(256)), b"\xff" * 50, b"{" * 500, b"1 " * 5000):
        explainer.explain(body, JSON)
