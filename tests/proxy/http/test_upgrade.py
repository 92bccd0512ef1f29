from __future__ import annotations

import pytest
from mitmproxy import http

from proxy.http.upgrade import agreed, is_websocket, limit_extensions

ASKED = {
    "Host": "a",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "WebSocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ANSWERED = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}


def headers(fields):
    return http.Headers([(name.encode(), value.encode()) for name, value in fields.items() if value is not None])


def request(method=b"GET", version=b"HTTP/1.1", **fields):
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return http.Request("a", 1, method, b"http", b"", b"/", version, headers(ASKED | named), b"", None, 0, 0)


def response(**fields):
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return http.Response(b"HTTP/1.1", 101, b"", headers(ANSWERED | named), b"", None, 0, 0)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), True),
        (request(Content_Length="0"), True),
        (request(method=b"POST"), False),
        (request(version=b"HTTP/1.0"), False),
        (request(version=b"HTTP/2.0"), False),
        (request(Upgrade="websocket, h2c"), False),
        (request(Upgrade="tls/1.0"), False),
        (request(Connection="keep-alive"), False),
        (request(Sec_WebSocket_Version="8"), False),
        (request(Sec_WebSocket_Version=None), False),
        (request(Sec_WebSocket_Key="short"), False),
        (request(Sec_WebSocket_Key=None), False),
        (request(Content_Length="5"), False),
        (request(Transfer_Encoding="chunked"), False),
    ],
)
def test_is_websocket(asked, expected):
    assert is_websocket(asked) is expected


OFFER = "permessage-deflate; client_max_window_bits"


@pytest.mark.parametrize(
    ("offered", "extensions", "expected"),
    [
        (OFFER, None, ""),
        (OFFER, "", ""),
        (OFFER, "permessage-deflate", "permessage-deflate"),
        (OFFER, "permessage-deflate; client_max_window_bits=15; server_no_context_takeover", ...),
        (OFFER, "permessage-deflate;server_max_window_bits=9", ...),
        (OFFER, "permessage-deflate; server_max_window_bits=8", None),
        (OFFER, "permessage-deflate; client_max_window_bits", None),
        (OFFER, "permessage-deflate; x=1", None),
        (OFFER, "permessage-deflate, permessage-deflate", None),
        (OFFER, "x-webkit-deflate-frame", None),
        ("x-other", "permessage-deflate", None),
        (None, "permessage-deflate", None),
    ],
)
def test_agreed(offered, extensions, expected):
    expected = extensions if expected is ... else expected
    answer = response(Sec_WebSocket_Extensions=extensions)
    assert agreed(request(Sec_WebSocket_Extensions=offered), answer) == expected


@pytest.mark.parametrize(
    "answer",
    [
        response(Upgrade=None),
        response(Upgrade="h2c"),
        response(Connection="keep-alive"),
        response(Sec_WebSocket_Accept=None),
        response(Sec_WebSocket_Accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOp="),
        response(Sec_WebSocket_Accept="\u00e9"),
        response(Transfer_Encoding="chunked"),
        response(Content_Length="3"),
    ],
)
def test_another_answer(answer):
    with pytest.raises(ValueError, match="not the answer"):
        agreed(request(), answer)


@pytest.mark.parametrize(
    ("offered", "left"),
    [
        (None, None),
        (OFFER, OFFER),
        (f"x-webkit-deflate-frame, {OFFER}", OFFER),
        ("permessage-deflate; server_no_context_takeover, permessage-deflate", ...),
        ("permessage-deflate-x, bbf-usp-protocol", None),
    ],
)
def test_limit_extensions(offered, left):
    asked = request(Sec_WebSocket_Extensions=offered)
    before = asked.headers.fields
    limit_extensions(asked.headers)
    assert asked.headers.get("sec-websocket-extensions") == (offered if left is ... else left)
    if left in (..., offered):
        assert asked.headers.fields == before
