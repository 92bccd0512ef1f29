"""Masks that must pass, numbers that must not, and what a token looks like."""

from __future__ import annotations

import pytest

from proxy.gmo.values import is_blank, is_masked, is_only_mask, token_shape

HEX = "3f0c5b7e9a1d2c4b6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6"

MASKED = {
    "13 asterisks, last three (SaveCard, SearchCard)": "*************111",
    "12 asterisks, last four (SearchTrade)": "************1111",
    "10 asterisks, last four (OpenAPI, fixed length)": "**********1111",
    "first four, last four (OpenAPI)": "4111********1111",
    "first six, last four (receipt)": "411111******1111",
    "first eight, last four, the most of 16": "41111111****1111",
    "x and hyphens": "xxxx-xxxx-xxxx-1234",
    "hyphens inside the mask": "1234-56xx-xxxx-7890",
    "X and spaces": "XXXX XXXX XXXX 1234",
    "short, last four": "####1234",
    "bullets": "••••••••••••1111",
    "full-width asterisks": "＊＊＊＊＊＊＊＊＊＊＊＊1111",
    "15 digits, first six": "375987*****0088",
    "15 digits, last three": "3759********088",
    "14 digits, first six": "361111****1111",
    "two rows": "*************111|*************444",
    "a row of a deleted card": "*************111|",
    "AccessPass of a result notification": "*" * 32,
}
NOT_MASKED = {
    "nothing": "",
    "two empty rows": "|",
    "null": "null",
    "a full number": "4111111111111111",
    "three hidden": "411111111111***1",
    "a full number with hyphens": "4111-1111-1111-1111",
    "a full number, full-width": "４１１１１１１１１１１１１１１１",
    "nine leading": "411111111***1111",
    "15 digits, seven leading": "3759870****0088",
    "five trailing, short": "***11111",
    "five trailing": "************11111",
    "one row of two is not": "*************111|5555555555554444",
    "halves in two rows": "41111111****|11111111",
    "32 with trailing digits": "*" * 28 + "1111",
    "letters": "TARO YAMADA",
}


@pytest.mark.parametrize("value", MASKED.values(), ids=MASKED.keys())
def test_a_masked_number(value: str) -> None:
    assert is_masked(value)


@pytest.mark.parametrize("value", NOT_MASKED.values(), ids=NOT_MASKED.keys())
def test_no_masked_number(value: str) -> None:
    assert not is_masked(value)


@pytest.mark.parametrize(
    ("value", "blank"),
    [
        ("", True),
        ("  ", True),
        ("null", True),
        ("NULL", True),
        ("　", True),
        ("0", False),
        ("none", False),
        ("***", False),
    ],
)
def test_is_blank(value: str, blank: bool) -> None:
    assert is_blank(value) is blank


@pytest.mark.parametrize(("value", "mask"), [("***", True), ("＊＊＊＊", True), ("**1", False), ("", False)])
def test_is_only_mask(value: str, mask: bool) -> None:
    assert is_only_mask(value) is mask


TOKENS = {
    "v1": (HEX, "v1"),
    "v1, upper case": (HEX.upper(), "v1"),
    "v2": ("Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z", "v2"),
    "v2 with base64 signs": ("Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy+/Ab3dEf6hIj==", "v2"),
    "wallet": ("eyJ2ZXJzaW9uIjoiRUNfdjEi" * 40, "wallet"),
    "a number": ("4111111111111111", "digits"),
    "a number with spaces": ("4111 1111 1111 1111", "digits"),
    "a number, full-width": ("４１１１１１１１１１１１１１１１", "digits"),
    "ten digits": ("0123456789", "digits"),
    "two numbers": ("41111111111111115555555555554444", "digits"),
    "64 digits": ("1" * 64, "digits"),
    "nine digits": ("123456789", ""),
    "short": ("short", ""),
    "nothing": ("", ""),
    "other characters": (HEX[:-2] + "!!", ""),
}


@pytest.mark.parametrize(("value", "shape"), TOKENS.values(), ids=TOKENS.keys())
def test_token_shape(value: str, shape: str) -> None:
    assert token_shape(value) == shape
