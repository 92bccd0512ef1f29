import gzip
import random

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.cbor import DECLARED, FORMAT, peel, survey, tokens
from detectors.model import EXPIRY, PAN, SECURITY_CODE, Gap, OutOfTime
from detectors.redaction import redact
from tests.detectors.decoders.peeling import (
    MASKED,
    NUMBER,
    Plenty,
    ask,
    assert_replaced,
    documents,
    few,
    numbers,
    replacements,
    spots,
)

N = NUMBER.encode()
KIND = "application/cbor"
C = ("cbor",)


PLACES = {
    "text": ({"log": f"pan {NUMBER}"}, [(PAN, "$.log", C)]),
    "integer": ({"n": int(NUMBER)}, [(PAN, "$.n", C)]),
    "double": ({"n": float(NUMBER)}, [(PAN, "$.n", C)]),
    "bytes": ({"b": b"\xff\x00" + N}, [(PAN, "$.b", C)]),
    "key": ({NUMBER: 1, "a": "b"}, [(PAN, "$['****************']", C)]),
    "array": ([["a", {"x": [1, NUMBER]}]], [(PAN, "$[0][1].x[1]", C)]),
    "tagged": ({"t": cbor2.CBORTag(32, f"https://x/{NUMBER}")}, [(PAN, "$.t", C)]),
    "self-described": (cbor2.CBORTag(55799, {"n": int(NUMBER), "a": "b"}), [(PAN, "$.n", C)]),
    "code": ({"card": {"cvv": "1234"}}, [(SECURITY_CODE, "$.card.cvv", C)]),
    "code as integer": ({"cvc2": 123}, [(SECURITY_CODE, "$.cvc2", C)]),
    "beside": ({"number": NUMBER, "expiry": "12/30"}, [(PAN, "$.number", C), (EXPIRY, "$.expiry", C)]),
    "cbor inside": ({"b": cbor2.dumps({"n": int(NUMBER)})}, [(PAN, "$.b/$.n", (*C, *C))]),
    "gzip inside": ({"b": gzip.compress(N, mtime=0)}, [(PAN, "$.b", (*C, "gzip"))]),
}


@pytest.mark.parametrize("kind", ["", KIND, "application/octet-stream"])
@pytest.mark.parametrize("name", PLACES)
def test_found_in_place(inspector, name, kind):
    value, expected = PLACES[name]
    body = cbor2.dumps(value)
    assert spots(inspector, body, kind) == expected
    assert not inspector.quiet(body, kind)


@pytest.mark.parametrize("size", range(44, 62))
def test_a_length_that_is_a_digit_hides_no_number(inspector, size):
    body = cbor2.dumps({"a": (NUMBER + " " * 60)[:size]})
    assert bytes([size]) + N in body
    assert spots(inspector, body) == [(PAN, "$.a", C)]


def endless(head, *pieces):
    return head + b"".join(pieces) + b"\xff"


def test_a_text_in_chunks_is_one_text(inspector):
    body = endless(
        b"\xbf", b"\x63log", endless(b"\x7f", cbor2.dumps("x 4111111"), cbor2.dumps("111111111 y")), b"\x61n\x01"
    )
    assert cbor2.loads(body) == {"log": f"x {NUMBER} y", "n": 1}
    found = inspector.inspect(body).findings
    assert [f.path for f in found] == ["$.log"]
    assert cbor2.loads(redact(body, found, "remove")) == {"log": "x  y", "n": 1}


def test_compressed_bytes_in_chunks_are_opened(inspector):
    packed = gzip.compress(N, mtime=0)
    body = endless(b"\x9f", endless(b"\x5f", cbor2.dumps(packed[:9]), cbor2.dumps(packed[9:])), b"\x61a")
    found = inspector.inspect(body).findings
    assert [f.trail for f in found] == [("cbor", "gzip")]
    assert gzip.decompress(cbor2.loads(redact(body, found, "mask"))[0]) == MASKED.encode()


def test_a_sequence(inspector):
    body = b"".join(cbor2.dumps({"log": f"{n} {NUMBER}"}) for n in range(3))
    assert [path for _, path, _ in spots(inspector, body, "application/cbor-seq")] == [
        "$.log",
        "[1].$.log",
        "[2].$.log",
    ]
    assert len(spots(inspector, body)) == 3


values = documents(st.integers(-(2**64), 2**64 - 1), st.datetimes(timezones=st.timezones()))


@few
@given(values, numbers, values, replacements, st.booleans())
def test_round_trip(before, number, after, new, raw):
    assert_replaced(cbor2.dumps, lambda body: peel(body, ask(KIND)), (before, after), (number, new), raw=raw)


@few
@given(values)
def test_every_item_is_read(value):
    body = cbor2.dumps([value])
    assert None not in list(tokens(body, ask()))
    assert survey(body, ask(), declared=True) is not None


@pytest.mark.parametrize(("style", "expected"), [("string", MASKED), ("zero", 0)])
@pytest.mark.parametrize("value", [int(NUMBER), float(NUMBER)])
def test_a_number_becomes_its_mask_or_zero(inspector, value, style, expected):
    body = cbor2.dumps({"n": value, "m": [1, -2, 1.5, None]})
    out = redact(body, inspector.inspect(body).findings, "mask", style)
    assert cbor2.loads(out) == {"n": expected, "m": [1, -2, 1.5, None]}
    assert inspector.inspect(out).findings == ()


@pytest.mark.parametrize(
    "tail",
    [
        b"\x1c",
        b"\x78",
        b"\x65abc",
        b"\x82\x01",
        b"\xfb\x00",
        b"\xff",
        b"\x7f\x41a\xff",
        b"\x7f\x61a",
        b"\xc0",
        b"\x3f",
        b"\xdf",
    ],
)
def test_a_declared_message_that_breaks_is_a_gap_and_is_read(inspector, tail):
    body = cbor2.dumps({"log": f"\x01 {NUMBER}"}) + tail
    assert list(peel(body, ask(KIND)))[-1] == Gap("corrupt-cbor", 0, len(body))
    result = inspector.inspect(body, KIND)
    assert {f.entity for f in result.findings} == {PAN}
    assert [gap.reason for gap in result.gaps] == ["corrupt-cbor"]
    assert [f.entity for f in inspector.inspect(body).findings] == [PAN]


def test_declared_types():
    for kind in ("application/cbor", "application/cbor-seq", "application/senml+cbor", "application/cbor; v=1"):
        assert DECLARED.match(kind)
    assert not DECLARED.match("application/json")


@few
@given(st.integers(0, 300_000), st.integers(0, 2**64 - 1))
def test_heads_are_what_the_library_writes(size, value):
    assert FORMAT.text_head(size) + b"a" * size == cbor2.dumps("a" * size)
    assert FORMAT.bytes_head(size) + b"a" * size == cbor2.dumps(b"a" * size)
    assert FORMAT.integer(value) == cbor2.dumps(value)


def test_the_clock_is_watched():
    with pytest.raises(OutOfTime):
        survey(cbor2.dumps([1] * 9000), ask(budget=Plenty(checks=1)), declared=True)


def test_noise_is_none():
    rng = random.Random(11)
    assert [survey(rng.randbytes(64), ask(), declared=False) for _ in range(3000)] == [None] * 3000
