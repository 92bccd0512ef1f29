"""A refusal in words that the client's own library understands: the RFC 9457 document, and for clients that could not
read it the same in their shape. What is said stays the same; so do the digits that are not in it.

Source: Amazon S3 API Reference, «Error responses» (REST); RFC 9110 12.5.1 (Accept); grpc ``PROTOCOL-HTTP2.md``
(Trailers-Only, Percent-Encoded) and ``http-grpc-status-mapping.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote
from xml.sax.saxutils import escape

from proxy.refusals import MEDIA_TYPE

JSON = b"application/json"
XML = b"application/xml"

_S3_CODES: Mapping[int, str] = MappingProxyType(
    {403: "AccessDenied", 413: "EntityTooLarge", 501: "NotImplemented", 503: "ServiceUnavailable"}
)
_S3_OTHER = "InvalidRequest"
_S3_SIGNED = re.compile(r"AWS4-[A-Z0-9-]+ .*/s3(?:express)?/aws4_request|AWS [^:\s]+:")
_S3_PRESIGNED = re.compile(
    rb"[?&](?:X-Amz-Credential=[^&]*%2Fs3(?:express)?%2Faws4_request|AWSAccessKeyId=)", re.IGNORECASE
)
"""Signature Version 4, and 2, which boto3 still presigns with."""
_GRPC = re.compile(r"application/grpc(?:-web(?:-text)?)?(?=[+;\s]|\Z)", re.IGNORECASE)
_GRPC_CODES: Mapping[int, int] = MappingProxyType(
    {400: 13, 403: 7, 405: 12, 408: 4, 413: 8, 422: 7, 429: 14, 431: 8, 501: 12, 502: 14, 503: 14, 504: 14, 505: 12}
)
"""By HTTP status: PERMISSION_DENIED for what was found or cannot be inspected, RESOURCE_EXHAUSTED for what is too
large, UNAVAILABLE for what may be sent again."""
_GRPC_INTERNAL = 13
_GRPC_MESSAGE_BYTES = 2048
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def spoken(headers: Mapping[str, str], target: bytes, status: int, document: bytes) -> tuple[bytes, bytes]:
    """(media type, body) of a refusal, for the client whose request had these ``headers`` and this ``target``.

    S3 clients look for XML with a ``Code`` and a ``Message``, and without it tell their user nothing but the status.
    Clients that ask for JSON of their vendor's kind only, as Elasticsearch's does, fail on types they do not know.
    """
    if _S3_SIGNED.match(headers.get("authorization", "")) or _S3_PRESIGNED.search(target):
        return XML, _s3(status, json.loads(document))
    return (JSON if _wants_json(headers.get("accept", "")) else MEDIA_TYPE), document


def _s3(status: int, problem: Mapping[str, str]) -> bytes:
    """The ``Error`` document. What ``findings`` list, the detail names."""
    fields = {
        "Code": _S3_CODES.get(status, _S3_OTHER),
        "Message": problem.get("detail", ""),
        "Type": problem.get("type", ""),
        "RequestId": problem.get("instance", "").removeprefix("urn:uuid:"),
    }
    inner = "".join(f"<{name}>{escape(_NOT_XML.sub('?', text))}</{name}>" for name, text in fields.items() if text)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()


def _wants_json(accept: str) -> bool:
    """Whether a vendor's kind of JSON is asked for, and nothing that would stand for a problem document."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if kinds & {"*/*", "application/*", MEDIA_TYPE.decode()}:
        return False
    return any(kind.startswith("application/vnd.") and kind.endswith("+json") for kind in kinds)


def grpc_kind(content_type: str) -> str:
    """The content type of answers to a request of this one, if it is gRPC or gRPC-Web; else empty."""
    found = _GRPC.match(content_type.strip())
    return found[0].lower() if found else ""


def grpc_status(kind: str, status: int, document: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields of an answer that is nothing but its status: gRPC's clients look at no body.

    The message is the document's detail and the id of its record.
    """
    problem = json.loads(document)
    text = " ".join(filter(None, (problem.get("title", ""), problem.get("detail", ""), problem.get("instance", ""))))
    message = quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")[:_GRPC_MESSAGE_BYTES]
    return [
        (b"content-type", kind.encode()),
        (b"grpc-status", b"%d" % _GRPC_CODES.get(status, _GRPC_INTERNAL)),
        (b"grpc-message", re.sub(r"%[0-9A-F]?\Z", "", message).encode()),
    ]
