import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.quoted_printable import peel
from tests.detectors.decoders.peeling import MASKED, ask, few, numbers, peels, put


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (b"=34=31=31=31", b"4111"),
        (b"4111=\r\n1111=\n1111= \t\r\n1111", b"4111111111111111"),
        (b"=e3=82=AB", "カ".encode()),
        (b"a=3D4111=", b"a=4111"),
        (b"=zz=41", b"=zzA"),
    ],
)
def test_decodes(data, decoded):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("quoted-printable", decoded)


@pytest.mark.parametrize("data", [b"", b"a = b", b"4111\r\n1111", b"=x"])
def test_text_without_an_escape_gives_nothing(data):
    assert peels(peel(data, ask())) == []


def test_a_number_across_a_soft_break_is_replaced_with_the_break():
    data = b"no 4111=\r\n11111111=\r\n1111 end=\r\n"
    (child,) = peels(peel(data, ask()))
    assert put(data, child, b"4111111111111111", b"4=*") == b"no 4=3D* end=\r\n"


@few
@given(before=st.binary(max_size=120), number=numbers, after=st.binary(max_size=120))
def test_round_trip(before, number, after):
    text = before.translate(None, b"0123456789") + b"=" + number.encode() + b"=" + after.translate(None, b"0123456789")
    data = quopri.encodestring(text)
    (child,) = peels(peel(data, ask()))
    assert child.data == text == quopri.decodestring(data)
    changed = put(data, child, number.encode(), MASKED.encode())
    assert quopri.decodestring(changed) == text.replace(number.encode(), MASKED.encode())
