import ast

import pytest
from hypothesis import given

from detectors.decoders.escapes import peel
from tests.detectors.decoders.peeling import MASKED, ask, few, located, numbers, peels, put, words


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (rb"card=\u0034\u0031\u00311", b"card=4111"),
        (rb"card=\x34\x31\x311", b"card=4111"),
        (rb"\u{34}\u{000031}\u{1f600}", "41😀".encode()),
        (rb"\U00000034\U0001f600", "4😀".encode()),
        (rb"\\u0034\\u0031", b"41"),
        (rb"\\\\\x34", b"4"),
        (rb"\u30ab\u0034", "カ4".encode()),
        (rb"\ud83d\ude00\u0034", "😀4".encode()),
        (rb"\ud83d\u0034", "\ufffd4".encode()),
        (rb"\u{110000}\u{d800}", "\ufffd\ufffd".encode()),
        (rb"\xe3\x82\xab", "カ".encode()),
        (rb"\n\t\u0034\"", rb"\n\t4\""),
    ],
)
def test_decodes(data, decoded):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("escape", decoded)


@pytest.mark.parametrize("data", [b"", rb"\u00", rb"\x3", rb"C:\users\xavier", rb"\n\\", b"4111"])
def test_text_without_an_escape_gives_nothing(data):
    assert peels(peel(data, ask())) == []


def test_each_escape_is_located():
    data = rb"\u30ab\u0034\u0031 \\x34\\x31"
    (child,) = peels(peel(data, ask()))
    assert located(data, child, b"41") == rb"\u0034\u0031"
    assert located(data, child, b" 4") == rb" \\x34"
    assert located(data, child, "カ".encode()) == rb"\u30ab"


@few
@given(before=words, number=numbers, after=words)
def test_round_trip(before, number, after):
    """Python's own parser reads the escapes of a string literal."""
    data = b"".join(b"\\U%08x" % ord(letter) for letter in before) + b"".join(
        (b"\\x%02x", b"\\u%04x")[n % 2] % ord(digit) for n, digit in enumerate(number)
    )
    data += b"".join(b"\\U%08x" % ord(letter) for letter in after)
    (child,) = peels(peel(data, ask()))
    assert child.data.decode() == before + number + after == ast.literal_eval(f"'{data.decode()}'")
    changed = put(data, child, number.encode(), MASKED.encode())
    assert ast.literal_eval(f"'{changed.decode()}'") == before + MASKED + after
