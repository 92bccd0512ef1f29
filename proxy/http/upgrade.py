"""The opening handshake of a WebSocket (RFC 6455 section 4): the one ``Upgrade`` whose other side can be inspected."""

from __future__ import annotations

import re

from mitmproxy import http
from mitmproxy.net.http.http1 import expected_http_body_size
from wsproto.utilities import generate_accept_token

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_DEFLATE = "permessage-deflate"
_AGREED = re.compile(
    _DEFLATE + r"( *; *((client|server)_no_context_takeover|(client|server)_max_window_bits=(9|1[0-5])))*"
)
"""What a server may answer: the compression that every WebSocket library has (RFC 7692), with its parameters."""


def is_websocket(request: http.Request) -> bool:
    """Whether a request asks for a WebSocket, and for nothing else."""
    headers = request.headers
    return (
        request.data.method == b"GET"
        and request.data.http_version == b"HTTP/1.1"
        and headers.get("upgrade", "").strip().lower() == "websocket"
        and "upgrade" in _tokens(headers.get("connection", ""))
        and headers.get("sec-websocket-version") == "13"
        and _KEY.fullmatch(headers.get("sec-websocket-key", "")) is not None
        and expected_http_body_size(request) == 0
    )


def agreed(request: http.Request, response: http.Response) -> str | None:
    """The compression that both ends will use, or empty; ``None`` if they will use what cannot be read here.

    Raises ``ValueError`` if the answer is none to this handshake.
    """
    headers = response.headers
    accept = headers.get("sec-websocket-accept", "").encode("latin-1", "replace")
    if (
        headers.get("upgrade", "").strip().lower() != "websocket"
        or "upgrade" not in _tokens(headers.get("connection", ""))
        or accept != generate_accept_token(request.headers["sec-websocket-key"].encode("ascii"))
        or "transfer-encoding" in headers
        or headers.get("content-length", "0") != "0"
    ):
        raise ValueError("not the answer to this handshake")
    extensions = headers.get("sec-websocket-extensions", "").strip()
    if not extensions:
        return ""
    offers = request.headers.get("sec-websocket-extensions", "").split(",")
    is_readable = _AGREED.fullmatch(extensions) is not None and any(_is_deflate(offer) for offer in offers)
    return extensions if is_readable else None


def limit_extensions(headers: http.Headers) -> None:
    """Takes out of the offered extensions all that could not be read; untouched if there is nothing of it."""
    asked = headers.get("sec-websocket-extensions")
    if asked is None:
        return
    offers = asked.split(",")
    kept = [offer for offer in offers if _is_deflate(offer)]
    if len(kept) == len(offers):
        return
    headers.pop("sec-websocket-extensions")
    if kept:
        headers["Sec-WebSocket-Extensions"] = ",".join(kept).strip()


def _is_deflate(offer: str) -> bool:
    return offer.partition(";")[0].strip() == _DEFLATE


def _tokens(value: str) -> set[str]:
    return {token.strip().lower() for token in value.split(",")}
