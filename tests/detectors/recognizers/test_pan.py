from __future__ import annotations

import pytest

from detectors.recognizers import pan
from detectors.test_numbers import TEST_NUMBERS

VISA = "4111111111111111"


def found(text: str) -> list[tuple[str, str, str]]:
    return [(text[item.start : item.end], item.brand, item.confidence) for item in pan.recognize(text)]


@pytest.mark.parametrize("row", range(len(pan.MUST_FIND)))
def test_must_find(row):
    text, brand, confidence = pan.MUST_FIND[row]
    assert [(b, c) for _, b, c in found(text)] == [(brand, confidence)]


@pytest.mark.parametrize("row", range(len(pan.MUST_NOT)))
def test_must_not(row):
    assert found(pan.MUST_NOT[row]) == []


@pytest.mark.parametrize("separator", [" ", "-", ".", "_", "+", " - ", "  "])
def test_separators(separator):
    number = separator.join(("4111", "1111", "1111", "1111"))
    assert found(f"pay {number} now") == [(number, "visa", "high")]


def test_every_published_number_is_found_bare():
    for number in TEST_NUMBERS:
        text = f"x {number.decode()} y"
        assert [item[0] for item in found(text)] == [number.decode()]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"order_id={VISA}", "key says otherwise"),
        (f"trace: {VISA}", ""),
        (f"/cards/{VISA}/charge/of/the/month", ""),
        (f"1.{VISA}", "decimal fraction"),
        (f"deadbeef{VISA}abcdef00", "inside a hash or token"),
        ("41 11 1111 1111 111 1", "irregular grouping"),
    ],
)
def test_doubts_lower_the_confidence_and_never_hide(text, why):
    (item,) = pan.recognize(text)
    assert (item.confidence == "low") is bool(why)
    assert not why or why in item.why


@pytest.mark.parametrize("text", [VISA + "0" * 12, "0" + VISA + "000", VISA[:-1], "2026-11-22 10:20:30", "１２３"])
def test_digit_strings_that_are_longer_or_shorter(text):
    assert found(text) == []


def test_two_numbers_and_their_neighbours():
    text = f"{VISA} 5555555555554444 12/30 123"
    assert [item[0] for item in found(text)] == [VISA, "5555555555554444"]


@pytest.mark.parametrize("masked", ["411111******1111", "************1111", "4111********1111", "411111XXXXXX1111"])
def test_masked_numbers_are_none(masked):
    assert found(f"CardNo={masked}") == []


@pytest.mark.parametrize(
    ("text", "verdict", "why"),
    [
        (VISA, "high", ()),
        (f"order_id={VISA}", "low", ("key says otherwise",)),
        ("4111111111111113", "none", ("luhn: wrong check digit",)),
        ("9111111111111111", "none", ("issuer: no brand begins so",)),
        ("411111111111111", "none", ("length: 15 digits, no visa card",)),
        ("4222222222 222", "low", ("irregular grouping",)),
        ("4000000000014", "low", ("thirteen digits without a card word",)),
        ("4000000000000000006", "high", ()),
        ("400000000000000002", "low", ("a length that few cards have",)),
        ("4901234567894", "low", ("thirteen digits without a card word", "a right JAN/EAN check digit")),
        ("5020 2020 3030 4080", "low", ("round or evenly spaced numbers",)),
        ("567812345609", "none", ("too common a shape without a card word near",)),
        ("41111 1111-1111 111", "low", ("irregular grouping, mixed separators",)),
        ("41111 1111.1111 111", "none", ("irregular grouping, mixed separators, and no card word near",)),
        ("card 41111 1111-1111 111", "low", ("irregular grouping, mixed separators",)),
        ("0004111111111111111", "low", ("zero-padded",)),
        ("4111,1111,1111,1111", "low", ("separators of a list",)),
        ("card 4111,1111,1111,1111", "high", ()),
        ("銀聯 6221558812340001", "low", ("check digit not required",)),
        ("6221558812340001", "none", ("luhn: wrong check digit, and no card word near",)),
    ],
)
def test_an_assessment_says_all_that_speaks_against_a_card(text, verdict, why):
    (item,) = pan.assess(text)
    assert (item.verdict, item.failed) == (verdict, why)


def test_what_is_recognised_is_what_was_assessed():
    text = f"order_id={VISA} then 4222 2222 2222 and {VISA[:-1]}2 and 5555 5555 5555 4444"
    assessed = [(a.shape.start, a.shape.end, a.verdict) for a in pan.assess(text) if a.verdict != "none"]
    assert [(r.start, r.end, r.confidence) for r in pan.recognize(text)] == assessed


def test_assessments_do_not_print_the_digits():
    assert VISA not in repr(list(pan.assess(f"card {VISA}")))
