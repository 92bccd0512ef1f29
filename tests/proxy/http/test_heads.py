from __future__ import annotations

import pytest

from proxy.http.heads import MOST_FIELDS, IndexedHeaders, Malformed, read_request, read_response


def lines(text):
    return [bytearray(line) for line in text.split(b"\r\n")]


GOOD = {
    "origin": (b"GET /a?b=1 HTTP/1.1\r\nHost: h", (b"GET", "", 0, b"/a?b=1")),
    "absolute": (b"GET http://h:81/a HTTP/1.1\r\nHost: h", (b"GET", "h", 81, b"/a")),
    "star": (b"OPTIONS * HTTP/1.1\r\nHost: h", (b"OPTIONS", "", 0, b"*")),
    "connect": (b"CONNECT h:443 HTTP/1.1\r\nHost: h:443", (b"CONNECT", "h", 443, b"")),
    "1.0 without host": (b"GET / HTTP/1.0", (b"GET", "", 0, b"/")),
    "bytes above ascii": (b"GET /\xe3\x81\x82 HTTP/1.1\r\nHost: h", (b"GET", "", 0, b"/\xe3\x81\x82")),
}


@pytest.mark.parametrize(("head", "expected"), GOOD.values(), ids=GOOD.keys())
def test_request(head, expected):
    data = read_request(lines(head)).data
    assert (data.method, data.host, data.port, data.path) == expected


BAD = {
    "empty": (b"", "malformed"),
    "two words": (b"GET /\r\nHost: h", "malformed"),
    "four words": (b"GET / x HTTP/1.1\r\nHost: h", "malformed"),
    "version 2": (b"GET / HTTP/2.0\r\nHost: h", "http-version"),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: h", "http-version"),
    "version 0.9": (b"GET / HTTP/0.9\r\nHost: h", "http-version"),
    "control in path": (b"GET /\x01 HTTP/1.1\r\nHost: h", "malformed"),
    "delete in method": (b"GE\x7fT / HTTP/1.1\r\nHost: h", "malformed"),
    "no host": (b"GET / HTTP/1.1", "malformed"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: h\r\nhOST: g", "malformed"),
    "folded": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b", "malformed"),
    "folded with tab": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb", "malformed"),
    "bare cr": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb", "malformed"),
    "bare cr in line": (b"GET /\r HTTP/1.1\r\nHost: h", "malformed"),
    "nul": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b", "malformed"),
    "no colon": (b"GET / HTTP/1.1\r\nHost: h\r\nX", "malformed"),
    "no name": (b"GET / HTTP/1.1\r\nHost: h\r\n: x", "malformed"),
    "coding gzip": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked", "transfer-coding"),
    "coding identity": (b"POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: identity", "transfer-coding"),
    "coding twice": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked", "transfer-coding"),
    "coding with tail": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\x0b", "transfer-coding"),
    "port": (b"GET http://h:99999/ HTTP/1.1\r\nHost: h", "malformed"),
    "no port": (b"CONNECT h HTTP/1.1\r\nHost: h", "malformed"),
}


MANY = {
    "fields": (b"A: 1", MOST_FIELDS - 1, 0),
    "cookies": (b"Cookie: " + b"a;" * 9, MOST_FIELDS // 10 - 1, 9),
}


@pytest.mark.parametrize(("field", "fit", "spare"), MANY.values(), ids=MANY.keys())
def test_more_fields_than_a_message_has(field, fit, spare):
    """Each field and cookie is inspected for itself: what fits into 64 KiB must not hold up all lanes."""
    assert len(read_request(lines(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"\r\n".join([field] * fit))).headers.fields) > fit
    with pytest.raises(Malformed, match=r"^header-too-large$"):
        read_request(lines(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"\r\n".join([field] * (fit + 1 + bool(spare)))))


@pytest.mark.parametrize(("head", "word"), BAD.values(), ids=BAD.keys())
def test_request_refused(head, word):
    with pytest.raises(Malformed, match=f"^{word}$"):
        read_request(lines(head))


def test_response():
    response = read_response(lines(b"HTTP/1.1 404 Not here\r\nX-A: 1\r\nx-a: 2"))
    assert (response.status_code, response.data.reason) == (404, b"Not here")
    assert response.headers.fields == ((b"X-A", b"1"), (b"x-a", b"2"))


def test_response_without_reason():
    assert read_response(lines(b"HTTP/1.1 200")).data.reason == b""


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 abc OK",
        b"HTTP/2 200",
        b"HTTP/1.1 99 x",
        b"HTTP/1.1 600 x",
        b"ICY 200 OK",
        b"220 mail",
    ],
)
def test_response_refused(head):
    with pytest.raises(Malformed):
        read_response(lines(head))


def test_no_message_quotes_what_was_read():
    with pytest.raises(Malformed) as caught:
        read_request(lines(b"secret"))
    assert str(caught.value) == "malformed"
    assert caught.value.__suppress_context__


def test_index_sees_every_change():
    headers = IndexedHeaders([(b"A", b"1"), (b"a", b"2"), (b"B", b"3")])
    assert headers.get_all("a") == ["1", "2"]
    assert headers["A"] == "1, 2"
    assert headers.get("a") == headers.get(b"A") == "1, 2"
    assert (headers.get("c"), headers.get("c", "none")) == (None, "none")
    assert "c" not in headers
    assert b"A" in headers
    assert 5 not in headers
    headers["c"] = "4"
    assert headers["C"] == "4"
    headers["a"] = "5"
    assert headers.get_all("A") == ["5"]
    assert headers.pop("b") == "3"
    assert "b" not in headers
    headers.add("c", "6")
    assert headers.get_all("c") == ["4", "6"]
    assert bytes(headers) == b"A: 5\r\nc: 4\r\nc: 6\r\n"


def test_only_ascii_letters_fold():
    kelvin = "\N{KELVIN SIGN}ey"
    headers = IndexedHeaders([(kelvin.encode(), b"1"), (b"KEY", b"2"), (b"\xff", b"3")])
    assert (headers["key"], headers[b"Key"], headers[kelvin], headers[b"\xff"], headers["\udcff"]) == tuple("22133")
    assert [headers[name] for name in headers] == ["1", "2", "3"]


def test_a_list_that_was_handed_out_is_the_callers():
    headers = IndexedHeaders([(b"a", b"1")])
    headers.get_all("a").append("2")
    assert headers.get_all("a") == ["1"]
