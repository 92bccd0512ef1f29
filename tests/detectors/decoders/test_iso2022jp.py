import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.iso2022jp import peel
from tests.detectors.decoders.peeling import MASKED, ask, few, located, numbers, peels, put


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("カード４１１１".encode("iso2022_jp"), "カード４１１１"),
        (b"4\x1b(B1\x1b(J1\x1b(B1", "4111"),
        (b"\x1b$@#4#1\x1b(B1", "４１1"),
        (b"\x1b(I\x36\x45\x1b(B4", "ｶﾅ4"),
        (b"\x1b$(D\x30\x21\x1b(B4", "丂4"),
        (b"\x1b$B\x29\x21#4\x1b(B1", "\ufffd４1"),
        (b"\x1b$B#4#", "４\ufffd"),
        (b"\x1b$B!x", "§"),
    ],
)
def test_decodes(data, text):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data.decode()) == ("iso-2022-jp", text)


@pytest.mark.parametrize("data", [b"", b"4111", b"\x1b[31mred", b"\x1b"])
def test_text_without_a_switch_gives_nothing(data):
    assert peels(peel(data, ask())) == []


def test_a_line_end_outside_ascii_is_read_in_both_ways():
    data = b"\x1b$B#4\n#1 4\x1b(B\n"
    kept, ended = peels(peel(data, ask()))
    assert (kept.data.decode(), ended.data.decode()) == ("４\n１ \ufffd\n", "４\n#1 4\n")
    assert put(data, kept, "１".encode(), b"*") == b"\x1b$B#4\n\x1b(B*\x1b$B 4\x1b(B\n"
    assert put(data, ended, b"1 4", b"*") == b"\x1b$B#4\n#*\x1b(B\n"


def test_each_letter_is_located():
    data = b"ab\x1b$B#4#1\x1b(Bc"
    (child,) = peels(peel(data, ask()))
    assert located(data, child, "１".encode()) == b"#1"
    assert located(data, child, "４１".encode()) == b"#4#1"
    assert located(data, child, "b４".encode()) == b"b\x1b$B#4"


def test_replacement_text_brings_its_switches():
    data = "番号４１１１です 4111".encode("iso2022_jp")
    (child,) = peels(peel(data, ask()))
    changed = put(data, child, "４１１１".encode(), b"4**1")
    assert changed.decode("iso2022_jp") == "番号4**1です 4111"
    changed = put(data, child, b"4111", b"4**1")
    assert changed == data.replace(b"4111", b"4**1")
    assert put(data, child, b"4111", "＊".encode()) is None


@few
@given(
    st.text(alphabet="ab カード番号。", max_size=20),
    numbers,
    st.text(alphabet="ab カード番号。", max_size=20),
    st.booleans(),
)
def test_round_trip(before, number, after, full):
    spelled = "".join(chr(ord(digit) + 0xFEE0) for digit in number) if full else number
    text = f"番{before}{spelled}{after}"
    data = text.encode("iso2022_jp")
    (child,) = peels(peel(data, ask()))
    assert child.data.decode() == text
    changed = put(data, child, spelled.encode(), MASKED.encode())
    assert changed.decode("iso2022_jp") == f"番{before}{MASKED}{after}"
