"""What holds for every decoder: garbage, the clock, speed, and a child that knows its place."""

import gzip
import io
import json
import random
import time
import zipfile

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.decoders import DECODERS, GAP_REASONS, peel_charset, peel_cookies, unwrap
from detectors.decoders.office import PART
from detectors.model import Edit, Gap, OutOfTime, Peel, apply_edits
from tests.detectors.decoders.peeling import NUMBER, Plenty, ask

CONTENT_TYPES = {
    "multipart": "multipart/form-data; boundary=x",
    "json": "application/json",
    "xml": "text/html",
    "form": "application/x-www-form-urlencoded",
    "grpc": "application/grpc",
    "msgpack": "application/msgpack",
    "cbor": "application/cbor",
    "protobuf": "application/x-protobuf",
    "office": PART,
    "envelope": "application/x-sentry-envelope",
}
EVERY = [(row.name, row.peel) for row in DECODERS] + [
    ("cookies", peel_cookies),
    *((f"charset {name}", lambda data, asked, name=name: peel_charset(data, name, asked))
      for name in ("shift_jis", "euc-jp", "iso-2022-jp", "utf-16", "utf-32", "utf-7", "cp037", "big5", "?")),
    *((f"unwrap {name}", lambda data, asked, name=name: unwrap(data, name, asked)) for name in ("gzip", "deflate", "br", "zstd", "gzip, br")),
]  # fmt: skip
NAMES = [name for name, _ in EVERY]

SNIPPETS = [
    b"%34", b"%u0034", b"+", b"&", b"=", b"&#52;", b"&#x34;", b"&amp;", b"\\u0034", b"\\x34", b"\\\\", b'"', b"{", b"}", b"[", b"]", b":", b",",
    b"<a b='", b"'>", b"</a>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"\r\n", b"--x", b"--x--", b"Content-Type: text/plain\r\n",
    b'Content-Disposition: form-data; name="n"', b"\x1b$B", b"\x1b(B", b"#4", "４".encode(), "４".encode("cp932"), b"\xa3\xb4", b"4\x001\x00",
    b"\xff\xfe", b"\0", b"NDExMTExMTExMTExMTExMQ==", b"eyJhIjoxfQ.", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"x\x9c", NUMBER.encode(), b"card", b" ", b"\n",
    b"=34", b";", b"PK\x03\x04", b"id,cvv\n", b"INSERT INTO t (a, cvv) VALUES (", b"'1'", b"(", b")", b",", b'a:2:{s:3:"cvv";', b's:3:"123";', b"i:5;", b"cvv: Some(", b"\t",
    b"34313131", b"34 31 31 ", b"[52, 49, ", b"=?utf-8?Q?41?=", b"=?utf-8?B?NDE=?=", b" ; a*0=4", b";a*1*=%31", b"GQYTCMJRGEYTCMJR",
    gzip.compress(b"4111", mtime=0),
    b"PK\x01\x02", b"PK\x05\x06" + bytes(18), b"\x0a\x10", b"\x0a\x12\x0a\x10", b"\x81\xa4card", b"\xb0", b"\xa1\x64card", b"\x70", b"\x7f\x64", b"\xcf\0\x0e\x9b",
    b"\x1b\0\x0e\x9b", b"\0\0\0\0\x10", b"\1\0\0\0\x08", b"\x10\x3c", b"\xff\x06\0\0sNaPpY", b"%PDF-1.7 /Filter >>stream\n", b"endstream", b"BZh91AY&SY",
]  # fmt: skip
LONGEST_PREFIX = 10
"""Bytes before a value that may hold its length."""
garbage = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(SNIPPETS), st.binary(max_size=4)), max_size=30).map(b"".join),
)


@pytest.mark.parametrize(("name", "peel"), EVERY, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(data=garbage, hits=st.lists(st.integers(0, 200), max_size=2).map(sorted))
def test_garbage_ends_in_children_and_gaps_that_know_their_place(name, peel, data, hits):
    asked = ask(CONTENT_TYPES.get(name, ""), *hits)
    for item in peel(data, asked):
        if isinstance(item, Gap):
            assert item.reason in GAP_REASONS
            assert 0 <= item.start <= item.end <= len(data)
            continue
        child = item.data
        assert item.hook.locate(0, len(child))[1] <= len(data)
        places = [item.hook.locate(at, at + 1) for at in range(len(child))]
        assert all(0 <= start <= end <= len(data) for start, end in places)
        assert [start for start, _ in places] == sorted(start for start, _ in places)
        assert [end for _, end in places] == sorted(end for _, end in places)
        assert "4111" not in repr(item)
        edits = item.hook.wrap([Edit(0, len(child), b"#")])
        if edits is not None and not item.framed:
            start, end = item.hook.locate(0, len(child))
            changed = apply_edits(data, edits)
            assert changed.startswith(data[: max(start - LONGEST_PREFIX, 0) if item.framed else start])
            assert changed.endswith(data[end:])


@pytest.mark.parametrize(("name", "peel"), EVERY, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(data=garbage)
def test_what_hits_ask_for_is_part_of_everything(name, peel, data):
    content_type = CONTENT_TYPES.get(name, "")
    everything = {(item.codec, item.data, item.key) for item in peel(data, ask(content_type)) if isinstance(item, Peel)}
    asked = {
        (item.codec, item.data, item.key) for item in peel(data, ask(content_type, len(data))) if isinstance(item, Peel)
    }
    assert asked <= everything


SLOW_AND_ALIKE = frozenset(
    {"charset utf-7", "charset cp037", "charset big5", "charset ?", "charset utf-32", "unwrap gzip, br"}
)

LONG = {
    "json": json.dumps([{"ts": "2026-11-22", "msg": "order\n\u30ab", "n": 12.5}] * 1_800).encode(),
    "ndjson": b'{"ts":"2026-11-22T10:00:00Z","level":"info","msg":"order placed"}\n' * 1_600,
    "xml": b"<o id='7'><c>text &amp; more</c><d/></o>\n" * 2_500,
    "form": b"&".join(b"key%d=value+%%41" % n for n in range(6_000)),
    "multipart": b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\nvalue\r\n' * 1_700 + b"--x--",
    "percent": b"a%34%31b%20" * 9_000,
    "every escape": rb"\u0034a\x31" * 9_000,
    "references": b"&#52;a&amp;" * 9_000,
    "quotes": b'\\"' * 50_000,
    "open quotes": b'"' * 99_999,
    "brackets": b"[" * 100_000,
    "open tags": b"<a " * 33_000,
    "less than": b"<" * 100_000,
    "open comments": b"<!--" * 25_000,
    "backslashes": b"\\" * 100_000,
    "percents": b"%" * 100_000,
    "ampersands": b"&" * 100_000,
    "equals": b"=" * 100_000,
    "dashes": b"\r\n--x" * 20_000,
    "japanese": ("カード番号４１１１abc" * 3_000).encode(),
    "shift_jis": ("カード番号４ａ1αｶ" * 4_500).encode("cp932"),
    "utf-16": ("aカ" * 25_000).encode("utf-16"),
    "iso-2022-jp": ("aカ" * 9_000).encode("iso2022_jp"),
    "base64": b"NDExMTExMTExMTExMTExMQ== " * 4_000,
    "one run": b"NDEx" * 25_000,
    "letters": b"abcdefgh/-" * 10_000,
    "hex": b"3431313131313131" * 6_000,
    "pairs": b"34 31:31 " * 11_000,
    "dump": b"00000010: 3431 3131 3131 3131 3131 3131 3131 3131  4111111111111111\n" * 1_500,
    "byte list": b"[" + b"52, 49, " * 12_000 + b"]",
    "lists": b"[52, " * 20_000,
    "words": b"=?utf-8?Q?41=31?= " * 5_000,
    "pieces": b"a*0=4; a*1*=%31; " * 5_000,
    "rows": b"id,card_no,cvv\n" + b'1,"4111 ""1111""",123\n' * 4_000,
    "rows of nothing": b"cvv," * 25_000,
    "inserts": b"INSERT INTO t (a, cvv) VALUES ('it''s', '123'), (1, 2); " * 1_800,
    "half inserts": b"INSERT INTO t (" * 6_600,
    "copy": b"COPY t (a, cvv) FROM stdin;\n" + b"1\t123\n" * 14_000,
    "serialized": b"a:3000:{" + b's:3:"cvv";s:3:"123";' * 4_800 + b"}",
    "serialized, open": b"a:9:{" * 20_000,
    "wrapped": b'cvv: Some("123"), ' * 5_500,
    "wrappings": b"cvv:s(" * 16_000,
    "blocks": b"NDExMTExMTExMTEx " * 6_000,
    "capitals": b"GQYTCMJRGEYTCMJR " * 6_000,
    "dots": b"eyJhbGciOi." * 9_000,
    "members": gzip.compress(b"", mtime=0) * 5_000,
    "noise": random.Random(5).randbytes(100_000),
    "nuls": b"a\0" * 50_000,
    "spaces": b" " * 100_000,
    "colons": b'"":' * 33_000,
    "zip entries": b"PK\x03\x04" * 25_000,
    "tags": b"4<b></b>" * 12_000,
    "protobuf": b"\x0a\x10paid with a card\x10\x96\x01" * 4_800,
    "groups": b"\x0b" * 100_000,
    "arrays": b"\x91" * 99_999 + b"\0",
    "maps": b"\x81\xa1a" * 33_300 + b"\0",
    "small numbers": b"\xdd" + (99_900).to_bytes(4, "big") + b"\1" * 99_900,
    "records": msgpack.packb([{"ts": 1763800000, "log": "order placed", "level": 3}] * 2_600),
    "endless": b"\x9f" * 100_000,
    "chunks": b"\x9f" + b"\x7f\x61a\xff" * 24_000 + b"\xff",
    "items": b'{"dsn":""}\n' + b'{"type":"session","length":2}\n{}\n' * 3_000,
    "frames": b"\0\0\0\0\x04\x0a\x02hi" * 11_000,
}


def nested():
    message = b"\x0a\x01x"
    for _ in range(2_000):
        size, head = len(message), b""
        while size > 127:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        message = b"\x0a" + head + bytes([size]) + message
    return message * 20


def test_archives_and_messages_within_messages_take_no_decoder_long():
    for data in (nested(), zipped(3_000)):
        for name, peel in EVERY:
            if name not in SLOW_AND_ALIKE:
                started = time.process_time()
                made = sum(1 for _ in peel(data, ask(CONTENT_TYPES.get(name, ""))))
                assert time.process_time() - started < 2, (name, made)


@pytest.mark.parametrize("text", LONG)
def test_no_text_takes_a_decoder_long(text):
    """Generous by ten: a decoder that is quadratic in its input takes many seconds, whatever the machine."""
    data = LONG[text]
    for name, peel in EVERY:
        if name not in SLOW_AND_ALIKE:
            started = time.process_time()
            made = sum(1 for _ in peel(data, ask(CONTENT_TYPES.get(name, ""))))
            assert time.process_time() - started < 2, (name, made)


@pytest.mark.parametrize(("name", "text"), [
    ("json", "json"), ("xml", "xml"), ("form", "form"), ("multipart", "multipart"), ("percent", "percent"), ("escape", "every escape"),
    ("html", "references"), ("hex", "pairs"), ("bytes", "byte list"), ("encoded-word", "words"), ("continuation", "pieces"),
    ("base32", "capitals"), ("table", "rows"), ("sql", "inserts"), ("php", "serialized"), ("dump", "wrapped"), ("base64", "base64"), ("fullwidth", "japanese"), ("charset shift_jis", "shift_jis"),
    ("charset utf-16", "utf-16"), ("charset iso-2022-jp", "iso-2022-jp"), ("unwrap gzip", "members"), ("cookies", "form"),
    ("protobuf", "protobuf"), ("msgpack", "records"), ("cbor", "chunks"), ("grpc", "frames"), ("office", "tags"),
    ("envelope", "items"),
])  # fmt: skip
def test_every_decoder_watches_the_clock(name, text):
    peel = dict(EVERY)[name]
    with pytest.raises(OutOfTime):
        list(peel(LONG[text], ask(CONTENT_TYPES.get(name, ""), budget=Plenty(checks=1))))


def test_the_trail_is_what_the_table_says():
    samples = [b"%34", rb"\u0034\x34", b"&#52;", "４".encode(), b"NDExMTExMTExMTExMTExMQ==", gzip.compress(b"x", mtime=0), b'{"a":"\\n"}', b"a=%34&b=1",
               b"<a>&#52;</a>", "４".encode("utf-16"), part_in_base64(), b"\0\0\0\0\x03\x0a\x01x", b"\x81\xa1a\xa1x",
               b"\xa1\x61a\x61x", b"<w:t>4</w:t><w:t>1</w:t>", zipped(1),
               b"343131313131313131", b"[52, 49, 49, 49, 49, 49, 49]", b"GQYTCMJRGEYTCMJRGEYTCMJRGE======", b"=?utf-8?Q?4?=", b"a*0=4; a*1=1",
               b'a,cvv\n1,"""2"""', b"INSERT INTO t (cvv) VALUES ('1''2')",
               rb'{"columns":["cvv"],"rows":[["\u0031"]]}', b"<tr><td>cvv</td></tr><tr><td>&#49;</td></tr>", b"card no 4O12888888881881"]  # fmt: skip
    seen = set()
    for row in DECODERS:
        for data in samples:
            for item in row.peel(data, ask(CONTENT_TYPES.get(row.name, ""))):
                if isinstance(item, Peel) and item.codec:
                    assert set(item.codec.split("+")) <= set(row.trail)
                    seen.add(row.name)
    assert seen == {row.name for row in DECODERS if row.trail}


def zipped(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(entries):
            archive.writestr(f"{n}", "4111")
    return out.getvalue()


def part_in_base64():
    return b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nNDExMQ==\r\n--x--"


def test_names_are_unique():
    assert len({row.name for row in DECODERS}) == len(DECODERS)
