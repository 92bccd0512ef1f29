from __future__ import annotations

import h11
import pytest
from mitmproxy import http
from mitmproxy.test import tutils

from proxy.http.heads import Malformed
from proxy.http.one import _trailers, has_body, is_chunked


@pytest.mark.parametrize(("value", "chunked"), [("chunked", True), ("Chunked", True), ("", False), ("identity", False)])
def test_is_chunked(value, chunked):
    headers = http.Headers([(b"Transfer-Encoding", value.encode())] if value else [])
    assert is_chunked(tutils.tresp(headers=headers)) is chunked


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        (b"GET", 200, True),
        (b"POST", 404, True),
        (b"HEAD", 200, False),
        (b"head", 200, False),
        (b"GET", 204, False),
        (b"GET", 304, False),
        (b"GET", 101, False),
    ],
)
def test_has_body(method, status, body):
    assert has_body(tutils.treq(method=method), tutils.tresp(status_code=status)) is body


def test_trailers_keep_order_case_and_repetition():
    end = h11.EndOfMessage(headers=[(b"X-A", b"1"), (b"x-a", b"2")])
    assert _trailers(end).fields == ((b"X-A", b"1"), (b"x-a", b"2"))


def test_no_trailers():
    assert _trailers(h11.EndOfMessage()) is None


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "Host", "Authorization", "Set-Cookie", "Trailer", "Content-Type"]
)
def test_trailers_that_frame_route_or_authenticate(name):
    """RFC 9110 6.5.1: merged into the header fields, they would change what was judged."""
    fields = h11._headers.Headers([(name.encode(), name.lower().encode(), b"1")])
    end = h11.EndOfMessage(headers=fields, _parsed=True)
    with pytest.raises(Malformed):
        _trailers(end)
