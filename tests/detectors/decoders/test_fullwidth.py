import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.fullwidth import ZEROS, peel
from tests.detectors.decoders.peeling import MASKED, ask, few, located, peels, put


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("４１１１１１１１", "41111111"),
        ("ＣＶＶ：１２３", "CVV:123"),
        ("4111\u30001111\u00a01111\u20091111", "4111 1111 1111 1111"),
        ("4111–1111—1111−1111", "4111-1111-1111-1111"),
        ("4111ー1111ｰ1111", "4111-1111-1111"),
        ("４１ー１１", "41-11"),
        ("カードー番号ー４１", "カードー番号ー41"),
        ("41\u200b11\u200d11\ufeff11", "41111111"),
        ("4\ufe0f\u20e31\ufe0f\u20e31\ufe0f\u20e3", "411"),
        ("٤١١١", "4111"),
        ("𝟒𝟏𝟙𝟏", "4111"),
        ("४१११", "4111"),
        ("①４１１１", "①4111"),
        ("4111・1111", "4111.1111"),
    ],
)
def test_decodes(text, decoded):
    (child,) = peels(peel(text.encode(), ask()))
    assert (child.codec, child.data.decode()) == ("fullwidth", decoded)


@pytest.mark.parametrize("text", ["", "4111 1111", "日本語", "m²", "カード"])
def test_other_text_gives_nothing(text):
    assert peels(peel(text.encode(), ask())) == []


@pytest.mark.parametrize("text", ["⁴¹¹¹ ¹¹¹¹", "₄₁₁₁ ₁₁₁₁", "④①①① ①①①①"])
def test_figures_that_stand_together_are_read(text):
    (child,) = peels(peel(text.encode(), ask()))
    assert child.data == b"4111 1111"
    assert put(text.encode(), child, b"11 1", b"*") == (text[:2] + "*" + text[6:]).encode()


def test_a_bullet_does_not_spoil_the_number_behind_it_even_beside_figures():
    data = "①４１１１ ⁴¹¹¹".encode()
    assert [child.data.decode() for child in peels(peel(data, ask()))] == ["①4111 ⁴¹¹¹", "14111 4111"]


def test_every_decimal_digit_of_unicode_is_known():
    known = {zero + n for zero in ZEROS for n in range(10)}
    decimal = {code for code in range(128, 0x110000) if unicodedata.category(chr(code)) == "Nd"}
    assert decimal - known == set()
    assert all(unicodedata.decimal(chr(code)) == (code - zero) for zero in ZEROS for code in range(zero, zero + 10)
               if unicodedata.category(chr(code)) == "Nd")  # fmt: skip
    assert len(known) == len(ZEROS) * 10


@pytest.mark.parametrize("data", ["カード４１".encode("cp932"), b"\xef\xbc", b"\xef\xbc\xff", "４".encode()[:2] + b"4"])
def test_bytes_that_are_not_utf8_are_no_trouble(data):
    assert peels(peel(data, ask())) == []


def test_each_letter_is_located():
    data = "番号４１\u200b１ ٤".encode()
    (child,) = peels(peel(data, ask()))
    assert located(data, child, b"41") == "４１".encode()
    assert located(data, child, b"411") == "４１\u200b１".encode()
    assert located(data, child, b"1 4") == "１ ٤".encode()


@few
@given(
    st.text(alphabet="abé番号、。", max_size=20),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from((0x30, *ZEROS))), min_size=13, max_size=19),
    st.text(alphabet="abé番号、。", max_size=20),
)
def test_round_trip(before, digits, after):
    spelled = "".join(chr(zero + digit) for digit, zero in digits)
    number = "".join(str(digit) for digit, _ in digits)
    data = f"{before}{spelled}４{after}".encode()
    (child,) = peels(peel(data, ask()))
    assert (
        unicodedata.normalize("NFKC", before) + number + "4" + unicodedata.normalize("NFKC", after)
        == child.data.decode()
    )
    assert put(data, child, number.encode() + b"4", MASKED.encode()).decode() == before + MASKED + after
