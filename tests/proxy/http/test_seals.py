from __future__ import annotations

import pytest
from mitmproxy import http

from proxy.http.seals import sealed_by, unsealed
from proxy.policy import Route


def request(target=b"/a", fields=(), trailers=None):
    headers = http.Headers([(b"Host", b"h"), *fields])
    return http.Request("h", 80, b"POST", b"http", b"", target, b"HTTP/1.1", headers, b"{}", trailers, 0, 0)


def response(fields=(), trailers=None):
    return http.Response(b"HTTP/1.1", 200, b"OK", http.Headers(list(fields)), b"{}", trailers, 0, 0)


SEALS = {
    "content-digest": (b"Content-Digest", b"sha-256=:x:"),
    "digest": (b"Digest", b"x"),
    "content-md5": (b"Content-MD5", b"x"),
    "etag": (b"ETag", b'W/"x"'),
    "signature": (b"Signature", b"x"),
    "signature-input": (b"Signature-Input", b"x"),
    "x-amz-content-sha256": (b"X-Amz-Content-Sha256", b"0" * 64),
    "x-amz-checksum-crc32": (b"x-amz-checksum-crc32", b"x"),
    "x-hub-signature-256": (b"X-Hub-Signature-256", b"x"),
    "x-my-team-signature": (b"X-My-Team-Signature", b"x"),
    "x-shopify-hmac-sha256": (b"X-Shopify-Hmac-Sha256", b"x"),
    "webhook-signatures": (b"Webhook-Signatures", b"x"),
    "a signature": (b"X-Signature-4111111111", b"x"),
    "content-encoding: aws-chunked": (b"Content-Encoding", b"gzip,aws-chunked"),
}


@pytest.mark.parametrize(("seal", "field"), SEALS.items(), ids=SEALS.keys())
def test_fields_that_seal_a_message(seal, field):
    assert sealed_by(request(fields=[field])) == seal
    assert sealed_by(response(fields=[(b"Server", b"x"), field])) == seal
    assert sealed_by(request(trailers=http.Headers([field]))) == seal


@pytest.mark.parametrize(
    ("value", "seals"),
    [
        (b"AWS4-HMAC-SHA256 Credential=x", True),
        (b"aws4-ecdsa-p256-sha256 Credential=x", True),
        (b"GOOG4-RSA-SHA256 Credential=x", True),
        (b"HMAC app:sig", True),
        (b"HMAC-SHA256 Credential=x", True),
        (b"hmacauth x", True),
        (b'Signature keyId="x"', True),
        (b"SharedKey account:x", True),
        (b'Hawk id="x"', True),
        (b'Digest username="x", qop=auth-int, nc=1', True),
        (b'Digest username="x", qop=auth, nc=1', False),
        (b"Bearer x", False),
        (b"Basic eDp5", False),
    ],
)
def test_authorization_that_signs_the_body(value, seals):
    assert sealed_by(request(fields=[(b"authorization", value)])) == ("authorization" if seals else "")


def test_what_does_not_seal():
    fields = [(b"X-Amz-Content-Sha256", b"UNSIGNED-PAYLOAD"), (b"If-Match", b'"x"'), (b"X-Design", b"1")]
    assert sealed_by(request(fields=fields)) == ""
    assert sealed_by(response()) == ""


@pytest.mark.parametrize("target", [b"/a?X-Amz-Signature=x", b"/a?b=1&x-goog-signature=x"])
def test_a_signed_url(target):
    assert sealed_by(request(target)) == "query signature"


def test_a_part_of_a_file_cannot_be_redacted():
    assert sealed_by(response(fields=[(b"Content-Range", b"bytes 0-1/2")])) == "content-range"


def test_a_lane_that_redacts_blocks_what_is_sealed():
    sealed, plain = request(fields=[(b"Content-MD5", b"x")]), request()
    block, redact = Route("l", "logging"), Route("l", "logging", on_violation="redact")
    assert unsealed(block, sealed, "") == (block, "")
    assert unsealed(redact, plain, "") == (redact, "")
    assert unsealed(redact, sealed, "") == (block, "content-md5")
    assert unsealed(redact, plain, "body-too-large") == (block, "body-too-large")
