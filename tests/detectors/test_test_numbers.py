from __future__ import annotations

from detectors.test_numbers import PUBLISHED, TEST_NUMBERS


def test_numbers_are_digits_of_card_length_and_listed_once():
    listed = [number for numbers in PUBLISHED.values() for number in numbers.split()]
    assert len(listed) == len(set(listed)) == len(TEST_NUMBERS) == 301
    assert all(number.isdigit() and 13 <= len(number) <= 19 for number in listed)


def test_gmo_numbers_outside_every_issuer_range_are_there():
    assert TEST_NUMBERS[b"2111111111111111"] == "mastercard"
    assert TEST_NUMBERS[b"3111111111111111"] == "jcb"
