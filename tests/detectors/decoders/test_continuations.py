import email.message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.continuations import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, located, numbers, peels, put


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"attachment; filename*0*=UTF-8''4111; filename*1=1111.pdf", b"41111111.pdf"),
        (b'attachment; filename*0="4111"; filename*1="11 11"', b"411111 11"),
        (b"x; title*0*=us-ascii'en'%34%31; title*1*=%31;\r\n title*2=1", b"4111"),
        (b"x; a*0=4 ;a*1=1;a*2=1; b*0=9", b"411"),
    ],
)
def test_joins(data, text):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("continuation", text)


@pytest.mark.parametrize("data", [b"", b"filename*=UTF-8''x", b"a*0=1", b"a*0=1; b*1=2", b"a*0=1 and a*1=2", b"2*3=6"])
def test_one_piece_is_none(data):
    assert peels(peel(data, ask())) == []


def test_an_edit_across_pieces_takes_what_joins_them():
    data = b"a; filename*0*=UTF-8''x41111111; filename*1=11111111.pdf; size=1"
    (child,) = peels(peel(data, ask()))
    assert located(data, child, NUMBER.encode()) == b"41111111; filename*1=11111111"
    assert put(data, child, NUMBER.encode(), b"* *") == b"a; filename*0*=UTF-8''x*%20*.pdf; size=1"


def test_pieces_out_of_order_are_read_and_not_put_back(inspector):
    data = b"attachment; filename*1=11111111; filename*0*=utf-8''41111111"
    (child,) = peels(peel(data, ask()))
    assert NUMBER.encode() in child.data
    found = inspector.inspect(data).findings
    assert len(found) == 1
    assert redact(data, found, "mask") is None


def test_a_file_name_of_an_upload(inspector):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="f";\r\n filename*0="scan 41111111";\r\n filename*1="11111111.pdf"\r\n'
        b"Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
    )
    found = inspector.inspect(body, "multipart/form-data; boundary=b").findings
    assert [finding.trail for finding in found] == [("continuation",)]
    left = redact(body, found, "mask")
    assert inspector.inspect(left, "multipart/form-data; boundary=b").findings == ()
    assert b"411111******1111.pdf" in left


@few
@given(st.text("abc -_", max_size=20), numbers, st.integers(1, 12), st.booleans())
def test_round_trip(before, number, width, extended):
    text = before + number
    pieces = [text[at : at + width] for at in range(0, len(text), width)]
    if len(pieces) < 2:
        pieces.append("")
    if extended:
        spelled = "; ".join(
            f"f*{n}*=" + ("utf-8''" if n == 0 else "") + "".join(f"%{ord(c):02X}" for c in piece)
            for n, piece in enumerate(pieces)
        )
    else:
        spelled = "; ".join(f'f*{n}="{piece}"' for n, piece in enumerate(pieces))
    data = b"attachment; " + spelled.encode() + b"; size=1"
    (child,) = peels(peel(data, ask()))
    changed = put(data, child, number.encode(), MASKED.encode())
    message = email.message.Message()
    message["Content-Disposition"] = changed.decode()
    value = message.get_param("f", header="content-disposition")
    assert (value[2] if isinstance(value, tuple) else value) == before + MASKED
