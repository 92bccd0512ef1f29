"""What a redaction would break: messages that their sender has signed or hashed.

The receiver would refuse the edited message at best (Content-Digest, RFC 9530; HTTP signatures, RFC 9421; AWS
Signature Version 4; the HMAC of a webhook), and at worst cache it under the ETag of the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mitmproxy import http

from proxy.policy.routes import Route

_NAMES = frozenset(
    b"content-digest content-md5 digest etag repr-digest x-amz-content-sha256 x-goog-hash x-ms-content-crc64 "
    b"x-jws".split()
)
_IN_NAME = (b"signature", b"hmac", b"x-amz-checksum-", b"x-amz-trailer")
"""``X-Hub-Signature-256``, ``Stripe-Signature``, ``X-Shopify-Hmac-Sha256``, ``X-Line-Signature``: every webhook has a
name of its own for it."""
_SIGNING_SCHEMES = ("aws4-", "goog4-", "hmac", "signature", "acs3-", "tc3-hmac", "sharedkey", "hawk")
"""Beginnings of Authorization schemes that cover the body, or may."""
_SIGNED_URLS = (b"x-amz-signature=", b"x-goog-signature=")
_UNSIGNED = b"UNSIGNED-PAYLOAD"


def sealed_by(message: http.Request | http.Response) -> str:
    """The field that seals the message, as a developer knows it, or empty."""
    for name, value in _fields(message):
        lower = name.lower()
        if (lower in _NAMES or any(word in lower for word in _IN_NAME)) and value != _UNSIGNED:
            return _shown(lower)
        if lower == b"content-encoding" and b"aws-chunked" in value.lower():
            return "content-encoding: aws-chunked"
        if lower == b"content-range" and isinstance(message, http.Response):
            return "content-range"
        if lower in (b"authorization", b"proxy-authorization") and _signs(value):
            return _shown(lower)
    if isinstance(message, http.Request) and any(mark in message.data.path.lower() for mark in _SIGNED_URLS):
        return "query signature"
    return ""


def _fields(message: http.Request | http.Response) -> Iterator[tuple[bytes, bytes]]:
    """Header and trailer fields: a digest that is made while the body is sent comes after it."""
    yield from message.data.headers.fields
    if message.data.trailers is not None:
        yield from message.data.trailers.fields


def _signs(value: bytes) -> bool:
    """Whether an Authorization value is a signature of the message; of the others, Digest says so (RFC 7616 3.4)."""
    scheme, _, rest = value.decode("latin-1").lower().partition(" ")
    return scheme.startswith(_SIGNING_SCHEMES) or (scheme == "digest" and "auth-int" in rest)


def _shown(name: bytes) -> str:
    """A field's name in an answer: it is the peer's text, and could hold a number."""
    text = name.decode("latin-1")
    return text if len(text) <= 64 and sum(map(str.isdigit, text)) < 6 and text.isprintable() else "a signature"


def unsealed(route: Route, message: http.Request | http.Response, gap: str) -> tuple[Route, str]:
    """The route as it is, unless it redacts and this message cannot be redacted: then one that blocks, and why."""
    if route.on_violation != "redact":
        return route, ""
    seal = sealed_by(message) or gap
    return (replace(route, on_violation="block"), seal) if seal else (route, "")
