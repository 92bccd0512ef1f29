import binascii
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.hexadecimal import peel
from detectors.model import SECURITY_CODE
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, holding, located, numbers, peels, put

RAW = NUMBER.encode()
TEXT = b'{"card":"' + RAW + b'"}'


def dump(data, width=16, group=1, halves=False):
    """As ``hexdump -C`` and ``xxd`` print."""
    for at in range(0, len(data), width):
        row = data[at : at + width]
        pairs = row.hex(" ", -group) if group > 1 else row.hex(" ")
        if halves:
            pairs = row[:8].hex(" ") + "  " + row[8:].hex(" ")
        yield f"{at:08x}: {pairs}  |{''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}|"


@pytest.mark.parametrize(
    "between", ["", " ", ":", "-", "_", ", "], ids=["none", "space", "colon", "dash", "underscore", "comma"]
)
@pytest.mark.parametrize("frame", [b"%s", b'{"payload":"%s"}', b"body=<%s> end", b"x'%s'"])
@pytest.mark.parametrize("upper", [False, True])
def test_a_run_in_any_text(between, frame, upper):
    spelled = between.join(f"{byte:02x}" for byte in TEXT)
    spelled = (spelled.upper() if upper else spelled).encode()
    data = frame % spelled
    child = holding(peel(data, ask()), TEXT)
    assert (child.codec, located(data, child, TEXT)) == ("hex", spelled)
    changed = put(data, child, RAW, MASKED.encode())
    inside = changed[len(frame.split(b"%s")[0]) :][: len(spelled)]
    plain = inside.decode().replace(between, "") if between else inside.decode()
    assert binascii.unhexlify(plain) == TEXT.replace(RAW, MASKED.encode())
    assert plain == (plain.upper() if upper else plain.lower())


@pytest.mark.parametrize("prefix", ["0x", "0X", "\\x"])
def test_prefixed_bytes_keep_their_prefixes(prefix):
    data = ("{" + ", ".join(prefix + f"{byte:02x}" for byte in TEXT) + "}").encode()
    child = holding(peel(data, ask()), TEXT)
    changed = put(data, child, RAW, b"***")
    assert changed.decode() == "{" + ", ".join(prefix + f"{byte:02x}" for byte in TEXT.replace(RAW, b"***")) + "}"


@pytest.mark.parametrize("before", ["f", "de", "dea", "deadbeef"])
def test_digits_before_the_number_do_not_shift_it_away(before):
    data = f"t={before}{RAW.hex()}00ff".encode()
    child = holding(peel(data, ask()), RAW)
    assert located(data, child, RAW) == RAW.hex().encode()
    assert put(data, child, RAW, b"*") == f"t={before}2a00ff".encode()


@pytest.mark.parametrize(
    "rows",
    [
        dump(b"0123456789" + TEXT),
        dump(b"abcdef" + TEXT, group=2),
        dump(b"abcdef" + TEXT, group=4),
        dump(b"abcdef" + TEXT, halves=True),
    ],
)
def test_a_number_goes_on_in_the_next_row_of_a_dump(rows):
    data = ("request:\n" + "\n".join(rows) + "\nend\n").encode()
    child = holding(peel(data, ask()), RAW)
    changed = put(data, child, RAW, b"?" * 16)
    assert RAW not in b"".join(peel.data for peel in peels(peel(changed, ask())))


def test_what_hangs_together_only():
    rows = [*dump(TEXT * 2), "something else", *dump(TEXT * 2)]
    data = "\n".join(rows).encode()
    found = [child for child in peels(peel(data, ask())) if child.data == TEXT * 2]
    assert len(found) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"", b"4bf92f3577b34da6a3ce929d0e0e4736", uuid.uuid5(uuid.NAMESPACE_DNS, "a").bytes.hex().encode(),
        b"550e8400-e29b-41d4-a716-446655440000", b"00:1b:44:11:3a:b7", b"facade decade", b"09:12:33",
        b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)  # fmt: skip
def test_ids_hashes_and_addresses_are_left_alone(data):
    assert peels(peel(data, ask())) == []


def test_only_what_the_hits_ask_for():
    data = TEXT.hex().encode() + b" " * 200 + RAW.hex().encode()
    assert [child.data for child in peels(peel(data, ask("", 3)))] == [TEXT]


FOUND = {
    "a field": json.dumps({"payload": RAW.hex(), "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}).encode(),
    "a bytea": b"INSERT INTO log VALUES ('\\x" + TEXT.hex().encode() + b"')",
    "full width": "４１１１１１１１１１１１１１１１".encode().hex().encode(),
    "utf-16": NUMBER.encode("utf-16-le").hex().upper().encode(),
    "hex of hex": RAW.hex().encode().hex().encode(),
    "hex of percent": b"%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31".hex().encode(),
    "a dump": "\n".join(dump(b"POST /x HTTP/1.1\r\n\r\nn=" + RAW, halves=True)).encode(),
    "a number": b'{"n": ' + RAW.hex().encode() + b"}",
}


@pytest.mark.parametrize("name", FOUND)
def test_found_and_taken_out(inspector, name):
    found = inspector.inspect(FOUND[name]).findings
    assert any("hex" in finding.trail for finding in found)
    left = redact(FOUND[name], found, "mask")
    assert inspector.inspect(left).findings == ()
    if FOUND[name].startswith(b"{"):
        json.loads(left)


def test_a_security_code_under_its_name(inspector):
    (finding,) = inspector.inspect(b"req " + b'{"cvv":"123"}'.hex().encode()).findings
    assert (finding.entity, finding.path, finding.trail) == (SECURITY_CODE, "$.cvv", ("hex",))


@few
@given(st.binary(max_size=60), numbers, st.binary(max_size=60), st.sampled_from(["", " ", ":", "-"]), st.booleans())
def test_round_trip(before, number, after, between, upper):
    text = before.translate(None, b"0123456789") + b"<" + number.encode() + b">" + after.translate(None, b"0123456789")
    spelled = between.join(f"{byte:02X}" if upper else f"{byte:02x}" for byte in text).encode()
    data = b"data: <" + spelled + b"> end"
    child = next(child for child in peels(peel(data, ask())) if child.data == text)
    changed = put(data, child, number.encode(), MASKED.encode())
    inside = changed[len(b"data: <") : -len(b"> end")]
    assert bytes.fromhex(inside.decode().replace(between or "|", " ")) == text.replace(number.encode(), MASKED.encode())
