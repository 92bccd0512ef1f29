from __future__ import annotations

import pytest

from detectors.decoders.offsets import side_by_side
from detectors.model import Edit, Finding, Peel, View, apply_edits


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], b"0123456789"),
        ([Edit(2, 4, b"xx")], b"01xx456789"),
        ([Edit(8, 10, b""), Edit(0, 1, b"long")], b"long1234567"),
        ([Edit(5, 5, b"+")], b"01234+56789"),
        ([Edit(0, 5, b"a"), Edit(5, 10, b"b")], b"ab"),
    ],
)
def test_edits_touch_only_their_spans(edits, expected):
    assert apply_edits(b"0123456789", edits) == expected


def test_overlapping_edits_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        apply_edits(b"0123456789", [Edit(0, 5, b"a"), Edit(4, 6, b"b")])


def test_spans_of_a_nested_view_lead_back_to_the_message():
    root = View(b"....abcdef..")
    middle = View(b"abcdef", root, Peel("one", b"abcdef", side_by_side(4, 10)))
    leaf = View(b"cd", middle, Peel("", b"cd", side_by_side(2, 4)))
    assert leaf.to_root(0, 2) == (6, 8)
    assert leaf.trail == ("one",)


def test_no_repr_shows_bytes():
    secret = b"4111111111111111"
    view = View(secret, View(secret), Peel("x", secret, side_by_side(0, 16)))
    finding = Finding("PAN", "visa", "high", True, "411111******1111", "", "", (), 0, 16, (), view, 0, 16)
    shown = " ".join(repr(value) for value in (view, view.peel, Edit(0, 1, secret), finding))
    assert secret.decode() not in shown
