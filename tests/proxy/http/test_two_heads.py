from __future__ import annotations

import pytest

from proxy.http.heads import MOST_FIELDS, Malformed
from proxy.http.two_heads import as_http1, read_request, read_response, read_trailers, request_fields, response_fields

LIMIT = 65536
HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a?b"), (b":authority", b"shop.example:8080")]


def head(**changed):
    return [(name, changed.get(name.decode()[1:], value)) for name, value in HEAD]


def test_a_request_is_read_as_http1_would_have_it():
    request = read_request([*HEAD, (b"x-a", b"1")], LIMIT)
    assert request.data.headers.fields == ((b"host", b"shop.example:8080"), (b"x-a", b"1"))
    assert (request.data.host, request.data.port, request.data.path) == ("shop.example", 8080, b"/a?b")


BAD = {
    "connect": ([(b":method", b"CONNECT"), (b":authority", b"a:443")], "malformed"),
    "websocket": ([*head(method=b"GET"), (b":protocol", b"websocket")], "malformed"),
    "line break in the path": (head(path=b"/ HTTP/1.1\r\nx: y"), "malformed"),
    "space in the path": (head(path=b"/a b"), "malformed"),
    "url as the path": (head(path=b"http://else.example/"), "malformed"),
    "star": (head(path=b"*"), "malformed"),
    "fragment": (head(path=b"/a#b"), "malformed"),
    "line break in the method": (head(method=b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST"), "malformed"),
    "no method": (head(method=b""), "malformed"),
    "other scheme": (head(scheme=b"ftp"), "malformed"),
    "line break in the scheme": (head(scheme=b"http\r\n"), "malformed"),
    "no authority": (head(authority=b""), "malformed"),
    "user in the authority": (head(authority=b"u@shop.example"), "malformed"),
    "line break in the authority": (head(authority=b"a\r\nx: y"), "malformed"),
    "another host": ([*HEAD, (b"host", b"else.example")], "malformed"),
    "two hosts": ([*HEAD, (b"host", b"shop.example:8080"), (b"host", b"shop.example:8080")], "malformed"),
    "line break in a value": ([*HEAD, (b"x", b"a\r\ntransfer-encoding: chunked")], "malformed"),
    "line feed in a value": ([*HEAD, (b"x", b"a\nb: c")], "malformed"),
    "null in a value": ([*HEAD, (b"x", b"a\0")], "malformed"),
    "line break in a name": ([*HEAD, (b"x\r\ny", b"a")], "malformed"),
    "colon in a name": ([*HEAD, (b"x: y", b"a")], "malformed"),
    "transfer-encoding": ([*HEAD, (b"transfer-encoding", b"chunked")], "malformed"),
    "upgrade": ([*HEAD, (b"upgrade", b"h2c")], "malformed"),
    "too large": ([*HEAD, (b"x", b"a" * LIMIT)], "header-too-large"),
    "too many": ([*HEAD, *[(b"x", b"")] * MOST_FIELDS], "header-too-large"),
    "too many cookies": ([*HEAD, (b"cookie", b"a;" * MOST_FIELDS)], "header-too-large"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_http1_would_frame_or_route_by_is_refused(name):
    fields, word = BAD[name]
    with pytest.raises(Malformed, match=f"^{word}$"):
        read_request(fields, 10 * LIMIT if name.startswith("too many") else LIMIT)


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"abc", b"600", b"+20", b"099"])
def test_a_status_is_three_digits(status):
    with pytest.raises(Malformed, match="upstream-malformed"):
        read_response([(b":status", status)], LIMIT)


def test_a_response():
    response = read_response([(b":status", b"404"), (b"x-a", b"1")], LIMIT)
    assert (response.status_code, response.data.headers.fields) == (404, ((b"x-a", b"1"),))


@pytest.mark.parametrize("name", [b"content-length", b"host", b"authorization", b":status", b"transfer-encoding"])
def test_trailers_do_not_frame_route_or_authenticate(name):
    with pytest.raises(Malformed):
        read_trailers([(name, b"1")], LIMIT, "malformed")


def test_request_fields_put_the_authority_first_and_leave_http1_behind():
    request = read_request([*HEAD, (b"x-a", b"1")], LIMIT)
    request.headers["Connection"] = "close, X-Hop"
    request.headers["X-Hop"] = "2"
    request.headers["X-B"] = "3"
    assert request_fields(request) == [*HEAD, (b"x-a", b"1"), (b"x-b", b"3")]


def test_response_fields_in_lower_case():
    response = read_response([(b":status", b"200"), (b"x-a", b"1")], LIMIT)
    response.headers["Keep-Alive"], response.headers["ETag"] = "5", '"x"'
    assert response_fields(response) == [(b":status", b"200"), (b"x-a", b"1"), (b"etag", b'"x"')]


FRAMES = {
    "no body": (b"GET", b"", None, True, False, []),
    "no body where one is expected": (b"POST", b"", None, True, False, [(b"content-length", b"0")]),
    "whole": (b"POST", b"abc", None, False, False, [(b"content-length", b"3")]),
    "streamed": (b"POST", None, None, False, True, [(b"transfer-encoding", b"chunked")]),
    "streamed with its length": (b"POST", None, b"9", False, True, [(b"content-length", b"9")]),
    "trailers": (b"POST", b"abc", b"3", False, False, [(b"transfer-encoding", b"chunked")]),
}


@pytest.mark.parametrize("name", FRAMES)
def test_an_http1_upstream_gets_a_framed_body(name):
    method, content, length, ends, stream, framing = FRAMES[name]
    fields = [*head(method=method), (b"te", b"trailers"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]
    request = read_request([*fields, *([(b"content-length", length)] if length else [])], LIMIT)
    request.data.content, request.stream = content, stream
    if name == "trailers":
        request.trailers = read_trailers([(b"x-sum", b"1")], LIMIT, "malformed")
    new = as_http1(request, ends=ends)
    assert new.data.http_version == b"HTTP/1.1"
    rest = [field for field in new.data.headers.fields if field not in framing]
    assert rest == [(b"host", b"shop.example:8080"), (b"cookie", b"a=1; b=2")]
    assert [field for field in new.data.headers.fields if field in framing] == framing
