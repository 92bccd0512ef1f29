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


@pytest.mark.parametrize("row", security_code.MUST_FIND)
@pytest.mark.parametrize("spell", [str, str.upper, str.title, str.swapcase])
def test_the_stems_leave_out_no_name(row, spell):
    text = spell(row[0])
    stems = [stem for stem in security_code._STEMS if stem in security_code._folded(text)]
    assert stems or security_code._NAME.search(text) is None


@pytest.mark.parametrize(
    "name", ["ſecurity code", "ſEC CODE", "amex c\u0131d", "card_C\u0130D", "cſc", "VER\u0131F\u0130CATION"]
)
def test_letters_that_count_as_others_do_so_for_the_stems(name):
    assert security_code._NAME.search(name)
    assert any(stem in security_code._folded(name) for stem in security_code._STEMS)
