"""Flows of the host as messages of ours, and redacted parts put back. Every byte that is forwarded is in some part.

What is left out holds no free text: known methods, the version, known header names, and framing that the body bears
out. A Content-Length that no body bears out (the answer to a HEAD, a 304) is a number like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from mitmproxy import http

from detectors.decoders.grpc import ENCODING_FIELDS
from proxy.http.pieces import Piece
from proxy.message import Direction, Message, Part
from proxy.policy.routes import Route

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
    probe: Callable[[bool], None] | None = None
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
    parts += header_parts(data.headers, data.content)
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
        probe=context.probe,
    )


def response_message(flow: http.HTTPFlow, context: Context) -> Message:
    """The response as it would reach the client, in parts. ``flow.response`` must be set."""
    request, response = flow.request.data, _response(flow).data
    parts: list[Part] = []
    if response.reason and response.reason not in _PHRASES:
        parts.append(Part("reason", response.reason))
    parts += header_parts(response.headers, response.content)
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
        probe=context.probe,
    )


def piece_message(flow: http.HTTPFlow, direction: Direction, context: Context, piece: Piece) -> Message:
    """One piece of a body in motion; with the last one the trailer fields. The head has been a message of its own."""
    is_request = direction == "request"
    head = request_message(flow.request, context) if is_request else response_message(flow, context)
    data = (flow.request if is_request else _response(flow)).data
    body = Part("body", piece.data, piece.content_type, held=piece.held)
    beside = (Part("body", piece.beside),) if piece.beside else ()
    parts = (body, *beside, *(trailer_parts(data) if piece.last else ()))
    return replace(head, parts=parts, moving=True, measured="content-length" in data.headers)


def _response(flow: http.HTTPFlow) -> http.Response:
    if flow.response is None:
        raise ValueError("the flow has no response")
    return flow.response


def header_parts(headers: http.Headers, content: bytes | None = b"") -> list[Part]:
    """Each field's value; each cookie of a Cookie field; each name that is not a well-known one. Left out is the
    framing that ``content``, the body, bears out."""
    length = b"%d" % len(content or b"")
    parts: list[Part] = []
    for index, (name, value) in enumerate(headers.fields):
        known = _KNOWN.get(name)
        if known is None:
            known = _KNOWN.get(name.lower())
            if known is None:
                parts.append(Part("header-name", name, field=index))
                known = f"header:{label(name)}"
        if known == "header:cookie":
            parts += [
                Part(f"cookie:{_cookie(crumb)}", crumb, field=index) for crumb in value.split(b";") if crumb.strip()
            ]
        elif not value or (known == "header:content-length" and value == length):
            continue
        elif known != "header:transfer-encoding" or value.lower() != b"chunked":
            parts.append(Part(known, value, field=index))
    return parts


def _cookie(crumb: bytes) -> str:
    return label(crumb.partition(b"=")[0].strip())


def body_parts(data: http.RequestData | http.ResponseData) -> list[Part]:
    """The body as it stood on the wire after de-chunking, and the trailer fields."""
    parts: list[Part] = []
    if data.content:
        parts.append(Part("body", data.content, body_type(data.headers), coding(data)))
    return [*parts, *trailer_parts(data)]


def trailer_parts(data: http.RequestData | http.ResponseData) -> list[Part]:
    """The trailer fields."""
    parts: list[Part] = []
    for index, (name, value) in enumerate(data.trailers.fields if data.trailers else ()):
        parts.append(Part("trailer-name", name, field=index))
        parts.append(Part(f"trailer:{label(name)}", value, field=index))
    return parts


def body_type(headers: http.Headers) -> str:
    """The body's type. How the messages within a gRPC body are compressed stands in a field of its own; the detectors
    read it as a parameter of the type."""
    declared: str = headers.get("content-type", "")
    media = declared.strip().lower()
    for kind, field in ENCODING_FIELDS.items():
        if media.startswith(kind) and field in headers:
            return f"{declared}; grpc-encoding={headers[field]}"
    return declared


def coding(data: http.RequestData | http.ResponseData) -> str:
    """The content codings of the body. S3's pieces need not be declared as one: the signed hash says it, too. Answers
    come in none: some servers hand out with an object how it once came in."""
    coding: str = data.headers.get("content-encoding", "")
    if isinstance(data, http.ResponseData):
        return ",".join(name for name in coding.split(",") if name.strip().lower() != "aws-chunked")
    if data.headers.get("x-amz-content-sha256", "").startswith("STREAMING-") and "aws-chunked" not in coding.lower():
        return f"{coding}, aws-chunked"
    return coding


class CannotPut(Exception):
    """The new bytes would not be a valid message."""


def put(message: http.Request | http.Response, parts: tuple[Part, ...], new: Mapping[int, bytes]) -> None:
    """Writes the ``new`` bytes of ``parts[i]`` into the message. All other bytes stay; Content-Length follows the body.

    Each field is made anew once, however many of its cookies change: a header block full of them costs a pass over it.
    Raises ``CannotPut`` where a part cannot hold its bytes, with the message then half changed: it must not be sent.
    """
    data = message.data
    headers: list[tuple[bytes, bytes] | None] = list(data.headers.fields)
    trailers: list[tuple[bytes, bytes] | None] = list(data.trailers.fields) if data.trailers else []
    for number, value in new.items():
        part = parts[number]
        kind = part.name.partition(":")[0]
        if kind == "body":
            data.content = value
        elif kind in ("header", "header-name"):
            headers[part.field] = _field(headers[part.field], kind == "header-name", value)
        elif kind in ("trailer", "trailer-name"):
            trailers[part.field] = _field(trailers[part.field], kind == "trailer-name", value)
        elif kind != "cookie":
            _put_line(data, kind, value)
    for index, crumbs in _cookies(parts, new).items():
        headers[index] = _with_crumbs(headers[index], crumbs)
    data.headers.fields = tuple(field for field in headers if field is not None)
    if data.trailers is not None:
        data.trailers.fields = tuple(field for field in trailers if field is not None)
    if any(parts[number].name == "body" for number in new):
        _fit_length(data)


def _cookies(parts: tuple[Part, ...], new: Mapping[int, bytes]) -> dict[int, list[bytes]]:
    """By index of the Cookie field in which one changes: all of its cookies as they shall be."""
    crumbs: dict[int, list[bytes]] = {
        parts[number].field: [] for number in new if parts[number].name.startswith("cookie:")
    }
    for number, part in enumerate(parts if crumbs else ()):
        if part.field in crumbs and part.name.startswith("cookie:"):
            crumbs[part.field].append(new.get(number, part.data))
    return crumbs


_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BREAKS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BREAKS_TARGET = re.compile(rb"[\x00-\x20\x7f]")


def _field(field: tuple[bytes, bytes] | None, is_name: bool, value: bytes) -> tuple[bytes, bytes] | None:
    """The field with another name or value; ``None``, which leaves it out, for a framing field: no length is masked."""
    if field is None or (not is_name and field[0].lower() in FRAMING):
        return None
    if is_name:
        if not _TOKEN.fullmatch(value):
            raise CannotPut("not a field name")
        return value, field[1]
    if _BREAKS.search(value):
        raise CannotPut("not a field value")
    return field[0], value


def _with_crumbs(field: tuple[bytes, bytes] | None, crumbs: list[bytes]) -> tuple[bytes, bytes] | None:
    """A Cookie field with other cookies; what stood empty between two semicolons stays."""
    if field is None:
        return None
    if any(_BREAKS.search(crumb) or b";" in crumb for crumb in crumbs):
        raise CannotPut("not a cookie")
    pieces, following = field[1].split(b";"), iter(crumbs)
    pieces = [next(following) if piece.strip() else piece for piece in pieces]
    if next(following, None) is not None:
        raise CannotPut("not the cookies of this field")
    return field[0], b";".join(pieces)


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
