from __future__ import annotations

import base64
import gzip
import json
from urllib.parse import quote

import pytest

from proxy.demo.cards import AMEX, JCB, VISA, masked
from proxy.demo.search import card_numbers, security_codes, showable

NUMBER = VISA.number.encode()
JSON = json.dumps({"card": VISA.number}).encode()
WRAPPED = {
    "plain": b"CardNo=" + NUMBER,
    "with spaces": b"4111 1111 1111 1111",
    "with hyphens": b"4111-1111-1111-1111",
    "gzip": gzip.compress(JSON),
    "base64": b"state=" + base64.b64encode(JSON),
    "base64url without padding": base64.urlsafe_b64encode(JSON + b"??>").rstrip(b"="),
    "gzip in base64 in JSON": json.dumps({"dump": base64.b64encode(gzip.compress(JSON)).decode()}).encode(),
    "percent": b"x=" + "".join(f"%{byte:02X}" for byte in NUMBER).encode(),
    "percent around JSON": quote(JSON).encode(),
    "JSON escapes": "".join(f"\\u00{byte:02x}" for byte in NUMBER).encode(),
    "cut short gzip": gzip.compress(JSON * 50)[:-4],
}
CLEAN = {
    "nothing": b"",
    "a mask": b"4111********1111",
    "another number": b"4242424242424242",
    "broken gzip": b"\x1f\x8b\x08not gzip",
    "the digits, apart": b"4111,1111,1111,1111",
}


@pytest.mark.parametrize("data", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_number_is_found_in_every_wrapping(data):
    assert card_numbers(data) == {VISA.number}


@pytest.mark.parametrize("data", CLEAN.values(), ids=CLEAN.keys())
def test_nothing_is_found_where_nothing_is(data):
    assert card_numbers(data) == set()


def test_each_card_counts():
    assert card_numbers(f"{VISA.number} {JCB.number}".encode()) == {VISA.number, JCB.number}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"security_code": "837"}', {VISA.code}),
        (b"SecurityCode=837&x=1", {VISA.code}),
        (b'{"cvc":"7193"}', {AMEX.code}),
        (b"%22cvv%22%3A%22837%22", {VISA.code}),
        (b"SecurityCode=8371", set()),
        (b"amount=837", set()),
    ],
)
def test_a_code_is_found_under_its_name(data, found):
    assert security_codes(data) == found


def test_what_is_shown_is_masked_and_short():
    shown = showable(json.dumps({"a": "x" * 200, "card_number": VISA.number, "cvv": VISA.code}).encode())
    assert masked(VISA.number) in shown
    assert VISA.number not in shown
    assert VISA.code not in shown
    assert len(shown) <= 74


def test_what_is_shown_of_a_dump_is_its_inside():
    dump = base64.b64encode(gzip.compress(JSON))
    assert showable(b'{"state": "' + dump + b'"}') == f'{{"card": "{masked(VISA.number)}"}}'
