from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Limits
from detectors.recognition import Neighbourhood

N = "4111111111111111"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6000), st.integers(0, 3000), st.sampled_from(["a", "テ", "\n", "é ", "0. "]))
def test_a_number_is_found_wherever_it_stands_in_a_long_text(inspector, before, after, filler):
    text = f"{filler * before} {N} {filler * after}"
    body = text.encode()
    start = body.index(N.encode())
    assert (start, start + 16) in [(f.start, f.end) for f in inspector.inspect(body).findings]


def test_many_numbers_on_long_lines_are_each_found_once(inspector):
    body = (" x ".join([N] * 500)).encode()
    assert [f.start for f in inspector.inspect(body).findings] == [i * 19 for i in range(500)]


@pytest.mark.parametrize(
    "text", ["番号は「4111111111111111」です", "ё=4111111111111111", "\U0001f4b3 4111111111111111"]
)
def test_spans_are_bytes_not_characters(inspector, text):
    body = text.encode()
    (finding,) = inspector.inspect(body).findings
    assert body[finding.start : finding.end] == N.encode()


def test_invalid_utf8_around_a_number_hides_nothing(inspector):
    body = b"\xff\xc3 \xe3\x81" + N.encode() + b"\xe3\x81\xff"
    (finding,) = inspector.inspect(body).findings
    assert (finding.start, finding.end) == (5, 21)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ('{"a":{"number":"%s"},"b":{"holder_name":"TARO"}}', ["$.a.number"]),
        ('{"a":{"number":"%s","holder_name":"TARO"}}', ["$.a.number", "$.a.holder_name"]),
        ('{"holder_name":"TARO","a":{"number":"%s"}}', ["$.holder_name", "$.a.number"]),
        ('[{"pan":"%s"},{"holder_name":"TARO"}]', ["$[0].pan"]),
    ],
)
def test_siblings_are_of_the_same_object_or_around_it(inspector, body, paths):
    assert [f.path for f in inspector.inspect((body % N).encode(), "application/json").findings] == paths


@pytest.mark.parametrize("unit", [b"4111 1111 ", b"4 ", b"4111111111111111 ", b"41-", b"4111.1111.1111.1111-"])
def test_text_made_of_digits_keeps_to_the_time_limit(inspector, unit):
    body = unit * (400_000 // len(unit))
    began = time.process_time()
    result = inspector.inspect(body, limits=Limits(seconds=2))
    assert time.process_time() - began < 20  # seconds, not minutes, on any machine
    assert result.findings or result.gaps


@pytest.mark.parametrize("at", range(3700, 4300, 35))
def test_numbers_across_the_pieces_of_a_long_line_are_found_once(inspector, at):
    body = b"a,4;b" * (at // 5) + b" " + N.encode() + b" a,4;" * 900
    found = [(f.start, f.end) for f in inspector.inspect(body).findings if f.confidence == "high"]
    assert found == [(at // 5 * 5 + 1, at // 5 * 5 + 17)]


@dataclass
class Number:
    path: str


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        ("$", True),
        ("$.a", True),
        ("$.a[1]", True),
        ("$.a[1].deep.er", True),
        ("$.a[1].deep[0]", True),
        ("$.a[0]", False),
        ("$.a[10]", False),
        ("$.b", False),
        ("$.ab", False),
    ],
)
def test_whether_a_value_in_an_object_may_stand_beside_a_number(place, inside):
    around = Neighbourhood([Number("$.body/$.a[1].n")], "$.body/")  # type: ignore[list-item]
    assert around.inside(place) is inside
    assert (f"$.body/{place}.exp" in around) is inside


def test_the_elements_of_an_array_that_numbers_are_in():
    around = Neighbourhood([Number("x/$.a[1].n"), Number("x/$.a[12].m[3].n")], "x/")  # type: ignore[list-item]
    assert (around.elements("$.a"), around.elements("$.a[12].m"), around.elements("$")) == ({1, 12}, {3}, frozenset())
