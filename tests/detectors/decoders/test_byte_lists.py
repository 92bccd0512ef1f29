import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.byte_lists import peel
from detectors.model import SECURITY_CODE
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, numbers, peels, put

RAW = NUMBER.encode()
BUFFER = {"type": "Buffer", "data": list(RAW)}


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(BUFFER).encode(), json.dumps(BUFFER, indent=2).encode(), json.dumps(BUFFER, separators=(",", ":")).encode(),
        b"body: [52 49 49 49 49 49 49 49 49 49 49 49 49 49 49 49]", str(list(RAW)).encode(), f"bytearray({list(RAW)})".encode(),
    ],
)  # fmt: skip
def test_found_and_taken_out(inspector, data):
    (finding,) = inspector.inspect(data).findings
    assert finding.trail == ("bytes",)
    left = redact(data, [finding], "mask")
    assert b"42" in left
    assert inspector.inspect(left).findings == ()
    if data.startswith(b"{"):
        assert bytes(json.loads(left)["data"]) == MASKED.encode()


def test_a_list_that_nobody_calls_bytes_is_doubtful(inspector):
    for data, confidence in ((json.dumps(BUFFER), "high"), (json.dumps({"ages": list(RAW)}), "low")):
        (finding,) = inspector.inspect(data.encode()).findings
        assert finding.confidence == confidence
        assert ("a list of small numbers" in finding.why) == (confidence == "low")


def test_a_security_code_in_a_buffer(inspector):
    (finding,) = inspector.inspect(json.dumps({"type": "Buffer", "data": list(b'{"cvv":"123"}')}).encode()).findings
    assert (finding.entity, finding.path) == (SECURITY_CODE, "$.cvv")


def test_bytes_of_java_may_be_negative():
    signed = [byte - 256 if byte > 127 else byte for byte in "カード 4111".encode()]
    (child,) = peels(peel(str(signed).encode(), ask()))
    assert child.data == "カード 4111".encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[1, 2, 3]",
        b"[256, 49, 49, 49, 49, 49, 49, 49, 49]",
        b"[1763800000000, 12]",
        b"[300 400 500 600 700 800 900]",
    ],
)
def test_other_lists_are_left_alone(data):
    assert peels(peel(data, ask())) == []


def test_only_what_the_hits_ask_for():
    data = str(list(RAW)).encode() + b" " * 200 + str(list(b"text text")).encode()
    assert [child.data for child in peels(peel(data, ask("", 3)))] == [RAW]


@few
@given(st.binary(max_size=40), numbers, st.sampled_from([",", ", ", " ", ",\n  "]))
def test_round_trip(before, number, between):
    text = before.translate(None, b"0123456789") + b"card " + number.encode()
    data = b"[" + between.join(map(str, text)).encode() + b"]"
    (child,) = peels(peel(data, ask()))
    assert child.data == text
    changed = put(data, child, number.encode(), MASKED.encode())
    assert changed == b"[" + between.join(map(str, text.replace(number.encode(), MASKED.encode()))).encode() + b"]"
