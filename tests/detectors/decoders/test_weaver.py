import re

import pytest

from detectors.decoders.weaver import DROPPED, NEAR, Weaver, near, weave
from detectors.model import OutOfTime
from tests.detectors.decoders.peeling import Plenty, ask


@pytest.mark.parametrize(
    ("start", "end", "hits", "asked"),
    [
        (500, 510, (), True),
        (500, 510, (505,), True),
        (500, 510, (500,), True),
        (500, 510, (510,), True),
        (500, 510, (500 + NEAR,), True),
        (500, 510, (500 + NEAR + 1,), False),
        (500, 510, (500 - NEAR,), True),
        (500, 510, (500 - NEAR - 1,), False),
        (500, 900, (899,), True),
        (500, 900, (901,), False),
        (500, 510, (3, 505, 9000), True),
        (500, 510, (3, 9000), False),
    ],
)
def test_near(start, end, hits, asked):
    assert near(start, end, hits) is asked


def test_a_weaver_keeps_the_way_back():
    weaver = Weaver(b"__ab(34)c..d__", 2)
    weaver.plain(4)
    weaver.piece(b"4", 8, (1, 4))
    weaver.plain(9)
    weaver.drop(11)
    weaver.plain(12)
    text, marks = weaver.done(bytes.upper)
    assert text == b"ab4cd"
    assert [marks.locate(i, i + 1) for i in range(5)] == [(2, 3), (3, 4), (4, 8), (8, 9), (11, 12)]


def test_an_empty_child_has_a_map():
    weaver = Weaver(b"abc")
    weaver.drop(3)
    text, marks = weaver.done(bytes.upper)
    assert text == b""
    assert marks.locate(0, 0) == (3, 3)
    assert Weaver(b"").done(bytes.upper)[0] == b""


def test_weave_decodes_each_match_within_the_span():
    woven = weave(b"-a-a-a-", re.compile(b"a"), lambda _: (b"bb", (2, 1)), bytes.upper, ask(), (2, 6))
    assert woven is not None
    assert woven[0] == b"-bb-bb"
    assert woven[1].locate(1, 3) == (3, 4)


def test_weave_gives_nothing_where_nothing_was_decoded():
    assert weave(b"abc", re.compile(b"x"), lambda _: DROPPED, bytes.upper, ask()) is None
    assert weave(b"abc", re.compile(b"a"), lambda _: None, bytes.upper, ask()) is None


def test_weave_watches_the_clock():
    with pytest.raises(OutOfTime):
        weave(b"a" * 5000, re.compile(b"a"), lambda _: DROPPED, bytes.upper, ask(budget=Plenty(checks=3)))
