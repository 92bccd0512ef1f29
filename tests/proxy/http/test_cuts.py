from __future__ import annotations

import pytest

from proxy.http.cuts import boundary, can_be_cut, kind_of, must_be_whole, only_at_lines

BUFFER = bytearray(b"first line\nsecond, third" + b"A" * 50)


@pytest.mark.parametrize(
    ("start", "before", "near", "lines", "cut"),
    [(0, 20, 20, False, 11), (0, 20, 5, False, 19), (0, 70, 5, False, 19), (0, 70, 5, True, 11), (30, 70, 5, False, 0)],
)
def test_boundary(start, before, near, lines, cut):
    assert boundary(BUFFER, start, before, near, only_lines=lines) == cut


@pytest.mark.parametrize(
    ("start", "whole"),
    [
        (b"PK\x03\x04", True),
        (b"\xff\xfe", True),
        (b"\0a\0b", True),
        (b"x" * 257 + b"ustar", True),
        (b"{", False),
        (b"", False),
    ],
    ids=["zip", "bom", "utf-16", "tar", "json", "empty"],
)
def test_must_be_whole(start, whole):
    assert must_be_whole(start) is whole


@pytest.mark.parametrize(("kind", "only"), [("", False), ("a/b; charset=UTF-8", False), ("a/b; charset=cp932", True)])
def test_only_at_lines(kind, only):
    assert only_at_lines(kind) is only


@pytest.mark.parametrize(
    ("kind", "coding", "can"),
    [
        ("", "", True),
        ("application/json", "gzip", True),
        ("text/plain; charset=Shift_JIS", "br", True),
        ("text/plain; charset=utf-16", "", False),
        ("multipart/form-data; boundary=a", "", False),
        ("application/x-protobuf", "", False),
        ("application/vnd.msgpack", "", False),
        ("application/grpc+proto", "", True),
        ("application/json", "aws-chunked", False),
        ("application/json", "gzip, br", True),
        ("application/json", "gzip, br, gzip", False),
        ("application/json", "compress", False),
    ],
)
def test_can_be_cut(kind, coding, can):
    assert can_be_cut(kind, coding) is can


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("text/event-stream; charset=utf-8", "event"),
        ("application/x-ndjson", "line"),
        ("application/grpc", "grpc"),
        ("application/grpc-web+proto", "window"),
        ("application/json", "window"),
    ],
)
def test_kind_of(content_type, kind):
    assert kind_of(content_type) == kind
