from __future__ import annotations

import pytest

from detectors.decoders.offsets import Framed, side_by_side
from detectors.decoders.protobuf import NESTED
from detectors.model import Finding, Peel, View
from detectors.views import ancestors, child_of, is_plain, label_of, span_in, within

ROOT = View(b"\x0a\x05\x0a\x034111")


def framed(at: int, data: bytes, path: str, key: str = "", content_type: str = "") -> Peel:
    return Peel("", data, Framed(at - 1, at, data, lambda size: bytes([size])), path, key, content_type)


MESSAGE = child_of(ROOT, framed(2, b"\x0a\x034111", "1", content_type=NESTED))
VALUE = child_of(MESSAGE, framed(2, b"4111", ".1", "cvv"))
INSIDE = child_of(VALUE, Peel("percent", b"4111", side_by_side(0, 4)))


def test_messages_within_messages_have_one_path():
    assert [view.path for view in (MESSAGE, VALUE, INSIDE)] == ["1", "1.1", "1.1"]
    assert child_of(VALUE, framed(0, b"", "$.a")).path == "1.1/$.a"


def test_a_decoder_of_the_whole_view_hands_its_name_on():
    assert [view.key for view in (MESSAGE, VALUE, INSIDE)] == ["", "cvv", "cvv"]
    assert label_of(VALUE) == label_of(INSIDE) == b"cvv: "
    assert label_of(MESSAGE) == b""


@pytest.mark.parametrize(("view", "count"), [(ROOT, 0), (MESSAGE, 1), (VALUE, 2), (INSIDE, 3)])
def test_ancestors(view, count):
    assert ancestors(view) == count


def test_a_value_is_within_the_view_that_it_is_a_value_of():
    assert within(INSIDE, VALUE)
    assert within(INSIDE, MESSAGE)
    assert within(VALUE, MESSAGE)
    assert not within(INSIDE, ROOT)
    assert not within(ROOT, VALUE)


def test_a_finding_has_a_place_in_each_view_above_it():
    found = Finding("PAN", "", "high", False, "***", "", "", (), 4, 8, (), INSIDE, 1, 4)
    assert span_in(found, INSIDE) == (1, 4)
    assert span_in(found, MESSAGE) == (3, 6)
    assert span_in(found, ROOT) == (5, 8)


@pytest.mark.parametrize(
    ("data", "codec", "content_type", "plain"),
    [
        (b"paid 4111", "", "", True),
        (b"", "", "", True),
        (b"x" * 513, "", "", False),
        ("ｘ".encode(), "", "", False),
        (b"\x1b$B", "", "", False),
        (b"a\nb", "", "", False),
        (b"4\x00", "", "", False),
        (b"%PDF-1.7", "", "", False),
        (b'<?xml encoding="utf-7"?>', "", "", False),
        (b"x^ deflated", "", "", False),
        (b"paid", "base64", "", False),
        (b"paid", "", "text/plain; charset=utf-16", False),
    ],
)
def test_a_plain_value_is_one_of_which_the_sieve_sees_everything(data, codec, content_type, plain):
    view = child_of(ROOT, Peel(codec, data, side_by_side(0, len(data)), "$.a", content_type=content_type))
    assert is_plain(view) is plain
    assert not is_plain(View(data, content_type=content_type))
