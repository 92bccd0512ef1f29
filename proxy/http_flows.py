"""Flows of the host as messages of ours, and redacted parts put back. Every byte that is forwarded is in some part.

What is left out holds no free text: known methods, the version, known header names, and the framing fields, whose
values the host has checked to be numbers or ``chunked``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from mitmproxy import http

from proxy.message import Message, Part
from proxy.policy_routes import Route

METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"PROPFIND"}
)
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
FORM = "application/x-www-form-urlencoded"

_COMMON = """
    accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
    access-control-allow-headers access-control-allow-methods access-control-allow-origin age allow alt-svc
    authorization cache-control connection content-disposition content-encoding content-language content-length
    content-location content-md5 content-range content-security-policy content-type cookie date etag expect expires
    forwarded from host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive
    last-modified link location origin pragma priority proxy-authorization proxy-connection range referer
    retry-after sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user server server-timing set-cookie
    strict-transport-security te trailer traceparent tracestate transfer-encoding upgrade upgrade-insecure-requests
    user-agent vary via warning www-authenticate x-content-type-options x-correlation-id x-elastic-product
    x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options x-powered-by x-real-ip
    x-request-id x-requested-with x-scope-orgid x-xss-protection
""".split()  # noqa: SIM905 - a paragraph, not a hundred quotes
_KNOWN: Mapping[bytes, str] = {
    spelling.encode(): f"header:{name}" for name in _COMMON for spelling in (name, name.title())
}
_PLAIN_NAME = re.compile(r"[a-z0-9_.!~-]{1,64}")
_PHRASES = frozenset(status.phrase.encode() for status in HTTPStatus)


@dataclass(frozen=True, slots=True)
class Context:
    """What a message says beside its parts."""

    route: Route
    peer: str = ""
    gap: str = ""
    chosen: bool = False
    """The client chose the destination (a forward lane): its name is free text that DNS carries out of the house."""


def label(name: bytes) -> str:
    """A field's name as it may be shown: lower case, and ``?`` where it could hold a number or is no plain name."""
    text = name.decode("latin-1").lower()
    digits = sum(character.isdigit() for character in text)
    return text if digits < 6 and _PLAIN_NAME.fullmatch(text) else "?"


def request_message(request: http.Request, context: Context) -> Message:
    """The request as it would leave, in parts."""
    data = request.data
    path, _, query = data.path.partition(b"?")
    parts: list[Part] = []
    if data.method not in METHODS:
        parts.append(Part("method", data.method))
    if context.chosen or data.authority:
        parts.append(Part("host", data.authority or data.host.encode("utf-8", "surrogateescape")))
    if path:
        parts.append(Part("path", path))
    if query:
        parts.append(Part("query", query, FORM))
    parts += header_parts(data.headers)
    parts += body_parts(data)
    return Message(
        route=context.route,
        direction="request",
        protocol="http",
        parts=tuple(parts),
        peer=context.peer,
        host=data.host.lower(),
        port=data.port,
        method=data.method.decode("latin-1"),
        path=path.decode("latin-1"),
        traceparent=data.headers.get("traceparent", ""),
        request_id=data.headers.get("x-request-id", ""),
        gap=context.gap,
    )


def response_message(flow: http.HTTPFlow, context: Context) -> Message:
    """The response as it would reach the client, in parts. ``flow.response`` must be set."""
    request, response = flow.request.data, _response(flow).data
    parts: list[Part] = []
    if response.reason and response.reason not in _PHRASES:
        parts.append(Part("reason", response.reason))
    parts += header_parts(response.headers)
    parts += body_parts(response)
    return Message(
        route=context.route,
        direction="response",
        protocol="http",
        parts=tuple(parts),
        peer=context.peer,
        host=request.host.lower(),
        port=request.port,
        method=request.method.decode("latin-1"),
        path=request.path.partition(b"?")[0].decode("latin-1"),
        status=response.status_code,
        traceparent=request.headers.get("traceparent", ""),
        request_id=request.headers.get("x-request-id", ""),
        gap=context.gap,
    )


def _response(flow: http.HTTPFlow) -> http.Response:
    if flow.response is None:
        raise ValueError("the flow has no response")
    return flow.response


def header_parts(headers: http.Headers) -> list[Part]:
    """Each field's value; each cookie of a Cookie field; each name that is not a well-known one."""
    parts: list[Part] = []
    for index, (name, value) in enumerate(headers.fields):
        known = _KNOWN.get(name)
        if known is None:
            lower = name.lower()
            if lower in FRAMING:
                continue
            known = _KNOWN.get(lower)
            if known is None:
                parts.append(Part("header-name", name, index=index))
                known = f"header:{label(name)}"
        if known == "header:cookie":
            parts += [
                Part(f"cookie:{_cookie(crumb)}", crumb, index=index) for crumb in value.split(b";") if crumb.strip()
            ]
        elif value and known not in ("header:content-length", "header:transfer-encoding"):
            parts.append(Part(known, value, index=index))
    return parts


def _cookie(crumb: bytes) -> str:
    return label(crumb.partition(b"=")[0].strip())


def body_parts(data: http.RequestData | http.ResponseData) -> list[Part]:
    """The body as it stood on the wire after de-chunking, and the trailer fields."""
    parts: list[Part] = []
    if data.content:
        headers = data.headers
        content_type, coding = headers.get("content-type", ""), headers.get("content-encoding", "")
        parts.append(Part("body", data.content, content_type, coding))
    for index, (name, value) in enumerate(data.trailers.fields if data.trailers else ()):
        parts.append(Part("trailer-name", name, index=index))
        parts.append(Part(f"trailer:{label(name)}", value, index=index))
    return parts


class CannotPut(Exception):
    """The new bytes would not be a valid message."""


def put(message: http.Request | http.Response, parts: tuple[Part, ...], new: Mapping[int, bytes]) -> None:
    """Writes the ``new`` bytes of ``parts[i]`` into the message. All other bytes stay; Content-Length follows the body.

    Raises ``CannotPut`` where a part cannot hold them, with the message then half changed: it must not be sent.
    """
    data = message.data
    headers, trailers = list(data.headers.fields), list(data.trailers.fields) if data.trailers else []
    for number, value in new.items():
        part = parts[number]
        kind, index = part.name.partition(":")[0], part.index
        if kind == "body":
            data.content = value
        elif kind in ("header", "header-name"):
            headers[index] = _field(headers[index], kind == "header-name", value)
        elif kind == "cookie":
            crumbs = {n: p for n, p in enumerate(parts) if p.index == index and p.name.startswith("cookie:")}
            headers[index] = (headers[index][0], _crumbs(headers[index][1], crumbs, new))
        elif kind in ("trailer", "trailer-name"):
            trailers[index] = _field(trailers[index], kind == "trailer-name", value)
        else:
            _put_line(data, kind, value)
    data.headers.fields = tuple(headers)
    if data.trailers is not None:
        data.trailers.fields = tuple(trailers)
    if any(parts[number].name == "body" for number in new):
        _fit_length(data)


_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BREAKS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BREAKS_TARGET = re.compile(rb"[\x00-\x20\x7f]")


def _field(field: tuple[bytes, bytes], is_name: bool, value: bytes) -> tuple[bytes, bytes]:
    if is_name:
        if not _TOKEN.fullmatch(value):
            raise CannotPut("not a field name")
        return value, field[1]
    if _BREAKS.search(value):
        raise CannotPut("not a field value")
    return field[0], value


def _crumbs(value: bytes, parts: Mapping[int, Part], new: Mapping[int, bytes]) -> bytes:
    crumbs = value.split(b";")
    places = [place for place, crumb in enumerate(crumbs) if crumb.strip()]
    for place, number in zip(places, sorted(parts), strict=True):
        crumbs[place] = new.get(number, crumbs[place])
        if _BREAKS.search(crumbs[place]) or b";" in crumbs[place]:
            raise CannotPut("not a cookie")
    return b";".join(crumbs)


def _put_line(data: http.RequestData | http.ResponseData, kind: str, value: bytes) -> None:
    """The parts of the request or status line."""
    if isinstance(data, http.ResponseData):
        if kind != "reason" or _BREAKS.search(value):
            raise CannotPut("not a reason phrase")
        data.reason = value
        return
    if _BREAKS_TARGET.search(value):
        raise CannotPut("not a request target")
    path, mark, query = data.path.partition(b"?")
    if kind == "path":
        data.path = value + mark + query
    elif kind == "query":
        data.path = path + mark + value
    else:
        raise CannotPut("a method or destination cannot be redacted")


def _fit_length(data: http.RequestData | http.ResponseData) -> None:
    size = str(len(data.content or b"")).encode()
    data.headers.fields = tuple(
        (name, size if name.lower() == b"content-length" else value) for name, value in data.headers.fields
    )


_DIGESTS = (
    "digest",
    "content-digest",
    "repr-digest",
    "content-md5",
    "etag",
    "signature",
    "signature-input",
    "x-amz-content-sha256",
    "x-goog-hash",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-jws-signature",
    "x-ms-content-crc64",
    "stripe-signature",
)


def sealed_by(message: http.Request | http.Response) -> str:
    """What a redaction would break: the field that signs or hashes the message, or empty.

    The receiver would refuse the edited message at best (Content-Digest, RFC 9530; HTTP signatures, RFC 9421; AWS
    Signature Version 4), and at worst cache it under the ETag of the original.
    """
    headers = message.headers
    for name in _DIGESTS:
        if name in headers and headers[name] != "UNSIGNED-PAYLOAD":
            return name
    if any(name.lower().startswith((b"x-amz-checksum-", b"x-amz-trailer")) for name, _ in headers.fields):
        return "x-amz-checksum"
    if "aws-chunked" in headers.get("content-encoding", "").lower():
        return "content-encoding: aws-chunked"
    if isinstance(message, http.Response):
        return "content-range" if "content-range" in headers else ""
    if headers.get("authorization", "").startswith(("AWS4-", "Signature ", "GOOG4-")):
        return "authorization"
    signed_url = b"X-Amz-Signature=" in message.data.path or b"X-Goog-Signature=" in message.data.path
    return "query signature" if signed_url else ""


INSPECTABLE = frozenset({"gzip", "deflate", "br", "zstd", "identity", "x-gzip"})


def limit_codings(headers: http.Headers) -> None:
    """Takes out of Accept-Encoding what an answer could not be inspected in; untouched if there is nothing of it."""
    asked = headers.get("accept-encoding")
    if not asked:
        return
    offers = asked.split(",")
    kept = [offer for offer in offers if offer.partition(";")[0].strip().lower() in INSPECTABLE]
    if len(kept) != len(offers):
        headers["accept-encoding"] = ",".join(kept).strip() or "identity"
