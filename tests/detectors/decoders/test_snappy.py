import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.compressed import peel, unwrap
from detectors.decoders.protobuf_wire import spell_varint
from detectors.decoders.snappy import MAGIC, may_be_raw, snappied
from detectors.model import Gap
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, Plenty, ask, few, gaps, holding, numbers, peels, put

TEXT = b"\x0a\x80 card " + NUMBER.encode() + b" " + bytes(range(256)) * 400


def raw(data):
    return bytes(cramjam.snappy.compress_raw(data))


def framed(data):
    return bytes(cramjam.snappy.compress(data))


DECODERS = {
    "raw": (raw, lambda data: bytes(cramjam.snappy.decompress_raw(data))),
    "framed": (framed, lambda data: bytes(cramjam.snappy.decompress(data))),
}


def chunk(kind, payload):
    return bytes([kind]) + len(payload).to_bytes(3, "little") + payload


@pytest.mark.parametrize("header", ["snappy", "x-snappy-framed", "Snappy"])
@pytest.mark.parametrize("name", DECODERS)
def test_both_forms_go_by_every_label(name, header):
    encode, decode = DECODERS[name]
    data = encode(TEXT)
    (child,) = peels(unwrap(data, header, ask()))
    assert (child.codec, child.data) == ("snappy", TEXT)
    assert decode(put(data, child, NUMBER.encode(), b"gone")) == TEXT.replace(NUMBER.encode(), b"gone")


@few
@given(st.sampled_from(list(DECODERS)), st.binary(max_size=3000), numbers, st.binary(max_size=3000))
def test_round_trip(name, before, number, after):
    encode, decode = DECODERS[name]
    text = b"\x00" + before + b"\x00" + number.encode() + b"\x00" + after
    data = encode(text)
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("snappy", text)
    assert decode(put(data, child, number.encode(), MASKED.encode())) == text.replace(
        number.encode(), MASKED.encode(), 1
    )


@pytest.mark.parametrize("size", [12, 59, 60, 61, 255, 256, 300, 65_535, 65_536, 70_000, 200_000])
def test_a_raw_block_of_any_length_is_known_by_its_shape(size):
    for text in (bytes(size), bytes(range(256)) * (size // 256 + 1), TEXT):
        data = raw(text[:size])
        assert may_be_raw(data)
        assert [child.data for child in peels(peel(data, ask()))] == [text[:size]]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x05", b"\x05\x10hello", b"\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0fabc", NUMBER.encode(), b"(\x00"],
)
def test_other_bytes_are_none(data):
    assert list(peel(data, ask())) == []


def test_a_block_that_promises_too_much_is_not_decoded():
    data = raw(bytes(1_000_000))
    assert list(peel(data, ask(budget=Plenty(ratio=10)))) == [Gap("ratio", 0, len(data))]
    assert list(peel(data, ask(budget=Plenty(limit=999_999)))) == [Gap("expanded", 0, len(data))]
    assert [child.data for child in peels(peel(data, ask(budget=Plenty(limit=1_000_000))))] == [bytes(1_000_000)]
    liar = b"\xff\xff\xff\xff\x0f" + data[3:]
    assert snappied(liar, 1 << 40, ask()).fault == "corrupt"


def test_a_framed_bomb_gives_its_beginning():
    data = framed(NUMBER.encode() + bytes(5_000_000))
    child, gap = peel(data, ask(budget=Plenty(limit=100_000)))
    assert gap == Gap("expanded", 0, len(data))
    assert len(child.data) == 100_000
    assert child.data.startswith(NUMBER.encode())


@pytest.mark.parametrize("name", DECODERS)
def test_a_broken_stream_is_a_gap_and_looked_at_as_it_stands(name):
    data = DECODERS[name][0](b"amex 378282246310005" + TEXT)[:-5]
    found = list(unwrap(data, "snappy", ask()))
    (gap,) = gaps(found)
    assert gap.reason == ("truncated-snappy" if name == "framed" else "bad-content-encoding")
    assert any(b"378282246310005" in item.data for item in found if not isinstance(item, Gap))


def test_plain_and_skipped_chunks_are_read():
    plain = chunk(0x01, b"crc!" + NUMBER.encode())
    skipped = chunk(0xFE, b"5555555555554444")
    data = MAGIC + plain + skipped + MAGIC + chunk(0x00, b"crc!" + raw(b"end"))
    found = list(peel(data, ask()))
    child = holding(found, NUMBER.encode())
    assert child.data == NUMBER.encode() + b"end"
    assert child.hook.wrap([]) is None
    assert holding(found, b"5555555555554444").codec == ""


@pytest.mark.parametrize(
    ("tail", "fault"),
    [(chunk(0x02, b"x"), "corrupt"), (b"\x01\xff\xff", "truncated"), (chunk(0x00, b"crc!\x05"), "corrupt")],
)
def test_what_no_reader_takes_ends_the_stream(tail, fault):
    data = MAGIC + chunk(0x01, b"crc!" + NUMBER.encode()) + tail
    got = snappied(data, 1 << 20, ask())
    assert (got.data, got.fault) == (NUMBER.encode(), fault)


def test_a_message_that_is_a_block_of_snappy_as_well_is_not_put_back(inspector):
    """The length of 16 and a literal of 16 bytes also read as field 2 with the value 60."""
    body = raw(b"\x10" + spell_varint(378282246310005) + b"\x0a\x06abcdef")
    assert body.startswith(b"\x10\x3c")
    found = inspector.inspect(body, "application/x-protobuf").findings
    assert [f.trail for f in found] == [("snappy", "protobuf")]
    assert redact(body, found, "mask", "zero") is None
