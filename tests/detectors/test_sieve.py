"""The sieve may point at too much, never at too little: each row is card data as it looks in some encoding."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.parse
import zlib

import pytest

from detectors.first_look import _members, parser, syntax
from detectors.patterns import PATTERNS
from detectors.presidio import Presidio
from detectors.sieve import BETWEEN, MAX_HITS, Prefilter, Sieve

N = "4111111111111111"
JSON = b'{"card":"4111111111111111","note":"zzz"}'
FULL = N.translate({48 + d: 0xFF10 + d for d in range(10)})


@pytest.fixture(scope="module")
def sieve() -> Sieve:
    return Sieve()


def test_the_same_rows_are_compiled_once(sieve):
    assert Sieve()._patterns is sieve._patterns
    assert Sieve(PATTERNS[:2])._patterns is not sieve._patterns


ZLIB = [base64.b64encode(zlib.compress(JSON + b"!", level)) for level in (1, 5, 6, 9)]
"""With padding at the end, which percent encoding escapes."""
ENCODED = {
    "plain": (N.encode(), "recognize"),
    "start and end": (b"x" + N.encode(), "recognize"),
    "spaces": (b"4111 1111 1111 1111", "recognize"),
    "single digits": (b" ".join(bytes([c]) for c in N.encode()), "recognize"),
    "amex": (b"3782-822463-10005", "recognize"),
    "slashes": (b"4111/1111/1111/1111", "recognize"),
    "lines": (b"3782\r\n822463\r\n10005", "recognize"),
    "diners in slashes": (b"3056/930902/5904", "recognize"),
    "floating point": (b"4.111111111111111E15", "recognize"),
    "zero-padded": (b"0004111111111111111", "recognize"),
    "two-series": (b"2223000048410010", "recognize"),
    "gmo jcb": (b"3111111111111111", "recognize"),
    "escaped tabs": (rb"4111\t1111\t1111\t1111", "recognize"),
    "tags": (b"4111<wbr>1111<wbr>1111<wbr>1111", "markup"),
    "closing tags": (rb"<b>4111<\/b>111111111111", "markup"),
    "comments": (b"4111<!-- -->1111<!-- -->11111111", "markup"),
    "tags in JSON of Go": (rb"4111\u003cwbr\u003e1111\u003cwbr /\u003e11111111", "escape"),
    "tags in percent": (b"4111%3Cwbr%3E1111%3C%2Fb%3E11111111", "percent"),
    "tags in references": (b"4111&lt;wbr&gt;1111&lt;wbr&gt;11111111", "html"),
    "keycaps": ("".join(c + "\ufe0f\u20e3 " for c in N).encode(), "fullwidth"),
    "keycaps, escaped": (json.dumps("".join(c + "\ufe0f\u20e3 " for c in N)).encode(), "escape"),
    "keycaps, percent": (urllib.parse.quote("".join(c + "\ufe0f\u20e3 " for c in N)).encode(), "percent"),
    "NUL, escaped": (json.dumps("\0".join(N)).encode(), "escape"),
    "NUL, percent": ("%00".join(N).encode(), "percent"),
    "percent": (b"".join(b"%%%02X" % c for c in N.encode()), "percent"),
    "percent of escapes": (urllib.parse.quote("".join(f"\\u{ord(c):04x}" for c in N)).encode(), "percent"),
    "percent of references": (urllib.parse.quote("".join(f"&#{ord(c)};" for c in N)).encode(), "percent"),
    "references of references": (b"".join(b"&amp;#%d;" % c for c in N.encode()), "html"),
    "references in JSON of Go": (b"".join(b"\\u0026#%d;" % c for c in N.encode()), "escape"),
    "xml in utf-7": (b'<?xml version="1.0" encoding="utf-7"?><n>+ADQ-</n>', "xml-encoding"),
    "xml in ebcdic": ('<?xml version="1.0"?><n>4</n>'.encode("cp037"), "xml-encoding"),
    "percent before": (b"x%20" + N.encode(), "percent"),
    "backslash before": (json.dumps("\u30c9" + N).encode(), "escape"),
    "percent twice": (b"".join(b"%%25%02x" % c for c in N.encode()), "percent"),
    "percent separators": (b"4111%201111%201111%201111", "percent"),
    "percent nbsp": (urllib.parse.quote("4111\u00a01111\u00a01111\u00a01111").encode(), "percent"),
    "percent full width": (urllib.parse.quote(FULL).encode(), "percent"),
    "percent full width cp932": (urllib.parse.quote(FULL, encoding="cp932").encode(), "percent"),
    "json escapes": (b"".join(b"\\u%04x" % c for c in N.encode()), "escape"),
    "escaped full width": (json.dumps(FULL).encode(), "escape"),
    "escaped separators": (json.dumps("4111\u00a01111\u00a01111\u00a01111").encode(), "escape"),
    "full width references": (FULL.encode("ascii", "xmlcharrefreplace"), "html"),
    "hex escapes": (b"".join(b"\\x%02x" % c for c in N.encode()), "escape"),
    "references": (b"".join(b"&#%d;" % c for c in N.encode()), "html"),
    "hex references": (b"".join(b"&#x%x;" % c for c in N.encode()), "html"),
    "nbsp references": (b"4111&nbsp;1111&#160;1111&#xa0;1111", "html"),
    "full width": (FULL.encode(), "fullwidth"),
    "nbsp": ("4111\u00a01111\u00a01111\u00a01111".encode(), "fullwidth"),
    "zero width": ("41\u200b11\u200b1111\u200b11111111".encode(), "fullwidth"),
    "en dash": ("4111\u20131111\u20131111\u20131111".encode(), "fullwidth"),
    "full width cp932": (FULL.encode("cp932"), "sjis"),
    "full width euc-jp": (FULL.encode("euc-jp"), "eucjp"),
    "full width utf-16-le": (FULL.encode("utf-16-le"), "utf16le"),
    "full width utf-16-be": (FULL.encode("utf-16-be"), "utf16be"),
    "full width iso-2022-jp": (FULL.encode("iso-2022-jp"), "iso2022jp"),
    "utf-16le": (N.encode("utf-16-le"), "utf16le"),
    "utf-16be": (N.encode("utf-16-be"), "utf16be"),
    "card key": (b'{"cardNo":"1234567890"}', "recognize"),
    "nested key": (b'{\\"card\\":{\\"number\\":\\"1234567890\\"}}', "recognize"),
    "code key": (b'{"securityCode": "123"}', "recognize"),
    "code key, form": (b"CVV2=1234", "recognize"),
    "code key, bracketed": (b"card%5Bcvc%5D=123", "recognize"),
    "code key, xml": (b"<cvv>123</cvv>", "recognize"),
    "code key, CDATA": (b"<cvv><![CDATA[123]]></cvv>", "recognize"),
    "code key, percent": (b"%3Fcvv%3D123", "recognize"),
    "code key with a suffix": (b"card_cvv_value: 123", "recognize"),
    "code key, references": (b"&quot;cvv&quot;:&quot;123&quot;", "recognize"),
    "japanese key": ("セキュリティコード：123".encode(), "recognize"),
    "japanese key cp932": ("カード番号 1234567890".encode("cp932"), "recognize"),
    "japanese key euc": ("カード番号 1234567890".encode("euc-jp"), "recognize"),
    "japanese key, escaped": (json.dumps({"セキュリティコード": "123"}).encode(), "recognize"),
    "japanese key, percent": (urllib.parse.urlencode({"セキュリティコード": "123"}).encode(), "recognize"),
    "japanese key, percent cp932": (
        urllib.parse.urlencode({"セキュリティコード": "123"}, encoding="cp932").encode(),
        "recognize",
    ),
    "full-width code key": ('{"ＣＶＶ":"123"}'.encode(), "recognize"),
    "foreign code key": ("código de seguridad: 123".encode(), "recognize"),
    "chip data": (b"57114111111111111111D25121010000012300000F", "recognize"),
    "pin block": (b'{"pinBlock":"041234FFFFFFFFFF"}', "recognize"),
    "track 2": (b";4111111111111111=30121010000?", "recognize"),
    "raw deflate under its name": (b"SAMLRequest=fZFBa8IwGIb%2FSshd0%2Bw", "base64"),
    "gzip in base64 twice": (base64.b64encode(base64.b64encode(gzip.compress(JSON, mtime=0))), "base64"),
    "JSON in base64 four times": (
        base64.b64encode(base64.b64encode(base64.b64encode(base64.b64encode(JSON)))),
        "base64",
    ),
    "PDF in base64": (b'"' + base64.b64encode(b"%PDF-1.7") + b'"', "base64"),
    "mathematical digits, escaped": (json.dumps("".join(chr(0x1D7CE + c - 48) for c in N.encode())).encode(), "escape"),
    "lines, escaped": (rb"4111\n1111\n1111\n1111", "escape"),
    "iso-2022-jp between digits": (b"41111111\x1b(B11111111", "iso2022jp"),
    "entities": (b"<!DOCTYPE a [<!ENTITY x '4111'>]>", "pair"),
    "comment in JSON": (b'{"cvv": /* c */ "123"}', "pair"),
    "section between digits": (b"<a>41111111<![CDATA[11111111]]></a>", "pair"),
    "instruction between digits": (b"<a>41111111<?x y?>11111111</a>", "pair"),
    "code in a section": (b"<cvv><![CDATA[123]]></cvv>", "pair"),
    "value before its name": (b"<input value='123' name='cvv'>", "pair"),
    "zstd in base64, percent": (b"x KLUv%2FSAUoQAAIDQx", "percent"),
    "gzip in base64": (b"x " + base64.b64encode(b"\x1f\x8b\x08\x00" + bytes(20)), "base64"),
    "gzip in base64, percent": (
        b"x " + urllib.parse.quote(base64.b64encode(gzip.compress(JSON, mtime=0))).encode(),
        "percent",
    ),
    **{f"zlib in base64, level {level}": (b"x " + packed, "base64") for level, packed in enumerate(ZLIB)},
    **{
        f"zlib in base64, level {level}, percent": (b"x " + urllib.parse.quote(packed, safe="").encode(), "percent")
        for level, packed in enumerate(ZLIB)
    },
}


@pytest.mark.parametrize("name", ENCODED)
def test_points_at_card_data_through_an_encoding(sieve, name):
    data, kind = ENCODED[name]
    for before, after in ((b"", b""), (b"a ", b" z"), (b'{"k":"', b'"}'), (b"\n", b"\n")):
        hits = sieve.scan(before + data + after)
        assert hits is not None
        assert kind in hits.by_kind
        assert all(0 < end <= len(before + data + after) for ends in hits.by_kind.values() for end in ends)
        assert not sieve.quiet(before + data + after)


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("before", range(12))
@pytest.mark.parametrize("altchars", [None, b"-_"])
def test_points_at_numbers_through_base64_at_every_alignment(sieve, rounds, before, altchars):
    for number in (N, "4111 1111 1111 1111", "378282246310005", "4222222222222", "2223000048410010"):
        if rounds == 2 and " " in number:
            continue
        data = b"x" * before + number.encode() + b"!?"
        for _ in range(rounds):
            data = base64.b64encode(data, altchars)
        hits = sieve.scan(data)
        assert hits is not None
        assert "base64" in hits.by_kind


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("field", ['"cvv":"123"', "CVC=123", '"cvv2": 1234', '"securityCode":"123"', "security_code=123", '"cardNo":"1234567890"', '"card_number":"1234567890"'])  # fmt: skip
def test_points_at_card_fields_through_base64(sieve, before, field):
    assert not sieve.quiet(base64.b64encode(b"{" * before + field.encode() + b"}}}}"))


ORDINARY = (
    b'{"ts":1763800000000,"level":"info","msg":"order 12345678 created","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}',
    b"GET /items?page=2&q=%E3%83%86%E3%83%B3%E3%83%88 HTTP/1.1",
    "ご注文ありがとうございます。注文番号は 1234-5678 です。".encode(),
    b'{"cvv":null,"cvc":"","cardNo":"","SecCodeRequiredFlag":"1","maskedCardNo":"************1111"}',
    b"CardNo=&Token=3f0c5b7e9a1d2c4b6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6&Expire=&SecurityCode=",
    b"TranDate=20260501123011&ProcessDate=20260501123011",
    b"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    b"<p>Tom&#39;s &amp; Ann&nbsp;s</p>",
    b'{"prices": [4483, 12954, 6500, 16503], "sold": [5001, 18949, 16192], "stock": [3702,41120,55210]}',
)


@pytest.mark.parametrize("row", range(len(ORDINARY)))
def test_ordinary_traffic_costs_nothing(sieve, row):
    assert sieve.scan(ORDINARY[row]) is None


def test_a_flood_of_digits_is_cut_short_and_says_so(sieve):
    hits = sieve.scan(b"4111111111111 " * (MAX_HITS + 10))
    assert hits is not None
    assert not hits.complete


def test_the_prefilter_takes_python_patterns_and_hides_none(tmp_path):
    file = tmp_path / "recognizers.yaml"
    file.write_text(
        "recognizers:\n"
        "  - {name: member, supported_entity: MEMBER, patterns: [{name: m, regex: '(?<![0-9])ROKI-\\d{6}\\b', score: 0.9}]}\n"
        "  - {name: kana, supported_entity: KANA, patterns: [{name: k, regex: '会員[ァ-ヶ]{3,}', score: 0.9}]}\n"
        "  - {name: back, supported_entity: BACK, patterns: [{name: b, regex: '(ab|cd)-\\1', score: 0.9}]}\n",
        encoding="utf-8",
    )
    presidio = Presidio([file])
    prefilter = Prefilter(presidio.team_patterns)
    for text in ("id ROKI-123456.", "会員タロウさん", "see ab-ab"):
        assert presidio.team(text)
        assert prefilter.hits(text.encode()) is not None
    assert prefilter.hits(b"nothing of the kind") is None
    assert prefilter.hits(b"\xff\xfe not UTF-8") == []
    assert Prefilter(()).hits(b"x") is None


@pytest.mark.parametrize("name", ENCODED)
def test_a_text_is_pointed_at_among_others_too(sieve, name):
    text = ENCODED[name][0]
    assert {1, 3} <= set(sieve.pointed([b"level: info", text, b"", text, b"amount: 1280"]))
    assert set(sieve.pointed([b"level: info", text, b"", b"amount: 1280"])) <= {0, 1}


def test_of_too_many_hits_all_texts_are_pointed_at(sieve, monkeypatch):
    monkeypatch.setattr("detectors.sieve.MAX_HITS", 1)
    assert list(sieve.pointed([b"a", N.encode()])) == [0, 1]


def anchors(items):
    """Where an expression asks for the beginning or the end of the text, and what will do instead."""
    for kind, value in items:
        if kind is syntax.AT:
            yield value, []
        elif kind is syntax.BRANCH:
            for choice in value[1]:
                if [kind for kind, _ in choice] == [syntax.AT]:
                    yield choice[0][1], [other for other in value[1] if other is not choice]
                else:
                    yield from anchors(choice)
        elif kind in (syntax.SUBPATTERN, syntax.MAX_REPEAT):
            yield from anchors(value[-1])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_stands_between_texts_will_do_for_their_beginnings_and_ends():
    for number, row in enumerate(PATTERNS):
        for where, others in anchors(parser.parse(row.expression)):
            byte = BETWEEN[-1] if where is syntax.AT_BEGINNING else BETWEEN[0]
            single = [other[0] for other in others if len(other) == 1]
            assert any(byte in _members(value) for kind, value in single if kind is syntax.IN), number
