from __future__ import annotations

import json
import urllib.parse

import pytest

from detectors.decoders.markup import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, peels

CUT = {
    "wbr": "<p>4111<wbr>1111<wbr>1111<wbr>1111</p>",
    "wbr of XHTML": "<p>4111<wbr/>1111<wbr />1111<wbr/>1111</p>",
    "bold": "<p>4111<b>1111</b>11111111</p>",
    "classes": '<p>card 4111 <b class="x">1111</b> 1111 <i>1111</i></p>',
    "spans": "<td><span>4111</span><span>1111</span><span>1111</span><span>1111</span></td>",
    "a span for each digit": "".join(f"<span class=d>{c}</span>" for c in "4111111111111111"),
    "lines": "<div>\n<span>4111</span>\n  <span>1111</span>\n <span>1111</span>\n<span>1111</span></div>",
    "dashes between": "<span>4111</span>-<span>1111</span>-<span>1111</span>-<span>1111</span>",
    "comments": "<div>4111<!-- --> <!-- -->1111 1111 1111</div>",
    "blanks as references": "<p><b>4111</b>&nbsp;<b>1111</b>&#160;<b>1111</b>&nbsp;<b>1111</b></p>",
    "in a log line": "2026-11-22 render: 4111<wbr>1111<wbr>1111<wbr>1111 done",
}


@pytest.mark.parametrize("name", CUT)
def test_a_number_cut_by_tags_is_found_and_taken_out(inspector, name):
    for text in (
        CUT[name],
        json.dumps({"html": CUT[name]}),
        json.dumps({"html": CUT[name]}).replace("<", "\\u003c").replace(">", "\\u003e"),
        "html=" + urllib.parse.quote(CUT[name]),
    ):
        data = text.encode()
        found = inspector.inspect(data).findings
        assert [(f.entity, f.confidence) for f in found] == [("PAN", "high")]
        left = redact(data, found, "mask")
        assert left is None or inspector.inspect(left).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "<p>4111</p><p>1111</p><p>1111</p><p>1111</p>",
        "<td>4111</td><td>1111</td><td>1111</td><td>1111</td>",
        "4111<br>1111<br>1111<br>1111",
        "<a>1</a> <a>2</a> <a>3</a>",
    ],
)
def test_blocks_cells_and_short_numbers_stay(text):
    assert list(peel(text.encode(), ask())) == []


def test_white_space_is_one_blank():
    text = b"<i>4111</i>\n <i>1111</i>.<i>1111</i><i>1111</i>"
    assert [item.data for item in peels(peel(text, ask()))] == [b"<i>4111 1111.11111111</i>"]
