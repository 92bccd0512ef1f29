import pytest

from detectors.decoders.naming import LONGEST, Repeats, name_of, segment


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cardNo", "cardNo"),
        ("カード番号", "カード番号"),
        ("4111111111111111", "****************"),
        ("x4111-1111 1111.1111y", "x****-**** ****.****y"),
        ("４１１１１１１１１１１１１１１１", "****************"),
        ("2026-11", "2026-11"),
        ("1234567", "1234567"),
        ("12345678", "********"),
        ("a\x00b\nc\u202ed", "a?b?c?d"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 63 + "…"),
    ],
)
def test_a_segment_is_short_printable_and_without_long_numbers(name, shown):
    assert segment(name) == shown


def test_a_name_is_decoded_and_cut():
    assert name_of("番号\xff".encode()) == "番号\xff"
    assert name_of(b"a\xff") == "a\ufffd"
    assert len(name_of(b"a" * 5000)) == LONGEST


def test_repeats_are_told_apart():
    repeats = Repeats()
    assert [repeats.index(name) for name in (b"k", b"j", b"k", b"k")] == ["", "", "[1]", "[2]"]
