import gzip
import zlib

import pytest

from detectors.decoders.plausible import DIGITS, says_something


@pytest.mark.parametrize(
    "data", [b"plain text", "カード".encode(), b"4\x001\x001\x001\x001\x001\x001\x001\x00\x80\x81\x82\x83\x84\x85\x86\x87", gzip.compress(b"x", mtime=0), zlib.compress(b"x"), b"PK\x03\x04\x80\x81\x82\x83\x84"]
)  # fmt: skip
def test_worth_a_look(data):
    assert says_something(data)


@pytest.mark.parametrize("data", [bytes(range(128, 160)), b"\x9d\x41\x11\xe2\x80\xf0\x11\xaf", b"\xff" * 20 + b"411"])
def test_chance(data):
    assert not says_something(data)


def test_digits_may_have_three_bytes_between():
    assert DIGITS.search(b"4 1 1 1 1 1 1 1")
    assert DIGITS.search(b"4\0\0\0" * 8)
    assert not DIGITS.search(b"4111    1111")
