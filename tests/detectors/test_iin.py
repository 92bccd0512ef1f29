from __future__ import annotations

import pytest

from detectors.iin import BRANDS, ISSUERS, MAX_LENGTH, MIN_LENGTH, beginning, issuer, issuers
from detectors.luhn import luhn


def with_check_digit(prefix: str, length: int) -> bytes:
    body = prefix.ljust(length - 1, "0")
    return next(number for d in "0123456789" if luhn(number := (body + d).encode()))


@pytest.mark.parametrize("row", range(len(ISSUERS)))
def test_both_ends_of_every_range_are_recognised_at_every_length(row):
    entry = ISSUERS[row]
    for prefix in (str(entry.first), str(entry.last)):
        for length in entry.lengths:
            number = with_check_digit(prefix, length)
            assert entry in issuers(number)
            found = issuer(number)
            assert found is not None
            assert found.prefix_length >= entry.prefix_length


def test_the_more_specific_range_names_the_brand():
    assert [issuer(with_check_digit(prefix, 16)).brand for prefix in ("4011", "401178", "5066", "506699", "6221", "62292")] == [
        "visa", "elo", "maestro", "elo", "unionpay", "unionpay",
    ]  # fmt: skip


def test_a_wrong_length_prefix_or_check_digit_is_no_card():
    assert issuer(with_check_digit("4", 15)) is None
    assert issuer(with_check_digit("2720", 16)) is not None
    assert issuer(with_check_digit("2721", 16)) is None
    assert issuer(with_check_digit("2220", 16)) is None
    good = with_check_digit("51", 16)
    assert issuer(good[:-1] + bytes([48 + (good[-1] - 47) % 10])) is None


def test_a_prefix_is_known_whatever_the_length():
    assert [row.brand for row in beginning(b"411")] == ["visa"]
    assert beginning(b"99") == ()


def test_the_table_is_sane():
    for row in ISSUERS:
        assert row.first <= row.last
        assert len(str(row.first)) == len(str(row.last))
        assert all(MIN_LENGTH <= length <= MAX_LENGTH for length in row.lengths)
        assert set(row.common) & set(row.lengths)
    assert len(BRANDS) == len(set(BRANDS)) == 20
