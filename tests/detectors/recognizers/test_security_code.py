from __future__ import annotations

import pytest

from detectors.recognizers import security_code


def found(text: str) -> list[str]:
    return [text[item.start : item.end] for item in security_code.recognize(text)]


@pytest.mark.parametrize("row", range(len(security_code.MUST_FIND)))
def test_must_find(row):
    text, code = security_code.MUST_FIND[row]
    assert found(text) == [code]


@pytest.mark.parametrize("row", range(len(security_code.MUST_NOT)))
def test_must_not(row):
    assert found(security_code.MUST_NOT[row]) == []


def test_two_codes_on_one_line():
    assert found("cvv=123&x=5&cvc=4567") == ["123", "4567"]
