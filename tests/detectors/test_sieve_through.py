"""Whatever the encoders of the standard library write, these expressions see through; ids and hashes they do not."""

from __future__ import annotations

import base64
import itertools
import random
import urllib.parse

import pytest

from detectors.sieve import Sieve
from detectors.sieve_classes import KEYS
from detectors.sieve_through import base32_patterns, base64_stacks, hex_patterns, through_base32, through_hex

N = "4111111111111111"
ESCAPES = {
    "plain": N,
    "percent": "".join(f"%{ord(c):02X}" for c in N),
    "quoted-printable": "".join(f"={ord(c):02X}" for c in N),
    "unicode escapes": "".join(f"\\u{ord(c):04x}" for c in N),
    "byte escapes": "".join(f"\\x{ord(c):02x}" for c in N),
    "references": "".join(f"&#{ord(c)};" for c in N),
    "hex references": "".join(f"&#x{ord(c):x};" for c in N),
    "full width": N.translate({48 + d: 0xFF10 + d for d in range(10)}),
}
OPAQUE = {
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "base32": base64.b32encode,
}


@pytest.fixture(scope="module")
def sieve() -> Sieve:
    return Sieve()


@pytest.mark.parametrize("outer", ["base64", "base64url", "hex", "HEX"])
@pytest.mark.parametrize("inner", ESCAPES)
@pytest.mark.parametrize("before", range(3))
def test_an_escape_inside(sieve, outer, inner, before):
    assert not sieve.quiet(OPAQUE[outer](b"." * before + ESCAPES[inner].encode()))


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("outer", ["base64", "hex"])
@pytest.mark.parametrize("before", range(3))
def test_two_bytes_a_character_inside(sieve, outer, codec, before):
    assert not sieve.quiet(OPAQUE[outer](b"." * before + N.encode(codec)))


FULL_WIDTH = {
    "percent": urllib.parse.quote(ESCAPES["full width"]).encode(),
    "unicode escapes": ESCAPES["full width"].encode("ascii", "backslashreplace"),
    "references": ESCAPES["full width"].encode("ascii", "xmlcharrefreplace"),
    "cp932": ESCAPES["full width"].encode("cp932"),
    "euc-jp": ESCAPES["full width"].encode("euc-jp"),
    "iso-2022-jp": ESCAPES["full width"].encode("iso-2022-jp"),
}


@pytest.mark.parametrize("inner", FULL_WIDTH)
@pytest.mark.parametrize("before", range(3))
def test_full_width_digits_in_any_spelling_inside_base64(sieve, inner, before):
    assert not sieve.quiet(base64.b64encode(b"." * before + FULL_WIDTH[inner]))


@pytest.mark.parametrize(("outer", "inner"), [
    *itertools.product(("base64", "base64url", "hex", "HEX"), ("base64", "hex", "base32")), ("base32", "base64"), ("base32", "hex"),
])  # fmt: skip
@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("number", [N, "378282246310005", "5555555555554444", "3530111333300000"])
def test_two_layers(sieve, outer, inner, before, number):
    assert not sieve.quiet(OPAQUE[outer](OPAQUE[inner](b"." * before + number.encode())))
    assert not sieve.quiet(OPAQUE[outer](b"x" * before + b" " + OPAQUE[inner](number.encode())))


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("url_safe", [False, True])
def test_three_layers_of_base64(sieve, before, url_safe):
    data = b"." * before + N.encode()
    for _ in range(3):
        data = OPAQUE["base64url" if url_safe else "base64"](data)
    assert not sieve.quiet(data)


@pytest.mark.parametrize(
    "field",
    ['{"cvv":"123"}', "CVC=123", "security_code=123", '{"cardNo":"1234567890"}', '{"pinBlock":"041234FFFFFFFFFF"}'],
)
@pytest.mark.parametrize("layers", [("hex",), ("base32",), ("base64", "base64")])
@pytest.mark.parametrize("before", range(5))
def test_names_of_card_fields(sieve, field, layers, before):
    data = b" " * before + field.encode()
    for layer in layers:
        data = OPAQUE[layer](data)
    assert not sieve.quiet(data)


@pytest.mark.parametrize("between", [" ", ":", "-", ", 0x", ",0x", " 0x"])
def test_hex_in_pairs(sieve, between):
    assert not sieve.quiet(between.join(f"{ord(c):02x}" for c in N).encode())
    assert not sieve.quiet(between.join(f"{ord(c):02X}" for c in 'x{"cvv":"123"}').encode())


def test_noise_is_seldom_pointed_at(sieve):
    """Trace ids, hashes, keys and compressed images: they cost a pass and no more, all but one in thousands."""
    dice = random.Random(3)
    rows = [dice.randbytes(dice.choice((8, 16, 20, 32, 48, 64))) for _ in range(4_000)]
    lines = [f'{{"id":"{row.hex()}"}}' for row in rows]
    lines += [f'{{"key":"{base64.b64encode(row).decode()}"}}' for row in rows]
    lines += [base64.b32encode(row).decode() for row in rows]
    lines += [":".join(f"{byte:02X}" for byte in row[:20]) for row in rows]
    lines += [urllib.parse.quote(row) for row in rows[:200]]
    loud = [
        line
        for line in lines
        if (hits := sieve.scan(line.encode())) and {"hex", "base32", "base64"} & set(hits.by_kind)
    ]
    assert len(loud) <= 2


def test_the_classes_hold_what_the_encoders_write():
    for key in KEYS:
        word = bytes(min(choice) for choice in key)
        assert all(digit in choice for digit, choice in zip(word.hex().encode(), through_hex(key), strict=True))
        for before in range(5):
            letters = base64.b32encode(b"?" * before + word).rstrip(b"=")[before * 8 // 5 :]
            assert all(letter in choice for letter, choice in zip(letters, through_base32(key, before), strict=False))


def test_no_row_stands_twice():
    rows = [*base32_patterns(), *base64_stacks(), *hex_patterns()]
    assert len(rows) == len(set(rows))
