"""HTTP/2 header fields as the host's messages and back, and as HTTP/1 where the upstream speaks nothing newer.

The HTTP/2 engine has checked pseudo-header fields, case and connection fields (RFC 9113 8.2, 8.3). What it lets through
and HTTP/1 would frame or route by is refused here: a request that means something else after translation is smuggled.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

from mitmproxy import http
from mitmproxy.net.http.url import parse_authority

from proxy.http.heads import FORBIDDEN_TRAILERS, MOST_FIELDS, IndexedHeaders, Malformed, made_request, made_response

Fields = list[tuple[bytes, bytes]]

CONNECTION_FIELDS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Of HTTP/1 only (RFC 9113 8.2.2)."""
FIELD_OVERHEAD = 32
"""What a field counts beside its bytes (RFC 9113 6.5.2)."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_BREAKS = re.compile(rb"[\x00\r\n]")
_NOT_IN_TARGET = re.compile(rb"[\x00-\x20\x7f#]")
_BODY_EXPECTED = (b"POST", b"PUT", b"PATCH")


def read_request(raw: Iterable[tuple[bytes, bytes]], limit: int) -> http.Request:
    """A request whose authority stands in ``Host``, as HTTP/1 has it. Raises ``Malformed``."""
    pseudo, fields = _split(raw, limit, "malformed")
    method = pseudo.get(b":method", b"")
    scheme, path, authority = pseudo.get(b":scheme", b""), pseudo.get(b":path", b""), pseudo.get(b":authority", b"")
    if (
        not _TOKEN.fullmatch(method)
        or method == b"CONNECT"
        or scheme not in (b"http", b"https")
        or b":protocol" in pseudo
    ):
        raise Malformed("malformed")
    if _NOT_IN_TARGET.search(path) or not (path.startswith(b"/") or (path == b"*" and method == b"OPTIONS")):
        raise Malformed("malformed")  # in HTTP/1 a target that is a URL would name another host
    hosts = [value for name, value in fields if name == b"host"]
    authority = authority or b"".join(hosts[:1])
    if len(hosts) > 1 or any(host != authority for host in hosts):
        raise Malformed("malformed")
    host, port = _destination(authority, scheme)
    fields = [(b"host", authority), *(field for field in fields if field[0] != b"host")]
    return made_request(b"HTTP/2.0", IndexedHeaders(fields), time.time(), host, port, method, scheme, authority, path)


def read_response(raw: Iterable[tuple[bytes, bytes]], limit: int) -> http.Response:
    """A response. Raises ``Malformed``."""
    pseudo, fields = _split(raw, limit, "upstream-malformed")
    status = pseudo.get(b":status", b"")
    if not re.fullmatch(rb"[1-5][0-9][0-9]", status):
        raise Malformed("upstream-malformed")
    return made_response(b"HTTP/2.0", IndexedHeaders(fields), time.time(), int(status), b"")


def _split(raw: Iterable[tuple[bytes, bytes]], limit: int, word: str) -> tuple[dict[bytes, bytes], Fields]:
    pseudo: dict[bytes, bytes] = {}
    fields: Fields = []
    size, count = 0, 0
    for name, value in raw:
        size += len(name) + len(value) + FIELD_OVERHEAD
        count += 1 + (value.count(b";") if name == b"cookie" else 0)
        if _FIELD_BREAKS.search(value):
            raise Malformed(word)
        if name.startswith(b":"):
            pseudo[bytes(name)] = bytes(value)
        elif not _TOKEN.fullmatch(name) or name in CONNECTION_FIELDS:
            raise Malformed(word)
        else:
            fields.append((bytes(name), bytes(value)))
    if size > limit or count > MOST_FIELDS:
        raise Malformed("header-too-large" if word == "malformed" else word)
    return pseudo, fields


def _destination(authority: bytes, scheme: bytes) -> tuple[str, int]:
    try:
        host, port = parse_authority(authority, check=True)
    except ValueError:
        raise Malformed("malformed") from None
    if b"@" in authority or not host:
        raise Malformed("malformed")
    return host, port if port is not None else (443 if scheme == b"https" else 80)


def read_trailers(raw: Iterable[tuple[bytes, bytes]], limit: int, word: str) -> http.Headers:
    """The fields after a body. Raises ``Malformed`` for those that belong before it."""
    pseudo, fields = _split(raw, limit, word)
    if pseudo or any(name in FORBIDDEN_TRAILERS for name, _ in fields):
        raise Malformed(word)
    return http.Headers(fields)


def request_fields(request: http.Request) -> Fields:
    """The request's header block as HTTP/2 writes it."""
    data = request.data
    authority = next((value for name, value in data.headers.fields if name.lower() == b"host"), b"")
    pseudo = [(b":method", data.method), (b":scheme", data.scheme), (b":path", data.path), (b":authority", authority)]
    return pseudo + [field for field in plain_fields(data.headers.fields) if field[0] != b"host"]


def response_fields(response: http.Response) -> Fields:
    """The response's header block as HTTP/2 writes it."""
    return [(b":status", b"%d" % response.status_code), *plain_fields(response.headers.fields)]


def plain_fields(fields: Sequence[tuple[bytes, bytes]]) -> Fields:
    """Fields in lower case, without those that belong to one HTTP/1 connection."""
    options = [value for name, value in fields if name.lower() == b"connection"]
    dropped = CONNECTION_FIELDS | {name.strip().lower() for value in options for name in value.split(b",")}
    return [(lower, value) for name, value in fields if (lower := name.lower()) not in dropped]


def as_http1(request: http.Request, *, ends: bool) -> http.Request:
    """The request for an HTTP/1 upstream: one Cookie field, a body that is framed. ``ends``: there is none."""
    data = request.data
    cookies = [value for name, value in data.headers.fields if name == b"cookie"]
    dropped = {b"te", b"cookie"}
    whole = data.content if not request.stream and data.content and not request.trailers else None
    framing: Fields = []
    if whole is not None:
        dropped.add(b"content-length")
        framing = [(b"content-length", b"%d" % len(whole))]
    elif not ends and (request.trailers or "content-length" not in data.headers):
        dropped.add(b"content-length")
        framing = [(b"transfer-encoding", b"chunked")]
    elif ends and data.method in _BODY_EXPECTED and "content-length" not in data.headers:
        framing = [(b"content-length", b"0")]
    fields = [field for field in plain_fields(data.headers.fields) if field[0] not in dropped]
    crumbs = [(b"cookie", b"; ".join(cookies))] if cookies else []
    headers = IndexedHeaders([*fields, *crumbs, *framing])
    new = made_request(
        b"HTTP/1.1", headers, data.timestamp_start, data.host, data.port, data.method, data.scheme, b"", data.path
    )
    new.stream = request.stream
    return new
