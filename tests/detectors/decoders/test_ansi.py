from __future__ import annotations

import json

import pytest

from detectors.decoders.ansi import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, peels

PAINTED = {
    "groups": "card 4111\x1b[0m\x1b[32m1111\x1b[0m\x1b[32m1111\x1b[0m\x1b[32m1111 given",
    "grep": "card 4111\x1b[01;31m\x1b[K1111\x1b[m\x1b[K11111111",
    "each digit": "".join(f"\x1b[1m{digit}" for digit in "4111111111111111"),
    "as text": "card 4111\\u001b[0m1111\\u001b[0m1111\\u001b[0m1111",
    "as octal": "card 4111\\033[0m1111\\033[0m1111\\033[0m1111",
    "as carets": "card 4111^[[0m1111^[[0m1111^[[0m1111",
}


@pytest.mark.parametrize("name", PAINTED)
def test_a_painted_number_is_found_and_taken_out(inspector, name):
    for text in (PAINTED[name], json.dumps({"log": PAINTED[name]})):
        data = text.encode()
        found = inspector.inspect(data).findings
        assert [(f.entity, f.confidence) for f in found] == [("PAN", "high")]
        left = redact(data, found, "mask")
        assert left is not None
        assert inspector.inspect(left).findings == ()


@pytest.mark.parametrize("text", ["\x1b[36mcvv\x1b[0m=123", "\x1b[36mcvv=\x1b[0m\x1b[33m123\x1b[0m"])
def test_a_painted_security_code_is_found(inspector, text):
    for data in (text.encode(), json.dumps({"log": text}).encode()):
        (found,) = inspector.inspect(data).findings
        assert (found.entity, data[found.start : found.end]) == ("SECURITY_CODE", b"123")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[32m2026-11-22\x1b[0m \x1b[1m12345678\x1b[0m 1700000000",
        "\x1b[36mstatus=\x1b[0m200 \x1b[36mcvv=\x1b[0m***",
        "progress \x1b[1m100\x1b[0m/\x1b[1m1000\x1b[0m",
    ],
)
def test_other_painted_numbers_stay(inspector, text):
    assert inspector.inspect(text.encode()).findings == ()


def test_colours_leave_nothing():
    (peel_,) = peels(peel(b"a\x1b[1;32mb\x1b[0mc", ask()))
    assert peel_.data == b"abc"
    assert peel_.hook.locate(1, 2) == (8, 9)


def test_without_colours_there_is_no_child():
    assert peels(peel(b"plain \x1b text", ask())) == []
