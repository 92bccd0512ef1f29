"""What is told of many values together is what would be told of each."""

from __future__ import annotations

import json

import pytest

from detectors.budget import Purse
from detectors.inspector import Inspector
from detectors.model import Limits, Plain, View
from detectors.sieve import Prefilter, Sieve
from detectors.sifting import Together
from detectors.walk import Walk

SIEVE = Sieve()
NUMBER = "4111111111111111"


def together(data, team=()):
    return Together(View(data, path="$.outer"), SIEVE, Prefilter(team), Purse(Limits()))


@pytest.mark.parametrize(
    ("value", "key", "worth"),
    [
        (b"info", "level", False),
        (b"", "level", False),
        (b"card_number", "", False),
        (b"cvv", "card_number", False),
        (b"4111 1111 1111 1111", "msg", True),
        (b"123", "cvv", True),
        (b"%34%31%31%31", "msg", True),
        (b"8fe1a2", "msg", False),
        ("é".encode(), "msg", True),
        (b"utf-7 encoding", "msg", True),
        (b"x" * 513, "msg", True),
        (b"R-1234", "msg", True),
    ],
)
def test_worth(value, key, worth):
    data = b"info " + value + b" 1280"
    sift = together(data, [("R-[0-9]{4}", 0)])
    asked = [Plain(0, 4, "$.level", "level"), Plain(5, 5 + len(value), f"$.a[3].{key}", key)]
    assert list(sift.worth([*asked, Plain(len(data) - 4, len(data), "$.amount", "amount")])) == [False, worth, False]
    spans = [(0, 4), *([] if worth else [(5, 5 + len(value))]), (len(data) - 4, len(data))]
    assert sift.passed == spans


def test_a_name_of_which_nothing_came_is_known():
    sift = together(b"level level cvv123 level")
    assert not sift.knows(0, 5)
    assert list(sift.worth([Plain(0, 5, "$.level", "")])) == [False]
    assert sift.knows(6, 11)
    assert not sift.knows(12, 18)
    assert sift.passed == [(0, 5), (6, 11)]


def test_only_values_with_something_in_them_are_visited(monkeypatch):
    visited = []
    visit = Walk._visit
    monkeypatch.setattr(Walk, "_visit", lambda self, view: (visited.append(view.path), visit(self, view))[1])
    events = [{"ts": f"10:{n}", "level": "info", "card_number": NUMBER, "cvv": "123"} for n in range(300)]
    body = "\n".join(map(json.dumps, events)).encode()
    found = Inspector(fingerprint_key=b"k").inspect(body, "application/x-ndjson")
    paths = [f"[{n}].$.{name}" for n in range(300) for name in ("card_number", "cvv")]
    assert [finding.path for finding in found.findings] == paths
    assert [body[f.start : f.end] for f in found.findings] == [NUMBER.encode(), b"123"] * 300
    assert visited == ["", *paths]
