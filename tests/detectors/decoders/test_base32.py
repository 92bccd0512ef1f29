import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.base32 import peel
from detectors.model import SECURITY_CODE
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, holding, located, numbers, peels, put

TEXT = b'{"card":"' + NUMBER.encode() + b'"}'
B32 = base64.b32encode(TEXT)


@pytest.mark.parametrize("spelled", [B32, B32.rstrip(b"="), B32.lower(), B32.rstrip(b"=").lower()])
@pytest.mark.parametrize("frame", [b"%s", b'{"a":"%s"}', b"x=%s&y"])
def test_a_run_in_any_text(spelled, frame):
    data = frame % spelled
    child = holding(peel(data, ask()), NUMBER.encode())
    assert (child.codec, child.data, located(data, child, b"card")) == ("base32", TEXT, spelled)
    changed = put(data, child, NUMBER.encode(), MASKED.encode())
    before, after = frame.split(b"%s")
    inside = changed[len(before) : len(changed) - len(after)]
    assert base64.b32decode(inside.upper().rstrip(b"=") + b"=" * (-len(inside.rstrip(b"=")) % 8)) == TEXT.replace(
        NUMBER.encode(), MASKED.encode()
    )
    assert inside.islower() == spelled.islower()


@pytest.mark.parametrize("before", range(8))
def test_letters_before_it_do_not_shift_it_away(before):
    data = b"A" * before + base64.b32encode(b"no " + NUMBER.encode())
    assert any(NUMBER.encode() in child.data for child in peels(peel(data, ask())))


@pytest.mark.parametrize("data", [b"", b"01ARZ3NDEKTSV4RRFFQ69G5FAV", b"MIXEDcaseMIXEDcaseMIXED", b"c47e4f8b2a1d"])
def test_other_identifiers_are_left_alone(data):
    assert peels(peel(data, ask())) == []


@pytest.mark.parametrize("before", range(5))
def test_found_and_taken_out_at_every_alignment(inspector, before):
    for text in (NUMBER, "5555555555554444", "378282246310005"):
        data = json.dumps({"x": base64.b32encode(b"x" * before + b" " + text.encode()).decode()}).encode()
        found = inspector.inspect(data).findings
        assert [finding.trail for finding in found] == [("base32",)]
        assert inspector.inspect(redact(data, found, "mask")).findings == ()


@pytest.mark.parametrize("before", range(5))
def test_a_security_code_under_its_name(inspector, before):
    (finding,) = inspector.inspect(base64.b32encode(b" " * before + b'{"cvv": "123"}')).findings
    assert finding.entity == SECURITY_CODE


@few
@given(st.binary(max_size=60), numbers, st.binary(max_size=60), st.booleans())
def test_round_trip(before, number, after, padded):
    text = before.translate(None, b"0123456789") + b"<" + number.encode() + b">" + after.translate(None, b"0123456789")
    spelled = base64.b32encode(text) if padded else base64.b32encode(text).rstrip(b"=")
    data = b"token: " + spelled + b" end"
    child = holding((child for child in peel(data, ask()) if child.hook.start == 7), number.encode())
    assert child.data == text
    inside = put(data, child, number.encode(), MASKED.encode())[7:-4]
    assert base64.b32decode(inside.rstrip(b"=") + b"=" * (-len(inside.rstrip(b"=")) % 8)) == text.replace(
        number.encode(), MASKED.encode()
    )
