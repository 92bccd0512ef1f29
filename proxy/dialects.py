"""A refusal in words that the client's own library understands: the RFC 9457 document, and for clients that could not
read it the same in their shape. What is said stays the same; so do the digits that are not in it.

Source: Amazon S3 API Reference, «Error responses» (REST); RFC 9110 12.5.1 (Accept).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
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
