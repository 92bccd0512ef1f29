import gzip
import random
import struct
import zlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.msgpack import DECLARED, FORMAT, peel, survey
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
    peels,
    replacements,
    spots,
)

N = NUMBER.encode()
KIND = "application/msgpack"


M = ("msgpack",)
PLACES = {
    "text": ({"log": f"pan {NUMBER}"}, [(PAN, "$.log", M)]),
    "integer": ({"n": int(NUMBER)}, [(PAN, "$.n", M)]),
    "double": ({"n": float(NUMBER)}, [(PAN, "$.n", M)]),
    "bytes": ({"b": b"\xff\x00" + N}, [(PAN, "$.b", M)]),
    "text key": ({NUMBER: 1, "a": "b"}, [(PAN, "$['****************']", M)]),
    "integer key": ({int(NUMBER): "b"}, [(PAN, "$['****************']", M)]),
    "array": ([["a", {"x": [1, NUMBER]}]], [(PAN, "$[0][1].x[1]", M)]),
    "code": ({"card": {"cvv": "1234"}}, [(SECURITY_CODE, "$.card.cvv", M)]),
    "code as integer": ({"cvc2": 123}, [(SECURITY_CODE, "$.cvc2", M)]),
    "failing luhn under its key": ({"card": {"number": "1234567890"}}, [(PAN, "$.card.number", M)]),
    "beside": ({"number": NUMBER, "expiry": "12/30", "x": "12/30"}, [(PAN, "$.number", M), (EXPIRY, "$.expiry", M)]),
    "extension": ({"e": msgpack.ExtType(5, N)}, [(PAN, "$.e", M)]),
    "json inside": ({"log": '{"cvv":"123"}'}, [(SECURITY_CODE, "$.log/$.cvv", M)]),
    "msgpack inside": ({"b": msgpack.packb({"n": int(NUMBER)})}, [(PAN, "$.b/$.n", (*M, *M))]),
    "gzip inside": ({"b": gzip.compress(N, mtime=0)}, [(PAN, "$.b", (*M, "gzip"))]),
    "utf-16 inside": ({"b": NUMBER.encode("utf-16-le")}, [(PAN, "$.b", (*M, "utf-16"))]),
}


@pytest.mark.parametrize("kind", ["", KIND, "application/octet-stream", "application/json"])
@pytest.mark.parametrize("name", PLACES)
def test_found_in_place(inspector, name, kind):
    value, expected = PLACES[name]
    body = msgpack.packb(value)
    assert spots(inspector, body, kind) == expected
    assert not inspector.quiet(body, kind)


@pytest.mark.parametrize("size", range(44, 62))
def test_a_length_that_is_a_digit_hides_no_number(inspector, size):
    body = msgpack.packb({"a": (NUMBER + " " * 60)[:size]})
    assert (bytes([size]) + N in body) == (size > 31)
    assert spots(inspector, body) == [(PAN, "$.a", M)]


def test_a_number_that_is_a_digit_hides_no_number(inspector):
    body = msgpack.packb([0x32, NUMBER, 0x38])
    assert N + b"8" in body
    assert spots(inspector, body) == [(PAN, "$[1]", M)]


EVENTS = [[1763800000 + n, {"log": f"paid {NUMBER}", "level": "info", "n": n}] for n in range(3)]
PACKED = b"".join(msgpack.packb(event) for event in EVENTS)
FORWARD = {
    "message": ["app", 1763800000, {"log": f"paid {NUMBER}"}],
    "message with event time": [
        "app",
        msgpack.ExtType(0, struct.pack(">LL", 1763800000, 5)),
        {"log": f"paid {NUMBER}"},
        {"chunk": "p8n9"},
    ],
    "forward": ["app", EVENTS, {"size": 3}],
    "packed forward": ["app", PACKED, {"size": 3}],
    "compressed packed forward": ["app", gzip.compress(PACKED, mtime=0), {"size": 3, "compressed": "gzip"}],
}


@pytest.mark.parametrize("mode", FORWARD)
def test_fluentd_forward(inspector, mode):
    body = msgpack.packb(FORWARD[mode])
    result = inspector.inspect(body)
    assert result.gaps == ()
    assert [f.entity for f in result.findings] == [PAN] * (1 if "message" in mode else 3)
    out = msgpack.unpackb(redact(body, result.findings, "remove"), strict_map_key=False, timestamp=0)
    events = out[1]
    if isinstance(events, bytes):
        plain = gzip.decompress(events) if "compressed" in mode else events
        events = list(msgpack.Unpacker(__import__("io").BytesIO(plain)))
    expected = [[time, record | {"log": "paid "}] for time, record in EVENTS]
    assert (out[2] if "message" in mode else events) == ({"log": "paid "} if "message" in mode else expected)


def test_old_forwarders_pack_events_into_a_text(inspector):
    body = msgpack.packb(["app", PACKED], use_bin_type=False)
    found = inspector.inspect(body).findings
    assert [f.path for f in found] == ["$[1]/$[1].log", "$[1]/[1].$[1].log", "$[1]/[2].$[1].log"]
    out = msgpack.unpackb(redact(body, found, "mask"), raw=True)
    assert out[1] == PACKED.replace(N, MASKED.encode())


def spans(**meta):
    ids = random.Random(3)
    return [
        [
            {
                "trace_id": ids.getrandbits(63),
                "span_id": ids.getrandbits(63),
                "parent_id": 0,
                "name": "charge",
                "start": 1763800000000000000,
                "duration": 12345678,
                "error": 0,
                "meta": {"http.url": "/pay"} | meta,
                "metrics": {"rate": 1.0},
            }
        ]
    ]


def test_datadog_traces(inspector):
    body = msgpack.packb(spans(card=f"x {NUMBER}", cvv="1234"))
    result = inspector.inspect(body, KIND)
    assert [(f.entity, f.path) for f in result.findings if f.confidence == "high"] == [
        (PAN, "$[0][0].meta.card"),
        (SECURITY_CODE, "$[0][0].meta.cvv"),
    ]
    read = msgpack.unpackb(redact(body, result.findings, "mask"))
    assert read == spans(card=f"x {MASKED}", cvv="***")


def test_datadog_traces_with_a_table_of_texts(inspector):
    table = ["", "shop", "charge", "http.url", "/pay", "cvv", "1234", "note", f"x {NUMBER}"]
    span = [1, 2, 4, 4611686018427387905, 42, 0, 1763800000000000000, 12345678, 0, {3: 4, 5: 6, 7: 8}, {3: 1.0}, 0]
    body = msgpack.packb([table, [[span]]])
    found = inspector.inspect(body, KIND).findings
    assert [(f.entity, f.path) for f in found if f.confidence == "high"] == [
        (SECURITY_CODE, "$[0][6]"),
        (PAN, "$[0][8]"),
    ]
    read = msgpack.unpackb(redact(body, found, "mask"), strict_map_key=False)
    assert read[0][6:] == ["***", "note", f"x {MASKED}"]


@pytest.mark.parametrize("body", [[["a"], 1], [[], []], [["a", 1], [{0: 0}]], [["a"], [[[1]]]], [["a"], {5: 0}]])
def test_what_only_begins_like_a_table_of_texts(inspector, body):
    for more in (b"", b"\x01", b"\xa1x"):
        packed = msgpack.packb(body) + more
        assert inspector.inspect(packed, KIND) == type(inspector.inspect(b""))()


values = documents(st.integers(-(2**63), 2**64 - 1))


@few
@given(values, numbers, values, replacements, st.booleans())
def test_round_trip(before, number, after, new, raw):
    assert_replaced(msgpack.packb, lambda body: peel(body, ask(KIND)), (before, after), (number, new), raw=raw)


@few
@given(values)
def test_every_text_and_byte_string_is_read(value):
    body = msgpack.packb([value])
    found = {item.data for item in peels(peel(body, ask(KIND)))}
    assert set(leaves(value)) <= found
    assert survey(body, ask(), declared=True) is not None


def leaves(value):
    if isinstance(value, str | bytes):
        yield from [value.encode() if isinstance(value, str) else value] if value else []
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(key)
            yield from leaves(item)


@pytest.mark.parametrize(("numbers_", "expected"), [("string", MASKED), ("zero", 0)])
@pytest.mark.parametrize("value", [int(NUMBER), float(NUMBER)])
def test_a_number_becomes_its_mask_or_zero(inspector, value, numbers_, expected):
    body = msgpack.packb({"n": value, "m": [1, 2]})
    out = redact(body, inspector.inspect(body).findings, "mask", numbers_)
    assert msgpack.unpackb(out) == {"n": expected, "m": [1, 2]}
    assert inspector.inspect(out).findings == ()


def test_an_extension_keeps_its_length(inspector):
    body = msgpack.packb({"e": msgpack.ExtType(5, N)})
    found = inspector.inspect(body).findings
    assert redact(body, found, "mask") == body.replace(N, MASKED.encode())
    assert redact(body, found, "remove") is None


@pytest.mark.parametrize("tail", [b"\xc1", b"\xd9", b"\xa5abc", b"\x92\x01", b"\xcb\x00", b"\xdf\xff\xff\xff\xff"])
def test_a_declared_message_that_breaks_is_a_gap_and_is_read(inspector, tail):
    body = msgpack.packb({"log": f"\x01 {NUMBER}"}) + tail
    assert list(peel(body, ask(KIND)))[-1] == Gap("corrupt-msgpack", 0, len(body))
    result = inspector.inspect(body, KIND)
    assert {f.entity for f in result.findings} == {PAN}
    assert [gap.reason for gap in result.gaps] == ["corrupt-msgpack"]
    assert [f.entity for f in inspector.inspect(body).findings] == [PAN]


@pytest.mark.parametrize(
    "body",
    [
        "カード４１１１".encode("cp932"),
        "日本語の文".encode("euc-jp"),
        b"\x91\x41",
        b"\x83\x4a\x81\x5b",
        bytes(range(0x80, 0x90)),
        zlib.compress(b"x"),
    ],
)
def test_other_bytes_are_none(body):
    assert survey(body, ask(), declared=False) is None


def test_declared_types():
    for kind in (
        "application/msgpack",
        "application/x-msgpack",
        "application/vnd.msgpack",
        "application/x.trace+msgpack",
        "application/msgpack; v=1",
    ):
        assert DECLARED.match(kind)
    assert not DECLARED.match("application/json")


@few
@given(st.integers(0, 300_000), st.integers(0, 2**63))
def test_heads_are_what_the_library_writes(size, value):
    assert FORMAT.text_head(size) == msgpack.Packer().pack("a" * size)[: len(FORMAT.text_head(size))]
    assert FORMAT.bytes_head(size) == msgpack.packb(b"a" * size)[: len(FORMAT.bytes_head(size))]
    assert msgpack.unpackb(FORMAT.integer(value)) == value


def test_the_clock_is_watched():
    with pytest.raises(OutOfTime):
        survey(msgpack.packb([1] * 9000), ask(budget=Plenty(checks=1)), declared=True)


def test_ids_and_times_are_no_card_numbers(inspector):
    rng = random.Random(5)
    for _ in range(300):
        (trace,) = spans()
        trace[0] |= {
            "trace_id": rng.getrandbits(64),
            "span_id": rng.getrandbits(64),
            "start": 1763800000000000000 + rng.randrange(10**15),
        }
        result = inspector.inspect(msgpack.packb([trace]), KIND)
        assert [f for f in result.findings if f.confidence == "high"] == []
        assert result.gaps == ()
