from __future__ import annotations

import gzip
import zlib
from time import perf_counter

import cramjam
import pytest
import zstandard
from mitmproxy import connection, http

from detectors import Inspector
from proxy.http.flows import (
    CannotPut,
    Context,
    label,
    put,
    request_message,
    response_message,
)
from proxy.policy.routes import Route

ROUTE = Route("lane", "logging")


def request(target=b"/a", fields=(), content=b"", trailers=None, method=b"POST", authority=b""):
    headers = http.Headers([(b"Host", b"h"), *fields])
    return http.Request("h", 80, method, b"http", authority, target, b"HTTP/1.1", headers, content, trailers, 0, 0)


def flow_with(response):
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    flow = http.HTTPFlow(client, connection.Server(address=None))
    flow.request, flow.response = request(b"/a?b"), response
    return flow


def response(reason=b"OK", fields=(), content=b"", trailers=None, status=200):
    return http.Response(b"HTTP/1.1", status, reason, http.Headers(list(fields)), content, trailers, 0, 0)


def named(message):
    return [(part.name, part.data) for part in message.parts]


PARTS = {
    "plain": (request(), [("path", b"/a"), ("header:host", b"h")]),
    "query": (request(b"/a?x=1&y"), [("path", b"/a"), ("query", b"x=1&y"), ("header:host", b"h")]),
    "second question mark": (request(b"/a?x?y"), [("path", b"/a"), ("query", b"x?y"), ("header:host", b"h")]),
    "odd method": (request(method=b"4111"), [("method", b"4111"), ("path", b"/a"), ("header:host", b"h")]),
    "authority": (request(authority=b"h:80"), [("host", b"h:80"), ("path", b"/a"), ("header:host", b"h")]),
    "repeated header": (
        request(fields=[(b"Accept", b"1"), (b"accept", b"2")]),
        [("path", b"/a"), ("header:host", b"h"), ("header:accept", b"1"), ("header:accept", b"2")],
    ),
    "unknown header": (
        request(fields=[(b"X-My", b"v")]),
        [("path", b"/a"), ("header:host", b"h"), ("header-name", b"X-My"), ("header:x-my", b"v")],
    ),
    "empty unknown header": (
        request(fields=[(b"X-My", b"")]),
        [("path", b"/a"), ("header:host", b"h"), ("header-name", b"X-My")],
    ),
    "number as name": (
        request(fields=[(b"X-4111111", b"v")]),
        [("path", b"/a"), ("header:host", b"h"), ("header-name", b"X-4111111"), ("header:?", b"v")],
    ),
    "cookies": (
        request(fields=[(b"Cookie", b"a=1; b=2;; c")]),
        [("path", b"/a"), ("header:host", b"h"), ("cookie:a", b"a=1"), ("cookie:b", b" b=2"), ("cookie:c", b" c")],
    ),
    "framing": (
        request(fields=[(b"CONTENT-LENGTH", b"2"), (b"Transfer-Encoding", b"chunked")], content=b"hi"),
        [("path", b"/a"), ("header:host", b"h"), ("body", b"hi")],
    ),
    "trailers": (
        request(content=b"hi", trailers=http.Headers([(b"X-T", b"v")])),
        [("path", b"/a"), ("header:host", b"h"), ("body", b"hi"), ("trailer-name", b"X-T"), ("trailer:x-t", b"v")],
    ),
}


@pytest.mark.parametrize(("made", "expected"), PARTS.values(), ids=PARTS.keys())
def test_request_parts(made, expected):
    assert named(request_message(made, Context(ROUTE))) == expected


def test_request_message():
    fields = [
        (b"Content-Type", b"application/json"),
        (b"Content-Encoding", b"gzip"),
        (b"traceparent", b"00-a-b-01"),
        (b"X-Request-Id", b"r1"),
    ]
    message = request_message(request(b"/a?b=1", fields, b"{}"), Context(ROUTE, "1.2.3.4:5", "gap"))
    assert (message.route, message.direction, message.protocol) == (ROUTE, "request", "http")
    assert (message.host, message.port, message.method, message.path) == ("h", 80, "POST", "/a")
    assert (message.peer, message.gap, message.traceparent, message.request_id) == (
        "1.2.3.4:5",
        "gap",
        "00-a-b-01",
        "r1",
    )
    body = message.parts[-1]
    assert (body.name, body.content_type, body.content_encoding) == ("body", "application/json", "gzip")
    query = message.parts[1]
    assert (query.name, query.content_type) == ("query", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ([(b"Content-Encoding", b"gzip")], "gzip"),
        ([(b"X-Amz-Content-Sha256", b"STREAMING-UNSIGNED-PAYLOAD-TRAILER")], ", aws-chunked"),
        (
            [(b"x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), (b"content-encoding", b"gzip")],
            "gzip, aws-chunked",
        ),
        ([(b"x-amz-content-sha256", b"STREAMING-X"), (b"content-encoding", b"gzip,AWS-chunked")], "gzip,AWS-chunked"),
        ([(b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")], ""),
    ],
)
def test_s3s_pieces_are_a_coding_by_either_field(fields, coding):
    message = request_message(request(fields=fields, content=b"0"), Context(Route("a", "storage")))
    assert [part.content_encoding for part in message.parts if part.name == "body"] == [coding]


@pytest.mark.parametrize(("declared", "coding"), [("aws-chunked", ""), ("gzip,AWS-chunked", "gzip"), ("gzip", "gzip")])
def test_an_answer_comes_in_no_pieces(declared, coding):
    answer = response(fields=[(b"Content-Encoding", declared.encode())], content=b"0")
    message = response_message(flow_with(answer), Context(Route("a", "storage")))
    assert [part.content_encoding for part in message.parts if part.name == "body"] == [coding]


@pytest.fixture(scope="module")
def inspector():
    return Inspector()


GRPC = {
    "gzip": (lambda data: gzip.compress(data, mtime=0), "gzip"),
    "deflate": (zlib.compress, "deflate"),
    "zstd": (zstandard.ZstdCompressor().compress, "zstd"),
    "snappy": (lambda data: bytes(cramjam.snappy.compress_raw(data)), "snappy"),
    "lz5": (lambda data: data[::-1], ""),
}


@pytest.mark.parametrize(
    ("kind", "field"),
    [("application/grpc-web+proto", "grpc-encoding"), ("Application/Connect+proto", "connect-content-encoding")],
)
@pytest.mark.parametrize("name", GRPC)
def test_messages_within_a_body_are_read_by_the_compression_that_the_header_names(inspector, name, kind, field):
    pack, codec = GRPC[name]
    text = b"card 4111111111111111 " + b"-" * 80
    packed = pack(b"\x0a" + bytes([len(text)]) + text)
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    fields = [(b"Content-Type", kind.encode()), (field.encode(), name.encode())]
    (part,) = [
        part
        for part in request_message(request(fields=fields, content=body), Context(ROUTE)).parts
        if part.name == "body"
    ]
    assert part.content_type == f"{kind}; grpc-encoding={name}"
    found = inspector.inspect(part.data, part.content_type, part.content_encoding)
    assert [finding.trail for finding in found.findings] == ([(f"grpc+{codec}", "protobuf")] if codec else [])
    assert [gap.reason for gap in found.gaps] == ([] if codec else ["unknown-content-encoding"])
    answer = response(fields=fields, content=body)
    assert response_message(flow_with(answer), Context(ROUTE)).parts[-1] == part


def test_what_names_no_compression_of_messages_is_no_parameter():
    fields = [(b"Content-Type", b"application/json"), (b"grpc-encoding", b"gzip")]
    message = request_message(request(fields=fields, content=b"{}"), Context(ROUTE))
    assert message.parts[-1].content_type == "application/json"


def test_a_destination_the_client_chose_is_a_part():
    assert ("host", b"h") in named(request_message(request(), Context(ROUTE, chosen=True)))


def test_response_message():
    made = response(b"Odd", [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")], b"hi", status=299)
    message = response_message(flow_with(made), Context(ROUTE, "p"))
    assert named(message) == [
        ("reason", b"Odd"),
        ("header:set-cookie", b"a=1"),
        ("header:set-cookie", b"b=2"),
        ("body", b"hi"),
    ]
    assert (message.direction, message.status, message.method, message.path) == ("response", 299, "POST", "/a")


@pytest.mark.parametrize(
    ("fields", "content", "expected"),
    [
        ([(b"Content-Length", b"2")], b"hi", []),
        ([(b"Content-Length", b"3")], b"hi", [("header:content-length", b"3")]),
        ([(b"content-length", b"41111")], b"", [("header:content-length", b"41111")]),
        ([(b"CONTENT-length", b"41111")], None, [("header:content-length", b"41111")]),
        ([(b"Content-Length", b"0")], None, []),
        ([(b"Transfer-Encoding", b"Chunked")], b"hi", []),
        ([(b"tRANSFER-Encoding", b"4111")], b"hi", [("header:transfer-encoding", b"4111")]),
    ],
)
def test_framing_is_left_out_only_where_the_body_bears_it_out(fields, content, expected):
    """An answer to a HEAD, and a 304, can have any length, and that is a number of up to 19 digits."""
    made = response(fields=fields, content=content)
    assert [part for part in named(response_message(flow_with(made), Context(ROUTE))) if part[0] != "body"] == expected


@pytest.mark.parametrize("reason", [b"OK", b"Not Found", b""])
def test_standard_phrases_are_no_parts(reason):
    assert named(response_message(flow_with(response(reason)), Context(ROUTE))) == []


def test_every_forwarded_byte_is_in_a_part():
    """What is left of the head when all parts are taken out: framing, punctuation and well-known names."""
    fields = [(b"Cookie", b"a=secret1; b=secret2"), (b"X-secret3", b"secret4"), (b"Accept", b"secret5")]
    made = request(b"/secret6?secret7", fields, b"secret8", http.Headers([(b"secret9", b"secret0")]), b"SECRETA")
    joined = b"\n".join(part.data for part in request_message(made, Context(ROUTE)).parts)
    for number in b"1234567890":
        assert b"secret%c" % number in joined
    assert b"SECRETA" in joined


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"X-Trace-Id", "x-trace-id"),
        (b"x-amz-content-sha256", "x-amz-content-sha256"),
        (b"411111", "?"),
        (b"x" * 65, "?"),
        (b"a b", "?"),
        (b"\xff", "?"),
        (b"", "?"),
    ],
)
def test_label(name, shown):
    assert label(name) == shown


def edited(made, edits):
    """The message after each named part has been replaced; several parts of one name by position."""
    parts = request_message(made, Context(ROUTE)).parts
    new = {index: edits[part.name] for index, part in enumerate(parts) if part.name in edits}
    assert len(new) >= len(edits)
    put(made, parts, new)
    return made.data


def test_put_body_fixes_the_length_and_nothing_else():
    fields = [(b"CoNtent-LENGTH", b"4"), (b"X-A", b" 1")]
    data = edited(request(fields=fields, content=b"1234"), {"body": b"12"})
    assert data.content == b"12"
    assert data.headers.fields == ((b"Host", b"h"), (b"CoNtent-LENGTH", b"2"), (b"X-A", b" 1"))


def test_put_chunked_body_adds_no_length():
    data = edited(request(fields=[(b"Transfer-Encoding", b"chunked")], content=b"1234"), {"body": b"12"})
    assert data.headers.fields == ((b"Host", b"h"), (b"Transfer-Encoding", b"chunked"))


def test_put_header_leaves_the_length():
    data = edited(
        request(fields=[(b"Content-Length", b"2"), (b"Accept", b"x")], content=b"hi"), {"header:accept": b"y"}
    )
    assert data.headers.fields == ((b"Host", b"h"), (b"Content-Length", b"2"), (b"Accept", b"y"))


def test_put_path_and_query():
    assert edited(request(b"/a/1?b=2?c"), {"path": b"/a/*"}).path == b"/a/*?b=2?c"
    assert edited(request(b"/a/1?b=2?c"), {"query": b"b=*"}).path == b"/a/1?b=*"


def test_put_one_cookie_of_many():
    made = request(fields=[(b"Cookie", b"a=1; b=2 ;; c=3")])
    parts = request_message(made, Context(ROUTE)).parts
    (index,) = [index for index, part in enumerate(parts) if part.name == "cookie:b"]
    put(made, parts, {index: b" b=*"})
    assert made.data.headers.fields[1] == (b"Cookie", b"a=1; b=*;; c=3")


def test_put_two_cookies_at_once():
    made = request(fields=[(b"Cookie", b"a=1; a=2")])
    parts = request_message(made, Context(ROUTE)).parts
    put(made, parts, {index: b"a=*" for index, part in enumerate(parts) if part.name == "cookie:a"})
    assert made.data.headers.fields[1] == (b"Cookie", b"a=*;a=*")


def test_put_many_cookies_of_many_fields():
    """A redact lane and a client that sends nothing but cards: a pass over the fields, not one for each cookie."""
    made = request(fields=[(b"Cookie", b"a=1;;" * 1000), (b"Cookie", b"a=2; b"), *[(b"cookie", b"a=3;" * 2000)] * 8])
    parts = request_message(made, Context(ROUTE)).parts
    new = {index: b"a=*" for index, part in enumerate(parts) if part.name == "cookie:a"}
    began = perf_counter()
    put(made, parts, new)
    assert perf_counter() - began < 1  # was minutes
    assert [value for name, value in made.data.headers.fields if name.lower() == b"cookie"] == [
        b"a=*;;" * 1000,
        b"a=*; b",
        *[b"a=*;" * 2000] * 8,
    ]


def test_a_length_that_no_body_bears_out_is_left_out_of_an_answer():
    """No receiver can read a masked Content-Length."""
    made = response(fields=[(b"Content-Length", b"41111"), (b"X-A", b"1")], status=304)
    parts = response_message(flow_with(made), Context(ROUTE)).parts
    put(made, parts, {0: b"*****"})
    assert made.data.headers.fields == ((b"X-A", b"1"),)


def test_put_name_and_value_of_one_header():
    data = edited(request(fields=[(b"X-1", b"1")]), {"header-name": b"X-*", "header:x-1": b"*"})
    assert data.headers.fields[1] == (b"X-*", b"*")


def test_put_trailer():
    made = request(content=b"hi", trailers=http.Headers([(b"X-T", b"1"), (b"X-U", b"2")]))
    assert edited(made, {"trailer:x-u": b"*"}).trailers.fields == ((b"X-T", b"1"), (b"X-U", b"*"))


def test_put_reason():
    made = response(b"card 1")
    parts = response_message(flow_with(made), Context(ROUTE)).parts
    put(made, parts, {0: b"card *"})
    assert made.data.reason == b"card *"


@pytest.mark.parametrize(
    "edits",
    [
        {"path": b"/a b"},
        {"path": b"/a\r\nX: 1"},
        {"query": b"a=\n"},
        {"method": b"POST"},
        {"header:accept": b"a\r\nX: 1"},
        {"header-name": b"X Y"},
        {"header-name": b""},
        {"cookie:a": b"a=1;b=2"},
        {"cookie:a": b"a=\x00"},
    ],
)
def test_what_would_break_the_message_is_not_put(edits):
    made = request(b"/a?b", [(b"Accept", b"x"), (b"X-Y", b"1"), (b"Cookie", b"a=1")], method=b"ODD")
    with pytest.raises(CannotPut):
        edited(made, edits)
