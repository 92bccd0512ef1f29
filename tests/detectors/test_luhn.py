from __future__ import annotations

import pytest

from detectors.luhn import ean13, luhn
from detectors.test_numbers import TEST_NUMBERS

GOOD = sorted(number for number in TEST_NUMBERS if luhn(number))


def test_published_numbers_pass_and_one_changed_digit_fails():
    assert len(GOOD) > 200
    for number in GOOD:
        for at in range(len(number)):
            changed = number[:at] + bytes([48 + (number[at] - 47) % 10]) + number[at + 1 :]
            assert not luhn(changed)


@pytest.mark.parametrize(("digits", "valid"), [(b"", False), (b"0", True), (b"1", False), (b"79927398713", True)])
def test_short_inputs(digits, valid):
    assert luhn(digits) is valid


@pytest.mark.parametrize(
    ("digits", "valid"), [(b"4901234567894", True), (b"4901234567895", False), (b"490123456789", False)]
)
def test_ean13(digits, valid):
    assert ean13(digits) is valid
