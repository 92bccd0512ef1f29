import pytest

from detectors.decoders.offsets import Chain, Framed, OffsetMap, Whole, side_by_side
from detectors.model import Edit, apply_edits

# "ab" plain, "%34%35" two steps, "c" plain, three bytes dropped, "d" plain.
PARENT = b"ab%34%35cXYZd"
CHILD = b"ab45cd"
STEPPED = OffsetMap(
    (0, 2, 4, 5, 5), (0, 2, 8, 9, 12), 6, 13, lambda text: text, ((1, 1), (1, 3), (1, 1), (1, 1), (1, 1))
)


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ((0, 6), (0, 13)),
        ((0, 2), (0, 2)),
        ((2, 3), (2, 5)),
        ((3, 4), (5, 8)),
        ((1, 3), (1, 5)),
        ((4, 5), (8, 9)),
        ((5, 6), (12, 13)),
        ((4, 6), (8, 13)),
        ((3, 3), (5, 5)),
        ((5, 5), (12, 12)),
        ((6, 6), (13, 13)),
    ],
)
def test_a_stepped_map_locates_each_byte(child, parent):
    assert STEPPED.locate(*child) == parent


def test_what_was_dropped_beside_an_edit_stays():
    edits = STEPPED.wrap([Edit(2, 5, b"-"), Edit(5, 6, b"!")])
    assert apply_edits(PARENT, edits) == b"ab-XYZ!"


@pytest.mark.parametrize(
    ("child", "parent"), [((0, 1), (0, 6)), ((1, 2), (0, 6)), ((2, 3), (6, 7)), ((1, 3), (0, 7)), ((3, 4), (7, 8))]
)
def test_without_steps_an_unequal_stretch_is_one_piece(child, parent):
    assert OffsetMap((0, 2), (0, 6), 4, 8).locate(*child) == parent


def test_edits_that_meet_in_one_piece_cannot_be_put_back():
    assert OffsetMap((0, 2), (0, 6), 4, 8).wrap([Edit(0, 1, b"x"), Edit(1, 2, b"y")]) is None


def test_text_that_cannot_be_spelled_cannot_be_put_back():
    assert side_by_side(3, 9, lambda _: None).wrap([Edit(0, 1, b"x")]) is None


def test_side_by_side_is_a_shift():
    assert side_by_side(3, 9).locate(1, 4) == (4, 7)


def test_a_whole_is_encoded_again():
    whole = Whole(2, 8, b"abc", lambda text: text.upper() + b"!")
    assert whole.locate(1, 2) == (2, 8)
    assert whole.wrap([Edit(1, 2, b"xy")]) == (Edit(2, 8, b"AXYC!"),)


def test_a_whole_without_a_way_back_says_so():
    assert Whole(2, 8, b"abc", None).wrap([Edit(0, 1, b"x")]) is None
    assert Whole(2, 8, b"abc", lambda _: None).wrap([Edit(0, 1, b"x")]) is None


def test_a_chain_goes_through_both():
    chain = Chain(side_by_side(10, 30), Whole(2, 8, b"abc", bytes.upper))
    assert chain.locate(0, 1) == (12, 18)
    assert chain.wrap([Edit(0, 1, b"x")]) == [Edit(12, 18, b"XBC")]
    assert Chain(side_by_side(10, 30), Whole(2, 8, b"abc", None)).wrap([Edit(0, 1, b"x")]) is None


FRAMED = Framed(1, 2, b"abcd", lambda size: bytes([size]) if size < 8 else None)  # in b"<\x04abcd>"


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([Edit(1, 3, b"**")], b"<\x04a**d>"),
        ([Edit(0, 1, b"*"), Edit(3, 4, b"*")], b"<\x04*bc*>"),
        ([Edit(1, 3, b"")], b"<\x02ad>"),
        ([Edit(0, 1, b""), Edit(3, 4, b"xyz")], b"<\x05bcxyz>"),
    ],
)
def test_a_framed_child_has_its_length_mended(edits, expected):
    assert FRAMED.locate(1, 3) == (3, 5)
    assert apply_edits(b"<\x04abcd>", FRAMED.wrap(edits)) == expected


def test_a_length_that_cannot_be_said_cannot_be_put_back():
    assert FRAMED.wrap([Edit(0, 0, b"123456")]) is None
