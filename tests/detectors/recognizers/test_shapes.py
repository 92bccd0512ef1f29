from __future__ import annotations

import pytest

from detectors.recognizers import shapes
from detectors.recognizers.shapes import (
    BROKEN,
    EXTENDED,
    FLOATING,
    LISTED,
    MIXED,
    PADDED,
    PRINTED,
    SINGLE,
    SPELLED,
)


def cut(text: str) -> list[tuple[str, str]]:
    found = [shape for groups in shapes.runs(text) for shape in shapes.shapes(text, groups)]
    return [(shape.kind, text[shape.start : shape.end]) for shape in [*found, *shapes.strange(text)]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=4111111111111111;", (SINGLE, "4111111111111111")),
        ("4111 1111 1111 1111", (PRINTED, "4111 1111 1111 1111")),
        ("3782-822463-10005", (PRINTED, "3782-822463-10005")),
        ("622126 1234567890123", (PRINTED, "622126 1234567890123")),
        ("01 4111 1111-1111 1111 99", (PRINTED, "4111 1111-1111 1111")),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 12/30", (SPELLED, "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1")),
        ("4111 111111111111", (BROKEN, "4111 111111111111")),
        ("4111 111111111111 1230 123", (BROKEN, "4111 111111111111")),
        ("4111 11111-11111 11", (MIXED, "4111 11111-11111 11")),
        ("4111,1111,1111,1111", (LISTED, "4111,1111,1111,1111")),
        ("4111/1111/1111/1111", (PRINTED, "4111/1111/1111/1111")),
        ("4111\n1111\n1111\n1111", (LISTED, "4111\n1111\n1111\n1111")),
        ("4111*1111*1111*1111", (PRINTED, "4111*1111*1111*1111")),
        ("3782 / 822463 / 10005", (PRINTED, "3782 / 822463 / 10005")),
        ("4.111111111111111E15", (FLOATING, "4.111111111111111")),
        ("0000004111111111111111", (PADDED, "4111111111111111")),
        ("41111111111111111230123", (EXTENDED, "4111111111111111")),
        ("3782822463100053012", (EXTENDED, "378282246310005")),
    ],
)
def test_a_number_as_somebody_would_write_it(text, expected):
    assert expected in cut(text)


@pytest.mark.parametrize(
    "text",
    [
        "411111111",
        "35.681236 139.767125 12.5 33.25 41.111",
        "411111.111111111",
        "41111111111111111111111111111111",
        "4111 and 1111 and 1111",
        "192.168.1.1 200 5316",
    ],
)
def test_digits_that_nobody_would_join(text):
    assert [row for row in cut(text) if row[0] != MIXED] == []


def test_a_float_is_padded_to_the_digits_that_its_exponent_says():
    ((groups,),) = [list(shapes.runs("4.11111111111111E15"))]
    assert [s.digits for s in shapes.shapes("4.11111111111111E15", groups) if s.kind == FLOATING] == [
        b"4111111111111110"
    ]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("4111 1111 1111 1111 1230 123", False),
        ("2026 4111 1111 1111 1111", False),
        ("4111 1111 1111 1111 5555 5555 5555 4444", False),
        ("9400 4111 1111 1111 1111 90", True),
        ("4111 1111 1111 1111 5555 5555 5555 4445 3333 2222", True),
    ],
)
def test_groups_that_go_on_are_a_row(text, row):
    (groups,) = shapes.runs(text)
    found = [s for s in shapes.shapes(text, groups) if s.kind == PRINTED and s.digits == b"4111111111111111"]
    assert [bool(s.doubts) for s in found] == [row]


def test_cutting_is_linear():
    text = "1 " * 200_000
    (groups,) = shapes.runs(text)
    assert list(shapes.shapes(text, groups)) == []


@pytest.mark.parametrize(("text", "tail"), [("****1111 22 3333", True), ("#4111 1111 1111", False), ("**4111 1111 1111", False), ("**** 1111 22 3333", True)])  # fmt: skip
def test_the_clear_end_of_a_mask(text, tail):
    (groups,) = shapes.runs(text)
    assert shapes.is_mask_tail(text, groups[0]) is tail


def test_nothing_that_can_be_printed_holds_the_digits():
    (groups,) = shapes.runs("4111111111111111")
    assert "41111" not in repr(list(shapes.shapes("4111111111111111", groups)))
