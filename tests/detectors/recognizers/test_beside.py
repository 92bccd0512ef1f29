from __future__ import annotations

import pytest

from detectors.model import CARDHOLDER_NAME, EXPIRY, PIN_BLOCK, SECURITY_CODE
from detectors.recognizers import beside

NUMBER = "4111111111111111"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (" 12/30 123", [(EXPIRY, "12/30"), (SECURITY_CODE, "123")]),
        ("|12/2030|1234", [(EXPIRY, "12/2030"), (SECURITY_CODE, "1234")]),
        (" exp 01/28", [(EXPIRY, "01/28")]),
        (" ordered on 2026-11-22", []),
        (" 3012 123", [(EXPIRY, "3012"), (SECURITY_CODE, "123")]),
        (" 2030/12", [(EXPIRY, "2030/12")]),
        ("1230123", [(EXPIRY, "1230"), (SECURITY_CODE, "123")]),
        ("3012", [(EXPIRY, "3012")]),
        (" 12.30.1", []),
        (" 123", []),
        (" exp 12/30 code 1234", [(SECURITY_CODE, "1234"), (EXPIRY, "12/30")]),
        (" cid: 1234", [(SECURITY_CODE, "1234")]),
        (" 3桁は123", [(SECURITY_CODE, "123")]),
        (" failed, error code 500", []),
        ("\nstatus code 500", []),
    ],
)
def test_what_follows_a_number(after, expected):
    text = NUMBER + after
    assert [(item.entity, text[item.start : item.end]) for item in beside.after(text, [len(NUMBER)])] == expected


@pytest.mark.parametrize(
    ("name", "value", "entity"),
    [
        ("expire", "3012", EXPIRY),
        ("expirymonth", "12", EXPIRY),
        ("expires", "1763800000", ""),
        ("holdername", "TARO YAMADA", CARDHOLDER_NAME),
        ("カード名義", "山田太郎", CARDHOLDER_NAME),
        ("holdername", "", ""),
        ("cid", "1234", SECURITY_CODE),
        ("pin", "1234", PIN_BLOCK),
        ("cardname", "JCB", ""),
    ],
)
def test_siblings(name, value, entity):
    assert beside.sibling(name, value) == entity


@pytest.mark.parametrize(
    ("value", "entity"),
    [
        ("12/30", EXPIRY), ("1230", EXPIRY), ("3012", EXPIRY), ("2030-12", EXPIRY), ("TARO YAMADA", CARDHOLDER_NAME), ("123", SECURITY_CODE),
        ("1399", ""), ("OK", ""), ("Taro", ""), ("12", ""), ("order 123", ""),
    ],
)  # fmt: skip
def test_siblings_without_names(value, entity):
    assert beside.unnamed(value) == entity
