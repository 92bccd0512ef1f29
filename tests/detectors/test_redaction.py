from __future__ import annotations

import gzip
import json
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.redaction import masked, redact

N = "4111111111111111"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def redacted(inspector, body, content_type="", encoding="", style="mask", numbers="string"):
    return redact(body, inspector.inspect(body, content_type, encoding).findings, style, numbers)


@pytest.mark.parametrize(
    ("number", "first", "expected"),
    [
        (b"4111111111111111", 6, b"411111******1111"),
        (b"4111 1111 1111 1111", 6, b"4111 11** **** 1111"),
        (b"4111111111111111", 0, b"************1111"),
        (b"4222222222222", 6, b"*********2222"),
        (b"1234567890", 6, b"******7890"),
    ],
)
def test_masks(number, first, expected):
    assert masked(number, first) == expected


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("mask", b'{"a":"411111******1111","cvv":"***"}'),
        ("last4", b'{"a":"************1111","cvv":"***"}'),
        ("remove", b'{"a":"","cvv":"***"}'),
    ],
)
def test_styles(inspector, style, expected):
    assert redacted(inspector, b'{"a":"' + N.encode() + b'","cvv":"123"}', JSON, style=style) == expected


def test_fingerprint_style_is_the_same_for_the_same_number(inspector):
    body = json.dumps({"a": N, "b": "4111-1111-1111-1111"}).encode()
    out = json.loads(redacted(inspector, body, JSON, style="fingerprint"))
    assert out["a"] == out["b"] == "pan-" + inspector.fingerprint(N.encode())


@pytest.mark.parametrize(
    ("numbers", "expected"), [("string", b'{"n":"411111******1111","c":"***"}'), ("zero", b'{"n":0,"c":0}')]
)
def test_json_numbers(inspector, numbers, expected):
    body = b'{"n":4111111111111111,"c":123}'.replace(b'"c"', b'"cvv"')
    assert redacted(inspector, body, JSON, numbers=numbers) == expected.replace(b'"c"', b'"cvv"')


CASES = {
    "text that begins like JSON": (b"[ 4111111111111111 paid", "", "", b"[ 411111******1111 paid"),
    "a list of numbers": (b"[1, 4111111111111111]", "", "", b'[1, "411111******1111"]'),
    "escapes elsewhere stay": (b'{"x":"\\u00e9\\/","a":"\\u0034111111111111111"}', JSON, "", b'{"x":"\\u00e9\\/","a":"411111******1111"}'),
    "json in json": (
        json.dumps({"m": json.dumps({"p": N})}).encode(), JSON, "", json.dumps({"m": json.dumps({"p": "411111******1111"})}).encode(),
    ),
    "form": (b"x=%e3%83%86+b&CardNo=%34111111111111111", FORM, "", b"x=%e3%83%86+b&CardNo=411111******1111"),
    "xml": (b"<a>&lt;" + N.encode() + b"</a>", "text/xml", "", b"<a>&lt;411111******1111</a>"),
    "utf-16": (f"é {N}".encode("utf-16"), "", "", "é 411111******1111".encode("utf-16")),
    "cp932": (f"テスト {N}".encode("cp932"), "text/plain; charset=shift_jis", "", "テスト 411111******1111".encode("cp932")),
    "track": (b"x ;4111111111111111=30121010000? y", "", "", b"x *** y"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_other_byte_stays(inspector, name):
    body, content_type, encoding, expected = CASES[name]
    assert redacted(inspector, body, content_type, encoding) == expected


def test_compressed_bodies_are_compressed_again(inspector):
    body = gzip.compress(b'{"a":"' + N.encode() + b'","b":"' + b"x" * 100 + b'"}')
    out = redacted(inspector, body, JSON, "gzip")
    assert gzip.decompress(out) == b'{"a":"411111******1111","b":"' + b"x" * 100 + b'"}'


def test_what_cannot_be_put_back_is_none(inspector):
    head = "eyJhbGciOiJIUzI1NiJ9"
    import base64

    jwt = head + "." + base64.urlsafe_b64encode(json.dumps({"card": N}).encode()).decode().rstrip("=") + ".c2ln"
    body = f"token {jwt} end".encode()
    findings = inspector.inspect(body).findings
    assert findings
    assert redact(body, findings, "mask") is None
    other = inspector.inspect(N.encode()).findings
    assert redact(b"other bytes than were inspected", other, "mask") is None


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(alphabet='abxyz日本"\\/ 1é', max_size=8), st.one_of(st.text(alphabet='abxyz日本"\\/ 1é', max_size=20), st.integers(0, 999), st.booleans(), st.none()), max_size=4),
    st.sampled_from([N, "5555 5555 5555 4444", "378282246310005", "3530-1113-3330-0000"]),
)  # fmt: skip
def test_redaction_is_complete_idempotent_and_touches_nothing_else(inspector, surroundings, number):
    body = json.dumps(surroundings | {"note": f"paid with {number}"}, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
    body = body.replace(b"\xed", b"e")
    out = redacted(inspector, body, JSON)
    assert out is not None
    assert number.encode() not in out
    assert redacted(inspector, out, JSON) == out
    assert len(out) == len(body)
    assert [i for i in range(len(out)) if out[i] != body[i]] == [
        i for i in range(len(out)) if out[i] == 0x2A and body[i] != 0x2A
    ]


def test_query_strings(inspector):
    body = urllib.parse.urlencode({"q": "a b", "pan": N}).encode()
    assert redacted(inspector, body, FORM) == b"q=a+b&pan=411111******1111"


def test_findings_of_two_inspections_of_the_same_bytes_are_put_in_together(inspector):
    body = b"CardNo=4111111111111111&Expire=3012&SecurityCode=123"
    one, two = inspector.inspect(body, FORM).findings, inspector.inspect(body, FORM).findings
    assert redact(body, [one[0], *two[1:]], "mask") == b"CardNo=411111******1111&Expire=***&SecurityCode=***"


RIGID = {
    "security code": b"\x00\x00\x00\x0ccvv=1234 end\x00",
    "inside base64": b"\x00\x00\x00\x1cY3Z2PTEyMzQgbmFtZT1UQVJPIQ==\x00",
    "inside json": b'\x00\x00\x00\x10{"cvv":"1234"}\x00',
    "percent": b"\x00\x00\x00\x12%34111111111111111\x00",
}


@pytest.mark.parametrize("name", RIGID)
def test_binary_bytes_that_nobody_knows_the_counts_of_keep_their_length_or_are_not_put_back(inspector, name):
    body = RIGID[name]
    assert inspector.inspect(body).findings
    assert redacted(inspector, body) is None


def test_masks_of_equal_length_are_put_into_any_bytes(inspector):
    body = b"\x00\x00\x00\x10" + N.encode() + b"\x00cvv=123\x00\xff"
    assert redacted(inspector, body) == b"\x00\x00\x00\x10411111******1111\x00cvv=***\x00\xff"
    assert redacted(inspector, body, style="remove") is None
    assert redacted(inspector, body, "text/plain", style="remove") == b"\x00\x00\x00\x10\x00cvv=***\x00\xff"


def test_what_many_findings_share_is_looked_at_once(inspector, monkeypatch):
    asked = []
    monkeypatch.setattr("detectors.redaction.is_rigid", lambda data, kind: asked.append(len(data)))
    body = json.dumps([{"card": N, "cvv": "123"}] * 50).encode()
    out = redacted(inspector, body, JSON, style="remove")
    assert json.loads(out) == [{"card": "", "cvv": "***"}] * 50
    assert asked.count(len(body)) == 1
