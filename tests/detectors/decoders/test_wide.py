import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.wide import CODECS, encoder, peel, peel_runs, sniff
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, located, numbers, peels, put

TEXT = "カード 4111 1111 😀 é"
ENDIAN = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("codec", CODECS)
def test_the_whole_view(codec):
    data = TEXT.encode(codec)
    child = peel(data, codec, ask())
    assert (child.codec, child.data.decode()) == (codec[:6], TEXT)
    unit = CODECS[codec]
    order = codec if codec in ENDIAN else f"{codec}-le"
    for text in ("4111", "カード", "é", "1 😀"):
        assert located(data, child, text.encode()) == text.encode(order)
    mark = len(data) - len(TEXT.encode(order))
    assert child.hook.locate(0, 3) == (mark, mark + unit)


@pytest.mark.parametrize("codec", ENDIAN)
@pytest.mark.parametrize(
    ("text", "mark"),
    [("card 4111", True), ("card 4111", False), ('{"番号": "4111 1111 1111"}', True), ("4\x00\x00" + "x" * 20, True)],
)
def test_sniff(codec, text, mark):
    assert sniff((("\ufeff" if mark else "") + text).encode(codec)) == codec


@pytest.mark.parametrize(
    "data",
    [b"", b"abc", b"\x00\x00\x00\x00", b"plain text", "カード".encode(), bytes(range(256)), b"ab\x00cd\x00\x00ef" * 9],
)
def test_what_is_not_wide(data):
    assert sniff(data) == ""


def test_a_mark_of_utf16_before_a_nul_is_not_utf32():
    data = b"\xff\xfe\0\0" + NUMBER.encode("utf-16-le")
    assert sniff(data) == "utf-16-le"
    assert peel(data, "utf-16-le", ask()).data == b"\0" + NUMBER.encode()


@pytest.mark.parametrize(
    ("codec", "data", "text"),
    [
        ("utf-16-le", b"4\x001\x00x", "41\ufffd"),
        ("utf-16-be", b"\xd8\x3d\x004", "\ufffd4"),
        ("utf-16-le", b"4\x00\x00\xdc1\x00", "4\ufffd1"),
        ("utf-32-le", b"4\0\0\0\xff\xff\xff\xff1\0\0\0\x01", "4\ufffd1\ufffd"),
        ("utf-32-be", b"\0\0\0\x34\0\0\xd8\0", "4\ufffd"),
    ],
)
def test_what_cannot_be_decoded_is_replaced(codec, data, text):
    child = peel(data, codec, ask())
    assert child.data.decode() == text
    assert child.hook.locate(0, len(child.data)) == (0, len(data))


@few
@given(st.sampled_from(["utf-16", "utf-32", *ENDIAN]), st.text(), numbers, st.text())
def test_round_trip(codec, before, number, after):
    text = f"{before}[{number}]{after}"
    data = text.encode(codec)
    child = peel(data, codec, ask())
    assert child.data.decode() == text
    changed = put(data, child, f"[{number}]".encode(), f"[{MASKED}]".encode())
    assert changed.decode(codec) == f"{before}[{MASKED}]{after}"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", [b"", b"x", b"\xe3\x82", b"\x7f\xff\x01", b"ab"])
@pytest.mark.parametrize("after", [b"", b"\x7f", b"\xff\x02"])
def test_a_run_in_the_middle_of_other_bytes_keeps_every_digit(codec, before, after):
    data = before + NUMBER.encode(codec) + after
    (child,) = peels(peel_runs(data, ask()))
    assert NUMBER.encode() in child.data
    changed = put(data, child, NUMBER.encode(), MASKED.encode())
    if changed is not None:
        assert changed == before + MASKED.encode(codec) + after


def test_a_run_at_even_offsets_can_be_put_back():
    for codec, around in (("utf-16-le", (b"\xe3\x82", b"\xff\x02")), ("utf-16-be", (b"\xe3\x82", b"\xff\x02"))):
        data = around[0] + NUMBER.encode(codec) + around[1]
        (child,) = peels(peel_runs(data, ask()))
        assert put(data, child, NUMBER.encode(), b"-") == around[0] + "-".encode(codec) + around[1]


def test_runs_are_those_asked_for():
    data = b"\xff" * 3 + "abcdefghij".encode("utf-16-le") + b"\xff" * 300 + NUMBER.encode("utf-16-le")
    assert [child.data for child in peel_runs(data, ask("", len(data)))] == [NUMBER.encode()]


def test_an_encoder_says_what_it_cannot_spell():
    assert encoder("cp932")("カ*".encode()) == "カ*".encode("cp932")
    assert encoder("cp932")("😀".encode()) is None
    assert encoder("cp932")(b"\xff") is None
