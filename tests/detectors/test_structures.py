from __future__ import annotations

import pytest

from detectors.decoders import binds, json_text, lines, php, sql, table, xml_text
from detectors.model import View
from detectors.structures import in_pieces, structures_of
from tests.detectors.decoders.peeling import ask


@pytest.mark.parametrize(
    ("data", "content_type", "kinds", "decoders"),
    [
        (b"plain words", "", {}, [lines.peel]),
        (b'{"a":1}', "", {"recognize": [1]}, [json_text.peel]),
        (b"a,b\n1,2", "text/csv", {"table": [1]}, [table.peel]),
        (b"a,b\n1,2", "", {"table": [1]}, [sql.peel, binds.peel, table.peel, lines.peel]),
        (b'[info] s:1:"a"', "", {"php": [1], "table": [2]}, [json_text.peel, php.peel, sql.peel, binds.peel, table.peel]),
        (b"<a/>", "text/csv; header=present", {}, [table.peel]),
        (b"<a/>", "text/plain", {}, [xml_text.peel]),
    ],
)  # fmt: skip
def test_the_whole_first_then_what_the_sieve_saw(data, content_type, kinds, decoders):
    assert list(structures_of(View(data, content_type=content_type), kinds)) == decoders


def test_pieces_know_their_places():
    view = View(b'{"card":["4111","1111","1111","1111"],"x":["1","2"]}')
    ((number, places),) = in_pieces(view, [json_text.peel], (), lambda view, hits: ask("", *hits))
    assert number.digits == b"4111111111111111"
    assert [(place.path, start, end) for place, start, end in places] == [(f"$.card[{n}]", 0, 4) for n in range(4)]
    assert [place.to_root(start, end) for place, start, end in places] == [(10, 14), (17, 21), (24, 28), (31, 35)]


def test_pieces_in_text_stand_close_together():
    line = b"card1=4111 card2=1111 card3=1111%scard4=1111"
    for between, count in ((b" ", 1), (b" " * 120, 0)):
        view = View(line % between)
        assert len(list(in_pieces(view, [], (6, 17), lambda view, hits: ask("", *hits)))) == count
