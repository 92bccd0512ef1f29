from urllib.parse import quote, quote_from_bytes, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.percent import peel
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, located, numbers, peels, put, words


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (b"GET /a?n=%34%31%31%31", b"GET /a?n=4111"),
        (b"%2534%2531", b"%34%31"),
        (b"%u0034%u0031%u30AB", "41カ".encode()),
        (b"%ud83d%41", "\ufffdA".encode()),
        (b"%%34%3g%3", b"%4%3g%3"),
        (b"a+b%20c", b"a+b c"),
        (b"%E3%82%AB%4f", "カO".encode()),
    ],
)
def test_decodes(data, decoded):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("percent", decoded)


@pytest.mark.parametrize("data", [b"", b"100 %", b"%zz", b"4111 1111", b"%"])
def test_text_without_an_escape_gives_nothing(data):
    assert peels(peel(data, ask())) == []


def test_each_escape_is_located():
    data = b"a%34%31b1%31"
    (child,) = peels(peel(data, ask()))
    assert [located(data, child, text) for text in (b"4", b"41", b"b", b"b11")] == [b"%34", b"%34%31", b"b", b"b1%31"]


def test_only_the_number_changes():
    data = b"/pay/%34%31%31%31-1111%2D1111-1111?%61=%62"
    (child,) = peels(peel(data, ask()))
    assert put(data, child, b"4111-1111-1111-1111", b"4111** %1111") == b"/pay/4111**%20%251111?%61=%62"


@few
@given(before=words, number=numbers, after=words, every=st.booleans())
def test_round_trip(before, number, after, every):
    text = f"{before}\x01{number}\x01{after}"
    data = "".join(f"%{byte:02x}" for byte in text.encode()).encode() if every else quote(text).encode()
    (child,) = peels(peel(data, ask()))
    assert child.data == text.encode() == unquote_to_bytes(data)
    changed = put(data, child, number.encode(), MASKED.encode())
    assert unquote(changed.decode()) == f"{before}\x01{MASKED}\x01{after}"


@few
@given(data=st.binary(max_size=60), number=st.just(NUMBER))
def test_bytes_survive(data, number):
    wire = quote_from_bytes(b"\n" + data).encode() + b"=" + number.encode()
    (child,) = peels(peel(wire, ask()))
    assert child.data == b"\n" + data + b"=" + number.encode()
    assert unquote_to_bytes(put(wire, child, b"=" + number.encode(), b"=0")) == b"\n" + data + b"=0"
