"""Bytes in, findings with their places out: through every decoder, nested, mislabelled and broken."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.parse
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Gap, Inspector, Limits
from detectors.model import CARDHOLDER_NAME, EXPIRY, PAN, SECURITY_CODE, TRACK_1, TRACK_2

N = "4111111111111111"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
FULL = N.translate({48 + d: 0xFF10 + d for d in range(10)})


def spots(
    inspector: Inspector, body: bytes, content_type: str = "", encoding: str = ""
) -> list[tuple[str, str, tuple[str, ...], int, int]]:
    result = inspector.inspect(body, content_type, encoding)
    assert result.gaps == ()
    return [(f.entity, f.path, f.trail, f.start, f.end) for f in result.findings]


PLACES = {
    "bare": (N.encode(), "", [(PAN, "", (), 0, 16)]),
    "log line": (b"charge " + N.encode() + b" ok", "text/plain", [(PAN, "", (), 7, 23)]),
    "json string": (b'{"a":{"b":["x","' + N.encode() + b'"]}}', JSON, [(PAN, "$.a.b[1]", (), 16, 32)]),
    "json number": (b'{"n":' + N.encode() + b"}", JSON, [(PAN, "$.n", (), 5, 21)]),
    "json escapes": (b'{"a":"\\u0034111111111111111"}', JSON, [(PAN, "$.a", ("json-escape",), 6, 27)]),
    "json in json": (
        json.dumps({"m": json.dumps({"cardNo": N})}).encode(),
        JSON,
        [(PAN, "$.m/$.cardNo", ("json-escape",), 22, 38)],
    ),
    "form": (b"a=1&CardNo=4111+1111+1111+1111", FORM, [(PAN, "CardNo", ("percent",), 11, 30)]),
    "form, percent": (b"CardNo=%34111111111111111", FORM, [(PAN, "CardNo", ("percent",), 7, 25)]),
    "form, percent twice": (b"x=%2534111111111111111", FORM, [(PAN, "x", ("percent", "percent"), 2, 22)]),
    "full width": (FULL.encode(), "", [(PAN, "", ("fullwidth",), 0, 48)]),
    "cp932": (FULL.encode("cp932"), "text/plain; charset=Windows-31J", [(PAN, "", ("cp932", "fullwidth"), 0, 32)]),
    "euc-jp": (FULL.encode("euc-jp"), "text/plain; charset=EUC-JP", [(PAN, "", ("euc-jp", "fullwidth"), 0, 32)]),
    "utf-16": (N.encode("utf-16-le"), "text/plain; charset=utf-16le", [(PAN, "", ("utf-16",), 0, 32)]),
    "xml": (b"<a><b>" + N.encode() + b"</b></a>", "text/xml", [(PAN, "/a/b", (), 6, 22)]),
    "references": (b"pay &#52;111111111111111 now", "text/plain", [(PAN, "", ("html",), 4, 24)]),
    "base64": (b"x " + base64.b64encode(b"pan " + N.encode()) + b" y", "", [(PAN, "", ("base64",), 2, 30)]),
    "track 1": (b"%B4111111111111111^YAMADA/TARO^30121010000?", "", [(TRACK_1, "", (), 0, 43)]),
    "track 2": (b";4111111111111111=30121010000?", "", [(TRACK_2, "", (), 0, 30)]),
    "code under its key": (b'{"cvv":"123"}', JSON, [(SECURITY_CODE, "$.cvv", (), 8, 11)]),
    "code as a number": (b'{"cvc2": 123}', JSON, [(SECURITY_CODE, "$.cvc2", (), 9, 12)]),
    "ndjson": (b'{"a":1}\n{"a":"' + N.encode() + b'"}\n', "application/x-ndjson", None),
    "lying label": (b'{"CardNo":"1234567890"}', FORM, [(PAN, "$.CardNo", (), 11, 21)]),
    "broken json": (b'{"CardNo":"' + N.encode(), JSON, None),
    "key of an object": (b'{"' + N.encode() + b'":1}', JSON, None),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_found_in_place(inspector, name):
    body, content_type, expected = PLACES[name]
    found = spots(inspector, body, content_type)
    if expected is None:
        (only,) = found
        assert body[only[3] : only[4]] == N.encode()
    else:
        assert found == expected


CODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_content_encodings(inspector, coding):
    body = CODINGS[coding](b'{"a":"' + N.encode() + b'"}')
    assert spots(inspector, body, JSON, coding) == [(PAN, "$.a", (coding,), 0, len(body))]
    assert not inspector.inspect(CODINGS[coding](b'{"a":1}'), JSON, coding).gaps


def test_every_gzip_member_is_read(inspector):
    body = gzip.compress(b"nothing ") + gzip.compress(N.encode())
    assert [entity for entity, *_ in spots(inspector, body, "", "gzip")] == [PAN]


def test_compressed_bodies_are_known_by_their_magic(inspector):
    body = gzip.compress(N.encode())
    assert [trail for _, _, trail, _, _ in spots(inspector, body)] == [("gzip",)]


def test_a_card_object_gives_its_siblings(inspector):
    body = json.dumps(
        {"card": {"number": N, "expiry": "12/30", "holder_name": "TARO YAMADA", "cid": "123"}, "expires": 60}
    )
    assert [(entity, path) for entity, path, *_ in spots(inspector, body.encode(), JSON)] == [
        (PAN, "$.card.number"), (EXPIRY, "$.card.expiry"), (CARDHOLDER_NAME, "$.card.holder_name"), (SECURITY_CODE, "$.card.cid"),
    ]  # fmt: skip


def test_without_a_card_number_names_and_dates_are_nobodys_business(inspector):
    body = json.dumps({"expire": "3012", "holderName": "TARO YAMADA", "pin": "1234", "cid": "123"}).encode()
    assert spots(inspector, body, JSON) == []


def test_confidence_brand_and_test_flag(inspector):
    body = json.dumps({"order_id": "5555555555554444", "pan": "4012001037141112"}).encode()
    findings = inspector.inspect(body, JSON).findings
    assert [(f.brand, f.confidence, f.masked) for f in findings] == [
        ("mastercard", "low", "555555******4444"), ("visa", "high", "401200******1112"),
    ]  # fmt: skip
    assert "key says otherwise" in findings[0].why


def test_multipart_parts_are_read_whatever_their_transfer_encoding(inspector):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="card[no]"\r\n\r\n' + N.encode() + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + base64.b64encode(b"pan 5555555555554444") + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="z"; filename="a.gz"\r\n\r\n' + gzip.compress(b"378282246310005") + b"\r\n--b--\r\n"
    )  # fmt: skip
    found = spots(inspector, body, "multipart/form-data; boundary=b")
    assert [(path, trail) for _, path, trail, _, _ in found] == [("card[no]", ()), ("f", ("base64",)), ("z", ("gzip",))]


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "reason"),
    [
        (b"x", "", "foo", "unknown-content-encoding"),
        (b"x", "", "aws-chunked", "bad-content-encoding"),
        (b"plain text", "", "gzip", "bad-content-encoding"),
        (gzip.compress(b"y" * 500, mtime=0)[:-12], "", "gzip", "truncated-gzip"),
        (b"x", "text/plain; charset=klingon", "", "unknown-charset"),
        (b"PK\x03\x04" + bytes(40), "", "", "truncated-zip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(40), "", "", "archive"),
    ],
)
def test_what_cannot_be_read_is_a_gap(inspector, body, content_type, encoding, reason):
    assert reason in [gap.reason for gap in inspector.inspect(body, content_type, encoding).gaps]


def test_limits_give_gaps_never_silence(inspector):
    bomb = gzip.compress(bytes(5_000_000))
    deep = N.encode()
    for _ in range(8):
        deep = gzip.compress(deep)
    cases = [
        (b"a" * 2000 + N.encode(), "", Limits(body=1000), "too-large"),
        (bomb, "gzip", Limits(ratio=20), "ratio"),
        (bomb, "gzip", Limits(expanded=1000), "expanded"),
        (deep, "", Limits(depth=6), "too-deep"),
        (N.encode(), "", Limits(seconds=-1), "timeout"),
        (b"4111111111111 " * 100_100, "", Limits(), "too-many-candidates"),
    ]
    for body, encoding, limits, reason in cases:
        assert reason in [gap.reason for gap in inspector.inspect(body, "", encoding, limits=limits).gaps]


@pytest.mark.parametrize(
    ("place", "body"), [("sieve.Sieve.scan", "anything"), ("walk.Walk._look", N), ("hopeless.quiet", "4901234567890")]
)
def test_a_defect_of_ours_is_a_gap_over_everything(inspector, monkeypatch, place, body):
    def crash(*_: object) -> None:
        raise ZeroDivisionError(N)

    monkeypatch.setattr(f"detectors.{place}", crash)
    assert inspector.inspect(body.encode()).gaps == (Gap("inspector-error", 0, len(body)),)


def test_deep_nesting_ends_in_an_answer(inspector):
    for body in (b"[" * 200_000 + b'"cvv":"123"', b'{"cvv":' * 50_000 + b"123", b"<a>" * 100_000 + N.encode()):
        inspector.inspect(body, JSON)
    nested = N
    for _ in range(7):
        nested = json.dumps({"m": nested})
    result = inspector.inspect(nested.encode(), JSON)
    assert result.findings or result.gaps


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["", JSON, FORM, "text/xml", "multipart/form-data; boundary=x", "text/plain; charset=utf-16"]), st.sampled_from(["", "gzip", "br", "deflate", "zstd"]))  # fmt: skip
def test_any_bytes_give_an_answer(inspector, body, content_type, encoding):
    result = inspector.inspect(body, content_type, encoding)
    assert "inspector-error" not in [gap.reason for gap in result.gaps]


def test_quiet_agrees_with_inspect(inspector):
    for body, content_type, _ in PLACES.values():
        assert not inspector.quiet(body, content_type)
    for body in (b"", b"hello", b'{"level":"info","ts":1763800000000}', b"a=b&c=d"):
        assert inspector.quiet(body)
        assert inspector.inspect(body) == type(inspector.inspect(b""))((), ())
    for coded in (gzip.compress(b"x", mtime=0), zlib.compress(b"x"), N.encode("utf-16"), b"PK\x03\x04"):
        assert not inspector.quiet(coded)
    assert not inspector.quiet(b'{}\n{"type":"attachment","length":2}\nPK')
    assert not inspector.quiet(b"x", "text/plain; charset=utf-16")
    assert not inspector.quiet(b"x", "Multipart/Form-Data; boundary=b")


def test_fields_are_decoded_values_with_their_names(inspector):
    form = b"ClientField1=%83e%83X%83g&CardNo=&Token=ab%2Bc"
    assert [(v.key, v.data.decode()) for v in inspector.fields(form, FORM + "; charset=shift_jis")] == [
        ("ClientField1", "テスト"), ("CardNo", ""), ("Token", "ab+c"),
    ]  # fmt: skip
    raw = "ClientField1=テスト&CardNo=".encode("cp932")
    assert [(v.key, v.data.decode()) for v in inspector.fields(raw, FORM + "; charset=Windows-31J")] == [
        ("ClientField1", "テスト"), ("CardNo", ""),
    ]  # fmt: skip
    body = b'{"card":{"number":"1"},"n":2}'
    assert [(v.key, v.path, v.data, v.to_root(0, len(v.data))) for v in inspector.fields(body, JSON)] == [
        ("number", "$.card.number", b"1", (19, 20)), ("n", "$.n", b"2", (27, 28)),
    ]  # fmt: skip
    assert [v.key for v in inspector.fields(gzip.compress(body), JSON, "gzip")] == ["number", "n"]


def test_fingerprints_are_keyed_and_stable(inspector):
    (finding,) = inspector.inspect(urllib.parse.quote(f"n={N}").encode()).findings
    assert finding.fingerprint == inspector.fingerprint(N.encode())
    assert finding.fingerprint != Inspector(fingerprint_key=b"k" * 32).fingerprint(N.encode())
    assert len(finding.fingerprint) == 64


def test_security_codes_have_no_fingerprint(inspector):
    (finding,) = inspector.inspect(b"cvv=123").findings
    assert (finding.masked, finding.fingerprint) == ("***", "")


def test_nothing_that_can_be_printed_holds_the_digits(inspector):
    result = inspector.inspect(json.dumps({"card": {"number": N, "cvv": "987"}}).encode(), JSON)
    text = repr(result) + "".join(repr(f.leaf) + repr(f.leaf.peel) + str(f) for f in result.findings)
    assert N not in text
    assert "987" not in text


def test_the_teams_own_recognizers(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "recognizers:\n  - {name: m, supported_entity: ROKI_MEMBER, patterns: [{name: m, regex: 'ROKI-[0-9]{6}', score: 0.9}]}\n"
    )
    team = Inspector(recognizers=[file])
    assert team.team_entities == ("ROKI_MEMBER",)
    assert [(f.entity, f.masked, f.path) for f in team.inspect(b'{"id":"ROKI-123456"}', JSON).findings] == [
        ("ROKI_MEMBER", "***", "$.id")
    ]
    assert not team.quiet(b"ROKI-123456")
    assert team.quiet(b"ROKI-12345")


def test_self_check(inspector, monkeypatch):
    inspector.self_check()
    monkeypatch.setattr("detectors.recognition.Recognition.look", lambda *_: iter(()))
    with pytest.raises(RuntimeError):
        inspector.self_check()


def test_bytes_may_go_by_a_name_outside_of_themselves(inspector):
    assert [f.entity for f in inspector.inspect(b"123", key="X-CVV").findings] == [SECURITY_CODE]
    assert [(f.entity, f.confidence) for f in inspector.inspect(N.encode(), key="X-Order-Id").findings] == [
        (PAN, "low")
    ]
    assert inspector.inspect(b"123", key="X-Count").findings == ()


@pytest.mark.parametrize("number", ["4242424242424242", "5555-5555-5555-4444", "378282246310005"])
def test_an_escape_right_before_a_number_hides_nothing(inspector, number):
    """The last character of most escapes is a digit, and so would seem to belong to the number."""
    codes = [byte for byte in range(256) if not chr(byte).isdigit()]
    prefixes = [f"%{byte:02X}" for byte in codes] + [f"%25{byte:02x}" for byte in range(0x20, 0x30)]
    bodies = [(f"memo=a{p}{number}&b=1", FORM) for p in prefixes] + [(f"/x?q=a{p}{number}", "") for p in prefixes]
    bodies += [(f'{{"a":"x\\u{byte:04x}{number}"}}', JSON) for byte in (*codes, *range(0x3000, 0x3100))]
    bodies += [(f"text \\x{byte:02x}{number}", "text/plain") for byte in codes]
    missed = []
    for body, content_type in bodies:
        data = body.encode()
        found = [f.masked[-4:] for f in inspector.inspect(data, content_type).findings if f.entity == PAN]
        if number[-4:] not in found or inspector.quiet(data, content_type):
            missed.append(body.replace(number, "N"))
    assert missed == []
