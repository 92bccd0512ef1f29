import struct

import pytest
from google.protobuf.internal import decoder, encoder
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.protobuf_wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    entry_name,
    fields,
    number_key,
    numbers,
    packed,
    spell_varint,
    varint,
)
from detectors.model import OutOfTime
from tests.detectors.decoders.peeling import Plenty, ask, few

NUMBER = 4111111111111111


@few
@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varints_are_what_google_says(value, tail):
    spelled = encoder._VarintBytes(value)
    assert spell_varint(value) == spelled
    assert varint(spelled + tail, 0, len(spelled) + len(tail)) == (value, len(spelled))
    assert decoder._DecodeVarint(spelled, 0) == (value, len(spelled))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10 + b"\x01"])
def test_what_is_no_varint(data):
    assert varint(data, 0, len(data))[0] == -1


def test_fields_say_where_their_values_are():
    data = b"\x0a\x02hi\x10\x96\x01\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x82\x01\x01x"
    found, good = fields(data, 0, len(data), ask())
    assert found == [
        (1, LENGTH, 1, 2, 4), (2, VARINT, 5, 5, 7), (3, FIXED64, 8, 8, 16), (4, FIXED32, 17, 17, 21), (16, LENGTH, 23, 24, 25),
    ]  # fmt: skip
    assert good == len(data)
    assert fields(data, 0, len(data), ask(), 2)[0] == found[:2]


@pytest.mark.parametrize(
    ("data", "good"),
    [
        (b"\x0a\x02hi\x0a\x05x", 4), (b"\x0a\x02hi\x00", 4), (b"\x0e", 0), (b"\x0f", 0), (b"\x08", 0), (b"\x19\0\0", 0), (b"\x0c", 0),
        (b"\x0b\x08\x01", 0), (b"\x08\x01\x0b\x08\x01\x14", 2), (b"\xff\xff\xff\xff\xff\x01", 0),
    ],
)  # fmt: skip
def test_a_message_that_breaks_is_sound_up_to_there(data, good):
    assert fields(data, 0, len(data), ask())[1] == good


def test_fields_of_groups_are_fields():
    data = b"\x0b\x12\x02hi\x0c"
    assert fields(data, 0, len(data), ask()) == ([(2, LENGTH, 2, 3, 5)], len(data))


def reading(kind, raw, key=""):
    return [digits for digits, _ in numbers(raw, (1, kind, 0, 0, len(raw)), key)]


def double(value):
    return struct.pack("<d", value)


NUMBERS = {
    "varint": (VARINT, spell_varint(NUMBER), "", [b"4111111111111111"]),
    "zigzag": (VARINT, spell_varint(2 * NUMBER), "", [b"8222222222222222", b"4111111111111111"]),
    "fixed64": (FIXED64, struct.pack("<Q", NUMBER), "", [b"4111111111111111"]),
    "double": (FIXED64, double(NUMBER), "", [b"4111111111111111"]),
    "nineteen digits": (FIXED64, struct.pack("<Q", 6205500000000000004), "", [b"6205500000000000004"]),
    "an everyday double": (FIXED64, double(12.5), "", []),
    "an everyday double of a card": (FIXED64, struct.pack("<Q", 4622001122334455667), "pan", [b"4622001122334455667"]),
    "a small number": (VARINT, spell_varint(123), "", []),
    "a small number under a name": (VARINT, spell_varint(123), "cvv", [b"123"]),
    "a small double under a name": (FIXED64, double(123), "cvv", [b"123"]),
    "a short under a name": (FIXED32, struct.pack("<L", 1234), "cvv", [b"1234"]),
    "a short": (FIXED32, struct.pack("<L", 4111111111), "", []),
    "too many digits": (VARINT, spell_varint(2**64 - 1), "", []),
    "not a number": (FIXED64, double(float("nan")), "", []),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_read_as_each_type_that_they_may_be(name):
    kind, raw, key, expected = NUMBERS[name]
    assert reading(kind, raw, key) == expected


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (VARINT, spell_varint(NUMBER)),
        (FIXED64, struct.pack("<Q", NUMBER)),
        (FIXED64, double(NUMBER)),
        (VARINT, spell_varint(2 * NUMBER)),
    ],
)
def test_a_number_becomes_zero_or_nothing(kind, raw):
    for _, encode in numbers(raw, (1, kind, 0, 0, len(raw)), ""):
        assert encode(b"0") in (b"\0", bytes(8))
        assert encode(b'"411111******1111"') is None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x0a\x03cvv\x12\x03123", "cvv"),
        (b"\x0a\x0bcard number\x10\x7b", "card number"),
        (b"\x0a\x03cvv\x10\x01\x1a\x03123", "cvv"),
        ("\x0a\x12カード番号".encode()[:1] + b"\x0f" + "カード番号".encode() + b"\x12\x03123", "カード番号"),
        (b"\x0a\x03cvv", ""),
        (b"\x0a\x03cvv\x12\x01a\x12\x01b", ""),
        (b"\x0a\x03cvv\x12\x01a\x18\x01\x20\x01", ""),
        (b"\x12\x03cvv\x1a\x03123", ""),
        (b"\x0a\x05{a=1}\x12\x03123", ""),
        (b"\x0a\x05a'b'c\x12\x03123", ""),
        (b"\x08\x01\x12\x03123", ""),
    ],
)
def test_an_entry_has_a_name(data, name):
    assert entry_name(data, fields(data, 0, len(data), ask())[0]) == name


def test_packed_lists_are_long_integers_and_no_ids():
    three = spell_varint(NUMBER) * 3
    assert [(a, b) for _, _, _, a, b in packed(three, 0, len(three))] == [(0, 8), (8, 16), (16, 24)]
    assert packed(three, 0, 16) == []
    assert packed(three, 0, 8) == []
    assert packed(three + b"\x01", 0, len(three) + 1) == []


def test_numbers_of_what_may_be_a_trace_id_are_doubtful():
    number = [(1, VARINT, 1, 1, 9)]
    assert number_key(16, number, "", root=False) == "trace_id"
    assert number_key(17, number, "", root=False) == number_key(16, number, "", root=True) == ""
    assert number_key(16, [*number, (2, LENGTH, 10, 11, 16)], "", root=False) == ""
    assert number_key(16, number, "pan", root=False) == "pan"


def test_a_long_message_watches_the_clock():
    with pytest.raises(OutOfTime):
        fields(b"\x08\x01" * 5000, 0, 10_000, ask(budget=Plenty(checks=2)))
