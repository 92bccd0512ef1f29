from __future__ import annotations

import json
import random

import pytest

from detectors.explain import Explainer

DICE = random.Random(11)
IDS = [str(DICE.randrange(4 * 10**18, 9 * 10**18)) for _ in range(3000)]
CARD = "4012888888881881003"


def jan(dice: random.Random) -> str:
    digits = "49" + "".join(dice.choices("0123456789", k=10))
    return digits + str(-sum(int(d) * (1, 3)[n % 2] for n, d in enumerate(digits)) % 10)


JANS = [jan(DICE) for _ in range(40)]


def told(inspector, body, content_type=""):
    return [(f.entity, f.confidence) for f in inspector.inspect(body.encode(), content_type).findings]


def test_identifiers_in_an_answer_raise_no_alarm(inspector):
    for at in range(0, len(IDS), 30):
        hits = [{"_source": {"x": value, "v": int(value)}, "sort": [int(value)]} for value in IDS[at : at + 30]]
        assert ("PAN", "high") not in told(inspector, json.dumps({"hits": {"hits": hits}}), "application/json")
        assert ("PAN", "high") not in told(inspector, "\n".join(IDS[at : at + 30]))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f'{{"a":"{CARD}"}}', "high"),
        (f'{{"a":"{CARD}","b":"{IDS[0]}"}}', "high"),
        (f'{{"a":"{CARD}","b":"{IDS[0]}","c":"{IDS[1]}"}}', "low"),
        (f'{{"card_no":"{CARD}","b":"{IDS[0]}","c":"{IDS[1]}"}}', "high"),
        (f'{{"a":"4012888888881881","b":"{IDS[0]}","c":"{IDS[1]}"}}', "high"),
        (f"{IDS[0]} {IDS[1]} {IDS[2]} card {CARD}", "high"),
    ],
)
def test_company_counts_for_long_numbers_without_a_name(inspector, body, expected):
    assert told(inspector, body) == [("PAN", expected)]


@pytest.mark.parametrize("form", [" ".join, ", ".join, "\n".join, lambda codes: json.dumps({"codes": codes})])
def test_jan_codes_among_themselves_are_left_alone(inspector, form):
    assert told(inspector, form(JANS)) == []


def test_a_number_of_thirteen_digits_is_told_among_jan_codes(inspector):
    assert told(inspector, " ".join([*JANS[:5], "4000000000006"])) == [("PAN", "low")]


def test_the_reason_can_be_asked_for():
    lines = Explainer().explain(" ".join(JANS).encode()).rejected
    assert "one of many of its kind" in {reason for line in lines for reason in line.failed}


def test_fractions_in_a_list_are_left_alone(inspector):
    numbers = [DICE.gauss(0, 1) for _ in range(300)]
    assert told(inspector, json.dumps({"embedding": numbers}), "application/json") == []
    assert told(inspector, '{"a": 0.4111111111111111, "b": 0.5}') == [("PAN", "low")]


def test_rows_of_a_table_raise_no_alarm(inspector):
    for gap in (" ", "\t", "-"):
        lines = (gap.join(str(DICE.randrange(1000, 9999)) for _ in range(4)) for _ in range(1000))
        assert ("PAN", "high") not in told(inspector, "\n".join(lines))
